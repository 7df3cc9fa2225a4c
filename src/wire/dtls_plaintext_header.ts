/** DTLSPlaintext, RFC 9147 §4: the 13 bytes before an unprotected record (epoch 0). */

import { assert } from "../base/mod.ts";

export const PLAINTEXT_HEADER_LEN = 13;
/** legacy_record_version: 1.2. RFC 9147 §4. */
export const LEGACY_RECORD_VERSION = 0xfefd;
/** legacy_record_version of an initial ClientHello for old peers' sake; ignored when read. */
export const LEGACY_RECORD_VERSION_FIRST = 0xfeff;
/** Content of any record, at most: RFC 8446 §5.1. */
export const CONTENT_LEN_MAX = 2 ** 14;

/** Filled by `parsePlaintextHeader`, over and over. */
export class PlaintextHeader {
  contentType = 0;
  version = 0;
  epoch = 0;
  /** 48 bits. */
  sequenceNumber = 0;
  /** Bytes of the content that follows the header. */
  bodyLen = 0;
}

/** Reads the header at `off`; true only if it and all its content lie before `end` and the content is not longer than
 * §5.1 of RFC 8446 allows. The version is not judged: RFC 9147 §4 says it MUST be ignored. Allocates nothing. */
export function parsePlaintextHeader(
  bytes: Uint8Array,
  off: number,
  end: number,
  header: PlaintextHeader,
): boolean {
  if (end - off < PLAINTEXT_HEADER_LEN || end > bytes.length) return false;
  header.contentType = bytes[off];
  header.version = bytes[off + 1] << 8 | bytes[off + 2];
  header.epoch = bytes[off + 3] << 8 | bytes[off + 4];
  const high = bytes[off + 5] << 8 | bytes[off + 6];
  const low = (bytes[off + 7] << 24 | bytes[off + 8] << 16 | bytes[off + 9] << 8 | bytes[off + 10]) >>> 0;
  header.sequenceNumber = high * 2 ** 32 + low;
  header.bodyLen = bytes[off + 11] << 8 | bytes[off + 12];
  return header.bodyLen <= CONTENT_LEN_MAX && header.bodyLen <= end - off - PLAINTEXT_HEADER_LEN;
}

/** Writes the header at the start of `out`; returns its 13 bytes' count. */
export function emitPlaintextHeader(header: Readonly<PlaintextHeader>, out: Uint8Array): number {
  const { contentType, version, epoch, sequenceNumber, bodyLen } = header;
  assert(
    sequenceNumber >= 0 && sequenceNumber < 2 ** 48 && bodyLen <= CONTENT_LEN_MAX,
    "the fields fit the header",
  );
  out[0] = contentType;
  out[1] = version >> 8;
  out[2] = version;
  out[3] = epoch >> 8;
  out[4] = epoch;
  let rest = sequenceNumber;
  for (let i = 10; i >= 5; i--) {
    out[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  out[11] = bodyLen >> 8;
  out[12] = bodyLen;
  return PLAINTEXT_HEADER_LEN;
}
