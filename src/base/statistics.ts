/** Numbers about numbers: quantiles, spread, distances between two samples. Pure. */

import { assert } from "./mod.ts";

/** Of one sample, in the unit of its values. `sd` divides by n − 1. All NaN but `count` for an empty one. */
export interface Summary {
  readonly count: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly mean: number;
  readonly sd: number;
}

/** An ascending copy. */
export function sorted(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/** The value at `share` (0..1) of an ascending sample, between two neighbours in proportion; NaN for an empty one. */
export function quantile(ascending: ArrayLike<number>, share: number): number {
  assert(share >= 0 && share <= 1, "a share lies between 0 and 1");
  if (ascending.length === 0) return NaN;
  const at = share * (ascending.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, ascending.length - 1);
  return ascending[below] + (at - below) * (ascending[above] - ascending[below]);
}

/** The middle value; NaN for an empty sample. */
export function median(values: ArrayLike<number>): number {
  return quantile(sorted(values), 0.5);
}

/** Mean and standard deviation in one pass that loses no digits to a large mean (Welford). */
export function meanAndSd(values: ArrayLike<number>): { readonly mean: number; readonly sd: number } {
  if (values.length === 0) return { mean: NaN, sd: NaN };
  let mean = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    const difference = values[i] - mean;
    mean += difference / (i + 1);
    squares += difference * (values[i] - mean);
  }
  return { mean, sd: values.length === 1 ? 0 : Math.sqrt(squares / (values.length - 1)) };
}

export function summarize(values: ArrayLike<number>): Summary {
  const ascending = sorted(values);
  return {
    count: ascending.length,
    min: quantile(ascending, 0),
    p50: quantile(ascending, 0.5),
    p90: quantile(ascending, 0.9),
    p99: quantile(ascending, 0.99),
    p999: quantile(ascending, 0.999),
    max: quantile(ascending, 1),
    ...meanAndSd(ascending),
  };
}

/** Largest distance between the two samples' distribution functions, 0..1 (Kolmogorov and Smirnov); NaN when one is
 * empty. */
export function distributionDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length === 0 || b.length === 0) return NaN;
  const left = sorted(a);
  const right = sorted(b);
  let largest = 0;
  for (let i = 0, j = 0; i < left.length && j < right.length;) {
    const value = Math.min(left[i], right[j]);
    while (i < left.length && left[i] === value) i++;
    while (j < right.length && right[j] === value) j++;
    largest = Math.max(largest, Math.abs(i / left.length - j / right.length));
  }
  return largest;
}

/** Points (value, share of the sample up to it) of the distribution function, at most `pointsMax` ≥ 2 of them, the
 * smallest and the largest value included. */
export function distributionPoints(values: ArrayLike<number>, pointsMax: number): [number, number][] {
  assert(pointsMax >= 2, "a distribution is drawn with two points at least");
  const ascending = sorted(values);
  const count = Math.min(pointsMax, ascending.length);
  const points: [number, number][] = [];
  for (let i = 0; i < count; i++) {
    const index = count === 1 ? 0 : Math.round(i * (ascending.length - 1) / (count - 1));
    points.push([ascending[index], (index + 1) / ascending.length]);
  }
  return points;
}

/** Points (middle of the bin, share of all values in it) of a histogram with `bins` equal bins from `from` to `to`;
 * what lies outside is in no bin. */
export function histogramPoints(
  values: ArrayLike<number>,
  from: number,
  to: number,
  bins: number,
): [number, number][] {
  assert(to > from && bins > 0, "a histogram has a width");
  const counts = new Float64Array(bins);
  for (let i = 0; i < values.length; i++) {
    const bin = Math.floor((values[i] - from) / (to - from) * bins);
    if (bin >= 0 && bin < bins) counts[bin]++;
  }
  const width = (to - from) / bins;
  return Array.from(counts, (count, bin) => [from + (bin + 0.5) * width, count / Math.max(1, values.length)]);
}

/** How often each key occurs, in the order of first occurrence. */
export function countBy<T, K>(values: Iterable<T>, keyOf: (value: T) => K): Map<K, number> {
  const counts = new Map<K, number>();
  for (const value of values) {
    const key = keyOf(value);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
