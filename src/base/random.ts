/** Random numbers that depend on a seed and nothing else: the ChaCha20 keystream (RFC 8439 §2.3), so that from the
 * numbers seen nobody finds the seed or the numbers to come. Any part of the stream can be reached at once. */

import { assert } from "./mod.ts";

export const SEED_LEN = 32;
export const BLOCK_WORDS = 16;
const ROUNDS = 20;

/** Initial state of RFC 8439 §2.3 for a 32-byte key and a zero nonce, words in native numbers. */
export function chachaState(key: Uint8Array): Uint32Array {
  assert(key.length === SEED_LEN, "a seed has 32 bytes");
  const state = new Uint32Array(BLOCK_WORDS);
  state.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]); // "expand 32-byte k"
  for (let i = 0; i < 8; i++) {
    state[4 + i] = key[4 * i] | key[4 * i + 1] << 8 | key[4 * i + 2] << 16 | key[4 * i + 3] << 24;
  }
  return state;
}

/** One block of keystream, 16 words, of the state as it is. RFC 8439 §2.3.1. */
export function chachaBlock(state: Uint32Array, out: Uint32Array): void {
  out.set(state);
  for (let round = 0; round < ROUNDS; round += 2) {
    quarterRound(out, 0, 4, 8, 12);
    quarterRound(out, 1, 5, 9, 13);
    quarterRound(out, 2, 6, 10, 14);
    quarterRound(out, 3, 7, 11, 15);
    quarterRound(out, 0, 5, 10, 15);
    quarterRound(out, 1, 6, 11, 12);
    quarterRound(out, 2, 7, 8, 13);
    quarterRound(out, 3, 4, 9, 14);
  }
  for (let i = 0; i < BLOCK_WORDS; i++) out[i] += state[i];
}

/** RFC 8439 §2.1. */
function quarterRound(x: Uint32Array, ai: number, bi: number, ci: number, di: number): void {
  let a = x[ai], b = x[bi], c = x[ci], d = x[di];
  a = (a + b) | 0;
  d ^= a;
  d = d << 16 | d >>> 16;
  c = (c + d) | 0;
  b ^= c;
  b = b << 12 | b >>> 20;
  a = (a + b) | 0;
  d ^= a;
  d = d << 8 | d >>> 24;
  c = (c + d) | 0;
  b ^= c;
  b = b << 7 | b >>> 25;
  x[ai] = a, x[bi] = b, x[ci] = c, x[di] = d;
}

/** A stream of random words. `seek` reaches any of the first 2^53 in the same time. Allocates nothing after it is
 * made. */
export class SeededRandom {
  readonly #state: Uint32Array;
  readonly #block = new Uint32Array(BLOCK_WORDS);
  #blockIndex = -1;
  #word = 0;

  /** `seed`: 32 bytes, copied. */
  constructor(seed: Uint8Array) {
    this.#state = chachaState(seed);
    this.seek(0);
  }

  /** The next word will be the one with this index, counted from 0. */
  seek(wordIndex: number): void {
    const block = Math.floor(wordIndex / BLOCK_WORDS);
    this.#word = wordIndex - block * BLOCK_WORDS;
    if (block !== this.#blockIndex) this.#load(block);
  }

  /** 0..2^32-1. */
  u32(): number {
    if (this.#word === BLOCK_WORDS) {
      this.#load(this.#blockIndex + 1);
      this.#word = 0;
    }
    return this.#block[this.#word++];
  }

  /** [0, 1), with 53 random bits; uses two words. */
  unit(): number {
    const high = this.u32() >>> 5;
    return (high * 2 ** 26 + (this.u32() >>> 6)) / 2 ** 53;
  }

  /** 0..count-1; the bias is below count / 2^53. */
  below(count: number): number {
    return Math.floor(this.unit() * count);
  }

  #load(block: number): void {
    this.#blockIndex = block;
    this.#state[12] = block % 2 ** 32;
    this.#state[13] = Math.floor(block / 2 ** 32); // the counter goes on into the nonce, which is zero
    chachaBlock(this.#state, this.#block);
  }
}

/** A seed of 32 bytes out of a number, for tests and simulations: little secrecy, full spread. */
export function seedOf(number: number): Uint8Array {
  const seed = new Uint8Array(SEED_LEN);
  new DataView(seed.buffer).setFloat64(0, number);
  return seed;
}
