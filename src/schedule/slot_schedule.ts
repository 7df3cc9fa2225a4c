/** When slots are: startNs + k × interval + jitter(k). Every time is computed from its own number, never by adding to
 * the one before, so nothing drifts and no error grows; the jitter of slot k depends on seed and k alone, so any part
 * of a schedule can be computed at any time. This folder has seen no user data: see its imports. */

import { assert } from "../base/mod.ts";
import { SeededRandom } from "../base/random.ts";
import type { Jitter, JitterLaw } from "./jitter.ts";
import { JITTER_REACH, jitterShift } from "./jitter.ts";

// Chosen here.
/** Default standard deviation, as a share of the interval. */
const JITTER_DEFAULT_SHARE = 0.12;
const WORDS_PER_SLOT = 2;
/** Rounding of sums that ought to be equal. */
const TOLERANCE = 1e-9;

export interface SlotScheduleOptions {
  /** 32 bytes of entropy. The schedule is as hard to predict as this is to guess. */
  readonly seed: Uint8Array;
  /** Mean distance of slots; exact over any stretch, for the jitter is never summed. */
  readonly intervalNs: number;
  readonly jitter: Jitter;
  /** Time of slot 0 without its jitter. */
  readonly startNs: number;
  /** No two slots are closer, whatever the jitter. */
  readonly minGapNs: number;
}

/** The largest standard deviation with which slots stay `minGapNs` apart: each of two neighbours may move by its
 * law's reach towards the other. With a Gaussian, interval - 8 sd >= gap. */
export function jitterSdMaxNs(law: JitterLaw, intervalNs: number, minGapNs: number): number {
  if (law === "none") return 0;
  return Math.max(0, (intervalNs - minGapNs) / (2 * JITTER_REACH[law]));
}

/** 12 % of the interval, or what the gap allows. The Gaussian's 8 × 12 % leave 4 % of the interval as the smallest
 * gap: 40 µs at 1 ms slots, but 2 µs at 50 µs; with a gap of 10 µs the cut begins below 250 µs of interval, and at
 * 50 µs leaves 10 %. */
export function jitterSdDefaultNs(law: JitterLaw, intervalNs: number, minGapNs: number): number {
  return Math.min(JITTER_DEFAULT_SHARE * intervalNs, jitterSdMaxNs(law, intervalNs, minGapNs));
}

export class SlotSchedule {
  readonly #random: SeededRandom;
  readonly #startNs: number;
  readonly #intervalNs: number;
  readonly #law: JitterLaw;
  readonly #sdNs: number;

  /** Throws RangeError, with the remedy, when slots could come closer than `minGapNs`. */
  constructor(options: SlotScheduleOptions) {
    const { seed, intervalNs, jitter, startNs, minGapNs } = options;
    checkFit(intervalNs, jitter, minGapNs);
    this.#random = new SeededRandom(seed);
    this.#startNs = startNs;
    this.#intervalNs = intervalNs;
    this.#law = jitter.sdNs === 0 ? "none" : jitter.law;
    this.#sdNs = jitter.sdNs;
  }

  /** Time of slot `index` without its jitter. */
  gridNs(index: number): number {
    return this.#startNs + index * this.#intervalNs;
  }

  /** Writes the times of slots startIndex..startIndex+count-1; that of slot k to out[k modulo (mask + 1)]. `mask`
   * is a power of two less one below 2^31. Ascending when it has been filled in order. O(count), no allocation. */
  fillTimes(out: Float64Array, startIndex: number, mask: number, count: number): void {
    assert(mask < out.length && count <= mask + 1, "slot times fit their ring");
    const size = mask + 1;
    let at = startIndex % size;
    if (this.#law !== "none") this.#random.seek(startIndex * WORDS_PER_SLOT);
    for (let k = startIndex; k < startIndex + count; k++) {
      const shift = this.#law === "none" ? 0 : jitterShift(this.#law, this.#random.unit());
      out[at] = this.#startNs + k * this.#intervalNs + shift * this.#sdNs;
      at = at + 1 === size ? 0 : at + 1;
    }
  }
}

function checkFit(intervalNs: number, jitter: Jitter, minGapNs: number): void {
  if (!(intervalNs > 0 && Number.isFinite(intervalNs))) {
    throw new RangeError(`Cannot use an interval of ${intervalNs} ns: use one above 0`);
  }
  if (!(jitter.sdNs >= 0 && Number.isFinite(jitter.sdNs))) {
    throw new RangeError(`Cannot use a jitter of ${jitter.sdNs} ns: use 0 or more`);
  }
  if (!(minGapNs >= 0)) throw new RangeError(`Cannot keep slots ${minGapNs} ns apart: use 0 or more`);
  if (minGapNs > intervalNs) {
    throw new RangeError(
      `Cannot send a slot every ${intervalNs / 1e3} us: this machine needs ${minGapNs / 1e3} us for one; ` +
        `use a longer interval (a lower speed), or more records a slot (burst)`,
    );
  }
  const neededNs = 2 * JITTER_REACH[jitter.law] * jitter.sdNs + minGapNs;
  if (neededNs > intervalNs * (1 + TOLERANCE)) {
    const mostNs = jitterSdMaxNs(jitter.law, intervalNs, minGapNs);
    const share = Math.floor(1000 * mostNs / intervalNs) / 10;
    throw new RangeError(
      `Cannot use a jitter of ${jitter.sdNs / 1e3} us at an interval of ${
        intervalNs / 1e3
      } us: slots could come ` +
        `closer than ${minGapNs / 1e3} us; use a jitter of at most ${share}%, or a longer interval`,
    );
  }
}
