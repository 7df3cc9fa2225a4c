/** Which packet on the wire is which slot of the sender's trace. Pure. */

import { median } from "../base/statistics.ts";
import type { SlotPair } from "./session.ts";

/** A slot as its sender did it; times in ns on the sender's clock. */
export interface PlannedSlot {
  readonly plannedNs: number;
  /** 0 when skipped. */
  readonly actualNs: number;
  readonly dataRecords: number;
  readonly skipped: boolean;
  readonly refused: boolean;
}

export interface Pairing {
  readonly pairs: readonly SlotPair[];
  /** Planned times of the slots that were not sent. */
  readonly skippedNs: Float64Array;
  /** Slots that were sent and not seen, packets that no slot explains. */
  readonly missing: number;
  readonly unscheduled: number;
}

/** The path keeps the order and its delay is far below an interval, so each packet belongs to the last slot that was
 * sent before it, but for `toleranceNs` that the two clocks may differ; a second packet of one slot belongs to none.
 * `packetsNs`, in order, on the sender's clock; `slots` in order. Both may reach further than the other at either end:
 * judged is what both cover. */
export function pairPackets(
  packetsNs: readonly number[],
  slots: readonly PlannedSlot[],
  toleranceNs: number,
): Pairing {
  const sent = slots.filter((slot) => !slot.skipped && !slot.refused);
  const none = { pairs: [], skippedNs: new Float64Array(0), missing: 0, unscheduled: packetsNs.length };
  if (packetsNs.length === 0 || sent.length === 0) return none;
  // The first packet's slot is the last one that was sent before it.
  const reached = sent.filter(({ actualNs }) => actualNs <= packetsNs[0] + toleranceNs).length;
  const covered = sent.slice(Math.max(0, reached - 1))
    .filter(({ actualNs }) => actualNs <= packetsNs[packetsNs.length - 1] + toleranceNs);
  if (covered.length === 0) return none;
  const from = covered[0].actualNs - toleranceNs;
  const to = covered[covered.length - 1].actualNs + toleranceNs;
  const seen = packetsNs.filter((time) => time >= from);
  const pairs: SlotPair[] = [];
  let unscheduled = 0;
  let next = 0;
  for (let i = 0; i < covered.length; i++) {
    const after = sent[i + 1 + Math.max(0, reached - 1)];
    const endNs = after === undefined ? Infinity : after.actualNs - toleranceNs;
    const first = next;
    while (next < seen.length && seen[next] < endNs) next++;
    if (next > first) pairs.push(pairOf(covered[i], seen[first]));
    if (after !== undefined) unscheduled += Math.max(0, next - first - 1); // else they are of slots not in the trace
  }
  const skipped = slots.filter((slot) => slot.skipped && slot.plannedNs >= from && slot.plannedNs <= to);
  return {
    pairs,
    skippedNs: Float64Array.from(skipped, ({ plannedNs }) => plannedNs),
    missing: covered.length - pairs.length,
    unscheduled,
  };
}

function pairOf({ plannedNs, dataRecords }: PlannedSlot, seenNs: number): SlotPair {
  return { plannedNs, seenNs, hasData: dataRecords > 0 };
}

/** The path's delay and what the clocks differ by: the middle of seen − planned. */
export function pathDelayNs(pairs: readonly SlotPair[]): number {
  return median(pairs.map(({ seenNs, plannedNs }) => seenNs - plannedNs));
}
