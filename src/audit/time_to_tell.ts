/** T99: how long an ideal observer of single packets has to look until he is right 99.5 times in 100.
 *
 * With the Bhattacharyya distance D = −ln ∫√(p q) of the residuals' densities p (idle) and q (busy), the error of the
 * best test of n packets is at most ½ e^(−n D) (Kailath, IEEE Trans. Commun. 15, 1967); it is 0.005 at n = 4.6 / D. The
 * densities are those of the measured residuals convolved with the law of the jitter, since an observer knows the law
 * and the grid, and not the jitter. */

import { assert } from "../base/mod.ts";
import { quantile, sorted } from "../base/statistics.ts";
import { shuffle } from "./validation.ts";

/** −ln(2 × 0.005). */
const NATS = 4.605170185988091;
// Chosen here.
const STEPS_PER_SD = 50;
const BINS_MAX = 6000;
const BOOTSTRAPS = 200;
const SPLITS = 20;

/** The jitter's law as a density: `density(x)` at x ns, zero beyond ±`reachNs`. */
export interface JitterDensity {
  readonly sdNs: number;
  readonly reachNs: number;
  density(shiftNs: number): number;
}

export interface TellOptions {
  /** undefined: no jitter. */
  readonly jitter: JitterDensity | undefined;
  /** Width of a bin without jitter, ns: the observer's resolution. */
  readonly resolutionNs: number;
  /** Residuals beyond ± this are taken for this. */
  readonly clipNs: number;
}

export interface TimeToTell {
  /** Packets until 99.5 % right: estimate, and 5th and 95th percentile over resampled sessions. Infinity: no distance
   * above what idle against idle gives. */
  readonly packets: number;
  readonly packetsLow: number;
  readonly packetsHigh: number;
  /** Of idle against idle, which is subtracted. */
  readonly biasNats: number;
}

/** From the residuals (ns) of each session of both classes. */
export function timeToTell(
  idle: readonly Float64Array[],
  busy: readonly Float64Array[],
  options: TellOptions,
  random: () => number,
): TimeToTell {
  const grid = gridOf(options);
  const idleBins = idle.map((residuals) => binned(residuals, grid));
  const busyBins = busy.map((residuals) => binned(residuals, grid));
  const biasNats = idleBias(idleBins, grid, random);
  const resampled = Array.from({ length: BOOTSTRAPS }, () => ({
    distance: distance(summed(redrawn(idleBins, random)), summed(redrawn(busyBins, random)), grid),
    ofRedrawing: distance(summed(redrawn(idleBins, random)), summed(redrawn(idleBins, random)), grid),
  }));
  // Drawing again adds a distance of its own, on top of what the samples have by chance.
  const added = quantile(sorted(resampled.map(({ ofRedrawing }) => ofRedrawing)), 0.5);
  const net = sorted(resampled.map(({ distance }) => distance - added - biasNats));
  const packets = (nats: number) => nats > 0 ? NATS / nats : Infinity;
  return {
    packets: packets(distance(summed(idleBins), summed(busyBins), grid) - biasNats),
    packetsLow: packets(quantile(net, 0.95)),
    packetsHigh: packets(quantile(net, 0.05)),
    biasNats,
  };
}

/** What chance alone gives: random halves of the idle sessions against each other. Each half has half the count, so half
 * of their distance is that of the whole. */
function idleBias(bins: readonly Float64Array[], grid: Grid, random: () => number): number {
  if (bins.length < 2) return 0;
  let sum = 0;
  for (let i = 0; i < SPLITS; i++) {
    const order = [...bins];
    shuffle(order, random);
    const half = order.length >> 1;
    sum += distance(summed(order.slice(0, half)), summed(order.slice(half)), grid) / 2;
  }
  return sum / SPLITS;
}

interface Grid {
  readonly stepNs: number;
  readonly bins: number;
  /** Weights of the jitter at multiples of the step, odd length, sum 1. */
  readonly kernel: Float64Array;
}

function gridOf({ jitter, resolutionNs, clipNs }: TellOptions): Grid {
  const wanted = jitter === undefined ? resolutionNs : jitter.sdNs / STEPS_PER_SD;
  const stepNs = Math.max(wanted, 2 * clipNs / BINS_MAX);
  const bins = 2 * Math.ceil(clipNs / stepNs) + 1;
  if (jitter === undefined) return { stepNs, bins, kernel: Float64Array.of(1) };
  const reach = Math.ceil(jitter.reachNs / stepNs);
  const kernel = Float64Array.from({ length: 2 * reach + 1 }, (_, i) => jitter.density((i - reach) * stepNs));
  const sum = kernel.reduce((total, weight) => total + weight, 0);
  return { stepNs, bins, kernel: kernel.map((weight) => weight / sum) };
}

/** Counts per bin; each residual is shared between its two neighbours so that the mean is kept exactly. */
function binned(residuals: Float64Array, { stepNs, bins }: Grid): Float64Array {
  const counts = new Float64Array(bins);
  for (const residual of residuals) {
    const at = Math.max(0, Math.min(bins - 1, residual / stepNs + (bins - 1) / 2));
    const below = Math.min(bins - 2, Math.floor(at));
    counts[below] += 1 - (at - below);
    counts[below + 1] += at - below;
  }
  return counts;
}

function summed(parts: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(parts[0].length);
  for (const part of parts) for (let i = 0; i < sum.length; i++) sum[i] += part[i];
  return sum;
}

function redrawn<T>(values: readonly T[], random: () => number): T[] {
  return values.map(() => values[Math.floor(random() * values.length)]);
}

/** Bhattacharyya distance in nats of two histograms after convolution with the jitter. 1 − ∫√(p q) = ½∫(√p − √q)² keeps
 * its digits where the densities are nearly equal. */
function distance(a: Float64Array, b: Float64Array, grid: Grid): number {
  const p = smoothed(a, grid.kernel);
  const q = smoothed(b, grid.kernel);
  let half = 0;
  for (let i = 0; i < p.length; i++) half += (Math.sqrt(p[i]) - Math.sqrt(q[i])) ** 2;
  return -Math.log1p(-Math.min(1, half / 2));
}

/** Normalized and convolved with `kernel`. Sparse histograms (most bins are empty) cost only what is in them. */
function smoothed(counts: Float64Array, kernel: Float64Array): Float64Array {
  const total = counts.reduce((sum, count) => sum + count, 0);
  assert(total > 0, "a class has packets");
  const out = new Float64Array(counts.length + kernel.length - 1);
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] === 0) continue;
    const weight = counts[i] / total;
    for (let j = 0; j < kernel.length; j++) out[i + j] += weight * kernel[j];
  }
  return out;
}
