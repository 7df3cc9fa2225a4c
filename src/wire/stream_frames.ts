/** The streams frame (inner type 0x50) and the frames of streams within its body: docs/protocol.md §4.7. Integers are
 * big-endian; u48 is six bytes.
 *
 *   streams    type u8 (0x50), length u16, packet number u48, frames
 *
 *   0x01 hello           version u8, own instance (8), instance of the other side (8; zeros: not known)
 *   0x02 ack             largest u48, delay u32 us, range count u8, count u16, then each: gap u16, count u16
 *   0x03 ping            -
 *   0x10 open            id u32, kind u8, window u32, target
 *   0x11 opened          id u32, window u32, bound address
 *   0x12 data            id u32, offset u48, length u16, bytes
 *   0x13 last data       as 0x12
 *   0x14 credit          id u32, limit u48
 *   0x15 reset           id u32, reason u8
 *   0x16 datagram        id u32, length u16, body (address, payload)
 *   0x17 datagram part   id u32, number u16, body length u16, offset u16, length u16, bytes of the body */

import { assert } from "../base/mod.ts";
import { INNER_TYPE } from "./inner_frame.ts";
import { emitWireAddress, parseWireAddress, type WireAddress, wireAddressLen } from "./stream_address.ts";

export const STREAM_FRAME = {
  hello: 0x01,
  ack: 0x02,
  ping: 0x03,
  open: 0x10,
  opened: 0x11,
  data: 0x12,
  dataLast: 0x13,
  credit: 0x14,
  reset: 0x15,
  datagram: 0x16,
  datagramPart: 0x17,
} as const;

export const STREAMS_VERSION = 1;
export const INSTANCE_LEN = 8;
/** Codes of stream kinds are indexes here. */
export const STREAM_KINDS = ["stream", "datagrams"] as const;

/** Type, length, and packet number of a streams frame. */
export const STREAMS_HEAD_LEN = 3 + 6;
export const HELLO_LEN = 2 + 2 * INSTANCE_LEN;
export const ACK_HEAD_LEN = 1 + 6 + 4 + 1 + 2;
export const ACK_RANGE_LEN = 4;
export const ACK_RANGES_MAX = 64;
export const PING_LEN = 1;
export const DATA_HEAD_LEN = 1 + 4 + 6 + 2;
export const CREDIT_LEN = 1 + 4 + 6;
export const RESET_LEN = 1 + 4 + 1;
export const DATAGRAM_HEAD_LEN = 1 + 4 + 2;
export const DATAGRAM_PART_HEAD_LEN = 1 + 4 + 4 * 2;
export const U48_MAX = 2 ** 48 - 1;

export function emitU48(bytes: Uint8Array, off: number, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  bytes[off] = high >> 8;
  bytes[off + 1] = high;
  emitU32(bytes, off + 2, value);
}

function emitU32(bytes: Uint8Array, off: number, value: number): void {
  bytes[off] = value >>> 24;
  bytes[off + 1] = value >>> 16;
  bytes[off + 2] = value >>> 8;
  bytes[off + 3] = value;
}

export function parseU48(bytes: Uint8Array, off: number): number {
  return (bytes[off] << 8 | bytes[off + 1]) * 2 ** 32 + parseU32(bytes, off + 2);
}

function parseU32(bytes: Uint8Array, off: number): number {
  return (bytes[off] << 24 | bytes[off + 1] << 16 | bytes[off + 2] << 8 | bytes[off + 3]) >>> 0;
}

function parseU16(bytes: Uint8Array, off: number): number {
  return bytes[off] << 8 | bytes[off + 1];
}

/** Writes the head of the streams frame that reaches from `off` to `end`, packet number included. */
export function emitStreamsHead(bytes: Uint8Array, off: number, end: number, packetNumber: number): void {
  const bodyLen = end - off - 3;
  assert(bodyLen >= 6 && bodyLen <= 0xffff, "a streams frame has a length of 16 bits");
  bytes[off] = INNER_TYPE.streams;
  bytes[off + 1] = bodyLen >> 8;
  bytes[off + 2] = bodyLen;
  emitU48(bytes, off + 3, packetNumber);
}

