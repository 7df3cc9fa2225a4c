/** Which sequence numbers of an epoch have been authenticated, RFC 9147 §4.5.1: a bitmap behind the highest one. */

import { assert } from "../base/mod.ts";
import { SEQUENCE_NUMBER_MAX } from "../crypto/suites.ts";

export type ReplayVerdict = "fresh" | "duplicate" | "old";

/** Remembers the last `len` numbers exactly; all before them are old. Both calls are O(1), whatever the gap: a mark
 * clears at most the bitmap's words. Only the caller can keep the guarantee that nothing unauthenticated is marked. */
export class ReplayWindow {
  readonly len: number;
  readonly #words: Uint32Array;
  readonly #mask: number;
  /** One more than the highest marked number. */
  #next = 0;

  /** `len` is a power of two from 32 to 2^24; throws RangeError otherwise. Takes len / 4 bytes. */
  constructor(len: number) {
    if (!Number.isInteger(Math.log2(len)) || len < 32 || len > 2 ** 24) {
      throw new RangeError(`Cannot use a replay window of ${len}: must be a power of two from 32 to 2^24`);
    }
    this.len = len;
    // Twice the window, so that whole words can be cleared ahead of the highest number.
    this.#words = new Uint32Array(len / 16);
    this.#mask = this.#words.length - 1;
  }

  /** One more than the highest marked number: what a receiver expects next. */
  get next(): number {
    return this.#next;
  }

  /** What `number` would be, were it marked now. */
  check(number: number): ReplayVerdict {
    if (number >= this.#next) return "fresh";
    if (number < this.#next - this.len) return "old";
    return (this.#words[this.#wordOf(number)] >>> (number & 31) & 1) === 0 ? "fresh" : "duplicate";
  }

  /** As `check(number) === "fresh"`, without a string. */
  isFresh(number: number): boolean {
    if (number >= this.#next) return true;
    return number >= this.#next - this.len && (this.#words[this.#wordOf(number)] >>> (number & 31) & 1) === 0;
  }

  /** Remembers `number`, which must be fresh and have been authenticated: RFC 9147 §4.5.1, the window MUST NOT move
   * before that. */
  mark(number: number): void {
    assert(number <= SEQUENCE_NUMBER_MAX && this.isFresh(number), "only a fresh number is marked");
    if (number >= this.#next) this.#advance(number);
    this.#words[this.#wordOf(number)] |= 1 << (number & 31);
  }

  /** Clears the words that `number` newly reaches. */
  #advance(number: number): void {
    const first = Math.floor((this.#next - 1) / 32) + 1; // the word after that of the highest number
    const last = Math.floor(number / 32);
    const count = Math.min(last - first + 1, this.#words.length);
    for (let i = 0; i < count; i++) this.#words[(last - i) % this.#words.length] = 0;
    this.#next = number + 1;
  }

  /** Which word: `>>> 0` takes the number modulo 2^32, exactly. */
  #wordOf(number: number): number {
    return number >>> 5 & this.#mask;
  }
}
