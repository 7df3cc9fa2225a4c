/** From the 8 or 16 bits of a sequence number that a record shows to all 48: RFC 9147 §4.2.2. */

import { SEQUENCE_NUMBER_MAX } from "../crypto/suites.ts";

/** More opens than this a datagram is never worth. */
export const CANDIDATES_MAX = 6;

/** The number with the low bits `low` that is nearest to `expected` (one more than the highest authenticated number
 * of the epoch), and within 0..2^48-1. `bits` is 8 or 16. */
export function reconstruct(expected: number, bits: number, low: number): number {
  const span = 2 ** bits;
  const number = expected - expected % span + low;
  if (number > expected + span / 2 && number >= span) return number - span;
  if (number <= expected - span / 2 && number + span <= SEQUENCE_NUMBER_MAX) return number + span;
  return number <= SEQUENCE_NUMBER_MAX ? number : number - span;
}

/** Numbers worth trying for a record, the likeliest first, each once, at most CANDIDATES_MAX. While the last authentic
 * record is fresh that is `reconstruct` alone. After a gap in which a quarter of the shown numbers may have passed, also
 * the number that the clock says, `staleNs` × `numbersPerNs` later, and its neighbours, earlier ones first: a sender may
 * have skipped slots, or been stopped, but it does not run ahead. Pure: moves nothing. */
export function candidates(
  expected: number,
  staleNs: number,
  numbersPerNs: number,
  bits: number,
  low: number,
): number[] {
  const span = 2 ** bits;
  const found = [reconstruct(expected, bits, low)];
  const missed = staleNs * numbersPerNs;
  if (missed < span / 4) return found;
  const byClock = reconstruct(Math.min(SEQUENCE_NUMBER_MAX, Math.round(expected + missed)), bits, low);
  for (const spans of [0, -1, 1, -2, -3, 2]) {
    const number = byClock + spans * span;
    const isPossible = number >= 0 && number <= SEQUENCE_NUMBER_MAX && !found.includes(number);
    if (isPossible && found.length < CANDIDATES_MAX) found.push(number);
  }
  return found;
}
