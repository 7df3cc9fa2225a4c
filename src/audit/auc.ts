/** How well scores tell two classes apart: the area under the ROC curve, with a bound. */

import { sorted } from "../base/statistics.ts";

/** Quantiles of the standard normal distribution for one-sided bounds: a gate holds when the upper bound at 95 % does; it
 * fails when the lower one at 99.9 % does not, since a hundred gates are judged at once and chance alone must not make
 * one of them fail. */
export const Z_95 = 1.6448536269514722;
export const Z_999 = 3.090232306167813;

export interface Auc {
  /** P(score of a busy session > score of an idle one) + half of P(equal): 0.5 is chance. */
  readonly auc: number;
  /** One-sided bounds: 99.9 % and 95 %. */
  readonly lower: number;
  readonly upper: number;
}

/** AUC by the Mann–Whitney statistic, its standard error by DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988):
 * S² = var(V_busy)/n_busy + var(V_idle)/n_idle, where V is each score's share of the other class that it beats.
 * Scores are one per session, so packets that depend on one another do not count twice. NaN when a class is empty. */
export function aucOf(idle: ArrayLike<number>, busy: ArrayLike<number>): Auc {
  const idleSorted = sorted(idle);
  const busySorted = sorted(busy);
  const ofBusy = Array.from(busy, (score) => shareBelow(idleSorted, score));
  const ofIdle = Array.from(idle, (score) => 1 - shareBelow(busySorted, score));
  const auc = mean(ofBusy);
  const error = Math.sqrt(variance(ofBusy) / ofBusy.length + variance(ofIdle) / ofIdle.length);
  // Scores that separate all or tie all have no spread; the rule of three bounds what so many sessions can show.
  const least = 3 / Math.min(ofBusy.length, ofIdle.length) / 2;
  const reach = (z: number) => Math.max(z * error, auc === 0 || auc === 1 ? least : 0);
  return { auc, lower: Math.max(0, auc - reach(Z_999)), upper: Math.min(1, auc + reach(Z_95)) };
}

/** Points (false alarms, hits) of the ROC curve from (0, 0) to (1, 1), one per distinct score. */
export function rocPoints(idle: ArrayLike<number>, busy: ArrayLike<number>): [number, number][] {
  const thresholds = [...new Set([...Array.from(idle), ...Array.from(busy)])].sort((a, b) => b - a);
  const share = (values: ArrayLike<number>, from: number) =>
    Array.from(values).filter((value) => value >= from).length / values.length;
  return [[0, 0], ...thresholds.map((at): [number, number] => [share(idle, at), share(busy, at)])];
}

/** Share of an ascending sample below `value`, ties by half. */
function shareBelow(ascending: Float64Array, value: number): number {
  return (lowerBound(ascending, value, false) + lowerBound(ascending, value, true)) / 2 / ascending.length;
}

/** How many are < value, or <= value. */
function lowerBound(ascending: Float64Array, value: number, orEqual: boolean): number {
  let from = 0;
  let to = ascending.length;
  while (from < to) {
    const middle = from + to >> 1;
    if (ascending[middle] < value || (orEqual && ascending[middle] === value)) from = middle + 1;
    else to = middle;
  }
  return from;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function variance(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const middle = mean(values);
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1);
}
