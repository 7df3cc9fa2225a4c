/** What the other side writes to a stream: handed on in order, each byte once; what came early waits in a ring. */

import { assert } from "../base/mod.ts";
import { type Allowance, FIRST_LEN } from "./allowance.ts";
import { type BufferPool, ByteRing } from "./byte_ring.ts";
import { Ranges } from "./ranges.ts";

// Chosen here.
/** Ranges with gaps before them that one stream may keep: so many, or one for each so many bytes of its window. */
const RANGES_MIN = 64;
const LEN_PER_RANGE = 32;

/** What came of a piece: taken · beyond the limit · against what was said about the end · not kept for now: the
 * sender has to send it again. */
export const TAKEN = { yes: 0, pastLimit: 1, contradiction: 2, notNow: 3 } as const;

export interface ReceiveSink {
  /** `len` bytes at `off` of `bytes`, valid during the call. It may release the half. */
  data(bytes: Uint8Array, off: number, len: number): void;
}

export class ReceiveHalf {
  /** Nothing is handed on while true. */
  held = false;
  /** How far the other side may send, as it was told. */
  limit: number;
  readonly #allowance: Allowance;
  readonly #ring: ByteRing;
  #early: Ranges | undefined;
  /** Handed on up to here · taken by the reader up to here · the other side has written at least up to here. */
  #next = 0;
  #consumed = 0;
  #highest = 0;
  #finalLen = -1;
  #window: number;
  #renewedNs = -Infinity;
  #released = false;

  constructor(pool: BufferPool, allowance: Allowance) {
    this.#ring = new ByteRing(pool);
    this.#allowance = allowance;
    this.#window = allowance.first();
    this.limit = this.#window;
  }

  /** Whether everything has been handed on, the end included. */
  get finished(): boolean {
    return this.#next === this.#finalLen;
  }

  /** Whether the reader has taken everything, too. */
  get done(): boolean {
    return this.finished && this.#consumed === this.#next;
  }

  /** Takes the `len` bytes at `off` of `bytes`, which lie at `offset` of the stream. Returns a TAKEN. */
  take(
    offset: number,
    bytes: Uint8Array,
    off: number,
    len: number,
    last: boolean,
    sink: ReceiveSink,
  ): number {
    const end = offset + len;
    if (end > this.limit) return TAKEN.pastLimit;
    if (this.#contradicts(end, last)) return TAKEN.contradiction;
    if (last) this.#finalLen = end;
    this.#highest = Math.max(this.#highest, end);
    if (len > 0 && end > this.#next && (offset > this.#next || this.held)) {
      if (!this.#keep(offset, bytes, off, len)) return TAKEN.notNow;
    } else if (end > this.#next && offset <= this.#next) {
      const known = this.#next - offset;
      this.#next = end;
      sink.data(bytes, off + known, len - known);
    }
    if (!this.held) this.#handOn(sink);
    return TAKEN.yes;
  }

  /** Ends `held`. */
  begin(sink: ReceiveSink): void {
    this.held = false;
    this.#handOn(sink);
  }

  /** The reader took `count` bytes. True when the other side should be told: `renew`. */
  consume(count: number): boolean {
    assert(count >= 0 && count <= this.#next - this.#consumed, "a reader takes what it was given");
    this.#consumed += count;
    return this.#finalLen < 0 && this.#consumed + this.#window - this.limit >= this.#window / 4;
  }

  /** Raises the limit to what it may be now. The window grows while the reader keeps up, if the sender has used most
   * of it (the reader takes in large steps), or uses it up within two round trips (so it ends at twice what is under
   * way); it falls while the reader lags. */
  renew(nowNs: number, roundTripNs: number): void {
    const waiting = this.#next - this.#consumed;
    if (waiting > this.#window / 2) {
      const least = Math.max(FIRST_LEN, this.limit - this.#consumed);
      this.#window = this.#allowance.lowered(this.#window, least);
    } else if (waiting < this.#window / 4 && this.#isShort(nowNs, roundTripNs)) {
      this.#window = this.#allowance.grown(this.#window);
    }
    this.#renewedNs = nowNs;
    this.limit = Math.max(this.limit, this.#consumed + this.#window);
  }

  #isShort(nowNs: number, roundTripNs: number): boolean {
    return this.limit - this.#highest < this.#window / 2 || nowNs - this.#renewedNs < roundTripNs / 2;
  }

  /** To be called once, at the end of the stream. */
  release(): void {
    this.#released = true;
    this.#early = undefined;
    this.#allowance.end(this.#window);
    this.#ring.release();
  }

  #contradicts(end: number, last: boolean): boolean {
    if (this.#finalLen >= 0) return end > this.#finalLen || (last && end !== this.#finalLen);
    return last && end < this.#highest;
  }

  #keep(offset: number, bytes: Uint8Array, off: number, len: number): boolean {
    const known = Math.max(0, this.#next - offset);
    const start = offset + known;
    const end = offset + len;
    const early = this.#early ??= new Ranges();
    if (early.count >= Math.max(RANGES_MIN, this.#window / LEN_PER_RANGE)) return false;
    const kept = early.empty ? this.#next : early.bounds[early.bounds.length - 1];
    this.#ring.reserve(this.#next, kept, end);
    this.#ring.write(start, bytes, off + known, len - known);
    early.add(start, end);
    return true;
  }

  /** Hands on what was kept and is in order now. */
  #handOn(sink: ReceiveSink): void {
    while (this.#early !== undefined && this.#early.bounds[0] <= this.#next) {
      const end = this.#early.bounds[1];
      this.#early.remove(0, end);
      while (this.#next < end && !this.#released) {
        const { buffer } = this.#ring;
        const at = this.#ring.indexOf(this.#next);
        const len = Math.min(end - this.#next, buffer.length - at);
        this.#next += len;
        sink.data(buffer, at, len);
      }
      if (this.#early?.empty) {
        this.#early = undefined;
        this.#ring.release();
      }
    }
  }
}
