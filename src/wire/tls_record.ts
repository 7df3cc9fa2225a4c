/** The record layer of TLS 1.3, RFC 8446 §5.1, §5.2. */

import { CONTENT_TYPE } from "./content_type.ts";

// Set by a standard.
export const TLS_RECORD_HEADER_LEN = 5;
const LEGACY_RECORD_VERSION = 0x0303;

// Chosen here.
/** Longer records are refused: peers of ours send none, and what is not authenticated may not take memory. */
export const TLS_RECORD_MAX_LEN = 2048;

export interface TlsRecord {
  readonly contentType: number;
  /** A view into the bytes parsed. */
  readonly body: Uint8Array;
}

/** `undefined` unless `bytes` are exactly one record. RFC 8446 §5.1: legacy_record_version must be ignored. */
export function parseTlsRecord(bytes: Uint8Array): TlsRecord | undefined {
  if (bytes.length < TLS_RECORD_HEADER_LEN || bytes.length > TLS_RECORD_MAX_LEN) return undefined;
  const body = bytes.subarray(TLS_RECORD_HEADER_LEN);
  return body.length === (bytes[3] << 8 | bytes[4]) ? { contentType: bytes[0], body } : undefined;
}

/** The header of a record of `bodyLen` bytes, written at `off`. */
export function emitTlsRecordHeader(
  out: Uint8Array,
  off: number,
  contentType: number,
  bodyLen: number,
): void {
  out[off] = contentType;
  out[off + 1] = LEGACY_RECORD_VERSION >> 8;
  out[off + 2] = LEGACY_RECORD_VERSION & 0xff;
  out[off + 3] = bodyLen >> 8;
  out[off + 4] = bodyLen & 0xff;
}

/** RFC 8446 §5: a change_cipher_spec of middlebox compatibility, which is dropped. */
export function isCompatibilityRecord({ contentType, body }: TlsRecord): boolean {
  return contentType === CONTENT_TYPE.changeCipherSpec && body.length === 1 && body[0] === 1;
}
