/** A rate for each of very many, in a table of fixed size. Each has two cells and is refused only when both are used up,
 * so that hardly anybody shares a fate with somebody else. */

import { assert } from "../base/mod.ts";

/** Each may take `burst` at once and `perSecond` ever after. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export class RateTable {
  /** When a cell's burst is whole again, ns: later than now by what has been taken (the algorithm GCRA of ATM). */
  readonly #wholeAtNs: Float64Array;
  readonly #costNs: number;
  readonly #depthNs: number;
  readonly #bits: number;

  /** 2^`bits` cells, 8 bytes each; at most 16 bits, since each takes two parts of a hash. */
  constructor(bits: number, rate: Rate) {
    assert(bits >= 1 && bits <= 16, "a hash holds two cells");
    this.#bits = bits;
    this.#wholeAtNs = new Float64Array(2 ** bits);
    this.#costNs = 1e9 / rate.perSecond;
    this.#depthNs = rate.burst * this.#costNs;
  }

  /** Takes one for `hash`; false, and nothing is taken, when the rate is used up. */
  take(hash: number, nowNs: number): boolean {
    const cells = this.#wholeAtNs;
    const first = hash & (cells.length - 1);
    const second = hash >>> this.#bits & (cells.length - 1);
    const wholeAtNs = Math.max(nowNs, Math.min(cells[first], cells[second])) + this.#costNs;
    if (wholeAtNs - nowNs > this.#depthNs) return false;
    cells[first] = Math.max(cells[first], wholeAtNs);
    cells[second] = Math.max(cells[second], wholeAtNs);
    return true;
  }
}
