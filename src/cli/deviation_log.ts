/** How far slots were from their plan, now and then, for the log: `--outgoing-send-deviation-stats`. The pacer counts in
 * native memory all the time; here it is only read. */

import type { Shim } from "../../ffi/mod.ts";
import { histogramBucketNs, histogramQuantile } from "../../ffi/mod.ts";
import { HIST_BUCKETS, RING } from "../ports/mod.ts";
import type { Log } from "../status/log.ts";
import { slotsOf } from "./status_report.ts";
import type { RingView } from "./runtime.ts";

/** What was counted up to a moment. */
interface Counted {
  readonly histogram: Uint32Array;
  readonly slots: ReturnType<typeof slotsOf>;
  readonly sum: number;
  readonly sum2: number;
}

export class DeviationLog {
  readonly #shim: Shim;
  readonly #log: Log;
  readonly #before = new Map<number, Counted>();

  constructor(shim: Shim, log: Log) {
    this.#shim = shim;
    this.#log = log;
  }

  /** One line for each train, of what has come since the last call. `nameOf` names the peer of an index. */
  write(rings: ReadonlyMap<number, RingView>, nameOf: (index: number) => string): void {
    for (const [index, { ring }] of rings) {
      const now = this.#count(ring);
      const before = this.#before.get(ring);
      this.#before.set(ring, now);
      this.#log.info("send deviation", { to: nameOf(index), ...since(before, now) });
    }
  }

  #count(ring: number): Counted {
    const { f64, u32 } = this.#shim.memory;
    const at = (ring + RING.hist) >> 2;
    return {
      histogram: u32.slice(at, at + HIST_BUCKETS),
      slots: slotsOf(this.#shim, ring),
      sum: f64[(ring + RING.devSumNs) >> 3],
      sum2: f64[(ring + RING.devSum2) >> 3],
    };
  }
}

/** Quantiles of the absolute deviation, its largest value to 1/8, and the standard deviation about the mean, all in µs. */
function since(before: Counted | undefined, now: Counted) {
  const histogram = now.histogram.map((count, bucket) => count - (before?.histogram[bucket] ?? 0));
  const sent = histogram.reduce((sum, count) => sum + count, 0);
  const us = (ns: number) => Number((ns / 1e3).toPrecision(3));
  const quantile = (q: number) => us(histogramQuantile(histogram, q));
  const mean = (now.sum - (before?.sum ?? 0)) / sent;
  const square = (now.sum2 - (before?.sum2 ?? 0)) / sent;
  return {
    slots: now.slots.slots - (before?.slots.slots ?? 0),
    p50_us: quantile(0.5),
    p90_us: quantile(0.9),
    p99_us: quantile(0.99),
    p999_us: quantile(0.999),
    max_us: us(histogramBucketNs(histogram.findLastIndex((count) => count > 0) + 1)),
    sd_us: sent === 0 ? 0 : us(Math.sqrt(Math.max(0, square - mean * mean))),
    late: now.slots.late - (before?.slots.late ?? 0),
    skipped: now.slots.skipped - (before?.slots.skipped ?? 0),
  };
}
