/** What stands before a handshake message: 12 bytes in DTLS (RFC 9147 §5.2), 4 in TLS and in every transcript. */

import { assert, concat } from "../base/mod.ts";

/** HandshakeType, RFC 8446 §4 and RFC 9147 §5.2. */
export const HANDSHAKE_TYPE = {
  clientHello: 1,
  serverHello: 2,
  newSessionTicket: 4,
  endOfEarlyData: 5,
  encryptedExtensions: 8,
  requestConnectionId: 9,
  newConnectionId: 10,
  certificate: 11,
  certificateRequest: 13,
  certificateVerify: 15,
  finished: 20,
  keyUpdate: 24,
} as const;

// Set by a standard.
export const HANDSHAKE_HEADER_LEN = 12;
export const TLS_HANDSHAKE_HEADER_LEN = 4;

export interface HandshakeHeader {
  readonly type: number;
  /** Bytes of the whole message's body. */
  readonly len: number;
  readonly messageSeq: number;
  readonly fragmentOffset: number;
  /** Bytes of the body that follow this header. */
  readonly fragmentLen: number;
}

/** The header at `off`, or `undefined` unless it and its fragment lie within `bytes` and the fragment lies within the
 * message. */
export function parseHandshakeHeader(bytes: Uint8Array, off = 0): HandshakeHeader | undefined {
  if (bytes.length - off < HANDSHAKE_HEADER_LEN) return undefined;
  const u24 = (at: number) => bytes[off + at] << 16 | bytes[off + at + 1] << 8 | bytes[off + at + 2];
  const header = {
    type: bytes[off],
    len: u24(1),
    messageSeq: bytes[off + 4] << 8 | bytes[off + 5],
    fragmentOffset: u24(6),
    fragmentLen: u24(9),
  };
  const fits = header.fragmentOffset + header.fragmentLen <= header.len &&
    header.fragmentLen <= bytes.length - off - HANDSHAKE_HEADER_LEN;
  // RFC 9147 §5.5: an empty fragment is legal for an empty message only.
  return fits && (header.fragmentLen > 0 || header.len === 0) ? header : undefined;
}

/** `body.subarray(start, end)` of a message as one fragment, with its header. */
export function emitHandshakeFragment(
  type: number,
  messageSeq: number,
  body: Uint8Array,
  start: number,
  end: number,
): Uint8Array {
  assert(
    messageSeq <= 0xffff && body.length < 2 ** 24 && start <= end && end <= body.length,
    "a fragment fits",
  );
  const out = new Uint8Array(HANDSHAKE_HEADER_LEN + end - start);
  out[0] = type;
  writeU24(out, 1, body.length);
  out[4] = messageSeq >> 8;
  out[5] = messageSeq;
  writeU24(out, 6, start);
  writeU24(out, 9, end - start);
  out.set(body.subarray(start, end), HANDSHAKE_HEADER_LEN);
  return out;
}

/** A whole message in one fragment. */
export function emitHandshakeMessage(type: number, messageSeq: number, body: Uint8Array): Uint8Array {
  return emitHandshakeFragment(type, messageSeq, body, 0, body.length);
}

/** The 4-byte form, which TLS sends and every transcript hashes: RFC 9147 §5.2. */
export function emitTlsHandshakeMessage(type: number, body: Uint8Array): Uint8Array {
  return concat(emitTlsHandshakeHeader(type, body.length), body);
}

/** What stands before a body of `bodyLen` bytes in that form. */
export function emitTlsHandshakeHeader(type: number, bodyLen: number): Uint8Array {
  assert(bodyLen < 2 ** 24, "a message fits its length");
  const header = new Uint8Array(TLS_HANDSHAKE_HEADER_LEN);
  header[0] = type;
  writeU24(header, 1, bodyLen);
  return header;
}

function writeU24(out: Uint8Array, at: number, value: number): void {
  out[at] = value >> 16;
  out[at + 1] = value >> 8;
  out[at + 2] = value;
}
