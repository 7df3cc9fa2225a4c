/** Where the shim counts how far something was from the slots' planned times, and what can be said of it. */

import { histogramBucketNs, histogramQuantile, type Shim } from "../../ffi/mod.ts";
import { HIST_BUCKETS, RING, STAMPS } from "../ports/mod.ts";

/** Offsets in native memory: buckets of the absolute deviation, and f64 fields. */
export interface DeviationCounts {
  readonly hist: number;
  readonly sumNs: number;
  readonly sum2: number;
  readonly maxNs: number;
  readonly minNs: number;
}

/** Of the send calls of a ring. */
export function callsOf(ring: number): DeviationCounts {
  return {
    hist: ring + RING.hist,
    sumNs: ring + RING.devSumNs,
    sum2: ring + RING.devSum2,
    maxNs: ring + RING.devMaxNs,
    minNs: ring + RING.devMinNs,
  };
}

/** Of the kernel's transmit stamps, all rings together. */
export function transmitsOf(stamps: number): DeviationCounts {
  return {
    hist: stamps + STAMPS.hist,
    sumNs: stamps + STAMPS.sumNs,
    sum2: stamps + STAMPS.sum2,
    maxNs: stamps + STAMPS.maxNs,
    minNs: stamps + STAMPS.minNs,
  };
}

/** All that was counted so far, ns. */
export function deviationOf({ memory: { f64, u32 } }: Shim, counts: DeviationCounts) {
  const hist = u32.slice(counts.hist >> 2, (counts.hist >> 2) + HIST_BUCKETS);
  const sent = hist.reduce((sum, count) => sum + count, 0);
  const at = (off: number) => f64[off >> 3];
  const mean = sent === 0 ? 0 : at(counts.sumNs) / sent;
  // A bucket's end can lie beyond the largest value in it, which is known.
  const largest = Math.max(at(counts.maxNs), -at(counts.minNs));
  const quantile = (q: number) => sent === 0 ? 0 : Math.min(largest, histogramQuantile(hist, q));
  return {
    count: sent,
    p50_ns: quantile(0.5),
    p90_ns: quantile(0.9),
    p99_ns: quantile(0.99),
    p999_ns: quantile(0.999),
    max_ns: at(counts.maxNs),
    min_ns: at(counts.minNs),
    mean_ns: mean,
    sd_ns: sent === 0 ? 0 : Math.sqrt(Math.max(0, at(counts.sum2) / sent - mean * mean)),
    /** [from ns, count] of each bucket of the absolute deviation that holds something. */
    histogram: [...hist].flatMap((count, bucket) => count === 0 ? [] : [[histogramBucketNs(bucket), count]]),
  };
}

/** What was counted up to a moment. */
export interface Counted {
  readonly histogram: Uint32Array;
  readonly sum: number;
  readonly sum2: number;
}

export function countedNow({ memory: { f64, u32 } }: Shim, { hist, sumNs, sum2 }: DeviationCounts): Counted {
  return {
    histogram: u32.slice(hist >> 2, (hist >> 2) + HIST_BUCKETS),
    sum: f64[sumNs >> 3],
    sum2: f64[sum2 >> 3],
  };
}

/** Between two moments: quantiles of the absolute deviation, its largest value to 1/8, and the standard deviation about
 * the mean, all in µs. */
export function deviationSince(before: Counted | undefined, now: Counted) {
  const histogram = now.histogram.map((count, bucket) => count - (before?.histogram[bucket] ?? 0));
  const sent = histogram.reduce((sum, count) => sum + count, 0);
  const us = (ns: number) => Number((ns / 1e3).toPrecision(3));
  const quantile = (q: number) => us(histogramQuantile(histogram, q));
  const mean = (now.sum - (before?.sum ?? 0)) / sent;
  const square = (now.sum2 - (before?.sum2 ?? 0)) / sent;
  return {
    count: sent,
    quantiles: {
      p50_us: quantile(0.5),
      p90_us: quantile(0.9),
      p99_us: quantile(0.99),
      p999_us: quantile(0.999),
      max_us: us(histogramBucketNs(histogram.findLastIndex((count) => count > 0) + 1)),
      sd_us: sent === 0 ? 0 : us(Math.sqrt(Math.max(0, square - mean * mean))),
    },
  };
}
