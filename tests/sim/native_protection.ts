/** The shim's AEAD over memory that is not the shim's: descriptors and bytes are copied over, worked on and copied back.
 * Twenty times as fast as the plain one, for simulations whose subject is not the AEAD. */

import { memory as arena, shim } from "../ffi/support.ts";
import { KEY_MATERIAL, type Memory, RECORD, type RecordProtection } from "../../src/ports/mod.ts";

const RECORD_LEN_MAX = 2048;

/** Blocks of the arena that all instances of this thread work in, one after another. */
const job = arena.alloc(RECORD.size);
const record = arena.alloc(RECORD_LEN_MAX);
const plaintext = arena.alloc(RECORD_LEN_MAX);
const material = arena.alloc(KEY_MATERIAL.size);

export class NativeProtection implements RecordProtection {
  readonly #memory: Memory;
  readonly #keys = new Set<number>();

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  newKey(materialOff: number): number {
    const { u8 } = this.#memory;
    const block = u8.subarray(materialOff, materialOff + KEY_MATERIAL.size);
    arena.u8.set(block, material);
    block.fill(0);
    const key = shim.protection.newKey(material);
    this.#keys.add(key);
    return key;
  }

  freeKey(key: number): void {
    shim.protection.freeKey(key);
    this.#keys.delete(key);
  }

  /** Frees what a participant that was killed had left. */
  close(): void {
    for (const key of this.#keys) shim.protection.freeKey(key);
    this.#keys.clear();
  }

  unmaskBatch(records: number, count: number): void {
    this.#each(records, count, () => shim.protection.unmaskBatch(job, 1));
  }

  openBatch(records: number, count: number): number {
    return this.#each(records, count, () => shim.protection.openBatch(job, 1));
  }

  sealBatch(records: number, count: number): void {
    this.#each(records, count, () => shim.protection.sealBatch(job, 1));
  }

  #each(records: number, count: number, work: () => void): number {
    let good = 0;
    for (let at = records; at < records + count * RECORD.size; at += RECORD.size) {
      this.#copyIn(at);
      work();
      this.#copyOut(at);
      if (this.#memory.i32[(at + RECORD.result) >> 2] >= 0) good++;
    }
    return good;
  }

  #copyIn(at: number): void {
    const { u8, u32 } = this.#memory;
    arena.u8.set(u8.subarray(at, at + RECORD.size), job);
    const [src, len] = [u32[(at + RECORD.src) >> 2], u32[(at + RECORD.len) >> 2]];
    const dst = u32[(at + RECORD.dst) >> 2];
    arena.u8.set(u8.subarray(src, src + len), record);
    arena.u8.set(u8.subarray(dst, dst + len), plaintext);
    arena.u32[(job + RECORD.src) >> 2] = record;
    arena.u32[(job + RECORD.dst) >> 2] = plaintext;
  }

  #copyOut(at: number): void {
    const { u8, u32, i32 } = this.#memory;
    const [src, len] = [u32[(at + RECORD.src) >> 2], u32[(at + RECORD.len) >> 2]];
    const dst = u32[(at + RECORD.dst) >> 2];
    const plaintextLen = Math.max(0, len - u8[at + RECORD.hdrLen] - 16);
    u8.set(arena.u8.subarray(record, record + len), src);
    if (dst !== 0) u8.set(arena.u8.subarray(plaintext, plaintext + plaintextLen), dst);
    i32[(at + RECORD.result) >> 2] = arena.i32[(job + RECORD.result) >> 2];
  }
}
