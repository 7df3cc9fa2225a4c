/** What an observer can compute from the times of one session's packets and nothing else: no plan, no contents.
 * Times are in ns on the observer's clock, ascending. */

import { meanAndSd, quantile, sorted } from "../base/statistics.ts";

const SHARES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];
/** Fewer packets have no shape. */
export const PACKETS_MIN = 16;

/** Names of the features, in their order. */
export const FEATURE_NAMES: readonly string[] = [
  ...namesOf("interval"),
  "interval lag 1",
  "interval lag 2",
  ...namesOf("residual"),
  "residual lag 1",
  "residual slope",
];

function namesOf(what: string): string[] {
  return [
    `${what} mean`,
    `${what} sd`,
    `${what} skew`,
    `${what} kurtosis`,
    `${what} min`,
    `${what} max`,
    ...SHARES.map((share) => `${what} p${share * 100}`),
  ];
}

/** Features of intervals, and of residuals to the grid fitted to the session (straight line through times over slot
 * numbers; a number is the nearest multiple of the interval, so missing packets leave their place empty). `timesNs` are
 * those of the first packets of slots; with `gaps` within bursts there are as many features more as describe those. */
export function featuresOf(
  timesNs: Float64Array,
  intervalNs: number,
  gaps: Float64Array = new Float64Array(0),
): Float64Array {
  const intervals = new Float64Array(timesNs.length - 1);
  for (let i = 1; i < timesNs.length; i++) intervals[i - 1] = timesNs[i] - timesNs[i - 1];
  const { residuals, slope } = fittedGrid(timesNs, intervalNs);
  return Float64Array.from([
    ...shape(intervals),
    correlation(intervals, 1),
    correlation(intervals, 2),
    ...shape(residuals),
    correlation(residuals, 1),
    slope / intervalNs - 1,
    ...(gaps.length === 0 ? [] : shape(gaps)),
  ]);
}

function shape(values: Float64Array): number[] {
  const ascending = sorted(values);
  const { mean, sd } = meanAndSd(values);
  const moment = (power: number) =>
    sd === 0 ? 0 : values.reduce((sum, value) => sum + ((value - mean) / sd) ** power, 0) / values.length;
  return [
    mean,
    sd,
    moment(3),
    moment(4),
    ascending[0],
    ascending[ascending.length - 1],
    ...SHARES.map((share) => quantile(ascending, share)),
  ];
}

/** Correlation of neighbours `lag` apart; 0 when nothing varies. */
function correlation(values: Float64Array, lag: number): number {
  const { mean } = meanAndSd(values);
  let both = 0;
  let all = 0;
  for (let i = 0; i < values.length; i++) {
    const here = values[i] - mean;
    all += here * here;
    if (i >= lag) both += here * (values[i - lag] - mean);
  }
  return all === 0 ? 0 : both / all;
}

/** Least squares of time over slot number. */
export function fittedGrid(timesNs: Float64Array, intervalNs: number) {
  const numbers = timesNs.map((time) => Math.round((time - timesNs[0]) / intervalNs));
  const middle = meanAndSd(numbers).mean;
  const first = meanAndSd(timesNs.map((time) => time - timesNs[0])).mean;
  let both = 0;
  let all = 0;
  for (let i = 0; i < timesNs.length; i++) {
    both += (numbers[i] - middle) * (timesNs[i] - timesNs[0] - first);
    all += (numbers[i] - middle) ** 2;
  }
  const slope = all === 0 ? intervalNs : both / all;
  const residuals = timesNs.map((time, i) => time - timesNs[0] - first - slope * (numbers[i] - middle));
  return { residuals, slope };
}
