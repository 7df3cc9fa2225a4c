/** Credit that is promised to streams, in one direction. All promises together never exceed
 * `streamsMax * SEND_CREDIT + sharedLen`, so a reader that stalls on one stream cannot use up what another one needs:
 * each stream keeps the least credit, and none may take more than a part of what is left of the shared rest. */

import { SEND_CREDIT } from "../ports/mod.ts";

// Chosen here.
/** What a stream begins with while there is plenty. */
export const FIRST_LEN = 64 * 1024;
/** What one stream may have: 1 Gbit/s over 33 ms. */
const STREAM_MAX_LEN = 4 * 1024 * 1024;
/** A stream takes at most this part of what is left. */
const PART = 8;
/** With more than this part left nothing is asked back. */
const PLENTY = 1 / 2;

export class Allowance {
  readonly #sharedLen: number;
  #left: number;

  constructor(sharedLen: number) {
    this.#sharedLen = sharedLen;
    this.#left = sharedLen;
  }

  /** Bytes beyond each stream's least credit that may still be promised. */
  get left(): number {
    return this.#left;
  }

  /** The credit of a new stream. */
  first(): number {
    return this.#raise(SEND_CREDIT, FIRST_LEN);
  }

  /** The credit in place of `credit`: up to twice as much. */
  grown(credit: number): number {
    return this.#raise(credit, Math.min(STREAM_MAX_LEN, 2 * credit));
  }

  /** The credit in place of `credit`, not more than `most` (but the least credit in any case). While there is plenty it
   * stays: a promise costs nothing before it is used, and a program that was late once would lose its window just when
   * it has to catch up. */
  lowered(credit: number, most: number): number {
    if (this.#left > PLENTY * this.#sharedLen) return credit;
    const next = Math.max(SEND_CREDIT, Math.min(credit, most));
    this.#left += credit - next;
    return next;
  }

  /** A stream with this credit is over. */
  end(credit: number): void {
    this.#left += credit - SEND_CREDIT;
  }

  #raise(credit: number, wanted: number): number {
    const more = Math.max(0, Math.min(wanted - credit, Math.floor(this.#left / PART)));
    this.#left -= more;
    return credit + more;
  }
}
