/** The unit of all statistics: what was seen of one direction during one stretch of one load. Packets within a session
 * depend on one another; sessions, drawn in random order, do not. */

import { median, quantile, sorted } from "../base/statistics.ts";
import type { TunnelMode } from "./options.ts";
import { featuresOf, PACKETS_MIN } from "./features.ts";

/** What the machine and the tunnel do during a session. "idle" is what all others are compared with. */
export const LOAD_CLASSES = [
  "idle",
  "bulk up",
  "bulk down",
  "one in flight",
  "page-like bursts",
  "host busy",
  "other traffic",
  "short requests",
  "slow reader",
] as const;
export type LoadClass = typeof LOAD_CLASSES[number];
/** Those of programs that come by a proxy. */
const PROXY_LOADS: readonly LoadClass[] = ["short requests", "slow reader"];

/** What is made unless it is said otherwise. */
export function usualLoads(mode: TunnelMode): LoadClass[] {
  return LOAD_CLASSES.slice(1).filter((load) => mode !== "tun" || !PROXY_LOADS.includes(load));
}

/** Slots later than this are counted, ns. */
export const LATE_NS = [20e3, 100e3, 1e6] as const;
/** Slots with and without data that a session needs for a difference between them. */
const OF_EACH_MIN = 20;

/** One slot that was sent, and its packet. */
export interface SlotPair {
  readonly plannedNs: number;
  /** On the observer's clock, brought to the sender's. */
  readonly seenNs: number;
  /** Of the send call. */
  readonly calledNs: number;
  /** Between the packets of a burst slot; seenNs is the first one's. */
  readonly gapsNs?: readonly number[];
  readonly hasData: boolean;
}

export interface AuditSession {
  readonly load: LoadClass;
  /** Of times alone (features.ts); empty when there were too few packets. */
  readonly features: Float64Array;
  /** Seen − planned, less the path's delay, ns; of each packet. */
  readonly residualsNs: Float64Array;
  /** Deciles 10 %, 20 %, … 90 % of the residuals, ns. */
  readonly decilesNs: Float64Array;
  /** Slots of the session: sent and skipped. */
  readonly slots: number;
  readonly skipped: number;
  /** Slots later than LATE_NS[i], skipped ones included. */
  readonly late: readonly number[];
  /** How fast residuals grow. */
  readonly skewPpm: number;
  /** Median residual of slots with user data less that of those without, ns; NaN when there were few of either. */
  readonly dataMinusChaffNs: number;
  /** Planned times of its first and last packet. */
  readonly fromNs: number;
  readonly toNs: number;
  /** Median of the residuals; the same of called − planned. */
  readonly medianNs: number;
  readonly callMedianNs: number;
  /** As dataMinusChaffNs, of called − planned. */
  readonly callDataMinusChaffNs: number;
  /** Deciles of the gaps within burst slots, ns; empty when a slot is one packet. */
  readonly gapDecilesNs: Float64Array;
  /** As dataMinusChaffNs, of a burst's length in time. */
  readonly burstDataMinusChaffNs: number;
}

export interface SessionContext {
  readonly intervalNs: number;
  /** Of the path, taken off all residuals. */
  readonly delayNs: number;
}

/** Makes a session of the slots that were sent in it, in order; there is one at least. */
export function auditSession(
  load: LoadClass,
  pairs: readonly SlotPair[],
  skipped: number,
  { intervalNs, delayNs }: SessionContext,
): AuditSession {
  const residual = ({ seenNs, plannedNs }: SlotPair) => seenNs - plannedNs - delayNs;
  const timesNs = Float64Array.from(pairs, ({ seenNs }) => seenNs);
  const residualsNs = Float64Array.from(pairs, residual);
  const ascending = sorted(residualsNs);
  const call = ({ calledNs, plannedNs }: SlotPair) => calledNs - plannedNs;
  const gaps = sorted(pairs.flatMap(({ gapsNs }) => gapsNs ?? []));
  return {
    load,
    features: pairs.length < PACKETS_MIN ? new Float64Array(0) : featuresOf(timesNs, intervalNs, gaps),
    residualsNs,
    decilesNs: Float64Array.from({ length: 9 }, (_, i) => quantile(ascending, (i + 1) / 10)),
    slots: pairs.length + skipped,
    skipped,
    late: LATE_NS.map((bound) => skipped + residualsNs.filter((value) => value > bound).length),
    skewPpm: skewPpm(timesNs, residualsNs),
    dataMinusChaffNs: dataMinusChaff(pairs, residual),
    fromNs: pairs[0].plannedNs,
    toNs: pairs[pairs.length - 1].plannedNs,
    medianNs: quantile(ascending, 0.5),
    callMedianNs: median(pairs.map(call)),
    callDataMinusChaffNs: dataMinusChaff(pairs, call),
    gapDecilesNs: Float64Array.from(
      { length: gaps.length === 0 ? 0 : 9 },
      (_, i) => quantile(gaps, (i + 1) / 10),
    ),
    burstDataMinusChaffNs: dataMinusChaff(
      pairs,
      ({ gapsNs = [] }) => gapsNs.reduce((sum, gap) => sum + gap, 0),
    ),
  };
}

/** Median of slots with user data less that of those without; NaN when there were few of either. */
function dataMinusChaff(pairs: readonly SlotPair[], of: (pair: SlotPair) => number): number {
  const data = pairs.filter(({ hasData }) => hasData).map(of);
  const chaff = pairs.filter(({ hasData }) => !hasData).map(of);
  return Math.min(data.length, chaff.length) < OF_EACH_MIN ? NaN : median(data) - median(chaff);
}

/** Slope between the medians of the first and the last third: a late packet does not move it. */
export function skewPpm(timesNs: Float64Array, residualsNs: Float64Array): number {
  const third = Math.floor(residualsNs.length / 3);
  if (third === 0) return 0;
  const last = residualsNs.length - third;
  const rise = median(residualsNs.subarray(last)) - median(residualsNs.subarray(0, third));
  const spanNs = median(timesNs.subarray(last)) - median(timesNs.subarray(0, third));
  return rise / spanNs * 1e6;
}
