/** Log lines of events that others can cause at will: a few of each kind, then a count. */

import { assert } from "../base/mod.ts";
import type { Log, LogFields, LogLevel } from "./log.ts";

// Chosen here.
const KINDS_MAX = 256;

export interface LimitedLogOptions {
  /** Lines of one kind in `periodMs`. */
  readonly linesMax: number;
  readonly periodMs: number;
  readonly nowMs: () => number;
}

interface KindState {
  startMs: number;
  lines: number;
  suppressed: number;
}

export class LimitedLog {
  readonly #log: Log;
  readonly #options: LimitedLogOptions;
  readonly #kinds = new Map<string, KindState>();

  constructor(
    log: Log,
    options: LimitedLogOptions = { linesMax: 5, periodMs: 60_000, nowMs: Date.now },
  ) {
    this.#log = log;
    this.#options = options;
  }

  /** Writes the line, or counts it when its kind has had its share. The first line after that says how many were
   * left out. `kind` is a name from the program's text, never from a peer: there are at most 256. */
  log(level: LogLevel, kind: string, message: string, fields: LogFields = {}): void {
    const state = this.#state(kind);
    if (state.lines >= this.#options.linesMax) {
      state.suppressed++;
      return;
    }
    state.lines++;
    const suppressed = state.suppressed === 0 ? undefined : state.suppressed;
    state.suppressed = 0;
    this.#log.log(level, message, suppressed === undefined ? fields : { ...fields, left_out: suppressed });
  }

  #state(kind: string): KindState {
    const nowMs = this.#options.nowMs();
    let state = this.#kinds.get(kind);
    if (state === undefined) {
      assert(this.#kinds.size < KINDS_MAX, "kinds of limited log lines come from the program's text");
      state = { startMs: nowMs, lines: 0, suppressed: 0 };
      this.#kinds.set(kind, state);
    }
    // A clock that is set back starts a new period, so that it cannot silence a kind.
    if (nowMs - state.startMs >= this.#options.periodMs || nowMs < state.startMs) {
      state.startMs = nowMs;
      state.lines = 0;
    }
    return state;
  }
}
