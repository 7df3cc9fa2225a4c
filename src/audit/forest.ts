/** A random forest (Breiman, Machine Learning 45, 2001): trees on bootstrap samples, each split the best of a few
 * features by Gini impurity; the score is the mean share of busy examples in the leaves. */

import type { Classifier, Example, Score } from "./classifier.ts";

// Chosen here.
const TREES = 120;
const DEPTH_MAX = 10;
const LEAF_MIN = 3;

export const forest: Classifier = { name: "random forest", fit };

type Node = { readonly share: number } | {
  readonly feature: number;
  readonly below: number;
  readonly left: Node;
  readonly right: Node;
};

function fit(examples: readonly Example[], random: () => number): Score {
  const trees = Array.from({ length: TREES }, () => {
    const sample = examples.map(() => examples[Math.floor(random() * examples.length)]);
    return grow(sample, 0, random);
  });
  return (features) => trees.reduce((sum, tree) => sum + leafOf(tree, features), 0) / trees.length;
}

function leafOf(node: Node, features: Float64Array): number {
  while ("feature" in node) node = features[node.feature] < node.below ? node.left : node.right;
  return node.share;
}

function grow(examples: readonly Example[], depth: number, random: () => number): Node {
  const busy = examples.filter((example) => example.busy).length;
  const leaf = { share: busy / examples.length };
  if (busy === 0 || busy === examples.length || depth === DEPTH_MAX) return leaf;
  const split = bestSplit(examples, random);
  if (split === undefined) return leaf;
  const left = examples.filter((example) => example.features[split.feature] < split.below);
  const right = examples.filter((example) => example.features[split.feature] >= split.below);
  return { ...split, left: grow(left, depth + 1, random), right: grow(right, depth + 1, random) };
}

interface Split {
  readonly feature: number;
  readonly below: number;
}

/** The best split over √width features drawn at random; undefined when none of them splits. */
function bestSplit(examples: readonly Example[], random: () => number): Split | undefined {
  const width = examples[0].features.length;
  let best: Split | undefined;
  let least = Infinity;
  for (let i = 0; i < Math.ceil(Math.sqrt(width)); i++) {
    const feature = Math.floor(random() * width);
    const found = splitOf(examples, feature);
    if (found !== undefined && found.impurity < least) {
      least = found.impurity;
      best = { feature, below: found.below };
    }
  }
  return best;
}

/** The threshold with the least weighted Gini impurity, with LEAF_MIN examples on each side. */
function splitOf(examples: readonly Example[], feature: number) {
  const ordered = examples.map(({ features, busy }) => ({ value: features[feature], busy }))
    .sort((a, b) => a.value - b.value);
  const total = ordered.filter(({ busy }) => busy).length;
  let below = 0;
  let best: { impurity: number; below: number } | undefined;
  for (let i = 1; i < ordered.length; i++) {
    if (ordered[i - 1].busy) below++;
    const isEdge = ordered[i].value > ordered[i - 1].value;
    if (!isEdge || i < LEAF_MIN || ordered.length - i < LEAF_MIN) continue;
    const impurity = gini(below, i) + gini(total - below, ordered.length - i);
    if (best === undefined || impurity < best.impurity) {
      best = { impurity, below: (ordered[i].value + ordered[i - 1].value) / 2 };
    }
  }
  return best;
}

/** Impurity of `count` examples, `busy` of them busy, times their count. */
function gini(busy: number, count: number): number {
  return 2 * busy * (count - busy) / count;
}
