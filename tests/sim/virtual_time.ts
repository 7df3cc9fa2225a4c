/** A clock that moves only by events: what is due first runs first, and of two at one moment the one asked for first. */

import type { Clock } from "../../src/ports/mod.ts";

/** What acts by a clock: the world's, or that of one participant. */
export interface Timeline extends Clock {
  /** Runs `action` when the clock says `timeNs`, or as soon as possible when that is past. */
  at(timeNs: number, action: () => void): void;
}

interface Event {
  readonly timeNs: number;
  readonly order: number;
  readonly action: () => void;
}

export class VirtualTime implements Timeline {
  #nowNs = 0;
  #order = 0;
  readonly #heap: Event[] = [];

  nowNs(): number {
    return this.#nowNs;
  }

  /** 2026-01-01T00:00:00Z. */
  wallBaseNs(): number {
    return 1_767_225_600e9;
  }

  /** Time of the next event, Infinity if there is none. */
  get nextNs(): number {
    return this.#heap.length === 0 ? Infinity : this.#heap[0].timeNs;
  }

  at(timeNs: number, action: () => void): void {
    if (Number.isNaN(timeNs)) throw new RangeError("An event needs a time");
    this.#heap.push({ timeNs: Math.max(timeNs, this.#nowNs), order: this.#order++, action });
    this.#up(this.#heap.length - 1);
  }

  after(delayNs: number, action: () => void): void {
    this.at(this.#nowNs + delayNs, action);
  }

  /** Runs the next event; false if there is none. */
  step(): boolean {
    const [event] = this.#heap;
    if (event === undefined) return false;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#down(0);
    }
    this.#nowNs = event.timeNs;
    event.action();
    return true;
  }

  /** Runs all events up to and including `timeNs`, and leaves the clock there. */
  runUntil(timeNs: number): void {
    while (this.nextNs <= timeNs) this.step();
    this.#nowNs = Math.max(this.#nowNs, timeNs);
  }

  #before(a: number, b: number): boolean {
    const [x, y] = [this.#heap[a], this.#heap[b]];
    return x.timeNs < y.timeNs || (x.timeNs === y.timeNs && x.order < y.order);
  }

  #swap(a: number, b: number): void {
    [this.#heap[a], this.#heap[b]] = [this.#heap[b], this.#heap[a]];
  }

  #up(at: number): void {
    for (
      let parent = (at - 1) >> 1;
      at > 0 && this.#before(at, parent);
      at = parent, parent = (at - 1) >> 1
    ) {
      this.#swap(at, parent);
    }
  }

  #down(at: number): void {
    for (;;) {
      let first = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#heap.length && this.#before(child, first)) first = child;
      }
      if (first === at) return;
      this.#swap(at, first);
      at = first;
    }
  }
}
