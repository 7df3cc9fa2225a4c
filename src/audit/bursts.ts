/** G1 within burst slots: the packets of one send call follow one another as fast as the machine lets them, and that must
 * not depend on a load either. */

import { absolute, dataAgainstChaffGate, meanDifference } from "./difference.ts";
import { type Gate, gate, verdictOf } from "./gate.ts";
import type { AuditSession } from "./session.ts";

// Set by the design of the proof, as for whole slots.
const DECILE_BOUND_NS = 1000;
const DATA_BOUND_NS = 200;
// Chosen here.
const SESSIONS_MIN = 20;

/** None when slots are single packets. */
export function burstGates(idle: readonly AuditSession[], busy: readonly AuditSession[]): Gate[] {
  const hasGaps = ({ gapDecilesNs }: AuditSession) => gapDecilesNs.length > 0;
  return idle.some(hasGaps) || busy.some(hasGaps)
    ? [gapDeciles(idle.filter(hasGaps), busy.filter(hasGaps)), lengthsByData(busy.filter(hasGaps))]
    : [];
}

function gapDeciles(idle: readonly AuditSession[], busy: readonly AuditSession[]): Gate {
  const differences = Array.from({ length: 9 }, (_, i) =>
    absolute(meanDifference(
      idle.map(({ gapDecilesNs }) => gapDecilesNs[i]),
      busy.map(({ gapDecilesNs }) => gapDecilesNs[i]),
    )));
  const worst = differences.reduce((a, b) => b.upper > a.upper ? b : a);
  const isEnough = Math.min(idle.length, busy.length) >= SESSIONS_MIN;
  return gate("G1", "gaps within bursts: largest difference of a decile", {
    ...worst,
    bound: DECILE_BOUND_NS,
    unit: "ns",
    verdict: isEnough ? verdictOf(worst, DECILE_BOUND_NS) : "not shown",
  });
}

/** From a burst's first packet to its last: the median of slots with user data less that of those without. */
function lengthsByData(busy: readonly AuditSession[]): Gate {
  return dataAgainstChaffGate(
    "how long bursts take, with data against without: difference of medians",
    busy.map(({ burstDataMinusChaffNs }) => burstDataMinusChaffNs),
    DATA_BOUND_NS,
    SESSIONS_MIN,
  );
}
