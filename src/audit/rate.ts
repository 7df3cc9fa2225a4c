/** G1: whether the clock of slots runs at another rate under load, over a whole run. A rate that differs by 1 ppm moves a
 * session of half a second by half a microsecond only, but all that follow by as much more: sessions' medians climb.
 *
 * Least squares: m = a + b t + c u, m the median residual of a session, t its time, u how long there has been load until
 * then; c is the difference of rates. Its error comes from the order of loads, which was drawn at random: what the fit
 * leaves is fitted again with REDRAWN other random orders (Freedman and Lane, J. Business & Economic Statistics 1, 1983),
 * so whatever drifts on the machine, however it hangs together in time, is in the error. */

import { meanAndSd } from "../base/statistics.ts";
import { absolute } from "./difference.ts";
import { type Gate, gate, verdictOf } from "./gate.ts";
import type { AuditSession } from "./session.ts";
import { shuffle } from "./validation.ts";

// Set by the design of the proof.
const RATE_BOUND_PPM = 0.05;
// Chosen here.
const SESSIONS_MIN = 20;
const REDRAWN = 500;
/** A longer pause between sessions is one between rounds, without load. */
const GUARD_MAX_NS = 1e9;

/** By what was seen at the observer, and at the call. `sessions`: all of a run, in order. */
export function rateGates(sessions: readonly AuditSession[], random: () => number): Gate[] {
  return [
    rateGate("clock rate over the run, idle against load", sessions, ({ medianNs }) => medianNs, random),
    rateGate(
      "at the call, clock rate over the run, idle against load",
      sessions,
      ({ callMedianNs }) => callMedianNs,
      random,
    ),
  ];
}

function rateGate(
  name: string,
  sessions: readonly AuditSession[],
  levelOf: (session: AuditSession) => number,
  random: () => number,
): Gate {
  const busy = sessions.map(({ load }) => load !== "idle");
  const busyCount = busy.filter(Boolean).length;
  if (Math.min(busyCount, sessions.length - busyCount) < SESSIONS_MIN) {
    return gate("G1", name, { verdict: "not shown", bound: RATE_BOUND_PPM, unit: "ppm" });
  }
  const timesS = sessions.map(({ fromNs, toNs }) => (fromNs + toNs) / 2e9);
  const levels = sessions.map(levelOf);
  const loaded = busyTimes(sessions, busy);
  const { slopes, residuals } = leastSquares(levels, timesS, loaded);
  const others: number[] = [];
  const order = [...busy];
  for (let i = 0; i < REDRAWN; i++) {
    shuffle(order, random);
    others.push(leastSquares(residuals, timesS, busyTimes(sessions, order)).slopes[1]);
  }
  const found = absolute({ value: slopes[1] / 1e3, error: meanAndSd(others).sd / 1e3 }); // ns per s are 10^-3 ppm
  return gate("G1", name, {
    ...found,
    bound: RATE_BOUND_PPM,
    unit: "ppm",
    verdict: verdictOf(found, RATE_BOUND_PPM),
    detail: `${sessions.length} sessions`,
  });
}

/** Seconds of load until the middle of each session, with what leads into it. */
function busyTimes(sessions: readonly AuditSession[], busy: readonly boolean[]): number[] {
  let sumNs = 0;
  return sessions.map(({ fromNs, toNs }, i) => {
    const pauseNs = i === 0 ? 0 : fromNs - sessions[i - 1].toNs;
    const guardNs = pauseNs < GUARD_MAX_NS ? pauseNs : 0;
    const lastedNs = toNs - fromNs;
    const middleNs = sumNs + (busy[i] ? guardNs + lastedNs / 2 : 0);
    if (busy[i]) sumNs += guardNs + lastedNs;
    return middleNs / 1e9;
  });
}

/** y = a + b x + c z: [b, c] and what is left of y. */
export function leastSquares(y: readonly number[], x: readonly number[], z: readonly number[]) {
  const [cy, cx, cz] = [y, x, z].map((values) => {
    const { mean } = meanAndSd(values);
    return values.map((value) => value - mean);
  });
  const dot = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, i) => sum + value * b[i], 0);
  const [xx, zz, xz, xy, zy] = [dot(cx, cx), dot(cz, cz), dot(cx, cz), dot(cx, cy), dot(cz, cy)];
  const determinant = xx * zz - xz * xz;
  const slopes = [(xy * zz - zy * xz) / determinant, (zy * xx - xy * xz) / determinant] as const;
  return { slopes, residuals: cy.map((value, i) => value - slopes[0] * cx[i] - slopes[1] * cz[i]) };
}
