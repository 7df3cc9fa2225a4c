/** Frames of the inner protocol: the plaintext of a data record, in front of the content type, is a sequence of them.
 * Type 0x00 says that the rest is padding. Types below 0x40 have layouts of their own (those of protocol version 0);
 * from 0x40 on each frame is type u8, length u16, body, so that a reader skips what it does not know.
 *
 *   0x10 whole packet      length u16, bytes
 *   0x11 first fragment    id u16, length u16, bytes
 *   0x20 middle fragment   id u16, offset u16, length u16, bytes
 *   0x21 last fragment     as 0x20 */

export const INNER_TYPE = {
  padding: 0x00,
  packet: 0x10,
  fragmentFirst: 0x11,
  fragmentMiddle: 0x20,
  fragmentLast: 0x21,
  clientParameters: 0x40,
  serverWelcome: 0x41,
  close: 0x42,
  streams: 0x50,
} as const;

/** Types from here on carry their length. */
export const INNER_CONTROL_FIRST = 0x40;

export const PACKET_HEAD_LEN = 3;
export const FRAGMENT_FIRST_HEAD_LEN = 5;
export const FRAGMENT_HEAD_LEN = 7;
export const CONTROL_HEAD_LEN = 3;

/** True for the control types that this version has a meaning for. */
export function isKnownControl(type: number): boolean {
  return (type >= INNER_TYPE.clientParameters && type <= INNER_TYPE.close) || type === INNER_TYPE.streams;
}

/** One parsed frame: filled anew by each `parseFrame`. Offsets are of the bytes parsed from. */
export class InnerFrame {
  type = 0;
  /** Of a fragment. */
  id = 0;
  /** Of a fragment: where its bytes lie in the packet. */
  fragmentOffset = 0;
  bodyOff = 0;
  bodyLen = 0;
  /** Where the next frame begins. */
  end = 0;
}

/** Why `parseFrame` refused. */
export const FRAME_ERROR = { none: 0, truncated: 1, unknownType: 2, empty: 3 } as const;

/** Parses the frame at `off`; nothing at or after `end` is read. Returns a FRAME_ERROR; the frame is only good with
 * `none`. A body may not be empty, but for control frames. Padding comes back as a frame that reaches to `end`. */
export function parseFrame(bytes: Uint8Array, off: number, end: number, frame: InnerFrame): number {
  if (off >= end) return FRAME_ERROR.truncated;
  const type = bytes[off];
  frame.type = type;
  if (type === INNER_TYPE.padding) return finish(frame, off + 1, end - off - 1, end);
  if (type === INNER_TYPE.packet || type >= INNER_CONTROL_FIRST) {
    if (end - off < PACKET_HEAD_LEN) return FRAME_ERROR.truncated;
    const len = bytes[off + 1] << 8 | bytes[off + 2];
    if (len === 0 && type === INNER_TYPE.packet) return FRAME_ERROR.empty;
    return finish(frame, off + PACKET_HEAD_LEN, len, end);
  }
  if (type === INNER_TYPE.fragmentFirst) {
    return parseFragment(bytes, off, end, FRAGMENT_FIRST_HEAD_LEN, frame);
  }
  if (type === INNER_TYPE.fragmentMiddle || type === INNER_TYPE.fragmentLast) {
    return parseFragment(bytes, off, end, FRAGMENT_HEAD_LEN, frame);
  }
  return FRAME_ERROR.unknownType;
}

function parseFragment(
  bytes: Uint8Array,
  off: number,
  end: number,
  headLen: number,
  frame: InnerFrame,
): number {
  if (end - off < headLen) return FRAME_ERROR.truncated;
  frame.id = bytes[off + 1] << 8 | bytes[off + 2];
  frame.fragmentOffset = headLen === FRAGMENT_HEAD_LEN ? bytes[off + 3] << 8 | bytes[off + 4] : 0;
  const len = bytes[off + headLen - 2] << 8 | bytes[off + headLen - 1];
  if (len === 0) return FRAME_ERROR.empty;
  return finish(frame, off + headLen, len, end);
}

function finish(frame: InnerFrame, bodyOff: number, bodyLen: number, end: number): number {
  if (bodyLen > end - bodyOff) return FRAME_ERROR.truncated;
  frame.bodyOff = bodyOff;
  frame.bodyLen = bodyLen;
  frame.end = bodyOff + bodyLen;
  return FRAME_ERROR.none;
}

/** Writes the head of a whole packet of `len` bytes at `off`; returns its length. */
export function emitPacketHead(bytes: Uint8Array, off: number, len: number): number {
  bytes[off] = INNER_TYPE.packet;
  bytes[off + 1] = len >> 8;
  bytes[off + 2] = len;
  return PACKET_HEAD_LEN;
}

/** Writes the head of a fragment of `len` bytes; a fragment at offset 0 is the first one. Returns its length. */
export function emitFragmentHead(
  bytes: Uint8Array,
  off: number,
  id: number,
  fragmentOffset: number,
  len: number,
  last: boolean,
): number {
  let at = off;
  const first = fragmentOffset === 0;
  bytes[at++] = first ? INNER_TYPE.fragmentFirst : last ? INNER_TYPE.fragmentLast : INNER_TYPE.fragmentMiddle;
  bytes[at++] = id >> 8;
  bytes[at++] = id;
  if (!first) {
    bytes[at++] = fragmentOffset >> 8;
    bytes[at++] = fragmentOffset;
  }
  bytes[at++] = len >> 8;
  bytes[at++] = len;
  return at - off;
}

/** A whole control frame: head and body. The body has at most 65,535 bytes. */
export function emitControl(type: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(CONTROL_HEAD_LEN + body.length);
  frame[0] = type;
  frame[1] = body.length >> 8;
  frame[2] = body.length;
  frame.set(body, CONTROL_HEAD_LEN);
  return frame;
}
