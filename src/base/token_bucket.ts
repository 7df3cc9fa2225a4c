/** A rate with a burst of one second. */
export class TokenBucket {
  readonly #perSecond: number;
  #tokens: number;
  #atNs = 0;

  constructor(perSecond: number) {
    this.#perSecond = this.#tokens = perSecond;
  }

  /** Whether one more is allowed now; a clock that goes back gives nothing. */
  take(nowNs: number): boolean {
    const added = Math.max(0, nowNs - this.#atNs) / 1e9 * this.#perSecond;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + added);
    this.#atNs = Math.max(this.#atNs, nowNs);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
