/** How long inner packets are that fill one record. Longer ones are split, so this is no limit: but a packet in one
 * record is lost with one record only. */

import { PACKET_HEAD_LEN } from "../wire/inner_frame.ts";
import { plaintextLenOf } from "./emitter.ts";

// Set by a standard.
const INNER_MTU_MIN = 1280; // RFC 8200 §5

/** The inner MTU at which a full packet fills one record of `datagramLen` with a connection id of `cidLen` bytes and a
 * prefix of `prefixLen`; at least 1280 (larger packets are split). */
export function innerMtuOf(datagramLen: number, cidLen: number, prefixLen = 0): number {
  const frameRoom = plaintextLenOf(datagramLen, cidLen) - 1 - prefixLen; // content type
  return Math.max(INNER_MTU_MIN, frameRoom - PACKET_HEAD_LEN);
}
