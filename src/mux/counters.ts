/** What a mux counts: totals since it was made. */
export interface MuxCounters {
  /** Streams opened from either side, resets from here and from the other side, streams refused. */
  opened: number;
  resetHere: number;
  resetThere: number;
  refused: number;
  /** Packets sent and taken in, those known already, those before a hello that counts, those that make no sense. */
  packetsSent: number;
  packetsReceived: number;
  duplicates: number;
  beforeHello: number;
  malformed: number;
  /** Packets not acknowledged because something in them could not be kept for now. */
  notNow: number;
  /** Broken rules: data past the window; everything else. */
  pastWindow: number;
  violations: number;
  /** Frames for streams that are over or never were. */
  strays: number;
  /** Datagrams that came for no open association, or with a body that makes no sense. */
  datagramsRefused: number;
  /** The local side wrote more than its credit. */
  overCredit: number;
  /** Bytes of streams sent (again, too) and handed on. */
  bytesSent: number;
  bytesReceived: number;
}

export function newMuxCounters(): MuxCounters {
  return {
    opened: 0,
    resetHere: 0,
    resetThere: 0,
    refused: 0,
    packetsSent: 0,
    packetsReceived: 0,
    duplicates: 0,
    beforeHello: 0,
    malformed: 0,
    notNow: 0,
    pastWindow: 0,
    violations: 0,
    strays: 0,
    datagramsRefused: 0,
    overCredit: 0,
    bytesSent: 0,
    bytesReceived: 0,
  };
}
