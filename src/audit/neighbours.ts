/** k nearest neighbours in standardized features. */

import type { Classifier, Example, Score } from "./classifier.ts";
import { standardizer } from "./classifier.ts";

export const neighbours: Classifier = { name: "nearest neighbours", fit };

/** k = √n, the usual choice without tuning. The score is the share of busy ones among them. */
function fit(examples: readonly Example[]): Score {
  const standard = standardizer(examples);
  const rows = examples.map((example) => standard(example.features));
  const k = Math.max(1, Math.round(Math.sqrt(examples.length)));
  return (features) => {
    const at = standard(features);
    const near = rows.map((row, i) => ({ distance: distance(row, at), busy: examples[i].busy }))
      .sort((a, b) => a.distance - b.distance).slice(0, k);
    return near.filter(({ busy }) => busy).length / k;
  };
}

function distance(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}
