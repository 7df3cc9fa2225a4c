/** The two bits of explicit congestion notification in an inner IP header (RFC 3168 §5), read and changed where they lie. */

import { updateChecksum } from "./tcp_mss.ts";

/** Not capable, capable (1), capable (0), congestion experienced: RFC 3168 §5. */
export const ECN = { notEct: 0, ect1: 1, ect0: 2, ce: 3 } as const;

/** Of the whole IP packet at `off`. */
export function ecnOf(bytes: Uint8Array, off: number): number {
  return bytes[off] >> 4 === 4 ? bytes[off + 1] & 3 : bytes[off + 1] >> 4 & 3;
}

/** Sets the bits of the whole IP packet at `off`, and mends the checksum of an IPv4 header. */
export function setEcn(bytes: Uint8Array, off: number, ecn: number): void {
  if (bytes[off] >> 4 !== 4) {
    bytes[off + 1] = bytes[off + 1] & 0xcf | ecn << 4;
    return;
  }
  const was = bytes[off] << 8 | bytes[off + 1];
  bytes[off + 1] = bytes[off + 1] & 0xfc | ecn;
  updateChecksum(bytes, off + 10, was, bytes[off] << 8 | bytes[off + 1]);
}

/** Marks the packet at `off` as having met congestion, if its ends take part (RFC 3168 §5); whether they do. */
export function markCe(bytes: Uint8Array, off: number): boolean {
  const ecn = ecnOf(bytes, off);
  if (ecn === ECN.notEct) return false;
  if (ecn !== ECN.ce) setEcn(bytes, off, ECN.ce);
  return true;
}

/** What a packet has after it has come out of a tunnel: RFC 6040 §4.2, figure 4. -1: it is to be dropped, since its ends
 * would not hear of the congestion in any other way. */
export function decapsulatedEcn(inner: number, outer: number): number {
  if (inner === ECN.notEct) return outer === ECN.ce ? -1 : ECN.notEct;
  if (outer === ECN.ce || inner === ECN.ce) return ECN.ce;
  return outer === ECN.ect1 ? ECN.ect1 : inner;
}
