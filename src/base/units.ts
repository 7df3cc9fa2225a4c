/** Quantities as people write them: `1 Mbit/s`, `10 ms`, `1400 B`, `12%`. Prefixes are decimal. What is written in
 * decimal digits comes out rounded once, so `0.1 ms` is 100,000 ns and nothing beside it. */

type Scales = Readonly<Record<string, bigint>>;

const SPEED: Scales = {
  "bit/s": 1n,
  "kbit/s": 1_000n,
  "Mbit/s": 1_000_000n,
  "Gbit/s": 1_000_000_000n,
  "B/s": 8n,
  "kB/s": 8_000n,
  "MB/s": 8_000_000n,
  "GB/s": 8_000_000_000n,
};
const TIME: Scales = {
  ns: 1n,
  us: 1_000n,
  "µs": 1_000n, // U+00B5, micro sign
  "μs": 1_000n, // U+03BC, Greek mu
  ms: 1_000_000n,
  s: 1_000_000_000n,
  min: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const LEN: Scales = { B: 1n, kB: 1_000n, MB: 1_000_000n, KiB: 1_024n, MiB: 1_048_576n };

const DIGITS_MAX = 15;

/** Bits per second. Throws RangeError that names the text and the remedy. */
export function parseSpeed(text: string): number {
  return parse(text, SPEED, "speed", "1 Mbit/s or 100 kB/s");
}

/** Nanoseconds; a fraction of one is kept. Throws RangeError that names the text and the remedy. */
export function parseTime(text: string): number {
  return parse(text, TIME, "time", "10 ms or 50 us");
}

/** Whole bytes. Throws RangeError that names the text and the remedy. */
export function parseLen(text: string): number {
  const len = parse(text, LEN, "length", "1400 B or 1.4 kB");
  if (!Number.isInteger(len)) throw new RangeError(`Cannot read "${text}" as a length: use whole bytes`);
  return len;
}

/** A share of one: `12%` is 0.12. Throws RangeError that names the text and the remedy. */
export function parseShare(text: string): number {
  return parse(text, { "%": 1n }, "share", "12%", 100);
}

function parse(text: string, scales: Scales, what: string, example: string, divisor = 1): number {
  const match = /^\s*(\d+)(?:\.(\d+))?\s*(\D*?)\s*$/.exec(text);
  if (match === null) {
    throw new RangeError(`Cannot read "${text}" as a ${what}: write a number and a unit, such as ${example}`);
  }
  const [, whole, fraction = "", unit] = match;
  if (!Object.hasOwn(scales, unit)) {
    const units = Object.keys(scales).filter((name) => name !== "μs").join(", ");
    const problem = unit === "" ? "it has no unit" : `"${unit}" is no unit of it`;
    throw new RangeError(`Cannot read "${text}" as a ${what}: ${problem}; use ${units}, such as ${example}`);
  }
  if (whole.length + fraction.length > DIGITS_MAX) {
    throw new RangeError(`Cannot read "${text}" as a ${what}: use at most ${DIGITS_MAX} digits`);
  }
  // An integer below 2^53 or one rounding, then one division: never a sum of rounded parts.
  return Number(BigInt(whole + fraction) * scales[unit]) / (10 ** fraction.length * divisor);
}
