/** Points for the page. Pure. */

import { distributionPoints, quantile, sorted } from "../base/statistics.ts";
import type { DirectionPlots } from "./result.ts";
import type { AuditSession } from "./session.ts";

// Chosen here.
const CURVE_POINTS = 240;
const QUANTILE_POINTS = 99;
const RATE_POINTS = 400;

export function plotsOf(sessions: readonly AuditSession[], intervalNs: number): DirectionPlots {
  const idle = residualsUs(sessions.filter(({ load }) => load === "idle"));
  const busy = residualsUs(sessions.filter(({ load }) => load !== "idle"));
  const curve = (values: Float64Array) =>
    values.length === 0 ? [] : rounded(distributionPoints(values, CURVE_POINTS));
  const shares = Array.from({ length: QUANTILE_POINTS }, (_, i) => (i + 1) / (QUANTILE_POINTS + 1));
  return {
    residuals: { idle: curve(idle), busy: curve(busy) },
    quantiles: idle.length === 0 || busy.length === 0
      ? []
      : rounded(shares.map((share) => [quantile(idle, share), quantile(busy, share)])),
    rates: { idle: rates(sessions, intervalNs, true), busy: rates(sessions, intervalNs, false) },
  };
}

function residualsUs(sessions: readonly AuditSession[]): Float64Array {
  const all = new Float64Array(sessions.reduce((sum, { residualsNs }) => sum + residualsNs.length, 0));
  let at = 0;
  for (const { residualsNs } of sessions) {
    all.set(residualsNs, at);
    at += residualsNs.length;
  }
  return sorted(all.map((ns) => ns / 1e3));
}

/** Share of slots that were sent × slots a second, of one session in some when there are many. */
function rates(sessions: readonly AuditSession[], intervalNs: number, isIdle: boolean): [number, number][] {
  const step = Math.max(1, Math.ceil(sessions.length / RATE_POINTS));
  return rounded(
    sessions.flatMap(({ load, slots, skipped }, i): [number, number][] =>
      i % step === 0 && (load === "idle") === isIdle
        ? [[i, (slots - skipped) / slots * 1e9 / intervalNs]]
        : []
    ),
  );
}

function rounded(points: readonly (readonly [number, number])[]): [number, number][] {
  return points.map(([x, y]) => [Number(x.toFixed(3)), Number(y.toFixed(5))]);
}
