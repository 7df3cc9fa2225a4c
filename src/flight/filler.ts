/** What makes a datagram of the handshake as long as all others where nothing inside can be padded. */

import { assert } from "../base/mod.ts";
import type { Entropy } from "../handshake/types.ts";
import { CIPHERTEXT_LEN_MIN, emitUnifiedHeader, UnifiedHeader } from "../wire/dtls_unified_header.ts";

const HEADER_LEN = 5;
export const FILLER_LEN_MIN = HEADER_LEN + CIPHERTEXT_LEN_MIN;
// Chosen here.
/** Shorter datagrams hold no handshake, longer ones come from nobody who pads: a peer's datagram of another length is
 * answered without padding. */
export const DATAGRAM_LEN_MIN = 100;
export const DATAGRAM_LEN_MAX = 9216;

/** A record of epoch 2 in form only, `len` bytes in all: random bytes that no key opens. Receivers drop what they cannot
 * open silently, RFC 9147 §4.5.2. */
export function filler(len: number, entropy: Entropy): Uint8Array {
  assert(len >= FILLER_LEN_MIN, "a filler has a whole header and the shortest ciphertext");
  const out = new Uint8Array(len);
  entropy.fill(out);
  const header = new UnifiedHeader();
  header.epochBits = 2;
  header.sequenceLen = 2;
  header.sequenceBits = out[1] << 8 | out[2];
  header.hasLength = true;
  header.bodyLen = len - HEADER_LEN;
  emitUnifiedHeader(header, new Uint8Array(0), out);
  return out;
}

/** Whether answers of a peer's datagram length can be made. */
export function canMatch(datagramLen: number): boolean {
  return datagramLen >= DATAGRAM_LEN_MIN && datagramLen <= DATAGRAM_LEN_MAX;
}

/** Whether `rest` bytes of a datagram can be filled. */
export function canFill(rest: number): boolean {
  return rest === 0 || rest >= FILLER_LEN_MIN;
}
