/** A token bucket that chooses by chance: while more want than may, each has the same probability, however early or late
 * it comes, so that a flood cannot fill every place before an honest sender's packet arrives. */

import { SeededRandom } from "../base/random.ts";
import type { Rate } from "./rate_table.ts";

export class FairBucket {
  readonly #rate: Rate;
  readonly #random: SeededRandom;
  #tokens: number;
  #atNs = 0;

  /** `seed`: 32 random bytes. */
  constructor(rate: Rate, seed: Uint8Array) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#random = new SeededRandom(seed);
  }

  /** Whether one more may go on now. The upper half of the burst is for everybody, the lower one for who is of first rank
   * alone; in the lower part of either half the chance is the smaller the less is left. A clock that goes back gives
   * nothing. */
  take(nowNs: number, isFirstRank: boolean): boolean {
    const { perSecond, burst } = this.#rate;
    this.#tokens = Math.min(burst, this.#tokens + Math.max(0, nowNs - this.#atNs) / 1e9 * perSecond);
    this.#atNs = Math.max(this.#atNs, nowNs);
    if (this.#tokens < 1) return false;
    const chance = 4 * (this.#tokens / burst - (isFirstRank ? 0 : 0.5));
    if (chance < 1 && this.#random.unit() >= chance) return false;
    this.#tokens--;
    return true;
  }
}
