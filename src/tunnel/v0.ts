/** What client and server of inner protocol version 0 have in common: lengths, the head of a data record, and schedules
 * as its handshake describes them. */

import type { FrameDialect } from "../framing/unpacker.ts";
import { SEAL_OVERHEAD } from "../record/handshake_records.ts";
import { classicSdRatio, JITTER_REACH } from "../schedule/mod.ts";
import {
  type ClientHandshakeV0,
  isV0Message,
  parseV0Frame,
  SEND_TIME_LEN,
  SEQUENCE_NUMBER_LEN,
  V0_TYPE,
} from "../wire/v0_message.ts";
import type { RecordPrefix } from "./emitter.ts";
import type { TrainParameters } from "./messages.ts";

// Set by what is deployed.
/** A packet length of version 0 leaves room for a longer record header than there is: so much less is on the wire. */
export const V0_UNUSED_LEN = 12;
export const V0_PROTOCOL_VERSION = 0;
// Chosen here.
const SERVER_TIMEOUT_NS = 10e9;
const SERVER_TIMEOUT_INTERVALS = 50;
/** How long before a slot the deployed server lets go of its record; less than an interval, or it fails. */
const FINALIZE_NS = 1e6;
const FINALIZE_SHARE = 0.5;
const LOST_AFTER_MIN = 64;
const LOST_AFTER_NS = 1e9;

export const V0_FRAMES: FrameDialect = { parse: parseV0Frame, isKnownControl: isV0Message };

/** The sequence number, and with monitoring the planned send time: the pacer writes both. */
export function recordPrefixV0(monitorPackets: boolean, wallBaseNs: number): RecordPrefix {
  const bytes = new Uint8Array(SEQUENCE_NUMBER_LEN + (monitorPackets ? SEND_TIME_LEN : 0));
  bytes[0] = V0_TYPE.sequenceNumber;
  if (monitorPackets) bytes[SEQUENCE_NUMBER_LEN] = V0_TYPE.sendTime;
  const timeOff = monitorPackets ? SEQUENCE_NUMBER_LEN + 1 : 0;
  return { bytes, stamps: { countOff: 1, timeOff, wallBaseNs } };
}

/** Records of a sender with slots so close that must have come before a missing one counts as lost. */
export function lostAfter(intervalMinNs: number): number {
  return Math.max(LOST_AFTER_MIN, LOST_AFTER_NS / Math.max(1, intervalMinNs));
}

/** `message` as the content of an application record of `recordLen` bytes: senders of version 0 always fill the record. */
export function filledV0(message: Uint8Array, recordLen: number): Uint8Array {
  const content = new Uint8Array(recordLen - SEAL_OVERHEAD);
  content.set(message);
  return content;
}

/** What a client with these schedules says of itself and asks for. `overhead` is that of the outer headers. */
export function handshakeV0Of(
  up: TrainParameters,
  down: TrainParameters,
  overhead: number,
  monitorPackets: boolean,
): ClientHandshakeV0 {
  const s2c = intervalsOf(down);
  return {
    protocolVersion: V0_PROTOCOL_VERSION,
    oldestVersion: V0_PROTOCOL_VERSION,
    monitorPackets,
    s2cPacketLen: down.datagramLen + overhead + V0_UNUSED_LEN,
    s2cIntervalMinNs: s2c.minNs,
    s2cIntervalMaxNs: s2c.maxNs,
    c2sIntervalMinNs: intervalsOf(up).minNs,
    s2cFinalizeDeltaNs: Math.min(FINALIZE_NS, Math.floor(s2c.minNs * FINALIZE_SHARE)),
    serverTimeoutNs: Math.max(SERVER_TIMEOUT_NS, SERVER_TIMEOUT_INTERVALS * up.intervalNs),
  };
}

/** The shortest and the longest time between two slots: each of them moves by its law's reach at most. */
function intervalsOf(train: TrainParameters): { minNs: number; maxNs: number } {
  const reachNs = 2 * JITTER_REACH[train.jitterLaw] * train.jitterSdNs;
  return { minNs: Math.floor(train.intervalNs - reachNs), maxNs: Math.ceil(train.intervalNs + reachNs) };
}

/** The schedule that a client asks for, on the grid of its mean interval. `overhead` is that of the outer headers. */
export function trainOfHandshakeV0(handshake: ClientHandshakeV0, overhead: number): TrainParameters {
  const { s2cIntervalMinNs: minNs, s2cIntervalMaxNs: maxNs } = handshake;
  const intervalNs = (minNs + maxNs) / 2;
  const ratio = intervalNs > 0 ? (maxNs - minNs) / (2 * intervalNs) : 0;
  return {
    intervalNs,
    jitterLaw: ratio === 0 ? "none" : "classic",
    jitterSdNs: classicSdRatio(ratio) * intervalNs,
    datagramLen: handshake.s2cPacketLen - overhead - V0_UNUSED_LEN,
    burst: 1,
  };
}
