/** What one side writes to a stream: bytes from the oldest not acknowledged to the newest written, what of them is on
 * its way, lost or acknowledged, and the writer's credit. */

import { type Allowance, FIRST_LEN } from "./allowance.ts";
import { type BufferPool, ByteRing } from "./byte_ring.ts";
import { Ranges } from "./ranges.ts";

export class SendHalf {
  /** How far the other side lets us send. */
  limit = 0;
  /** What `choose` chose. */
  offset = 0;
  len = 0;
  last = false;
  readonly #allowance: Allowance;
  readonly #ring: ByteRing;
  /** Acknowledged without a gap up to here · never sent from here on · written up to here. */
  #base = 0;
  #next = 0;
  #end = 0;
  #finished = false;
  #lastSent = false;
  #lastAcked = false;
  #lost: Ranges | undefined;
  #acked: Ranges | undefined;
  /** Promised to the writer: held bytes + what it may write + what is owed to it. */
  #credit: number;
  #free: number;
  #owed = 0;
  /** The writer has used most of its credit since it last got some. */
  #pressed = false;
  /** All that was written had left, since the credit last changed. */
  #ranDry = false;

  constructor(pool: BufferPool, allowance: Allowance) {
    this.#ring = new ByteRing(pool);
    this.#allowance = allowance;
    this.#credit = allowance.first();
    this.#free = this.#credit;
  }

  /** What the writer may write now. */
  get free(): number {
    return this.#free;
  }

  /** Bytes written and not yet acknowledged. */
  get held(): number {
    return this.#end - this.#base;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** All is acknowledged, the end included. */
  get done(): boolean {
    return this.#lastAcked && this.#base === this.#end;
  }

  /** Whether `choose` would find something. */
  get pending(): boolean {
    return this.#lost !== undefined || this.#next < Math.min(this.#end, this.limit) || this.#lastPending;
  }

  get #lastPending(): boolean {
    return this.#finished && !this.#lastSent && this.#next === this.#end;
  }

  /** False, and nothing is written, beyond the credit or after the end. */
  write(bytes: Uint8Array, off: number, len: number): boolean {
    if (len > this.#free || this.#finished) return false;
    this.#ring.reserve(this.#base, this.#end, this.#end + len);
    if (len > 0) this.#ring.write(this.#end, bytes, off, len);
    this.#end += len;
    this.#free -= len;
    this.#pressed ||= this.#free < this.#credit / 4;
    return true;
  }

  finish(): void {
    this.#finished = true;
  }

  /** Chooses the next bytes to send, at most `lenMax`: `offset`, `len`, and whether they are the `last`. What was lost
   * goes first. False: there is nothing. */
  choose(lenMax: number): boolean {
    if (this.#lost !== undefined) {
      this.offset = this.#lost.bounds[0];
      this.len = Math.min(lenMax, this.#lost.bounds[1] - this.offset);
    } else {
      this.offset = this.#next;
      this.len = Math.max(0, Math.min(lenMax, Math.min(this.#end, this.limit) - this.#next));
    }
    this.last = this.#finished && this.offset + this.len === this.#end;
    return this.len > 0 || (this.last && this.#lastPending);
  }

  /** What was chosen is on its way: copies its bytes to `outOff`. */
  take(out: Uint8Array, outOff: number): void {
    const end = this.offset + this.len;
    if (this.len > 0) this.#ring.read(this.offset, out, outOff, this.len);
    this.#forget(this.offset, end);
    this.#next = Math.max(this.#next, end);
    this.#ranDry ||= this.#next === this.#end;
    if (this.last) this.#lastSent = true;
  }

  acked(offset: number, len: number, last: boolean): void {
    if (last) this.#lastAcked = true;
    const end = offset + len;
    this.#forget(offset, end);
    if (offset > this.#base) {
      (this.#acked ??= new Ranges()).add(offset, end);
      return;
    }
    let base = Math.max(this.#base, end);
    if (this.#acked !== undefined && this.#acked.bounds[0] <= base) {
      base = Math.max(base, this.#acked.bounds[1]);
      this.#acked.remove(0, base);
      if (this.#acked.empty) this.#acked = undefined;
    }
    this.#owed += base - this.#base;
    this.#base = base;
    if (this.held === 0) this.#ring.release();
  }

  lost(offset: number, len: number, last: boolean): void {
    if (last && !this.#lastAcked) this.#lastSent = false;
    const start = Math.max(offset, this.#base);
    const end = offset + len;
    if (start >= end) return;
    const lost = this.#lost ??= new Ranges();
    lost.add(start, end);
    const acked = this.#acked?.bounds ?? [];
    for (let i = 0; i < acked.length && acked[i] < end; i += 2) lost.remove(acked[i], acked[i + 1]);
    if (lost.empty) this.#lost = undefined;
  }

  /** What the writer gets back now for what was acknowledged: in amounts worth a message. The credit grows when the
   * writer uses it up and yet too little waits here to keep the tunnel busy; it falls when the stream runs dry. */
  giveBack(): number {
    if (this.#finished || this.#owed === 0) return 0;
    if (this.#pressed && (this.#ranDry || this.#end - this.#next < this.#credit / 4)) {
      this.#change(this.#allowance.grown(this.#credit));
      this.#ranDry = false;
    } else if (!this.#pressed && this.held === 0) {
      this.#change(this.#allowance.lowered(this.#credit, this.#leastCredit()));
    }
    if (this.#owed < this.#credit / 4 && this.held > 0) return 0;
    const given = this.#owed;
    this.#free += given;
    this.#owed = 0;
    this.#pressed = false;
    return given;
  }

  /** To be called once, at the end of the stream. */
  release(): void {
    this.#allowance.end(this.#credit);
    this.#ring.release();
  }

  /** What was promised cannot be taken back; only what is owed can be kept. */
  #leastCredit(): number {
    return Math.max(FIRST_LEN, this.#credit - this.#owed);
  }

  #change(credit: number): void {
    this.#owed += credit - this.#credit;
    this.#credit = credit;
  }

  #forget(start: number, end: number): void {
    this.#lost?.remove(start, end);
    if (this.#lost?.empty) this.#lost = undefined;
  }
}
