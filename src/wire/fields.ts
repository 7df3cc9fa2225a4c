/** Fields of inner messages: big-endian integers and bytes. */

import { assert } from "../base/mod.ts";

/** Writes the fields of an inner message one after another. */
export class FieldWriter {
  readonly #out: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(lenMax: number) {
    this.#out = new Uint8Array(lenMax);
    this.#view = new DataView(this.#out.buffer);
  }

  u8(value: number): void {
    assert(value >= 0 && value <= 0xff, "a u8 of the inner protocol");
    this.#out[this.#at++] = value;
  }

  u16(value: number): void {
    assert(value >= 0 && value <= 0xffff, "a u16 of the inner protocol");
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
  }

  u32(value: number): void {
    assert(value >= 0 && value <= 0xffffffff, "a u32 of the inner protocol");
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  /** A number that is exact: at most 2^53. */
  u64(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "a u64 of the inner protocol");
    this.u32(Math.floor(value / 2 ** 32));
    this.u32(value % 2 ** 32);
  }

  bytes(bytes: Uint8Array): void {
    this.#out.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  written(): Uint8Array {
    return this.#out.subarray(0, this.#at);
  }
}

/** Reads fields one after another; zeros past the end, and remembers that it did. */
export class FieldReader {
  failed = false;
  readonly #body: Uint8Array;
  #at = 0;

  constructor(body: Uint8Array) {
    this.#body = body;
  }

  u8(): number {
    if (this.#at >= this.#body.length) {
      this.failed = true;
      return 0;
    }
    return this.#body[this.#at++];
  }

  u16(): number {
    return this.u8() * 256 + this.u8();
  }

  u32(): number {
    return this.u16() * 65536 + this.u16();
  }

  /** What does not fit a number exactly is refused. */
  u64(): number {
    const value = this.u32() * 2 ** 32 + this.u32();
    if (!Number.isSafeInteger(value)) this.failed = true;
    return value;
  }

  /** A copy. */
  bytes(len: number): Uint8Array {
    if (len > this.#body.length - this.#at) {
      this.failed = true;
      this.#at = this.#body.length;
      return new Uint8Array(len);
    }
    const bytes = this.#body.slice(this.#at, this.#at + len);
    this.#at += len;
    return bytes;
  }

  /** Everything was there, and nothing is left. */
  complete(): boolean {
    return !this.failed && this.#at === this.#body.length;
  }
}
