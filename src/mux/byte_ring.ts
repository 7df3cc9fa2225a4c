/** Bytes of a stream between two offsets, in a ring that grows to what is held and is given back when empty. */

import { assert } from "../base/mod.ts";

const CLASS_MIN_BITS = 8;
const CLASS_MAX_BITS = 24;
const NONE: Uint8Array = new Uint8Array(0);

/** Buffers of powers of two; keeps some for the next taker, so that streams which come and go make no garbage. */
export class BufferPool {
  /** Bytes of buffers handed out. */
  used = 0;
  #kept = 0;
  readonly #keptMax: number;
  readonly #free: Uint8Array[][] = Array.from({ length: CLASS_MAX_BITS + 1 }, () => []);

  constructor(keptMax: number) {
    this.#keptMax = keptMax;
  }

  /** A buffer of at least `len` bytes (a power of two), with anything in it. */
  take(len: number): Uint8Array {
    const bits = Math.max(CLASS_MIN_BITS, 32 - Math.clz32(len - 1));
    assert(bits <= CLASS_MAX_BITS, "a buffer of a stream is bounded");
    const kept = this.#free[bits].pop();
    if (kept !== undefined) this.#kept -= kept.length;
    this.used += 2 ** bits;
    return kept ?? new Uint8Array(2 ** bits);
  }

  give(buffer: Uint8Array): void {
    if (buffer.length === 0) return;
    this.used -= buffer.length;
    if (this.#kept + buffer.length > this.#keptMax) return;
    this.#kept += buffer.length;
    this.#free[31 - Math.clz32(buffer.length)].push(buffer);
  }
}

export class ByteRing {
  readonly #pool: BufferPool;
  #buffer: Uint8Array = NONE;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  get buffer(): Uint8Array {
    return this.#buffer;
  }

  /** Makes room for the offsets base..end-1; those of base..kept-1 keep their bytes. */
  reserve(base: number, kept: number, end: number): void {
    if (end - base <= this.#buffer.length) return;
    const old = this.#buffer;
    this.#buffer = this.#pool.take(end - base);
    for (let at = base; at < kept;) {
      const from = this.#index(old, at);
      const len = Math.min(kept - at, old.length - from);
      this.write(at, old, from, len);
      at += len;
    }
    this.#pool.give(old);
  }

  /** Copies in `len` bytes at `off` of `bytes` as those from `offset` on. */
  write(offset: number, bytes: Uint8Array, off: number, len: number): void {
    const buffer = this.#buffer;
    const at = this.#index(buffer, offset);
    const first = Math.min(len, buffer.length - at);
    buffer.set(bytes.subarray(off, off + first), at);
    if (first < len) buffer.set(bytes.subarray(off + first, off + len), 0);
  }

  /** Copies out. */
  read(offset: number, out: Uint8Array, outOff: number, len: number): void {
    const buffer = this.#buffer;
    const at = this.#index(buffer, offset);
    const first = Math.min(len, buffer.length - at);
    out.set(buffer.subarray(at, at + first), outOff);
    if (first < len) out.set(buffer.subarray(0, len - first), outOff + first);
  }

  /** Where `offset` lies in `buffer`. */
  indexOf(offset: number): number {
    return this.#index(this.#buffer, offset);
  }

  /** Gives the buffer back. */
  release(): void {
    this.#pool.give(this.#buffer);
    this.#buffer = NONE;
  }

  // Offsets go beyond 32 bits; lengths of buffers are powers of two.
  #index(buffer: Uint8Array, offset: number): number {
    return offset % buffer.length;
  }
}
