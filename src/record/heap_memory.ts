/** A Memory over an ordinary ArrayBuffer: for tests, handshakes, and wherever the shim is absent. */

import { assert } from "../base/mod.ts";
import type { Memory } from "../ports/mod.ts";

const ALIGNMENT = 64;

/** First fit over a sorted list of free blocks. As in the shim's arena, offset 0 is never handed out. */
export class HeapMemory implements Memory {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  #free: { off: number; len: number }[];
  readonly #used = new Map<number, number>();

  /** `len` bytes in all, a multiple of 64, of which the first 64 are never used. */
  constructor(len: number) {
    assert(len > ALIGNMENT && len % ALIGNMENT === 0, "a memory is a multiple of 64 bytes");
    const buffer = new ArrayBuffer(len);
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.#free = [{ off: ALIGNMENT, len: len - ALIGNMENT }];
  }

  alloc(len: number): number {
    const needed = Math.max(1, Math.ceil(len / ALIGNMENT)) * ALIGNMENT;
    const index = this.#free.findIndex((block) => block.len >= needed);
    if (index < 0) throw new RangeError(`Cannot allocate ${len} bytes: the memory is full`);
    const block = this.#free[index];
    const off = block.off;
    if (block.len === needed) this.#free.splice(index, 1);
    else this.#free[index] = { off: off + needed, len: block.len - needed };
    this.#used.set(off, len);
    return off;
  }

  free(off: number, len: number): void {
    assert(this.#used.get(off) === len, "a block is freed once, with the length it was allocated with");
    this.#used.delete(off);
    const freed = Math.max(1, Math.ceil(len / ALIGNMENT)) * ALIGNMENT;
    this.u8.fill(0, off, off + freed);
    this.#free.push({ off, len: freed });
    this.#free.sort((a, b) => a.off - b.off);
    this.#free = this.#free.reduce<{ off: number; len: number }[]>((blocks, block) => {
      const last = blocks.at(-1);
      if (last !== undefined && last.off + last.len === block.off) last.len += block.len;
      else blocks.push(block);
      return blocks;
    }, []);
  }
}
