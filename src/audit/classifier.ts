/** What tells idle from busy sessions by their features. Classifiers are deterministic: what is random in them comes
 * from the generator that they are given. */

import { meanAndSd } from "../base/statistics.ts";

/** One session: its features, and whether it was busy. */
export interface Example {
  readonly features: Float64Array;
  readonly busy: boolean;
}

/** Higher scores mean busy. */
export type Score = (features: Float64Array) => number;

export interface Classifier {
  readonly name: string;
  /** `random` gives numbers of [0, 1). */
  fit(examples: readonly Example[], random: () => number): Score;
}

/** Features brought to mean 0 and standard deviation 1 over the training examples; constant ones become 0. */
export function standardizer(examples: readonly Example[]): (features: Float64Array) => Float64Array {
  const width = examples[0].features.length;
  const columns = Array.from({ length: width }, (_, i) => meanAndSd(examples.map((e) => e.features[i])));
  return (features) =>
    features.map((value, i) => columns[i].sd > 0 ? (value - columns[i].mean) / columns[i].sd : 0);
}