/** Instances have INSTANCE_LEN bytes. Returns the length, as all of these do. */
export function emitHello(bytes: Uint8Array, off: number, own: Uint8Array, known: Uint8Array): number {
  bytes[off] = STREAM_FRAME.hello;
  bytes[off + 1] = STREAMS_VERSION;
  bytes.set(own, off + 2);
  bytes.set(known, off + 2 + INSTANCE_LEN);
  return HELLO_LEN;
}

export function emitPing(bytes: Uint8Array, off: number): number {
  bytes[off] = STREAM_FRAME.ping;
  return PING_LEN;
}

export function openLen(target: WireAddress): number {
  return 1 + 4 + 1 + 4 + wireAddressLen(target);
}

/** `kind` is an index of STREAM_KINDS. */
export function emitOpen(
  bytes: Uint8Array,
  off: number,
  id: number,
  kind: number,
  window: number,
  target: WireAddress,
): number {
  bytes[off] = STREAM_FRAME.open;
  emitU32(bytes, off + 1, id);
  bytes[off + 5] = kind;
  emitU32(bytes, off + 6, window);
  return 10 + emitWireAddress(bytes, off + 10, target);
}

export function openedLen(bound: WireAddress): number {
  return 1 + 4 + 4 + wireAddressLen(bound);
}

export function emitOpened(
  bytes: Uint8Array,
  off: number,
  id: number,
  window: number,
  bound: WireAddress,
): number {
  bytes[off] = STREAM_FRAME.opened;
  emitU32(bytes, off + 1, id);
  emitU32(bytes, off + 5, window);
  return 9 + emitWireAddress(bytes, off + 9, bound);
}

/** The bytes go behind it. */
export function emitDataHead(
  bytes: Uint8Array,
  off: number,
  id: number,
  offset: number,
  len: number,
  last: boolean,
): number {
  bytes[off] = last ? STREAM_FRAME.dataLast : STREAM_FRAME.data;
  emitU32(bytes, off + 1, id);
  emitU48(bytes, off + 5, offset);
  bytes[off + 11] = len >> 8;
  bytes[off + 12] = len;
  return DATA_HEAD_LEN;
}

export function emitCredit(bytes: Uint8Array, off: number, id: number, limit: number): number {
  bytes[off] = STREAM_FRAME.credit;
  emitU32(bytes, off + 1, id);
  emitU48(bytes, off + 5, limit);
  return CREDIT_LEN;
}

export function emitReset(bytes: Uint8Array, off: number, id: number, reason: number): number {
  bytes[off] = STREAM_FRAME.reset;
  emitU32(bytes, off + 1, id);
  bytes[off + 5] = reason;
  return RESET_LEN;
}

/** The body, address and payload, goes behind it. */
export function emitDatagramHead(bytes: Uint8Array, off: number, id: number, bodyLen: number): number {
  bytes[off] = STREAM_FRAME.datagram;
  emitU32(bytes, off + 1, id);
  bytes[off + 5] = bodyLen >> 8;
  bytes[off + 6] = bodyLen;
  return DATAGRAM_HEAD_LEN;
}

/** Bytes `offset` to `offset + len` of a body of `bodyLen` bytes go behind it. */
export function emitDatagramPartHead(
  bytes: Uint8Array,
  off: number,
  id: number,
  number: number,
  bodyLen: number,
  offset: number,
  len: number,
): number {
  bytes[off] = STREAM_FRAME.datagramPart;
  emitU32(bytes, off + 1, id);
  [number, bodyLen, offset, len].forEach((value, index) => {
    bytes[off + 5 + 2 * index] = value >> 8;
    bytes[off + 6 + 2 * index] = value;
  });
  return DATAGRAM_PART_HEAD_LEN;
}

