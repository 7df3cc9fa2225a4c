/** Which packets have come, and when the other side is to be told: RFC 9000 §13.2. */

import { assert } from "../base/mod.ts";
import { ACK_HEAD_LEN, ACK_RANGE_LEN, ACK_RANGES_MAX, emitAck } from "../wire/stream_frames.ts";
import { Ranges } from "./ranges.ts";

// Chosen here.
/** An ack is due after so many packets that ask for one, or so long after the first. */
const ACK_EVERY = 8;
export const ACK_DELAY_NS = 2e6;
/** Ranges that are remembered, and told, at most: each is told so often that older ones are known. */
const RANGES_MAX = 32;
assert(RANGES_MAX <= ACK_RANGES_MAX, "an ack holds all that is remembered");

export class ReceivedPackets {
  readonly #ranges = new Ranges();
  /** Everything below is taken for known. */
  #floor = 0;
  #largestNs = 0;
  /** Packets that ask for an ack and have had none. */
  #asking = 0;
  #askedNs = 0;
  #urgent = false;

  /** Whether the packet is new. One that is too old to tell is not: its sender has given it up. */
  isNew(number: number): boolean {
    return number >= this.#floor && !this.#ranges.has(number);
  }

  /** All of the packet has been taken in. */
  mark(number: number, asksForAck: boolean, nowNs: number): void {
    const { bounds } = this.#ranges;
    const expected = bounds.length === 0 ? number : bounds[bounds.length - 1];
    if (number >= expected) this.#largestNs = nowNs;
    this.#ranges.add(number, number + 1);
    if (this.#ranges.count > RANGES_MAX) {
      this.#ranges.keepNewest(RANGES_MAX);
      this.#floor = bounds[0];
    }
    if (!asksForAck) return;
    if (this.#asking++ === 0) this.#askedNs = nowNs;
    if (number !== expected) this.#urgent = true; // a gap: the sender should know early (RFC 9000 §13.2.1)
  }

  ackDue(nowNs: number): boolean {
    return this.#urgent || this.#asking >= ACK_EVERY || nowNs >= this.deadlineNs;
  }

  /** When an ack is due at the latest. */
  get deadlineNs(): number {
    if (this.#asking === 0) return Infinity;
    return this.#urgent || this.#asking >= ACK_EVERY ? 0 : this.#askedNs + ACK_DELAY_NS;
  }

  /** Writes an ack into the `room` bytes at `off`; returns its length, 0 when it does not fit. */
  emit(bytes: Uint8Array, off: number, room: number, nowNs: number): number {
    const more = Math.floor((room - ACK_HEAD_LEN) / ACK_RANGE_LEN);
    if (more < 0) return 0;
    this.#asking = 0;
    this.#urgent = false;
    return emitAck(bytes, off, nowNs - this.#largestNs, this.#ranges.bounds, Math.min(RANGES_MAX, 1 + more));
  }

  /** The other side has begun anew. */
  clear(): void {
    this.#ranges.clear();
    this.#floor = 0;
    this.#asking = 0;
    this.#urgent = false;
  }
}
