/** Differences between classes of sessions, with their bounds. */

import { meanAndSd } from "../base/statistics.ts";
import { Z_95, Z_999 } from "./auc.ts";
import { type Gate, gate, verdictOf } from "./gate.ts";

export interface Difference {
  readonly value: number;
  readonly error: number;
}

export interface Bounded {
  readonly value: number;
  /** One-sided bounds: 99.9 % and 95 %. */
  readonly lower: number;
  readonly upper: number;
}

/** Difference of means b − a with Welch's standard error. */
export function meanDifference(a: readonly number[], b: readonly number[]): Difference {
  const [of, against] = [meanAndSd(b), meanAndSd(a)];
  const error = Math.sqrt(of.sd ** 2 / b.length + against.sd ** 2 / a.length);
  return { value: of.mean - against.mean, error };
}

/** Of the size of a difference. */
export function absolute({ value, error }: Difference): Bounded {
  const size = Math.abs(value);
  return { value: size, lower: Math.max(0, size - Z_999 * error), upper: size + Z_95 * error };
}

/** Within sessions: the median of slots with user data less that of those without, ns; NaN where a session had not both.
 * Holds when the mean is shown to be at most `boundNs`; not shown by fewer than `sessionsMin` that had both. */
export function dataAgainstChaffGate(
  name: string,
  differencesNs: readonly number[],
  boundNs: number,
  sessionsMin: number,
): Gate {
  const differences = differencesNs.filter(Number.isFinite);
  const { mean, sd } = meanAndSd(differences);
  const found = absolute({ value: mean, error: sd / Math.sqrt(differences.length) });
  return gate("G1", name, {
    ...found,
    bound: boundNs,
    unit: "ns",
    verdict: differences.length >= sessionsMin ? verdictOf(found, boundNs) : "not shown",
    detail: `${differences.length} sessions had both`,
  });
}
