/** Logistic regression with an L2 penalty, by gradient steps over the whole sample. */

import type { Classifier, Example, Score } from "./classifier.ts";
import { standardizer } from "./classifier.ts";

// Chosen here.
const STEPS = 300;
const RATE = 0.5;
const PENALTY = 0.01;

export const logistic: Classifier = { name: "logistic regression", fit };

function fit(examples: readonly Example[]): Score {
  const standard = standardizer(examples);
  const rows = examples.map((example) => standard(example.features));
  const weights = new Float64Array(rows[0].length + 1); // the last is the constant
  const gradient = new Float64Array(weights.length);
  for (let step = 0; step < STEPS; step++) {
    gradient.fill(0);
    rows.forEach((row, i) => addGradient(gradient, weights, row, examples[i].busy));
    for (let j = 0; j < weights.length; j++) {
      const penalty = j < weights.length - 1 ? PENALTY * weights[j] : 0;
      weights[j] -= RATE * (gradient[j] / rows.length + penalty);
    }
  }
  return (features) => linear(weights, standard(features));
}

function addGradient(gradient: Float64Array, weights: Float64Array, row: Float64Array, busy: boolean): void {
  const miss = 1 / (1 + Math.exp(-linear(weights, row))) - (busy ? 1 : 0);
  for (let j = 0; j < row.length; j++) gradient[j] += miss * row[j];
  gradient[row.length] += miss;
}

function linear(weights: Float64Array, row: Float64Array): number {
  let sum = weights[row.length];
  for (let j = 0; j < row.length; j++) sum += weights[j] * row[j];
  return sum;
}
