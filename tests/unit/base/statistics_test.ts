import assert from "node:assert/strict";
import fc from "fast-check";
import {
  countBy,
  distributionDistance,
  distributionPoints,
  histogramPoints,
  meanAndSd,
  median,
  quantile,
  sorted,
  summarize,
} from "../../../src/base/statistics.ts";

const sample = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 60 });
const near = (a: number, b: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${a} is not ${b}`);

Deno.test("sorted() copies in ascending order of number, not of text", () => {
  const values = [10, 9, -1, 100];
  assert.deepEqual([...sorted(values)], [-1, 9, 10, 100]);
  assert.deepEqual(values, [10, 9, -1, 100]);
});

Deno.test("quantile() lies between neighbours in proportion", () => {
  assert.equal(quantile([1, 2, 3, 4, 5], 0.5), 3);
  assert.equal(quantile([1, 2], 0.25), 1.25);
  assert.equal(quantile([7], 0.99), 7);
  assert.equal(quantile([1, 9], 1), 9);
  assert.ok(Number.isNaN(quantile([], 0.5)));
  assert.throws(() => quantile([1], 1.1), /share/);
});

Deno.test("median() equals the middle of the sorted sample", () => {
  fc.assert(fc.property(sample, (values) => {
    const all = values.toSorted((a, b) => a - b);
    const middle = all.length / 2;
    const naive = all.length % 2 === 1 ? all[Math.floor(middle)] : (all[middle - 1] + all[middle]) / 2;
    near(median(values), naive);
  }));
});

Deno.test("meanAndSd() equals the two-pass formulas", () => {
  fc.assert(fc.property(sample, (values) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const { mean: gotMean, sd } = meanAndSd(values);
    near(gotMean, mean, 1e-9);
    near(sd, values.length === 1 ? 0 : Math.sqrt(squares / (values.length - 1)), 1e-9);
  }));
});

Deno.test("meanAndSd() keeps the digits of small spread around a large mean", () => {
  near(meanAndSd([1e15, 1e15 + 1, 1e15 + 2]).sd, 1);
});

Deno.test("summarize() orders its quantiles and finds the extremes", () => {
  fc.assert(fc.property(sample, (values) => {
    const { count, min, p50, p90, p99, p999, max } = summarize(values);
    assert.equal(count, values.length);
    assert.equal(min, Math.min(...values));
    assert.equal(max, Math.max(...values));
    const order = [min, p50, p90, p99, p999, max];
    for (let i = 1; i < order.length; i++) assert.ok(order[i - 1] <= order[i] + 1e-9);
  }));
});

Deno.test("distributionDistance() equals the largest difference at any value", () => {
  fc.assert(fc.property(sample, sample, (a, b) => {
    const upTo = (values: number[], limit: number) =>
      values.filter((value) => value <= limit).length / values.length;
    const naive = Math.max(...[...a, ...b].map((value) => Math.abs(upTo(a, value) - upTo(b, value))));
    near(distributionDistance(a, b), naive);
  }));
});

Deno.test("distributionDistance() is 0 for equal, 1 for disjoint, NaN without a sample", () => {
  assert.equal(distributionDistance([3, 1, 2], [1, 2, 3]), 0);
  assert.equal(distributionDistance([1, 2], [3, 4]), 1);
  assert.ok(Number.isNaN(distributionDistance([], [1])));
});

Deno.test("distributionPoints() begins at the smallest value and ends at the largest with everything", () => {
  fc.assert(fc.property(sample, fc.integer({ min: 2, max: 20 }), (values, pointsMax) => {
    const points = distributionPoints(values, pointsMax);
    assert.ok(points.length <= pointsMax);
    assert.equal(points[0][0], Math.min(...values));
    if (values.length > 1) assert.deepEqual(points.at(-1), [Math.max(...values), 1]);
    for (let i = 1; i < points.length; i++) {
      assert.ok(points[i - 1][0] <= points[i][0] && points[i - 1][1] < points[i][1]);
    }
  }));
});

Deno.test("histogramPoints() shares out what lies inside and leaves out what lies outside", () => {
  assert.deepEqual(histogramPoints([0, 0.5, 1, 1.5, 2, -1], 0, 2, 2), [[0.5, 2 / 6], [1.5, 2 / 6]]);
  assert.deepEqual(histogramPoints([], 0, 1, 1), [[0.5, 0]]);
});

Deno.test("countBy() counts each key in the order of first occurrence", () => {
  assert.deepEqual([...countBy(["b", "a", "b"], (value) => value)], [["b", 2], ["a", 1]]);
});
