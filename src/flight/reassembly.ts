/** Handshake messages out of fragments, in order: RFC 9147 §5.5. Fragments may come in any order, overlap and repeat. */

import { assert } from "../base/mod.ts";
import type { HandshakeHeader } from "../wire/handshake_header.ts";

// Chosen here.
/** Longer than any message that is spoken here. */
export const MESSAGE_LEN_MAX = 8192;
/** Messages kept beyond the one that is next. */
const AHEAD_MAX = 4;

interface Slot {
  readonly epoch: number;
  readonly type: number;
  readonly body: Uint8Array;
  /** 1 for each byte that is there. */
  readonly have: Uint8Array;
  missing: number;
}

export interface ReassembledMessage {
  readonly epoch: number;
  readonly type: number;
  readonly body: Uint8Array;
}

/** What became of a fragment. `old`: of a message that was handled before, so its sender repeats itself. */
export type FragmentFate = "kept" | "old" | "dropped";

/** Holds at most AHEAD_MAX + 1 messages of MESSAGE_LEN_MAX bytes; of what comes in the clear only the next one. */
export class Reassembly {
  readonly #slots = new Map<number, Slot>();
  #next: number;
  #protected = false;

  /** `next`: message_seq of the first message wanted. */
  constructor(next: number) {
    this.#next = next;
  }

  /** message_seq of the message that is wanted. */
  get next(): number {
    return this.#next;
  }

  /** Bytes held. */
  get heldLen(): number {
    let len = 0;
    for (const { body, have } of this.#slots.values()) len += body.length + have.length;
    return len;
  }

  /** From now on nothing that came in the clear counts. */
  protect(): void {
    this.#protected = true;
    this.#slots.clear();
  }

  /** `fragment` holds `header.fragmentLen` bytes, copied. `epoch` is that of its record, which is authentic unless 0. */
  add(header: HandshakeHeader, fragment: Uint8Array, epoch: number): FragmentFate {
    assert(fragment.length === header.fragmentLen, "a fragment is as long as its header says");
    const { messageSeq } = header;
    if (messageSeq < this.#next) return "old";
    if (epoch === 0 ? this.#protected || messageSeq > this.#next : messageSeq > this.#next + AHEAD_MAX) {
      return "dropped";
    }
    if (header.len > MESSAGE_LEN_MAX) return "dropped";
    const slot = this.#slotFor(header, epoch);
    if (slot === undefined) return "dropped";
    for (let i = 0; i < fragment.length; i++) {
      const at = header.fragmentOffset + i;
      slot.missing -= 1 - slot.have[at];
      slot.have[at] = 1;
      slot.body[at] = fragment[i];
    }
    return "kept";
  }

  /** The next message if it is whole; stays until `advance` or `discard`. */
  peek(): ReassembledMessage | undefined {
    const slot = this.#slots.get(this.#next);
    return slot !== undefined && slot.missing === 0 ? slot : undefined;
  }

  /** The next message was handled. */
  advance(): void {
    this.#slots.delete(this.#next++);
  }

  /** The next message was refused and is awaited again. */
  discard(): void {
    this.#slots.delete(this.#next);
  }

  #slotFor(header: HandshakeHeader, epoch: number): Slot | undefined {
    const { messageSeq, type, len } = header;
    const slot = this.#slots.get(messageSeq);
    const fits = slot !== undefined && slot.epoch === epoch && slot.type === type && slot.body.length === len;
    // In the clear anybody may have begun it, and a whole message owes nothing to what was there before.
    const isFresh = epoch === 0 && header.fragmentLen === len;
    if (fits && !isFresh) return slot;
    if (slot !== undefined && epoch !== 0) return undefined;
    const fresh = { epoch, type, body: new Uint8Array(len), have: new Uint8Array(len), missing: len };
    this.#slots.set(messageSeq, fresh);
    return fresh;
  }
}
