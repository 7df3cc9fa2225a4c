import assert from "node:assert/strict";
import { aucOf, rocPoints } from "../../../src/audit/auc.ts";
import { blackBox, nullTest } from "../../../src/audit/black_box.ts";
import { blockOrder } from "../../../src/audit/blocks.ts";
import type { Example } from "../../../src/audit/classifier.ts";
import { meanDifference } from "../../../src/audit/difference.ts";
import { FEATURE_NAMES, featuresOf, fittedGrid } from "../../../src/audit/features.ts";
import { forest } from "../../../src/audit/forest.ts";
import { exitCodeOf, gate, verdictOf } from "../../../src/audit/gate.ts";
import { logistic } from "../../../src/audit/logistic.ts";
import { neighbours } from "../../../src/audit/neighbours.ts";
import { leastSquares, rateGates } from "../../../src/audit/rate.ts";
import { type JitterDensity, timeToTell } from "../../../src/audit/time_to_tell.ts";
import { validate } from "../../../src/audit/validation.ts";
import { type AuditSession, skewPpm } from "../../../src/audit/session.ts";
import { whiteBox } from "../../../src/audit/white_box.ts";
import { INTERVAL_NS, seeded, syntheticSessions } from "./fixture.ts";

Deno.test("aucOf() gives the share of pairs in order, ties by half", () => {
  assert.equal(aucOf([1, 2, 3], [4, 5]).auc, 1);
  assert.equal(aucOf([4, 5], [1, 2, 3]).auc, 0);
  assert.equal(aucOf([1, 1], [1, 1]).auc, 0.5);
  // By hand: of 6 pairs (1,2) (1,3) (3,3)=½ (5,2)no (5,3)no (3,2)no → 2.5 of 6.
  assert.ok(Math.abs(aucOf([1, 3, 5], [2, 3]).auc - 2.5 / 6) < 1e-12);
});

Deno.test("aucOf() bounds a chance result by what so many sessions can show", () => {
  const random = seeded(1);
  const draw = () => Array.from({ length: 400 }, random);
  const { auc, upper, lower } = aucOf(draw(), draw());
  // SE of two samples of 400: √(1/12 · 2/400) = 0.0204; one-sided 95 % is 1.645 of that.
  assert.ok(Math.abs(upper - auc - 0.0336) < 0.002, `${upper - auc}`);
  assert.ok(Math.abs(auc - lower - 0.0631) < 0.004); // 3.09 of it, so that many gates do not fail by chance
  assert.ok(aucOf([1, 2], [3, 4]).lower < 0.3, "two sessions of each show nothing");
});

Deno.test("rocPoints() begins at no alarm and ends at all", () => {
  const points = rocPoints([0, 1, 1], [1, 2]);
  assert.deepEqual(points, [[0, 0], [0, 0.5], [2 / 3, 1], [1, 1]]);
});

Deno.test("each classifier tells classes apart that differ in one feature of many, and not those that do not", () => {
  for (const classifier of [logistic, neighbours, forest]) {
    const random = seeded(2);
    const make = (shift: number): Example[] =>
      Array.from({ length: 240 }, (_, i) => {
        const features = Float64Array.from({ length: 12 }, random);
        features[7] += i % 2 === 0 ? 0 : shift;
        return { features, busy: i % 2 !== 0 };
      });
    const differing = validate(classifier, make(0.8), random);
    assert.ok(differing.lower > 0.75, `${classifier.name}: ${differing.auc}`);
    const equal = validate(classifier, make(0), random);
    assert.ok(equal.lower < 0.5, `${classifier.name}: ${equal.auc}`);
  }
});

Deno.test("the forest finds what no single threshold shows: an exclusive or of two features", () => {
  const random = seeded(3);
  const examples = Array.from({ length: 300 }, () => {
    const features = Float64Array.from({ length: 4 }, random);
    return { features, busy: features[0] > 0.5 !== features[2] > 0.5 };
  });
  assert.ok(validate(forest, examples, random).auc > 0.9);
});

Deno.test("fittedGrid() finds slope and residuals, and leaves the place of missing packets empty", () => {
  const times = Float64Array.of(0, 1, 2, 5, 6).map((slot) => 1e9 + slot * 1_000_010);
  const { residuals, slope } = fittedGrid(times, INTERVAL_NS);
  assert.ok(Math.abs(slope - 1_000_010) < 1e-3);
  assert.ok(residuals.every((residual) => Math.abs(residual) < 1e-3));
});

