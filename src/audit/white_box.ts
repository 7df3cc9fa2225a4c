/** G1: what one who knows the plan of slots sees, idle against a load. Sessions are the unit: a statistic is computed
 * for each session, and the difference of its means between classes is bounded by Welch's interval. */

import { burstGates } from "./bursts.ts";
import { callDataAgainstChaff } from "./call_times.ts";
import { absolute, dataAgainstChaffGate, meanDifference } from "./difference.ts";
import { type Gate, gate, verdictOf } from "./gate.ts";
import { type AuditSession, LATE_NS } from "./session.ts";

// Set by the design of the proof.
const DECILE_BOUND_NS = 1000;
const DATA_BOUND_NS = 200;
const SKEW_BOUND_PPM = 0.05;
const RATIO_LOW = 0.8;
const RATIO_HIGH = 1.25;
// Chosen here.
const SESSIONS_MIN = 20;
const BOOTSTRAPS = 2000;

/** All of G1 for one load. */
export function whiteBox(
  idle: readonly AuditSession[],
  busy: readonly AuditSession[],
  random: () => number,
): Gate[] {
  return [
    deciles(idle, busy),
    ...LATE_NS.map((_, i) => lateRatio(idle, busy, i, random)),
    dataAgainstChaff(busy),
    callDataAgainstChaff(busy),
    clockSkew(idle, busy),
    ...burstGates(idle, busy),
  ];
}

/** The decile that differs most. */
function deciles(idle: readonly AuditSession[], busy: readonly AuditSession[]): Gate {
  const differences = Array.from({ length: 9 }, (_, i) =>
    absolute(meanDifference(
      idle.map(({ decilesNs }) => decilesNs[i]),
      busy.map(({ decilesNs }) => decilesNs[i]),
    )));
  const worst = differences.reduce((a, b) => b.upper > a.upper ? b : a);
  return gate("G1", "residuals: largest difference of a decile", {
    ...worst,
    bound: DECILE_BOUND_NS,
    unit: "ns",
    verdict: enough(idle, busy) ? verdictOf(worst, DECILE_BOUND_NS) : "not shown",
  });
}

/** Rate of late slots busy ÷ idle, by resampled sessions. One slot is added to each count, so that none at all is a
 * ratio of 1 and few show little. */
function lateRatio(
  idle: readonly AuditSession[],
  busy: readonly AuditSession[],
  index: number,
  random: () => number,
): Gate {
  const rate = (sessions: readonly AuditSession[]) =>
    (1 + sessions.reduce((sum, { late }) => sum + late[index], 0)) /
    sessions.reduce((sum, { slots }) => sum + slots, 0);
  const redrawn = (sessions: readonly AuditSession[]) =>
    sessions.map(() => sessions[Math.floor(random() * sessions.length)]);
  const ratios = Float64Array.from({ length: BOOTSTRAPS }, () => rate(redrawn(busy)) / rate(redrawn(idle)))
    .sort();
  const at = (share: number) => ratios[Math.floor(share * BOOTSTRAPS)];
  const [lower, upper] = [at(0.001), at(0.95)];
  const inside = at(0.05) >= RATIO_LOW && upper <= RATIO_HIGH;
  const outside = at(0.999) < RATIO_LOW || lower > RATIO_HIGH;
  return gate("G1", `slots later than ${LATE_NS[index] / 1e3} µs: busy ÷ idle`, {
    value: rate(busy) / rate(idle),
    lower,
    upper,
    bound: RATIO_HIGH,
    unit: "",
    verdict: !enough(idle, busy) || !(inside || outside) ? "not shown" : inside ? "holds" : "fails",
  });
}

/** Within a load's sessions: the median residual of slots with user data less that of those without. */
function dataAgainstChaff(busy: readonly AuditSession[]): Gate {
  return dataAgainstChaffGate(
    "slots with data against slots without: difference of medians",
    busy.map(({ dataMinusChaffNs }) => dataMinusChaffNs),
    DATA_BOUND_NS,
    SESSIONS_MIN,
  );
}

/** How fast the clock runs within sessions, by the slope of residuals over planned time. */
function clockSkew(idle: readonly AuditSession[], busy: readonly AuditSession[]): Gate {
  const found = absolute(
    meanDifference(idle.map(({ skewPpm }) => skewPpm), busy.map(({ skewPpm }) => skewPpm)),
  );
  return gate("G1", "clock skew, idle against load", {
    ...found,
    bound: SKEW_BOUND_PPM,
    unit: "ppm",
    verdict: enough(idle, busy) ? verdictOf(found, SKEW_BOUND_PPM) : "not shown",
  });
}

function enough(idle: readonly AuditSession[], busy: readonly AuditSession[]): boolean {
  return Math.min(idle.length, busy.length) >= SESSIONS_MIN;
}
