/** Whether the two sides know each other. Each side has an instance, random, as long as its streams live. What comes
 * in a session counts only after a hello of that session from a side that knows this one, or nobody: so streams go on
 * over a new session, and what belonged to a side that has started anew is never mixed with what is new. */

import { assert } from "../base/mod.ts";
import { INSTANCE_LEN } from "../wire/stream_frames.ts";

export class Greeting {
  /** The other side's instance; zeros: not known. */
  readonly known: Uint8Array = new Uint8Array(INSTANCE_LEN);
  /** What comes without a hello counts. */
  open = false;
  /** Whether what comes with the hello just heard counts: not if it was meant for an earlier instance of this side. */
  counts = false;
  /** A hello should be sent, even if there is nothing else. */
  due = false;
  /** The other side has acknowledged what the hello says now. */
  acked = false;
  /** Counts what a hello has said. */
  version = 0;
  #own: Uint8Array;

  /** `instance`: INSTANCE_LEN random bytes. */
  constructor(instance: Uint8Array) {
    this.#own = checked(instance);
  }

  get own(): Uint8Array {
    return this.#own;
  }

  /** This side begins anew, and knows nobody. */
  rename(instance: Uint8Array): void {
    this.#own = checked(instance);
    this.known.fill(0);
    this.renew();
  }

  /** The session is a new one. */
  renew(): void {
    this.open = false;
    this.#changed();
  }

  hasAcked(version: number): void {
    if (version === this.version) this.acked = true;
  }

  hasLost(version: number): void {
    if (version === this.version && !this.acked) this.due = true;
  }

  /** Reads both instances of a hello at `off`. True when the other side is another one than before: what was shared
   * with that is over. */
  heard(bytes: Uint8Array, off: number): boolean {
    const same = isEqual(this.known, bytes, off);
    const knewOne = !isZero(this.known, 0);
    if (!same) {
      this.known.set(bytes.subarray(off, off + INSTANCE_LEN));
      this.#changed();
    }
    const toOwn = off + INSTANCE_LEN;
    this.counts = isEqual(this.#own, bytes, toOwn) || isZero(bytes, toOwn);
    this.open = this.counts || (same && this.open); // an older hello may come late
    return !same && knewOne;
  }

  #changed(): void {
    this.version++;
    this.acked = false;
    this.due = true;
  }
}

function checked(instance: Uint8Array): Uint8Array {
  assert(instance.length === INSTANCE_LEN && !isZero(instance, 0), "an instance is random");
  return instance.slice();
}

function isEqual(instance: Uint8Array, bytes: Uint8Array, off: number): boolean {
  return instance.every((byte, index) => byte === bytes[off + index]);
}

function isZero(bytes: Uint8Array, off: number): boolean {
  for (let i = 0; i < INSTANCE_LEN; i++) if (bytes[off + i] !== 0) return false;
  return true;
}
