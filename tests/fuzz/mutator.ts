/** Damage done in place: one buffer is loaded with a sample and changed, so that an input costs no allocation but the
 * view that its reader gets. */

import { SeededRandom, seedOf } from "../../src/base/random.ts";

// Chosen here.
const CHANGES_MAX = 6;
const BLOCK_MAX = 64;
/** Bytes at which lengths, counts and signs change their meaning. */
const EDGES = [0, 1, 2, 3, 4, 0x0f, 0x10, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xfe, 0xff];
const KINDS = 9;

export class Mutator {
  readonly random: SeededRandom;
  readonly #bytes: Uint8Array;
  readonly #dictionary: readonly Uint8Array[];
  #len = 0;

  /** Makes inputs of up to `lenMax` bytes; pieces of `dictionary` are put in whole. */
  constructor(seed: number, lenMax: number, dictionary: readonly Uint8Array[] = []) {
    this.random = new SeededRandom(seedOf(seed));
    this.#bytes = new Uint8Array(lenMax);
    this.#dictionary = dictionary;
  }

  /** `sample` with one to six changes; now and then bytes of `other` in its middle, and seldom noise alone. A view, good
   * until the next call. */
  next(sample: Uint8Array, other: Uint8Array): Uint8Array {
    const { random } = this;
    this.#len = 0;
    if (random.below(64) === 0) this.#noise();
    else this.#insert(0, sample, 0, sample.length);
    for (let count = 1 + random.below(CHANGES_MAX); count > 0; count--) this.#change(other);
    return this.#bytes.subarray(0, this.#len);
  }

  #change(other: Uint8Array): void {
    const { random } = this;
    const at = random.below(this.#len + 1);
    const kind = random.below(KINDS);
    if (kind < 4 && at < this.#len) this.#changeByte(at, kind);
    else if (kind === 4) this.#len = random.below(8) === 0 ? at : this.#len;
    else if (kind === 5) this.#remove(at, 1 + random.below(random.below(4) === 0 ? BLOCK_MAX : 4));
    else if (kind === 6) this.#insert(at, this.#bytes.slice(at, at + random.below(BLOCK_MAX)), 0, BLOCK_MAX);
    else if (kind === 7 && this.#dictionary.length > 0) {
      const piece = this.#dictionary[random.below(this.#dictionary.length)];
      this.#insert(at, piece, 0, piece.length);
    } else {
      const from = random.below(other.length + 1);
      this.#insert(at, other, from, from + random.below(BLOCK_MAX));
    }
  }

  #changeByte(at: number, kind: number): void {
    const { random } = this;
    if (kind === 0) this.#bytes[at] ^= 1 << random.below(8);
    else if (kind === 1) this.#bytes[at] = random.u32();
    else if (kind === 2) this.#bytes[at] = EDGES[random.below(EDGES.length)];
    else this.#bytes[at] += random.below(9) - 4; // a length that is nearly right
  }

  #noise(): void {
    this.#len = this.random.below(Math.min(80, this.#bytes.length + 1));
    for (let i = 0; i < this.#len; i++) this.#bytes[i] = this.random.u32();
  }

  #remove(at: number, count: number): void {
    this.#bytes.copyWithin(at, Math.min(at + count, this.#len), this.#len);
    this.#len -= Math.min(count, this.#len - at);
  }

  /** Puts from..to of `piece` in at `at`; what leaves the buffer is cut off. */
  #insert(at: number, piece: Uint8Array, from: number, to: number): void {
    const count = Math.min(Math.min(to, piece.length) - from, this.#bytes.length - at);
    if (count <= 0) return;
    this.#bytes.copyWithin(at + count, at, this.#len);
    for (let i = 0; i < count; i++) this.#bytes[at + i] = piece[from + i];
    this.#len = Math.min(this.#bytes.length, this.#len + count);
  }
}
