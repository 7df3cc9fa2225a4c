import { deepStrictEqual as equal, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { SEQUENCE_NUMBER_MAX } from "../../../src/crypto/suites.ts";
import { type ReplayVerdict, ReplayWindow } from "../../../src/record/replay_window.ts";

/** Slow and obviously right. */
class ReferenceWindow {
  readonly #seen = new Set<number>();
  #highest = -1;
  constructor(readonly len: number) {}

  check(number: number): ReplayVerdict {
    if (number <= this.#highest - this.len) return "old";
    return this.#seen.has(number) ? "duplicate" : "fresh";
  }

  mark(number: number): void {
    this.#seen.add(number);
    this.#highest = Math.max(this.#highest, number);
  }
}

/* Steps: number, what check() says before it is marked. Window of 64. */
const STEPS: [number, ReplayVerdict][] = [
  [0, "fresh"],
  [0, "duplicate"],
  [1, "fresh"],
  [63, "fresh"],
  [64, "fresh"], // 0 leaves the window
  [0, "old"],
  [1, "duplicate"],
  [2, "fresh"],
  [65, "fresh"],
  [1, "old"],
  [64 + 65, "fresh"],
  [65, "old"],
  [66, "fresh"],
  [1_000_000, "fresh"],
  [999_937, "fresh"],
  [999_936, "old"],
  [999_937, "duplicate"],
  [2 ** 32 - 1, "fresh"],
  [2 ** 32, "fresh"],
  [2 ** 32 - 1, "duplicate"],
  [2 ** 32 - 64, "old"],
  [2 ** 32 - 63, "fresh"],
  [SEQUENCE_NUMBER_MAX, "fresh"],
  [SEQUENCE_NUMBER_MAX, "duplicate"],
  [SEQUENCE_NUMBER_MAX - 63, "fresh"],
  [SEQUENCE_NUMBER_MAX - 64, "old"],
];

Deno.test("ReplayWindow.check() and mark() at the edges of a window of 64", () => {
  const window = new ReplayWindow(64);
  STEPS.forEach(([number, verdict], step) => {
    strictEqual(window.check(number), verdict, `step ${step}: ${number}`);
    strictEqual(window.isFresh(number), verdict === "fresh", `step ${step}: ${number}`);
    if (verdict === "fresh") window.mark(number);
  });
});

Deno.test("ReplayWindow.check() says what a set of all numbers says, for walks with steps of any size", () => {
  const step = fc.oneof(
    fc.integer({ min: -80, max: 80 }),
    fc.integer({ min: -5000, max: 5000 }),
    fc.integer({ min: 0, max: 2 ** 40 }),
  );
  const walk = fc.array(fc.tuple(step, fc.boolean()), { minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(fc.constantFrom(32, 64, 128, 4096), fc.nat(2 ** 33), walk, (len, start, steps) => {
      const window = new ReplayWindow(len);
      const reference = new ReferenceWindow(len);
      let number = start;
      for (const [by, isAuthentic] of steps) {
        number = Math.max(0, Math.min(SEQUENCE_NUMBER_MAX, number + by));
        const verdict = reference.check(number);
        strictEqual(window.check(number), verdict);
        strictEqual(window.isFresh(number), verdict === "fresh");
        if (verdict !== "fresh" || !isAuthentic) continue;
        window.mark(number);
        reference.mark(number);
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("ReplayWindow.check() moves nothing", () => {
  const window = new ReplayWindow(64);
  window.mark(10);
  window.check(1_000_000);
  equal([window.next, window.check(10), window.check(9)], [11, "duplicate", "fresh"]);
});

Deno.test("ReplayWindow.mark() throws for a number that is not fresh", () => {
  const window = new ReplayWindow(64);
  window.mark(100);
  throws(() => window.mark(100), /Defect/);
  throws(() => window.mark(36), /Defect/);
  throws(() => window.mark(2 ** 48), /Defect/);
  window.mark(37);
});

Deno.test("ReplayWindow takes powers of two only", () => {
  for (const len of [0, 1, 16, 31, 33, 4095, 2 ** 25, NaN, -64, 64.5]) {
    throws(() => new ReplayWindow(len), RangeError, `${len}`);
  }
});
