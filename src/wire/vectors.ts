/** Reading and writing of the presentation language of TLS, RFC 8446 §3: numbers and vectors with a length before. */

import { assert } from "../base/mod.ts";

const EMPTY = new Uint8Array(0);

/** Reads forward through `bytes`. Past the end it gives zeros and empty views and remembers that in `failed`, so that a
 * parser asks once, at its end: `ended` is true only if everything was there and nothing is left. */
export class Reader {
  failed = false;
  #at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Bytes read so far. */
  get at(): number {
    return this.#at;
  }

  /** Whether bytes are left to be read, and nothing failed before. */
  get more(): boolean {
    return !this.failed && this.#at < this.#bytes.length;
  }

  get ended(): boolean {
    return !this.failed && this.#at === this.#bytes.length;
  }

  u8(): number {
    return this.#number(1);
  }

  u16(): number {
    return this.#number(2);
  }

  u32(): number {
    return this.#number(4);
  }

  /** The next `len` bytes, a view. */
  bytes(len: number): Uint8Array {
    if (this.failed || len > this.#bytes.length - this.#at) {
      this.failed = true;
      return EMPTY;
    }
    this.#at += len;
    return this.#bytes.subarray(this.#at - len, this.#at);
  }

  /** A vector with a length of 8 bits before it, a view. */
  vector8(): Uint8Array {
    return this.bytes(this.u8());
  }

  /** A vector with a length of 16 bits before it, a view. */
  vector16(): Uint8Array {
    return this.bytes(this.u16());
  }

  #number(len: number): number {
    if (this.failed || len > this.#bytes.length - this.#at) {
      this.failed = true;
      return 0;
    }
    let value = 0;
    for (const end = this.#at + len; this.#at < end; this.#at++) value = value * 256 + this.#bytes[this.#at];
    return value;
  }
}

/** A list of 16-bit numbers, or `undefined` for an odd length. */
export function parseU16List(bytes: Uint8Array): number[] | undefined {
  if (bytes.length % 2 !== 0) return undefined;
  const list: number[] = [];
  for (let at = 0; at < bytes.length; at += 2) list.push(bytes[at] << 8 | bytes[at + 1]);
  return list;
}

export function u16(...values: readonly number[]): Uint8Array {
  const out = new Uint8Array(values.length * 2);
  for (let i = 0; i < values.length; i++) writeU16(out, 2 * i, values[i]);
  return out;
}

/** Writes a number of 16 bits at `at`. */
export function writeU16(out: Uint8Array, at: number, value: number): void {
  assert(Number.isInteger(value) && value >= 0 && value <= 0xffff, "a number has 16 bits");
  out[at] = value >> 8;
  out[at + 1] = value;
}

/** `parts` with a length of 8 bits before them. */
export function vector8(...parts: readonly Uint8Array[]): Uint8Array {
  const out = joined(1, parts);
  assert(out.length - 1 <= 0xff, "a vector fits its length");
  out[0] = out.length - 1;
  return out;
}

/** `parts` with a length of 16 bits before them. */
export function vector16(...parts: readonly Uint8Array[]): Uint8Array {
  const out = joined(2, parts);
  const len = out.length - 2;
  writeU16(out, 0, len);
  return out;
}

/** `parts` behind `space` bytes. */
function joined(space: number, parts: readonly Uint8Array[]): Uint8Array {
  let len = space;
  for (let i = 0; i < parts.length; i++) len += parts[i].length;
  const out = new Uint8Array(len);
  let at = space;
  for (let i = 0; i < parts.length; i++) {
    out.set(parts[i], at);
    at += parts[i].length;
  }
  return out;
}
