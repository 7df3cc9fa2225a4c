/** Bytes of one stream on their way to its socket. They are copied once, into buffers of a pool that streams share: one
 * that moves much makes no garbage, one that waits holds nothing. */

import type { BufferPool } from "../mux/byte_ring.ts";

// Chosen here.
/** Buffers of a stream double up to this while they fill up before they are taken. */
const BUFFER_LEN_MIN = 2048;
const BUFFER_LEN_MAX = 65_536;

interface Part {
  readonly buffer: Uint8Array;
  start: number;
  end: number;
}

export class Inbox {
  readonly #pool: BufferPool;
  readonly #parts: Part[] = [];
  #bufferLen = BUFFER_LEN_MIN;
  /** Bytes of the first part that are with the taker. */
  #takenLen = 0;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Copies in `len` bytes at `off` of `bytes`. */
  put(bytes: Uint8Array, off: number, len: number): void {
    for (let at = off; at < off + len;) {
      let part = this.#parts.at(-1);
      if (part === undefined || part.end === part.buffer.length) part = this.#grow(off + len - at);
      const count = Math.min(off + len - at, part.buffer.length - part.end);
      part.buffer.set(bytes.subarray(at, at + count), part.end);
      part.end += count;
      at += count;
    }
  }

  #grow(wanted: number): Part {
    if (this.#parts.length > 0) this.#bufferLen = Math.min(BUFFER_LEN_MAX, 2 * this.#bufferLen);
    const len = Math.max(this.#bufferLen, Math.min(wanted, BUFFER_LEN_MAX));
    const part = { buffer: this.#pool.take(len), start: 0, end: 0 };
    this.#parts.push(part);
    return part;
  }

  /** The oldest bytes, as many as lie in one piece, good until the next call; undefined when there are none. */
  take(): Uint8Array | undefined {
    this.#giveBack();
    if (this.#parts.length === 0) return undefined;
    const { buffer, start, end } = this.#parts[0];
    this.#takenLen = end - start;
    return buffer.subarray(start, end);
  }

  #giveBack(): void {
    if (this.#takenLen === 0) return;
    const part = this.#parts[0];
    part.start += this.#takenLen;
    this.#takenLen = 0;
    if (part.start < part.end) return;
    this.#parts.shift();
    this.#pool.give(part.buffer);
    if (part.end < part.buffer.length / 4) this.#bufferLen = Math.max(BUFFER_LEN_MIN, this.#bufferLen / 2);
  }

  /** Drops all. A buffer that is with the taker is left to it: a socket may still be writing from it. */
  clear(): void {
    const free = this.#takenLen > 0 ? this.#parts.slice(1) : this.#parts;
    for (const { buffer } of free) this.#pool.give(buffer);
    this.#parts.length = 0;
    this.#takenLen = 0;
  }
}
