/** TCP segments that tcpdump saw on one connection, for the tests of TCP mode. */
import { readFrames } from "./pcap.ts";

export interface SeenSegment {
  /** Nanoseconds since the epoch, as the capturing kernel stamped it. */
  readonly timeNs: bigint;
  /** Outer IP length in bytes. */
  readonly ipLen: number;
  readonly from: string;
  readonly payloadLen: number;
  /** Of the first byte. */
  readonly sequence: number;
  /** As it stands in the header, unscaled. */
  readonly window: number;
  /** Type of service, time to live: what an observer can compare beside addresses, lengths and numbers. */
  readonly fields: string;
  /** First bytes of the payload, as far as they were captured. */
  readonly payload: Uint8Array;
}

/** The IPv4 TCP segments of a capture, in order. */
export function readSegments(file: Uint8Array): SeenSegment[] {
  const segments: SeenSegment[] = [];
  for (const { timeNs, frame } of readFrames(file)) {
    const ip = frame.subarray(14);
    if (frame[12] !== 8 || frame[13] !== 0 || ip[9] !== 6) continue;
    const view = new DataView(ip.buffer, ip.byteOffset, ip.length);
    const ipHeadLen = (ip[0] & 15) * 4;
    const headLen = ipHeadLen + (ip[ipHeadLen + 12] >> 4) * 4;
    const ipLen = view.getUint16(2);
    segments.push({
      timeNs,
      ipLen,
      from: ip.subarray(12, 16).join("."),
      payloadLen: ipLen - headLen,
      sequence: view.getUint32(ipHeadLen + 4),
      window: view.getUint16(ipHeadLen + 14),
      fields: `tos=${ip[1]} ttl=${ip[8]}`,
      payload: ip.slice(headLen),
    });
  }
  return segments;
}

/** Segments that carry something, from where application records begin: behind the handshake's few records. */
export function dataSegments(
  segments: readonly SeenSegment[],
  from: string,
  recordLen: number,
): SeenSegment[] {
  const own = segments.filter((segment) => segment.from === from && segment.payloadLen > 0);
  const first = own.findIndex((segment) => segment.payloadLen === recordLen);
  return own.slice(first < 0 ? own.length : first);
}

/** The share of segments that are exactly one record: header, length and all. */
export function oneRecordRatio(segments: readonly SeenSegment[], recordLen: number): number {
  const bodyLen = recordLen - 5;
  const whole = segments.filter(({ payloadLen, payload }) =>
    payloadLen === recordLen && payload[0] === 23 && payload[1] === 3 && payload[2] === 3 &&
    (payload[3] << 8 | payload[4]) === bodyLen
  );
  return whole.length / segments.length;
}
