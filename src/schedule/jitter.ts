/** Laws of jitter: a random number of [0, 1) becomes a shift of mean 0 in units of the standard deviation. All are
 * bounded, and but for the classic one, which version 0 has, their density goes to zero at the edges: a density with a
 * step gives a late packet away. */

export type JitterLaw = "gaussian" | "cosine" | "classic" | "none";

export interface Jitter {
  readonly law: JitterLaw;
  /** Standard deviation before the cut (the cut at 4 takes 0.06 % off it). */
  readonly sdNs: number;
}

/** Where the Gaussian is cut, in standard deviations. */
const GAUSSIAN_CUT = 4;
/** Standard deviation of the raised cosine on ±1: sqrt(1/3 - 2/π²). */
const COSINE_SD = Math.sqrt(1 / 3 - 2 / Math.PI ** 2);
/** The classic law on ±1: the inner three quarters are four times as likely as the edges. */
const CLASSIC_INNER = 3 / 4;
const CLASSIC_INNER_WEIGHT = 4;
const CLASSIC_AREA = 2 * (CLASSIC_INNER_WEIGHT * CLASSIC_INNER + 1 - CLASSIC_INNER);
const CLASSIC_SD = Math.sqrt(
  2 / 3 * (CLASSIC_INNER_WEIGHT * CLASSIC_INNER ** 3 + 1 - CLASSIC_INNER ** 3) / CLASSIC_AREA,
);

/** The largest shift to either side, in standard deviations. */
export const JITTER_REACH: Readonly<Record<JitterLaw, number>> = {
  gaussian: GAUSSIAN_CUT,
  cosine: 1 / COSINE_SD,
  classic: 1 / CLASSIC_SD,
  none: 0,
};

/** P(Z < -4) of a standard normal Z, the part that is cut off on each side. */
const GAUSSIAN_TAIL = 3.1671241833119857e-5;

/** Shift in standard deviations for `unit` of [0, 1). Constant time but for the branch between centre and tail. */
export function jitterShift(law: JitterLaw, unit: number): number {
  if (law === "gaussian") return truncatedGaussian(unit);
  if (law === "cosine") return raisedCosine(unit);
  if (law === "classic") return classic(unit) / CLASSIC_SD;
  return 0;
}

function truncatedGaussian(unit: number): number {
  const shift = normalQuantile(GAUSSIAN_TAIL + unit * (1 - 2 * GAUSSIAN_TAIL));
  return Math.max(-GAUSSIAN_CUT, Math.min(GAUSSIAN_CUT, shift)); // the approximation's 1e-9 may pass the cut
}

// Acklam's rational approximation of the normal quantile: relative error below 1.15e-9.
const TAIL_BELOW = 0.02425;
const CENTRE_TOP = [
  -3.969683028665376e+01,
  2.209460984245205e+02,
  -2.759285104469687e+02,
  1.383577518672690e+02,
  -3.066479806614716e+01,
  2.506628277459239e+00,
];
const CENTRE_BOTTOM = [
  -5.447609879822406e+01,
  1.615858368580409e+02,
  -1.556989798598866e+02,
  6.680131188771972e+01,
  -1.328068155288572e+01,
  1,
];
const TAIL_TOP = [
  -7.784894002430293e-03,
  -3.223964580411365e-01,
  -2.400758277161838e+00,
  -2.549732539343734e+00,
  4.374664141464968e+00,
  2.938163982698783e+00,
];
const TAIL_BOTTOM = [
  7.784695709041462e-03,
  3.224671290700398e-01,
  2.445134137142996e+00,
  3.754408661907416e+00,
  1,
];

function normalQuantile(p: number): number {
  if (p < TAIL_BELOW) return lowerTail(p);
  if (p > 1 - TAIL_BELOW) return -lowerTail(1 - p);
  const q = p - 0.5;
  const r = q * q;
  return q * polynomial(CENTRE_TOP, r) / polynomial(CENTRE_BOTTOM, r);
}

function lowerTail(p: number): number {
  const q = Math.sqrt(-2 * Math.log(p));
  return polynomial(TAIL_TOP, q) / polynomial(TAIL_BOTTOM, q);
}

/** Highest power first. */
function polynomial(coefficients: readonly number[], x: number): number {
  let sum = 0;
  for (let i = 0; i < coefficients.length; i++) sum = sum * x + coefficients[i];
  return sum;
}

/** Standard deviation, as a share of the interval, with which all intervals lie within `ratio` of the mean: each of two
 * neighbours moves by half of that at most. */
export function classicSdRatio(ratio: number): number {
  return ratio / 2 * CLASSIC_SD;
}

/** On ±1. */
function classic(unit: number): number {
  const edge = (1 - CLASSIC_INNER) / CLASSIC_AREA;
  if (unit < edge) return unit * CLASSIC_AREA - 1;
  if (unit > 1 - edge) return 1 - (1 - unit) * CLASSIC_AREA;
  return (unit - 0.5) * CLASSIC_AREA / CLASSIC_INNER_WEIGHT;
}

const KEPLER_STEPS = 3;
const KEPLER_SERIES_BELOW = 1e-6;

/** Density (1 + cos πx) / 2 on ±1. Its distribution function is (1 + x + sin(πx)/π) / 2; with E = π(1 - |x|) its
 * inverse is E - sin E = M, which is Kepler's equation with eccentricity 1. */
function raisedCosine(unit: number): number {
  const side = 2 * unit - 1;
  const meanAnomaly = Math.PI * (1 - Math.abs(side));
  const x = 1 - kepler(meanAnomaly) / Math.PI;
  return (side < 0 ? -x : x) / COSINE_SD;
}

/** E of E - sin E = M for M of 0..π. The first term of the series, then Halley's steps: exact to rounding. */
function kepler(m: number): number {
  const start = Math.cbrt(6 * m);
  let e = start + start ** 3 / 60;
  if (m < KEPLER_SERIES_BELOW) return e; // E - sin E would cancel; the next term is below 1e-6 of this
  for (let i = 0; i < KEPLER_STEPS; i++) {
    const sin = Math.sin(e);
    const slope = 1 - Math.cos(e);
    const miss = e - sin - m;
    e -= miss / (slope - 0.5 * miss * sin / slope);
  }
  return e;
}
