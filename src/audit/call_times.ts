/** G1 by the sender's own clock: what the send call's moment tells. It is known to some 10 ns, without the noise of link
 * and observer, so a few sessions show what those would hide. What happens behind the call only the wire shows. */

import { dataAgainstChaffGate } from "./difference.ts";
import type { Gate } from "./gate.ts";
import type { AuditSession } from "./session.ts";

// Set by the design of the proof: what thirty days of slots at 1 ms with the default jitter need is 15 ns.
const CALL_BOUND_NS = 50;
// Chosen here.
const SESSIONS_MIN = 10;

/** Within a load's sessions: the median of call − planned of slots with user data less that of those without. */
export function callDataAgainstChaff(busy: readonly AuditSession[]): Gate {
  return dataAgainstChaffGate(
    "at the call, slots with data against slots without: difference of medians",
    busy.map(({ callDataMinusChaffNs }) => callDataMinusChaffNs),
    CALL_BOUND_NS,
    SESSIONS_MIN,
  );
}
