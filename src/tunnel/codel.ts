/** When to drop for delay: CoDel, RFC 8289 §5, with marks in place of drops where a packet takes them (RFC 8290 §4.2.1 and
 * RFC 3168). It looks at how long packets have waited, never at how many there are. */

/** The line that is served, and what was taken from it last. */
export interface CodelLine {
  /** Bytes that are left in it. */
  readonly bytes: number;
  /** Takes the oldest packet off; false when there is none. */
  take(): boolean;
  /** When that came in. */
  readonly takenNs: number;
  /** Marks that as having met congestion; false when it cannot be. */
  mark(): boolean;
  drop(): void;
}

export interface CodelParameters {
  /** Waiting that is fine. */
  readonly targetNs: number;
  /** How long it may be more before something is done: about a round trip, the longest usual one. */
  readonly intervalNs: number;
  /** A line with no more bytes than this loses nothing: a packet on its way is no queue. */
  readonly bytesMin: number;
}

/** A drop soon after the last ones goes on where they were, within so many intervals (RFC 8289 §5.4). */
const MEMORY_INTERVALS = 16;

export class Codel {
  /** When waiting will have been too long for an interval; 0: it is not. */
  #firstAboveNs = 0;
  #dropNextNs = 0;
  #isDropping = false;
  #count = 0;
  #lastCount = 0;

  /** Takes the next packet that is to leave off `line`, after those that are dropped; false when there is none. A line
   * that has packets has one that leaves. */
  next(line: CodelLine, nowNs: number, parameters: CodelParameters): boolean {
    let has = line.take();
    let isLong = has && this.#isLong(line, nowNs, parameters);
    if (!has) this.#firstAboveNs = 0;
    if (!isLong) {
      this.#isDropping = false;
      return has;
    }
    if (!this.#isDropping) {
      if (!line.mark()) {
        line.drop();
        has = line.take();
        if (has) this.#isLong(line, nowNs, parameters);
      }
      this.#begin(nowNs, parameters.intervalNs);
      return has;
    }
    while (this.#isDropping && nowNs >= this.#dropNextNs) {
      this.#count++;
      this.#dropNextNs += parameters.intervalNs / Math.sqrt(this.#count);
      if (line.mark()) return true;
      line.drop();
      has = line.take();
      isLong = has && this.#isLong(line, nowNs, parameters);
      if (!isLong) this.#isDropping = false;
    }
    return has;
  }

  /** Of a line that is begun anew. */
  reset(): void {
    this.#firstAboveNs =
      this.#dropNextNs =
      this.#count =
      this.#lastCount =
        0;
    this.#isDropping = false;
  }

  /** Whether packets have waited for more than the target throughout an interval. */
  #isLong(line: CodelLine, nowNs: number, { targetNs, intervalNs, bytesMin }: CodelParameters): boolean {
    if (nowNs - line.takenNs < targetNs || line.bytes <= bytesMin) {
      this.#firstAboveNs = 0;
      return false;
    }
    if (this.#firstAboveNs === 0) {
      this.#firstAboveNs = nowNs + intervalNs;
      return false;
    }
    return nowNs >= this.#firstAboveNs;
  }

  #begin(nowNs: number, intervalNs: number): void {
    this.#isDropping = true;
    const delta = this.#count - this.#lastCount;
    const isSoon = nowNs - this.#dropNextNs < MEMORY_INTERVALS * intervalNs;
    this.#count = delta > 1 && isSoon ? delta : 1;
    this.#lastCount = this.#count;
    this.#dropNextNs = nowNs + intervalNs / Math.sqrt(this.#count);
  }
}
