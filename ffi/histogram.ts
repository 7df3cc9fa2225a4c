/** The histogram of deviations in a RING: `i405_hist_bucket` of c/i405.h and its inverse. */

import { HIST_BUCKETS } from "../src/ports/mod.ts";

const LAST_BUCKET = HIST_BUCKETS - 1;

/** Buckets 0..7 are 0..7 ns; from there 8 an octave. The last also counts all beyond it. */
export function histogramBucket(deviationNs: number): number {
  const ns = Math.trunc(Math.abs(deviationNs));
  if (ns < 8) return ns;
  const octave = Math.floor(Math.log2(ns));
  // log2 may round up just below a power of two.
  const exact = 2 ** octave > ns ? octave - 1 : octave;
  return Math.min(8 * (exact - 3) + Math.floor(ns / 2 ** (exact - 3)), LAST_BUCKET);
}

/** The smallest deviation that falls into `bucket`, in ns. */
export function histogramBucketNs(bucket: number): number {
  if (bucket < 8) return bucket;
  const octave = Math.floor((bucket - 8) / 8) + 3;
  return 2 ** (octave - 3) * (8 + (bucket % 8));
}

/** The deviation (absolute, ns) that a share `q` (0..1) of the slots did not exceed, to 1/8: the upper end of its
 * bucket. 0 for an empty histogram. */
export function histogramQuantile(counts: ArrayLike<number>, q: number): number {
  let total = 0;
  for (let bucket = 0; bucket < counts.length; bucket++) total += counts[bucket];
  const wanted = Math.max(1, Math.ceil(total * q));
  let sum = 0;
  for (let bucket = 0; bucket < counts.length && total > 0; bucket++) {
    sum += counts[bucket];
    if (sum >= wanted) return histogramBucketNs(bucket + 1) - 1;
  }
  return 0;
}
