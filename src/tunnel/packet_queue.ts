/** A bounded first-in first-out queue of inner packets: a full queue drops and counts, as the queue of any IP link does; it
 * never delays a slot. Packets lie contiguously, so that framing can read each in place. Its block of memory is taken
 * with the first packet, and given back after a while without one: a server has many clients, and few of them busy. */

import { assert } from "../base/mod.ts";
import type { Memory } from "../ports/mod.ts";

const HEAD_LEN = 8; // length u32, unused u32; packets start at multiples of 8
const WRAP = 0xffffffff; // length word that says: the next packet is at the start of the block

export class PacketQueue {
  readonly #memory: Memory;
  readonly #len: number;
  /** 0: no block is taken. */
  #base = 0;
  #touched = false;
  #head = 0; // bytes from base: next to read
  #tail = 0; // bytes from base: next to write
  #used = 0; // bytes occupied, heads and wrap gaps included
  #count = 0;
  #payload = 0;

  /** Uses up to `len` bytes of `memory` (a multiple of 8). */
  constructor(memory: Memory, len: number) {
    assert(len >= 4096 && len % 8 === 0, "a packet queue has room for a packet and whole words");
    this.#memory = memory;
    this.#len = len;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of the packets held. */
  get payloadLen(): number {
    return this.#payload;
  }

  /** Copies a packet in; false when it does not fit, or there is no memory (the caller counts the drop). */
  push(off: number, len: number): boolean {
    this.#touched = true;
    if (this.#base === 0 && !this.#take()) return false;
    const need = HEAD_LEN + ((len + 7) & ~7);
    const toEnd = this.#len - this.#tail;
    const gap = need > toEnd ? toEnd : 0;
    if (this.#used + gap + need > this.#len) return false;
    const { u8, u32 } = this.#memory;
    if (gap > 0) {
      u32[(this.#base + this.#tail) >> 2] = WRAP;
      this.#tail = 0;
    }
    const at = this.#base + this.#tail;
    u32[at >> 2] = len;
    u8.copyWithin(at + HEAD_LEN, off, off + len);
    this.#tail = (this.#tail + need) % this.#len;
    this.#used += gap + need;
    this.#count++;
    this.#payload += len;
    return true;
  }

  /** Offset of the oldest packet's bytes; it stays valid until `pop`. Only when count > 0. */
  frontOff(): number {
    this.#unwrap();
    return this.#base + this.#head + HEAD_LEN;
  }

  frontLen(): number {
    this.#unwrap();
    return this.#memory.u32[(this.#base + this.#head) >> 2];
  }

  pop(): void {
    const len = this.frontLen();
    const need = HEAD_LEN + ((len + 7) & ~7);
    this.#head = (this.#head + need) % this.#len;
    this.#used -= need;
    this.#count--;
    this.#payload -= len;
  }

  clear(): void {
    while (this.#count > 0) this.pop();
  }

  /** Now and then: gives the block back if the queue is empty and nothing was put in since the last time. */
  rest(): void {
    if (this.#base !== 0 && this.#count === 0 && !this.#touched) {
      this.#memory.free(this.#base, this.#len);
      this.#base =
        this.#head =
        this.#tail =
        this.#used =
          0;
    }
    this.#touched = false;
  }

  #take(): boolean {
    try {
      this.#base = this.#memory.alloc(this.#len);
      return true;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return false;
    }
  }

  #unwrap(): void {
    assert(this.#count > 0, "the queue is not empty");
    if (this.#memory.u32[(this.#base + this.#head) >> 2] !== WRAP) return;
    this.#used -= this.#len - this.#head;
    this.#head = 0;
  }
}