/** One parsed frame: filled anew by each `parseStreamFrame`; only the fields of its type mean something. */
export class StreamFrame {
  type = 0;
  id = 0;
  /** Of open: an index of STREAM_KINDS. */
  kind = 0;
  /** Of open and opened: bytes that the other side may send at first. */
  window = 0;
  /** Of data: where its bytes begin in the stream; of a datagram part: in the body. */
  offset = 0;
  /** Of credit: the stream's bytes that may be sent in all. */
  limit = 0;
  reason = 0;
  /** Of a datagram part. */
  number = 0;
  datagramLen = 0;
  /** Of ack. Ranges after the first begin at `bodyOff`. */
  largest = 0;
  delayNs = 0;
  firstCount = 0;
  rangeCount = 0;
  address: WireAddress | undefined;
  bodyOff = 0;
  bodyLen = 0;
  /** Where the next frame begins. */
  end = 0;
}

/** Length of the part before addresses, ranges and bytes; 0: no such type. */
function fixedLen(type: number): number {
  switch (type) {
    case STREAM_FRAME.hello:
      return HELLO_LEN;
    case STREAM_FRAME.ack:
      return ACK_HEAD_LEN;
    case STREAM_FRAME.ping:
      return PING_LEN;
    case STREAM_FRAME.open:
      return 10;
    case STREAM_FRAME.opened:
      return 9;
    case STREAM_FRAME.data:
    case STREAM_FRAME.dataLast:
      return DATA_HEAD_LEN;
    case STREAM_FRAME.credit:
      return CREDIT_LEN;
    case STREAM_FRAME.reset:
      return RESET_LEN;
    case STREAM_FRAME.datagram:
      return DATAGRAM_HEAD_LEN;
    case STREAM_FRAME.datagramPart:
      return DATAGRAM_PART_HEAD_LEN;
    default:
      return 0;
  }
}

/** Parses the frame at `off`; nothing at or after `end` is read. False for one that ends past `end`, is of no known
 * type, or says what has no meaning. Of hello the body is both instances. */
export function parseStreamFrame(bytes: Uint8Array, off: number, end: number, frame: StreamFrame): boolean {
  if (off >= end) return false;
  const type = bytes[off];
  const len = fixedLen(type);
  if (len === 0 || len > end - off) return false;
  frame.type = type;
  frame.bodyOff = off + len;
  frame.bodyLen = 0;
  if (type >= STREAM_FRAME.open) {
    frame.id = parseU32(bytes, off + 1);
    if (!parseOfStream(bytes, off, end, frame)) return false;
  } else if (type === STREAM_FRAME.ack) {
    if (!parseAck(bytes, off, frame)) return false;
  } else if (type === STREAM_FRAME.hello) {
    if (bytes[off + 1] !== STREAMS_VERSION) return false;
    frame.bodyOff = off + 2;
    frame.bodyLen = 2 * INSTANCE_LEN;
  }
  frame.end = frame.bodyOff + frame.bodyLen;
  return frame.end <= end;
}

function parseOfStream(bytes: Uint8Array, off: number, end: number, frame: StreamFrame): boolean {
  switch (frame.type) {
    case STREAM_FRAME.open:
      frame.kind = bytes[off + 5];
      frame.window = parseU32(bytes, off + 6);
      return frame.kind < STREAM_KINDS.length && parseAddress(bytes, end, frame);
    case STREAM_FRAME.opened:
      frame.window = parseU32(bytes, off + 5);
      return parseAddress(bytes, end, frame);
    case STREAM_FRAME.data:
    case STREAM_FRAME.dataLast:
      frame.offset = parseU48(bytes, off + 5);
      frame.bodyLen = parseU16(bytes, off + 11);
      return frame.offset + frame.bodyLen <= U48_MAX &&
        (frame.bodyLen > 0 || frame.type === STREAM_FRAME.dataLast);
    case STREAM_FRAME.credit:
      frame.limit = parseU48(bytes, off + 5);
      return true;
    case STREAM_FRAME.reset:
      frame.reason = bytes[off + 5];
      return true;
    case STREAM_FRAME.datagram:
      frame.bodyLen = parseU16(bytes, off + 5);
      return true;
    default:
      return parseDatagramPart(bytes, off, frame);
  }
}

