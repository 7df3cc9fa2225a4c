/** Sessions made of nothing but a seed, with a known difference between idle and busy ones. */

import { SeededRandom } from "../../../src/base/random.ts";
import { jitterShift } from "../../../src/schedule/jitter.ts";
import {
  type AuditSession,
  auditSession,
  type LoadClass,
  type SlotPair,
} from "../../../src/audit/session.ts";

export const INTERVAL_NS = 1e6;

export function seeded(seed: number): () => number {
  const random = new SeededRandom(new Uint8Array(32).fill(seed));
  return () => random.unit();
}

export interface Synthetic {
  readonly load: LoadClass;
  readonly packets?: number;
  readonly noiseSdNs?: number;
  readonly jitterSdNs?: number;
  /** Added to each slot; to those with data. */
  readonly shiftNs?: number;
  readonly dataShiftNs?: number;
  readonly skewPpm?: number;
  /** Added to the send call of each slot with data, and so to what is seen. */
  readonly callShiftNs?: number;
  /** Packets of a slot, some 600 ns apart; added to that for slots with data. */
  readonly burst?: number;
  readonly gapShiftNs?: number;
  /** Share of slots that are skipped. */
  readonly skipRatio?: number;
}

/** `count` sessions one after the other on one grid. */
export function syntheticSessions(count: number, options: Synthetic, random: () => number): AuditSession[] {
  const { packets = 200 } = options;
  return Array.from({ length: count }, (_, index) => {
    const pairs: SlotPair[] = [];
    let skipped = 0;
    for (let slot = 0; slot < packets; slot++) {
      if (random() < (options.skipRatio ?? 0)) skipped++;
      else pairs.push(pairOf(index * packets + slot, slot, options, random));
    }
    return auditSession(options.load, pairs, skipped, { intervalNs: INTERVAL_NS, delayNs: 0 });
  });
}

function pairOf(slot: number, within: number, options: Synthetic, random: () => number): SlotPair {
  const { noiseSdNs = 2000, jitterSdNs = 0, shiftNs = 0, dataShiftNs = 0, skewPpm = 0, callShiftNs = 0 } =
    options;
  const hasData = options.load !== "idle" && random() < 0.5;
  const plannedNs = slot * INTERVAL_NS + jitterSdNs * jitterShift("gaussian", random());
  const calledNs = plannedNs + 10 + 10 * random() + (hasData ? callShiftNs : 0) +
    within * INTERVAL_NS * skewPpm * 1e-6;
  const lateNs = noiseSdNs * jitterShift("gaussian", random()) + shiftNs + (hasData ? dataShiftNs : 0);
  const gapNs = () => 600 + 50 * random() + (hasData ? options.gapShiftNs ?? 0 : 0);
  const gapsNs = Array.from({ length: (options.burst ?? 1) - 1 }, gapNs);
  return {
    plannedNs,
    calledNs,
    seenNs: calledNs + lateNs,
    hasData,
    ...(gapsNs.length > 0 ? { gapsNs } : {}),
  };
}
