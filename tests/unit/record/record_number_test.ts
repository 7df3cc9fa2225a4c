import { deepStrictEqual as equal, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { SEQUENCE_NUMBER_MAX } from "../../../src/crypto/suites.ts";
import { candidates, CANDIDATES_MAX, reconstruct } from "../../../src/record/record_number.ts";

const anyNumber = fc.maxSafeNat().map((n) => n % (SEQUENCE_NUMBER_MAX + 1));

for (const bits of [8, 16]) {
  const span = 2 ** bits;

  Deno.test(`reconstruct() gives back each number less than 2^${bits - 1} from the expected one`, () => {
    const offset = fc.integer({ min: -span / 2 + 1, max: span / 2 - 1 });
    fc.assert(
      fc.property(anyNumber, offset, (expected, offset) => {
        const number = expected + offset;
        fc.pre(number >= 0 && number <= SEQUENCE_NUMBER_MAX);
        strictEqual(reconstruct(expected, bits, number % span), number);
      }),
      { numRuns: 2000 },
    );
  });

  Deno.test(`reconstruct() gives the nearest number of all with these ${bits} bits`, () => {
    const near = fc.oneof(anyNumber, fc.nat(3 * span), fc.nat(3 * span).map((n) => SEQUENCE_NUMBER_MAX - n));
    fc.assert(
      fc.property(near, fc.nat(span - 1), (expected, low) => {
        const number = reconstruct(expected, bits, low);
        strictEqual(number % span, low);
        ok(number >= 0 && number <= SEQUENCE_NUMBER_MAX);
        for (const other of [number - span, number + span]) {
          if (other < 0 || other > SEQUENCE_NUMBER_MAX) continue;
          ok(Math.abs(other - expected) >= Math.abs(number - expected));
        }
      }),
      { numRuns: 2000 },
    );
  });
}

/* RFC 9147 §4.2.2 at the edges: expected, bits, shown, number. */
const STEPS: [number, number, number, number][] = [
  [0, 16, 0, 0],
  [0, 16, 65535, 65535],
  [1, 16, 0, 0],
  [32767, 16, 65535, 65535],
  [32768, 16, 65535, 65535],
  [65536, 16, 65535, 65535],
  [65536, 16, 0, 65536],
  [65536, 16, 32767, 98303],
  [65536, 16, 32769, 32769],
  [2 ** 32, 16, 65535, 2 ** 32 - 1],
  [2 ** 32, 8, 127, 2 ** 32 + 127],
  [2 ** 32, 8, 129, 2 ** 32 - 127],
  [2 ** 48 - 1, 16, 0, 2 ** 48 - 65536],
  [2 ** 48, 16, 65535, 2 ** 48 - 1],
];

for (const [expected, bits, low, number] of STEPS) {
  Deno.test(`reconstruct() takes ${low} of ${bits} bits for ${number} when ${expected} is expected`, () => {
    strictEqual(reconstruct(expected, bits, low), number);
  });
}

Deno.test("candidates() is reconstruct() alone while little time has passed", () => {
  equal(candidates(100_000, 0, 1e-3, 16, 5), [reconstruct(100_000, 16, 5)]);
  equal(candidates(100_000, 16_383_000, 1e-3, 16, 5), [reconstruct(100_000, 16, 5)]);
});

Deno.test("candidates() finds the number of a sender that went on through a gap of any length", () => {
  const gap = fc.integer({ min: 16_384, max: 2 ** 40 });
  const clockError = fc.integer({ min: -16_000, max: 16_000 });
  fc.assert(fc.property(fc.nat(2 ** 30), gap, clockError, (expected, gap, clockError) => {
    const number = expected + gap;
    const staleNs = (gap + clockError) * 1000;
    fc.pre(gap + clockError >= 16_384);
    ok(candidates(expected, staleNs, 1e-3, 16, number % 65536).includes(number));
  }));
});

Deno.test("candidates() finds the number of a sender that stopped", () => {
  ok(candidates(70_000, 3600e9, 1e-4, 16, 70_000 % 65536).includes(70_000));
});

Deno.test("candidates() are distinct numbers with the shown bits, at most six, whatever the arguments", () => {
  const time = fc.double({ min: 0, max: 1e18, noNaN: true });
  const rate = fc.double({ min: 0, max: 10, noNaN: true });
  fc.assert(
    fc.property(
      anyNumber,
      time,
      rate,
      fc.constantFrom(8, 16),
      fc.nat(255),
      (expected, ns, rate, bits, low) => {
        const found = candidates(expected, ns, rate, bits, low);
        ok(found.length >= 1 && found.length <= CANDIDATES_MAX);
        strictEqual(new Set(found).size, found.length);
        strictEqual(found[0], reconstruct(expected, bits, low));
        for (const number of found) {
          strictEqual(number % 2 ** bits, low);
          ok(number >= 0 && number <= SEQUENCE_NUMBER_MAX);
        }
      },
    ),
  );
});
