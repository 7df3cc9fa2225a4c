/** What precision to expect of each poll mode, from how late this machine wakes a thread. Pure. */

import type { WakeUps } from "./ports.ts";

// What the pacer does (c/pacer.c): the lead is the P99.9 of wake-ups, at most 300 µs and 30 % of the interval.
const LEAD_MAX_NS = 300e3;
const LEAD_SHARE = 0.3;

export interface Expectation {
  readonly mode: "sleepy" | "hybrid" | "spinny";
  readonly text: string;
}

const us = (ns: number) => `${(ns / 1e3).toFixed(ns < 10e3 ? 1 : 0)} µs`;

/** For slots of `intervalNs`. */
export function expectations(wakes: WakeUps, intervalNs: number): Expectation[] {
  const leadNs = Math.min(wakes.p999Ns, LEAD_MAX_NS, LEAD_SHARE * intervalNs);
  const covered = wakes.p999Ns <= leadNs
    ? "fewer than 1 slot in 1,000 later than a microsecond"
    : wakes.p99Ns <= leadNs
    ? "fewer than 1 slot in 100 later than a microsecond"
    : "slots later than a microsecond are common: wake-ups take longer than the lead may be";
  const cost = (100 * Math.max(0, leadNs - wakes.p50Ns) / intervalNs).toFixed(0);
  return [
    {
      mode: "sleepy",
      text: `slots late by ${us(wakes.p50Ns)} (P50), ${us(wakes.p99Ns)} (P99); next to no CPU`,
    },
    { mode: "hybrid", text: `${covered}; spins ${cost} % of a CPU (lead ${us(leadNs)})` },
    {
      mode: "spinny",
      text:
        "as hybrid or better, for nearly all of a CPU, always: on a VPS that is shared this may break fair use",
    },
  ];
}
