/** Scores of sessions by classifiers that have not seen them. */

import type { Auc } from "./auc.ts";
import { aucOf } from "./auc.ts";
import type { Classifier, Example } from "./classifier.ts";

const FOLDS = 5;

export interface Validated extends Auc {
  readonly classifier: string;
  /** One score per session, in order. */
  readonly idle: readonly number[];
  readonly busy: readonly number[];
}

/** Cross-validation in 5 parts, split by session: each session is scored by a classifier trained on the other parts.
 * Parts are drawn at random within each class, so all have both; scores of one part are brought to ranks within the
 * part, since two trainings need not share a scale. */
export function validate(
  classifier: Classifier,
  examples: readonly Example[],
  random: () => number,
): Validated {
  const parts = partsOf(examples, random);
  const idle: number[] = [];
  const busy: number[] = [];
  for (let part = 0; part < FOLDS; part++) {
    const train = examples.filter((_, i) => parts[i] !== part);
    const test = examples.filter((_, i) => parts[i] === part);
    const score = classifier.fit(train, random);
    const scores = ranks(test.map(({ features }) => score(features)));
    test.forEach((example, i) => (example.busy ? busy : idle).push(scores[i]));
  }
  return { classifier: classifier.name, idle, busy, ...aucOf(idle, busy) };
}

/** The fewest sessions of a class with which every part has some to train and to test on, and bounds by a normal
 * distribution mean something. */
export const SESSIONS_MIN = 6 * FOLDS;

/** Part of each example, as even as can be within each class. */
function partsOf(examples: readonly Example[], random: () => number): number[] {
  const parts = new Array<number>(examples.length);
  for (const busy of [false, true]) {
    const members = examples.flatMap((example, i) => example.busy === busy ? [i] : []);
    shuffle(members, random);
    members.forEach((index, i) => parts[index] = i % FOLDS);
  }
  return parts;
}

/** In place, each order equally likely. */
export function shuffle<T>(values: T[], random: () => number): void {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [values[i], values[j]] = [values[j], values[i]];
  }
}

/** Place of each value among all, 0..1, equal ones sharing the middle of theirs. */
function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const out = new Array<number>(values.length);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && values[order[to]] === values[order[from]]) to++;
    for (let i = from; i < to; i++) out[order[i]] = (from + to - 1) / 2 / Math.max(1, order.length - 1);
    from = to;
  }
  return out;
}
