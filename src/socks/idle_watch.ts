/** Calls `onIdle` once, when `touch` has not been called for `idleMs`. */

import type { Timers } from "../ports/sockets.ts";

export class IdleWatch {
  readonly #timers: Timers;
  readonly #idleMs: number;
  readonly #onIdle: () => void;
  #activeMs: number;
  #callOff = () => {};

  constructor(timers: Timers, idleMs: number, onIdle: () => void) {
    this.#timers = timers;
    this.#idleMs = idleMs;
    this.#onIdle = onIdle;
    this.#activeMs = timers.nowMs();
    this.#arm(idleMs);
  }

  /** Cheap: the timer looks only when it runs out. */
  touch(): void {
    this.#activeMs = this.#timers.nowMs();
  }

  stop(): void {
    this.#callOff();
  }

  #arm(ms: number): void {
    this.#callOff = this.#timers.after(ms, () => {
      const leftMs = this.#activeMs + this.#idleMs - this.#timers.nowMs();
      if (leftMs > 0) this.#arm(leftMs);
      else this.#onIdle();
    });
  }
}
