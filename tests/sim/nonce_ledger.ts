/** A RecordProtection that remembers what every key of the world has sealed, by the key's bytes and not by its id: two ids
 * of one key are one key. A nonce used twice throws at once, in whoever sealed. */

import { assert, toHex } from "../../src/base/mod.ts";
import type { Memory, RecordProtection } from "../../src/ports/mod.ts";
import { PlainProtection } from "../../src/record/plain_protection.ts";
import { KEY_MATERIAL, RECORD } from "../../src/ports/mod.ts";

/** Record numbers that each key has sealed: one ledger for all participants. */
export class NonceLedger {
  readonly #sealed = new Map<string, Set<number>>();
  /** Records sealed in all. */
  count = 0;

  /** Throws when `key` has sealed `number` before: the promise of every AEAD here. */
  note(key: string, number: number): void {
    let numbers = this.#sealed.get(key);
    if (numbers === undefined) this.#sealed.set(key, numbers = new Set());
    assert(!numbers.has(number), `record number ${number} is sealed once under a key`);
    numbers.add(number);
    this.count++;
  }
}

export class LedgerProtection implements RecordProtection {
  readonly #memory: Memory;
  readonly #inner: RecordProtection;
  readonly #ledger: NonceLedger;
  readonly #names = new Map<number, string>();

  /** `inner` does the work, over the same `memory`. */
  constructor(memory: Memory, ledger: NonceLedger, inner: RecordProtection = new PlainProtection(memory)) {
    this.#memory = memory;
    this.#inner = inner;
    this.#ledger = ledger;
  }

  /** Keys that are alive: what a participant leaks shows here. */
  get keyCount(): number {
    return this.#names.size;
  }

  newKey(materialOff: number): number {
    const name = toHex(this.#memory.u8.slice(materialOff, materialOff + KEY_MATERIAL.sn));
    const key = this.#inner.newKey(materialOff);
    this.#names.set(key, name);
    return key;
  }

  freeKey(key: number): void {
    this.#inner.freeKey(key);
    this.#names.delete(key);
  }

  unmaskBatch(records: number, count: number): void {
    this.#inner.unmaskBatch(records, count);
  }

  openBatch(records: number, count: number): number {
    return this.#inner.openBatch(records, count);
  }

  sealBatch(records: number, count: number): void {
    const { i32, u32 } = this.#memory;
    for (let at = records; at < records + count * RECORD.size; at += RECORD.size) {
      const name = this.#names.get(i32[(at + RECORD.key) >> 2]);
      assert(name !== undefined, "a key that seals is alive");
      this.#ledger.note(name, u32[(at + RECORD.seqHi) >> 2] * 2 ** 32 + u32[(at + RECORD.seqLo) >> 2]);
    }
    this.#inner.sealBatch(records, count);
  }
}