function parseAddress(bytes: Uint8Array, end: number, frame: StreamFrame): boolean {
  frame.address = parseWireAddress(bytes, frame.bodyOff, end);
  if (frame.address === undefined) return false;
  frame.bodyLen = wireAddressLen(frame.address);
  return true;
}

function parseDatagramPart(bytes: Uint8Array, off: number, frame: StreamFrame): boolean {
  frame.number = parseU16(bytes, off + 5);
  frame.datagramLen = parseU16(bytes, off + 7);
  frame.offset = parseU16(bytes, off + 9);
  frame.bodyLen = parseU16(bytes, off + 11);
  return frame.bodyLen > 0 && frame.offset + frame.bodyLen <= frame.datagramLen;
}

function parseAck(bytes: Uint8Array, off: number, frame: StreamFrame): boolean {
  frame.largest = parseU48(bytes, off + 1);
  frame.delayNs = parseU32(bytes, off + 7) * 1000;
  frame.rangeCount = bytes[off + 11];
  frame.firstCount = parseU16(bytes, off + 12);
  frame.bodyLen = (frame.rangeCount - 1) * ACK_RANGE_LEN;
  return frame.rangeCount > 0 && frame.rangeCount <= ACK_RANGES_MAX && frame.firstCount > 0;
}

/** Writes an ack of up to `rangesMax` of the ranges in `bounds` (start, end excluded, start, …, ascending; not empty),
 * the newest first. A range longer than a u16 is cut at its older end, and ends the ack. Returns the length. */
export function emitAck(
  bytes: Uint8Array,
  off: number,
  delayNs: number,
  bounds: readonly number[],
  rangesMax: number,
): number {
  let last = bounds.length - 2;
  const largest = bounds[last + 1] - 1;
  bytes[off] = STREAM_FRAME.ack;
  emitU48(bytes, off + 1, largest);
  emitU32(bytes, off + 7, Math.min(0xffffffff, Math.max(0, Math.round(delayNs / 1000))));
  let at = off + 12;
  let count = 0;
  for (; count < rangesMax && last >= 0; last -= 2, count++) {
    const gap = count === 0 ? 0 : bounds[last + 2] - bounds[last + 1];
    if (gap > 0xffff) break;
    if (count > 0) at += emitU16(bytes, at, gap);
    const len = bounds[last + 1] - bounds[last];
    at += emitU16(bytes, at, Math.min(len, 0xffff));
    if (len > 0xffff) {
      count++;
      break;
    }
  }
  bytes[off + 11] = count;
  return at - off;
}

function emitU16(bytes: Uint8Array, off: number, value: number): number {
  bytes[off] = value >> 8;
  bytes[off + 1] = value;
  return 2;
}

/** Calls `range(first, last)`, both included, for each range of an ack just parsed, from the newest to the oldest.
 * Ranges below zero end it. */
export function eachAckRange(
  bytes: Uint8Array,
  frame: StreamFrame,
  range: (first: number, last: number) => void,
): void {
  let last = frame.largest;
  let count = frame.firstCount;
  for (let i = 0; i < frame.rangeCount; i++) {
    if (i > 0) {
      const at = frame.bodyOff + (i - 1) * ACK_RANGE_LEN;
      last -= count + parseU16(bytes, at);
      count = parseU16(bytes, at + 2);
    }
    if (count === 0 || last - count < -1) return;
    range(last - count + 1, last);
  }
}