Deno.test("featuresOf() has one number for each name, all finite, also for times without any spread", () => {
  const exact = Float64Array.from({ length: 50 }, (_, i) => i * INTERVAL_NS);
  for (const times of [exact, exact.map((time) => time + Math.sin(time) * 100)]) {
    const features = featuresOf(times, INTERVAL_NS);
    assert.equal(features.length, FEATURE_NAMES.length);
    assert.ok(features.every(Number.isFinite), `${features}`);
  }
});

Deno.test("meanDifference() gives Welch's standard error", () => {
  const { value, error } = meanDifference([0, 2], [10, 14]);
  assert.equal(value, 11);
  assert.ok(Math.abs(error - Math.sqrt(2 / 2 + 8 / 2)) < 1e-12);
});

Deno.test("verdictOf() and exitCodeOf() never call too little a pass", () => {
  assert.equal(verdictOf({ lower: 0, upper: 0.9 }, 1), "holds");
  assert.equal(verdictOf({ lower: 0.5, upper: 1.5 }, 1), "not shown");
  assert.equal(verdictOf({ lower: 1.1, upper: 1.5 }, 1), "fails");
  assert.equal(verdictOf({ lower: NaN, upper: NaN }, 1), "not shown");
  const one = (verdict: "holds" | "fails" | "not shown") => gate("G1", "x", { verdict });
  assert.equal(exitCodeOf([one("holds")]), 0);
  assert.equal(exitCodeOf([one("holds"), one("not shown")]), 2);
  assert.equal(exitCodeOf([one("fails"), one("not shown")]), 1);
});

const failing = (gates: readonly { verdict: string; name: string }[]) =>
  gates.filter(({ verdict }) => verdict === "fails").map(({ name }) => name);

Deno.test("whiteBox() finds nothing in equal sessions, and each planted difference by the gate that is for it", () => {
  const run = (busy: Partial<Parameters<typeof syntheticSessions>[1]>) => {
    const random = seeded(4);
    const idle = syntheticSessions(150, { load: "idle" }, random);
    return whiteBox(idle, syntheticSessions(150, { load: "bulk up", ...busy }, random), random);
  };
  assert.deepEqual(failing(run({})), []);
  assert.ok(run({}).filter(({ verdict }) => verdict === "holds").length >= 4);
  assert.match(failing(run({ shiftNs: 2000 })).join(), /decile/);
  assert.match(failing(run({ dataShiftNs: 600 })).join(), /with data against/);
  assert.match(failing(run({ skipRatio: 0.004 })).join(), /later than 1000/);
  assert.match(failing(run({ skewPpm: 3 })).join(), /skew/);
});

Deno.test("whiteBox() finds 0.1 µs at the call of slots with data by 12 sessions, whatever the link's noise", () => {
  const random = seeded(6);
  const idle = syntheticSessions(12, { load: "idle" }, random);
  const found = (callShiftNs: number) =>
    failing(whiteBox(idle, syntheticSessions(12, { load: "bulk up", callShiftNs }, random), random));
  assert.deepEqual(found(0), []);
  assert.match(found(100).join(), /at the call, slots with data/);
});

Deno.test("whiteBox() looks into bursts: gaps that are wider with data, bursts that take longer", () => {
  const random = seeded(9);
  const idle = syntheticSessions(25, { load: "idle", burst: 8 }, random);
  const run = (gapShiftNs: number) =>
    whiteBox(idle, syntheticSessions(25, { load: "bulk up", burst: 8, gapShiftNs }, random), random);
  assert.deepEqual(failing(run(0)), []);
  assert.equal(run(0).filter(({ name, verdict }) => /bursts/.test(name) && verdict === "holds").length, 2);
  assert.match(failing(run(100)).join(), /how long bursts take/);
  assert.match(failing(run(3000)).join(), /gaps within bursts/);
});

/** 32 sessions of each class in random order; residuals climb by `ppm` while there is load and by `driftPpm` always. */
function runOf(ppm: number, driftPpm: number, seed: number): AuditSession[] {
  const random = seeded(seed);
  let climbedNs = 0;
  return blockOrder(64, ["bulk up"], random).map((load, index) => {
    const [session] = syntheticSessions(1, { load, packets: 500 }, random);
    const rise = 500 * INTERVAL_NS * 1e-6 * (driftPpm + (load === "idle" ? 0 : ppm));
    climbedNs += rise;
    const at = climbedNs - rise / 2 + 100 * Math.sin(index / 9);
    const [fromNs, toNs] = [index * 500 * INTERVAL_NS, (index + 1) * 500 * INTERVAL_NS];
    return {
      ...session,
      fromNs,
      toNs,
      medianNs: session.medianNs + at,
      callMedianNs: session.callMedianNs + at,
    };
  });
}

