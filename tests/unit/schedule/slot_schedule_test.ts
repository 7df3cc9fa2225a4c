import { deepEqual, equal, notDeepEqual, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { seedOf } from "../../../src/base/random.ts";
import type { JitterLaw, SlotScheduleOptions } from "../../../src/schedule/mod.ts";
import {
  classicSdRatio,
  JITTER_REACH,
  jitterSdDefaultNs,
  jitterSdMaxNs,
  SlotSchedule,
} from "../../../src/schedule/mod.ts";
import { jitterShift } from "../../../src/schedule/jitter.ts";

const COUNT = 2 ** 15;
const LAWS: readonly JitterLaw[] = ["gaussian", "cosine", "classic", "none"];

function options(changes: Partial<SlotScheduleOptions> = {}): SlotScheduleOptions {
  return {
    seed: seedOf(1),
    intervalNs: 1e6,
    jitter: { law: "gaussian", sdNs: 120e3 },
    startNs: 5e9,
    minGapNs: 10e3,
    ...changes,
  };
}

function times(changes: Partial<SlotScheduleOptions> = {}, count = COUNT, startIndex = 0): Float64Array {
  const out = new Float64Array(2 ** Math.ceil(Math.log2(count))).fill(0xa5);
  new SlotSchedule(options(changes)).fillTimes(out, startIndex, out.length - 1, count);
  return out;
}

/** Distribution function of each law in standard deviations, by adding up its density: slow and plain. */
function distribution(law: JitterLaw, x: number): number {
  const reach = JITTER_REACH[law];
  if (law === "classic") return classicArea(x / reach) / classicArea(1);
  const density = (z: number) =>
    law === "gaussian" ? Math.exp(-z * z / 2) : 1 + Math.cos(Math.PI * z / reach);
  const area = (to: number) => {
    const steps = 2000;
    let sum = 0;
    for (let i = 0; i < steps; i++) sum += density(-reach + (i + 0.5) * (to + reach) / steps);
    return sum * (to + reach) / steps;
  };
  return area(x) / area(reach);
}

/** Area below the classic law's density: 1 at the edges of ±1, 4 between -3/4 and 3/4. */
function classicArea(x: number): number {
  const within = (from: number, to: number) => Math.max(0, Math.min(x, to) - from);
  return within(-1, -0.75) + 4 * within(-0.75, 0.75) + within(0.75, 1);
}

Deno.test("classicSdRatio() keeps every interval within the range asked for, and uses all of it", () => {
  const sdNs = classicSdRatio(0.25) * 1e6;
  const found = times({ jitter: { law: "classic", sdNs } });
  let least = Infinity, most = 0;
  for (let k = 1; k < COUNT; k++) {
    least = Math.min(least, found[k] - found[k - 1]);
    most = Math.max(most, found[k] - found[k - 1]);
  }
  ok(least >= 750e3 - 1e-3 && most <= 1250e3 + 1e-3, `${least} to ${most}`);
  ok(least < 765e3 && most > 1235e3, `${least} to ${most}`);
});

Deno.test("jitterShift() is the inverse of its law's distribution function", () => {
  for (const law of ["gaussian", "cosine", "classic"] as const) {
    for (const unit of [1e-6, 0.001, 0.02, 0.0243, 0.1, 0.3, 0.5, 0.7, 0.97, 0.976, 0.999, 1 - 1e-6]) {
      const found = distribution(law, jitterShift(law, unit));
      ok(Math.abs(found - unit) < 2e-6, `${law} ${unit} ${found}`);
    }
  }
});

Deno.test("jitterShift() is odd about the middle, ascends, and stays within the law's reach", () => {
  for (const law of ["gaussian", "cosine", "classic"] as const) {
    let before = -Infinity;
    for (let i = 0; i <= 20_000; i++) {
      const unit = i / 20_000;
      const shift = jitterShift(law, unit);
      ok(Math.abs(shift) <= JITTER_REACH[law] * (1 + 1e-12) && shift >= before, `${law} ${unit}`);
      ok(Math.abs(shift + jitterShift(law, 1 - unit)) < 1e-9, `${law} ${unit}`);
      before = shift;
    }
    ok(Math.abs(Math.abs(jitterShift(law, 0)) - JITTER_REACH[law]) < 1e-6);
    for (const unit of [1e-16, 1e-12, 1e-9, 1e-7]) ok(Number.isFinite(jitterShift(law, unit)));
  }
});

Deno.test("SlotSchedule.fillTimes() puts slots on an absolute grid when there is no jitter", () => {
  for (const intervalNs of [50_000, 125_000 / 3, 1e6, 11_200_000.7]) {
    const found = times({ intervalNs, jitter: { law: "none", sdNs: 0 } });
    for (let k = 0; k < COUNT; k++) equal(found[k], 5e9 + k * intervalNs);
  }
  deepEqual(times({ jitter: { law: "gaussian", sdNs: 0 } }), times({ jitter: { law: "none", sdNs: 0 } }));
});

Deno.test("SlotSchedule.fillTimes() has mean 0 and the standard deviation asked for about the grid", () => {
  for (const law of ["gaussian", "cosine", "classic"] as const) {
    const found = times({ jitter: { law, sdNs: 120e3 } });
    let sum = 0, squares = 0, beyond2 = 0;
    for (let k = 0; k < COUNT; k++) {
      const shift = (found[k] - (5e9 + k * 1e6)) / 120e3;
      sum += shift;
      squares += shift * shift;
      if (Math.abs(shift) > 2) beyond2++;
    }
    ok(Math.abs(sum / COUNT) < 5 / Math.sqrt(COUNT), `${law} mean`);
    ok(Math.abs(Math.sqrt(squares / COUNT) - 1) < 0.02, `${law} sd`);
    const expected = 2 * distribution(law, -2);
    ok(Math.abs(beyond2 / COUNT - expected) < 5 * Math.sqrt(expected / COUNT), `${law} tail`);
  }
});

Deno.test("SlotSchedule.fillTimes() never lets the mean interval drift", () => {
  const schedule = new SlotSchedule(options());
  const out = new Float64Array(1);
  const far = 2 ** 40;
  schedule.fillTimes(out, far, 0, 1);
  ok(Math.abs(out[0] - (5e9 + far * 1e6)) <= 4 * 120e3 + 0.2);
});

Deno.test("SlotSchedule.fillTimes() keeps neighbours the smallest gap apart, whatever the jitter", () => {
  const laws = fc.constantFrom(...LAWS);
  fc.assert(fc.property(
    fc.double({ min: 0, max: 1e9, noNaN: true }),
    laws,
    fc.double({ min: 20e3, max: 20e6, noNaN: true }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    (seed, law, intervalNs, gapShare) => {
      const minGapNs = intervalNs * gapShare;
      const sdNs = jitterSdMaxNs(law, intervalNs, minGapNs); // the widest that is allowed
      const found = times({ seed: seedOf(seed), intervalNs, minGapNs, jitter: { law, sdNs } }, 512);
      for (let k = 1; k < 512; k++) ok(found[k] - found[k - 1] >= minGapNs - 1e-3 - 1e-8 * intervalNs);
    },
  ));
});

Deno.test("SlotSchedule.fillTimes() gives slot k the same time whatever was asked before", () => {
  const whole = times();
  const schedule = new SlotSchedule(options());
  const pieces = new Float64Array(COUNT).fill(0xa5);
  for (const [start, count] of [[1000, 7], [0, 1000], [1007, COUNT - 1007]]) {
    schedule.fillTimes(pieces, start, COUNT - 1, count);
  }
  deepEqual(pieces, whole);
});

Deno.test("SlotSchedule.fillTimes() writes slot k to k modulo the ring, and nothing else", () => {
  const ring = new Float64Array(20).fill(0xa5);
  const whole = times({}, 64);
  new SlotSchedule(options()).fillTimes(ring, 13, 15, 6);
  for (let k = 13; k < 19; k++) equal(ring[k % 16], whole[k]);
  for (const untouched of [3, 8, 12, 16, 19]) equal(ring[untouched], 0xa5);
});

Deno.test("SlotSchedule.fillTimes() depends on the seed alone", () => {
  deepEqual(times(), times());
  notDeepEqual(times(), times({ seed: seedOf(2) }));
  const a = times(), b = times({ seed: seedOf(2) });
  let product = 0;
  for (let k = 0; k < COUNT; k++) product += (a[k] - 5e9 - k * 1e6) * (b[k] - 5e9 - k * 1e6) / 120e3 ** 2;
  ok(Math.abs(product / COUNT) < 5 / Math.sqrt(COUNT), "schedules of two seeds are uncorrelated");
});

Deno.test("SlotSchedule refuses a jitter with which slots could come too close, and says what would do", () => {
  const refused: [Partial<SlotScheduleOptions>, RegExp][] = [
    [{ jitter: { law: "gaussian", sdNs: 124e3 } }, /use a jitter of at most 12.3%, or a longer interval/],
    [{ intervalNs: 50e3, jitter: { law: "gaussian", sdNs: 6e3 } }, /use a jitter of at most 10%/],
    [{ intervalNs: 5e3, jitter: { law: "none", sdNs: 0 } }, /needs 10 us .* use a longer interval/],
    [{ intervalNs: 0 }, /use one above 0/],
    [{ intervalNs: NaN }, /use one above 0/],
    [{ jitter: { law: "gaussian", sdNs: -1 } }, /use 0 or more/],
    [{ jitter: { law: "cosine", sdNs: NaN } }, /use 0 or more/],
    [{ minGapNs: NaN }, /use 0 or more/],
  ];
  for (const [changes, message] of refused) {
    throws(
      () => new SlotSchedule(options(changes)),
      (error) => error instanceof RangeError && message.test(error.message),
    );
  }
});

Deno.test("jitterSdDefaultNs() is 12 % of the interval, or what the gap leaves", () => {
  equal(jitterSdDefaultNs("gaussian", 1e6, 10e3), 120e3);
  equal(jitterSdDefaultNs("gaussian", 250e3, 10e3), 30e3);
  equal(jitterSdDefaultNs("gaussian", 50e3, 10e3), 5e3);
  equal(jitterSdDefaultNs("none", 50e3, 10e3), 0);
  equal(jitterSdDefaultNs("gaussian", 50e3, 60e3), 0);
});
