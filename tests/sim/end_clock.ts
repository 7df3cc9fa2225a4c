/** One participant's clock and what it has to do by it. A suspended machine does nothing, and its clock (CLOCK_MONOTONIC)
 * stands still; a stalled process does nothing either, and finds its clock far ahead. */

import type { Timeline } from "./virtual_time.ts";

export class EndClock implements Timeline {
  readonly #world: Timeline;
  /** How much of the world's time this clock has missed. */
  #behindNs = 0;
  /** In the world's time. */
  #awakeAtNs = 0;
  #suspendedUntilNs = 0;
  /** A difference of times may come out a hair below what it was to be: nobody is called before his time. */
  #reachedNs = 0;

  constructor(world: Timeline) {
    this.#world = world;
  }

  nowNs(): number {
    return Math.max(this.#reachedNs, this.#world.nowNs() - this.#behindNs);
  }

  /** As the machine's own clock of the day, which goes on. */
  wallBaseNs(): number {
    return this.#world.wallBaseNs() + this.#behindNs;
  }

  get isSuspended(): boolean {
    return this.#world.nowNs() < this.#suspendedUntilNs;
  }

  /** How much longer nothing runs here, of the world's time. */
  get asleepNs(): number {
    return Math.max(0, this.#awakeAtNs - this.#world.nowNs());
  }

  /** Runs `action` when this clock says `timeNs`, or later if nothing can run then. */
  at(timeNs: number, action: () => void): void {
    this.#world.at(this.#dueNs(timeNs), () => {
      if (this.#world.nowNs() < this.#dueNs(timeNs)) return this.at(timeNs, action); // it has slept since
      this.#reachedNs = Math.max(this.#reachedNs, timeNs);
      action();
    });
  }

  after(delayNs: number, action: () => void): void {
    this.at(this.nowNs() + delayNs, action);
  }

  /** The machine sleeps for so long, from now on; one that sleeps already, till the later of both times. */
  suspend(ns: number): void {
    this.stall(ns);
    const nowNs = this.#world.nowNs();
    const untilNs = Math.max(this.#suspendedUntilNs, nowNs + ns);
    this.#behindNs += untilNs - Math.max(this.#suspendedUntilNs, nowNs);
    this.#suspendedUntilNs = untilNs;
  }

  /** The process does not get a CPU for so long, from now on. */
  stall(ns: number): void {
    this.#awakeAtNs = Math.max(this.#awakeAtNs, this.#world.nowNs() + ns);
  }

  /** In the world's time. */
  #dueNs(timeNs: number): number {
    return Math.max(timeNs + this.#behindNs, this.#awakeAtNs);
  }
}
