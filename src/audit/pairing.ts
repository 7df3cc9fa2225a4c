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
  /** Skipped since a stream's socket had no room. */
  readonly socketFull?: boolean;
}

export interface Pairing {
  readonly pairs: readonly SlotPair[];
  /** Planned times of the slots that were not sent. */
  readonly skippedNs: Float64Array;
  /** Slots that were sent and not seen, packets that no slot explains. */
  readonly missing: number;
  readonly unscheduled: number;
  /** Of the slots that were not sent, those that could have been. */
  readonly needless: number;
}

/** The path keeps the order. Each slot has a window, from its sending to the next one's (less `toleranceNs`, by which the
 * clocks may differ). Where every window holds one packet, that is the slot's. A packet may be stamped late and fall into
 * a later window: where as many packets as slots came in a run of windows, they belong together in order. A run that is
 * not balanced after RUN_MAX slots has lost some, and more packets than slots were not scheduled.
 * `packetsNs`, in order, on the sender's clock; `slots` in order, of `burst` packets each: a slot's window then holds as
 * many. Both may reach further than the other at either end: judged is what both cover. */
export function pairPackets(
  packetsNs: readonly number[],
  slots: readonly PlannedSlot[],
  toleranceNs: number,
  burst = 1,
): Pairing {
  const sent = slots.filter((slot) => !slot.skipped && !slot.refused);
  const first = firstCovered(packetsNs, sent, toleranceNs, burst);
  const lastNs = packetsNs[packetsNs.length - 1] + toleranceNs;
  const runs = new Runs(burst);
  let next = first < 0 ? 0 : packetsNs.findIndex((time) => time >= sent[first].actualNs - toleranceNs);
  let i = Math.max(0, first);
  // The last slot of the trace has no window: what comes after it may be of slots that are not in it.
  for (; first >= 0 && i + 1 < sent.length && sent[i].actualNs <= lastNs; i++) {
    const from = next;
    while (next < packetsNs.length && packetsNs[next] < sent[i + 1].actualNs - toleranceNs) next++;
    runs.add(sent[i], packetsNs.slice(from, next), next === packetsNs.length);
  }
  const { pairs, missing, unscheduled } = runs.end();
  const [fromNs, toNs] = first < 0 || i === first ? [0, -1] : [sent[first].actualNs, sent[i - 1].actualNs];
  // What the kernel refused is a hole in the train as well.
  const skipped = slots.filter((slot) =>
    (slot.skipped || slot.refused) && slot.plannedNs >= fromNs && slot.plannedNs <= toNs
  );
  return {
    pairs,
    skippedNs: Float64Array.from(skipped, ({ plannedNs }) => plannedNs),
    missing,
    unscheduled,
    needless: needlessCount(slots.filter(({ plannedNs }) => plannedNs >= fromNs && plannedNs <= toNs)),
  };
}

/** A slot may be skipped only when the next one's time has come, and then that one, frozen after its time, is late by what
 * sealing takes at least. A slot before one that was in time, and one that the kernel refused, was left out for another
 * reason. */
function needlessCount(slots: readonly PlannedSlot[]): number {
  let count = 0;
  let isNextInTime = false;
  for (const slot of slots.toReversed()) {
    if (slot.refused || (slot.skipped && slot.socketFull !== true && isNextInTime)) count++;
    if (!slot.skipped) isNextInTime = !slot.refused && slot.actualNs - slot.plannedNs < IN_TIME_NS;
  }
  return count;
}

/** The slot of the first packet is the last one that was sent before it, and the one after that when a part of its burst
 * may be cut off; -1 when nothing is covered by both. */
function firstCovered(
  packetsNs: readonly number[],
  sent: readonly PlannedSlot[],
  toleranceNs: number,
  burst: number,
): number {
  if (packetsNs.length === 0 || sent.length === 0) return -1;
  const reached = sent.findIndex(({ actualNs }) => actualNs > packetsNs[0] + toleranceNs);
  if (reached < 0) return -1;
  const isCovered = packetsNs[packetsNs.length - 1] >= sent[0].actualNs - toleranceNs;
  return isCovered ? Math.max(0, burst === 1 ? reached - 1 : reached) : -1;
}

const RUN_MAX = 64;
/** Less than it takes from skipping a slot to sending the next one, sealing included. */
const IN_TIME_NS = 100;

/** Slots and the packets of their windows, until they balance. */
class Runs {
  readonly pairs: SlotPair[] = [];
  missing = 0;
  unscheduled = 0;
  #slots: PlannedSlot[] = [];
  #packets: number[][] = [];
  #owed = 0;
  readonly #burst: number;

  constructor(burst: number) {
    this.#burst = burst;
  }

  /** `isLast`: no packet comes after these. */
  add(slot: PlannedSlot, packets: number[], isLast: boolean): void {
    this.#slots.push(slot);
    this.#packets.push(packets);
    this.#owed += this.#burst - packets.length;
    if (this.#owed === 0) this.#pairInOrder();
    else if (this.#owed < 0 || this.#slots.length >= RUN_MAX) this.#pairByTime();
    else if (isLast) this.#clear(); // whether these were seen later, nobody knows
  }

  end(): this {
    this.#pairByTime();
    return this;
  }

  #pairInOrder(): void {
    const times = this.#packets.flat();
    this.#slots.forEach((slot, i) =>
      this.pairs.push(pairOf(slot, times.slice(i * this.#burst, (i + 1) * this.#burst)))
    );
    this.#clear();
  }

  #pairByTime(): void {
    this.#slots.forEach((slot, i) => {
      const packets = this.#packets[i];
      if (packets.length > 0) this.pairs.push(pairOf(slot, packets.slice(0, this.#burst)));
      this.missing += Math.max(0, this.#burst - packets.length);
      this.unscheduled += Math.max(0, packets.length - this.#burst);
    });
    this.#clear();
  }

  #clear(): void {
    this.#slots = [];
    this.#packets = [];
    this.#owed = 0;
  }
}

/** `times`: one or more, in order. */
function pairOf({ plannedNs, actualNs, dataRecords }: PlannedSlot, times: readonly number[]): SlotPair {
  const pair = { plannedNs, seenNs: times[0], calledNs: actualNs, hasData: dataRecords > 0 };
  return times.length === 1 ? pair : { ...pair, gapsNs: times.slice(1).map((time, i) => time - times[i]) };
}

/** The path's delay and what the clocks differ by: the middle of seen − planned. */
export function pathDelayNs(pairs: readonly SlotPair[]): number {
  return median(pairs.map(({ seenNs, plannedNs }) => seenNs - plannedNs));
}
