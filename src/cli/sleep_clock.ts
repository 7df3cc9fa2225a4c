/** Tells that the machine has slept, from two clocks of which one stands still then. */

// Chosen here.
/** The one clock is read in steps of 10 ms, and both are read one after the other. */
const SLEEP_MIN_NS = 1e9;

export class SleepClock {
  #aheadNs: number;

  /** `uptimeNs` goes on while the machine sleeps, `nowNs` does not. */
  constructor(uptimeNs: number, nowNs: number) {
    this.#aheadNs = uptimeNs - nowNs;
  }

  /** How long the machine has slept since the last call; 0 for less than a second. */
  sleptNs(uptimeNs: number, nowNs: number): number {
    const aheadNs = uptimeNs - nowNs;
    const sleptNs = aheadNs - this.#aheadNs;
    if (sleptNs < SLEEP_MIN_NS) return 0;
    this.#aheadNs = aheadNs;
    return sleptNs;
  }
}
