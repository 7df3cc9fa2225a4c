/** G1 by the sender's own clock: what the send call's moment tells. It is known to some 10 ns, without the noise of link
 * and observer, so a few sessions show what those would hide. What happens behind the call only the wire shows. */

import { meanAndSd } from "../base/statistics.ts";
import { absolute } from "./difference.ts";
import { type Gate, gate, verdictOf } from "./gate.ts";
import type { AuditSession } from "./session.ts";

// Set by the design of the proof: what thirty days of slots at 1 ms with the default jitter need is 15 ns.
const CALL_BOUND_NS = 50;
// Chosen here.
const SESSIONS_MIN = 10;

/** Within a load's sessions: the median of call − planned of slots with user data less that of those without. */
export function callDataAgainstChaff(busy: readonly AuditSession[]): Gate {
  const differences = busy.map(({ callDataMinusChaffNs }) => callDataMinusChaffNs).filter(Number.isFinite);
  const { mean, sd } = meanAndSd(differences);
  const found = absolute({ value: mean, error: sd / Math.sqrt(differences.length) });
  return gate("G1", "at the call, slots with data against slots without: difference of medians", {
    ...found,
    bound: CALL_BOUND_NS,
    unit: "ns",
    verdict: differences.length >= SESSIONS_MIN ? verdictOf(found, CALL_BOUND_NS) : "not shown",
    detail: `${differences.length} sessions had both`,
  });
}
