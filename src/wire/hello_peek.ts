/** What a datagram claims to be of a ClientHello, told by fixed places of its first bytes: for who must judge many
 * datagrams of strangers before anything is parsed. RFC 9147 §4, §5.2. */

import { CONTENT_TYPE } from "./content_type.ts";
import { PLAINTEXT_HEADER_LEN } from "./dtls_plaintext_header.ts";
import { HANDSHAKE_HEADER_LEN, HANDSHAKE_TYPE } from "./handshake_header.ts";

export const HELLO_PART = {
  none: 0,
  /** The start of a first hello: message_seq 0. */
  first: 1,
  /** The start of a hello that answers a HelloRetryRequest, so that a cookie must be in it: message_seq 1. */
  second: 2,
  /** What follows the start of a second hello. */
  continuation: 3,
} as const;

/** One of HELLO_PART for the datagram at off..end. Allocates nothing; promises nothing about the rest. */
export function peekHello(bytes: Uint8Array, off: number, end: number): number {
  const message = off + PLAINTEXT_HEADER_LEN;
  if (end - message < HANDSHAKE_HEADER_LEN || bytes[off] !== CONTENT_TYPE.handshake) return HELLO_PART.none;
  const epoch = bytes[off + 3] << 8 | bytes[off + 4];
  const bodyLen = bytes[off + 11] << 8 | bytes[off + 12];
  if (epoch !== 0 || bodyLen < HANDSHAKE_HEADER_LEN || bodyLen > end - message) return HELLO_PART.none;
  const messageSeq = bytes[message + 4] << 8 | bytes[message + 5];
  // RFC 9147 §5.2: message_seq is 0 in the first hello and 1 in the second.
  if (bytes[message] !== HANDSHAKE_TYPE.clientHello || messageSeq > 1) return HELLO_PART.none;
  const fragmentOffset = bytes[message + 6] << 16 | bytes[message + 7] << 8 | bytes[message + 8];
  if (fragmentOffset > 0) return messageSeq === 1 ? HELLO_PART.continuation : HELLO_PART.none;
  return messageSeq === 0 ? HELLO_PART.first : HELLO_PART.second;
}
