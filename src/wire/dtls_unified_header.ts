/** The unified header of DTLS 1.3 ciphertext records, RFC 9147 §4, in each of its forms: first byte 0 0 1 C S L E E,
 * then the connection id (C), 8 or 16 bits of sequence number (S), 16 bits of length (L). */

import { assert } from "../base/mod.ts";

// Set by a standard.
const FIXED_MASK = 0xe0;
const FIXED_BITS = 0x20;
const CID_BIT = 0x10;
const SEQUENCE_16_BIT = 0x08;
const LENGTH_BIT = 0x04;
const EPOCH_MASK = 0x03;
/** Content, content type, padding and AEAD expansion together, at most: RFC 8446 §5.2. */
export const CIPHERTEXT_LEN_MAX = 2 ** 14 + 256;
/** RFC 9147 §4.2.3: a shorter one cannot be unmasked. */
export const CIPHERTEXT_LEN_MIN = 16;
/** 1 + 255 of connection id + 2 + 2. */
export const UNIFIED_HEADER_LEN_MAX = 260;

/** Filled by `parseUnifiedHeader`, over and over; read by `emitUnifiedHeader`. Offsets count from the record's start. */
export class UnifiedHeader {
  /** The low two bits of the epoch. */
  epochBits = 0;
  /** Bytes of the connection id; 0: none. */
  cidLen = 0;
  /** Where the sequence number lies in the header. */
  sequenceOff = 0;
  /** 1 or 2. */
  sequenceLen = 0;
  /** The 8 or 16 bits as they stand there: still encrypted after parsing. */
  sequenceBits = 0;
  hasLength = false;
  headerLen = 0;
  /** Bytes of ciphertext and tag that follow the header. */
  bodyLen = 0;
}

/** Whether a record with this first byte has a unified header: RFC 9147 §4.1. */
export function isUnifiedHeader(firstByte: number): boolean {
  return (firstByte & FIXED_MASK) === FIXED_BITS;
}

/** Reads the header at `off`; true only if it and its whole ciphertext lie before `end`, and that has a legal length.
 * `cidLen` is the length of connection ids agreed for this direction; 0: none, and a record with one is refused
 * (RFC 9147 §9). A record without one is read in any case: the caller sees `header.cidLen` and drops a datagram whose
 * first record lacks it. Without a length the record fills the datagram, to `end`. Allocates nothing. */
export function parseUnifiedHeader(
  bytes: Uint8Array,
  off: number,
  end: number,
  cidLen: number,
  header: UnifiedHeader,
): boolean {
  if (off >= end || end > bytes.length) return false;
  const first = bytes[off];
  const hasCid = (first & CID_BIT) !== 0;
  if (!isUnifiedHeader(first) || (hasCid && cidLen === 0)) return false;
  const sequenceLen = (first & SEQUENCE_16_BIT) !== 0 ? 2 : 1;
  const hasLength = (first & LENGTH_BIT) !== 0;
  const sequenceOff = 1 + (hasCid ? cidLen : 0);
  const headerLen = sequenceOff + sequenceLen + (hasLength ? 2 : 0);
  const rest = end - off - headerLen;
  if (rest < CIPHERTEXT_LEN_MIN) return false;
  const at = off + sequenceOff;
  const lengthAt = at + sequenceLen;
  header.epochBits = first & EPOCH_MASK;
  header.cidLen = hasCid ? cidLen : 0;
  header.sequenceOff = sequenceOff;
  header.sequenceLen = sequenceLen;
  header.sequenceBits = sequenceLen === 2 ? bytes[at] << 8 | bytes[at + 1] : bytes[at];
  header.hasLength = hasLength;
  header.headerLen = headerLen;
  header.bodyLen = hasLength ? bytes[lengthAt] << 8 | bytes[lengthAt + 1] : rest;
  return header.bodyLen >= CIPHERTEXT_LEN_MIN && header.bodyLen <= CIPHERTEXT_LEN_MAX &&
    header.bodyLen <= rest;
}

/** Writes the header at the start of `out` from epochBits, sequenceLen, sequenceBits, hasLength, bodyLen and `cid`;
 * returns its length. */
export function emitUnifiedHeader(header: Readonly<UnifiedHeader>, cid: Uint8Array, out: Uint8Array): number {
  const { sequenceLen, sequenceBits, hasLength, bodyLen } = header;
  assert(sequenceLen === 1 || sequenceLen === 2, "a sequence number has 8 or 16 bits");
  assert(cid.length <= 255 && bodyLen <= CIPHERTEXT_LEN_MAX, "connection id and length fit the header");
  let at = 0;
  out[at++] = FIXED_BITS | (cid.length > 0 ? CID_BIT : 0) | (sequenceLen === 2 ? SEQUENCE_16_BIT : 0) |
    (hasLength ? LENGTH_BIT : 0) | (header.epochBits & EPOCH_MASK);
  out.set(cid, at);
  at += cid.length;
  if (sequenceLen === 2) out[at++] = sequenceBits >> 8;
  out[at++] = sequenceBits;
  if (hasLength) {
    out[at++] = bodyLen >> 8;
    out[at++] = bodyLen;
  }
  return at;
}