Deno.test("rateGates() finds a clock that is slow by 0.5 ppm under load within 32 s, and no common drift", () => {
  const found = (ppm: number, driftPpm: number, seed: number) =>
    failing(rateGates(runOf(ppm, driftPpm, seed), seeded(seed)));
  for (let seed = 1; seed <= 20; seed++) assert.deepEqual(found(0, 3, seed), [], `seed ${seed}`);
  assert.equal(found(0.5, 0, 7).length, 2);
  assert.equal(found(-0.5, 3, 8).length, 2);
});

Deno.test("leastSquares() gives both slopes and what is left", () => {
  const x = [0, 1, 2, 3, 4, 5], z = [1, 0, 2, 2, 0, 1];
  const { slopes, residuals } = leastSquares(x.map((value, i) => 7 + 2 * value - 3 * z[i]), x, z);
  assert.ok(Math.abs(slopes[0] - 2) < 1e-9 && Math.abs(slopes[1] + 3) < 1e-9);
  assert.ok(residuals.every((value) => Math.abs(value) < 1e-9));
});

Deno.test("whiteBox() shows nothing with few sessions", () => {
  const random = seeded(5);
  const few = (load: "idle" | "bulk up") => syntheticSessions(5, { load }, random);
  assert.ok(whiteBox(few("idle"), few("bulk up"), random).every(({ verdict }) => verdict === "not shown"));
});

Deno.test("skewPpm() is not moved by a late packet", () => {
  const times = Float64Array.from({ length: 300 }, (_, i) => i * INTERVAL_NS);
  const residuals = times.map((time) => time * 5e-6);
  residuals[299] += 1e6;
  assert.ok(Math.abs(skewPpm(times, residuals) - 5) < 0.1);
  assert.equal(skewPpm(times.subarray(0, 2), residuals.subarray(0, 2)), 0);
});

Deno.test("blackBox() tells shifted spreads apart, and idle from idle it does not", () => {
  const random = seeded(7);
  const idle = syntheticSessions(120, { load: "idle" }, random);
  const wide = syntheticSessions(120, { load: "bulk up", noiseSdNs: 2600 }, random);
  assert.equal(failing(blackBox(idle, wide, random).gates).length, 3);
  assert.deepEqual(failing(nullTest(idle, random).gates), []);
});

Deno.test("blackBox() with few sessions is not shown", () => {
  const random = seeded(8);
  const few = (load: "idle" | "bulk up") => syntheticSessions(4, { load }, random);
  const { gates } = blackBox(few("idle"), few("bulk up"), random);
  assert.deepEqual(gates.map(({ verdict }) => verdict), ["not shown"]);
});

const gaussian = (sdNs: number): JitterDensity => ({
  sdNs,
  reachNs: 6 * sdNs,
  density: (x) => Math.exp(-0.5 * (x / sdNs) ** 2),
});

Deno.test("timeToTell() of a shifted mean under Gaussian jitter is 36.8 (sd ÷ shift)² packets", () => {
  const sdNs = 10_000;
  for (const shiftNs of [4000, 1000]) {
    const idle = [new Float64Array(500)];
    const busy = [new Float64Array(500).fill(shiftNs)];
    const options = { jitter: gaussian(sdNs), resolutionNs: 100, clipNs: 20_000 };
    const { packets } = timeToTell(idle, busy, options, seeded(9));
    const expected = 36.8414 * (sdNs / shiftNs) ** 2;
    assert.ok(Math.abs(packets / expected - 1) < 0.02, `${packets} for ${expected}`);
  }
});

Deno.test("timeToTell() of equal sessions is far beyond that of different ones, and its interval says so", () => {
  const random = seeded(10);
  const residuals = (options: Parameters<typeof syntheticSessions>[1]) =>
    syntheticSessions(60, options, random).map(({ residualsNs }) => residualsNs);
  const options = { jitter: undefined, resolutionNs: 500, clipNs: 50_000 };
  const idle = residuals({ load: "idle" });
  const different = timeToTell(idle, residuals({ load: "bulk up", shiftNs: 2000 }), options, random);
  const equal = timeToTell(idle, residuals({ load: "bulk up" }), options, random);
  assert.ok(different.packets > 20 && different.packets < 60, `${different.packets}`); // 36.8 for Gaussians
  assert.ok(different.packetsLow <= different.packets && different.packets <= different.packetsHigh);
  assert.equal(equal.packetsHigh, Infinity);
});
