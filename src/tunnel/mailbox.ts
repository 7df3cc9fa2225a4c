/** One-way mailbox from the main isolate to the data Worker, which blocks in one FFI call and so receives no
 * messages: a single-producer, single-consumer byte ring in shared memory. After `post` the sender signals the
 * Worker's eventfd. Not on the data path.
 *
 * A message is a plain object of scalars and a list of byte arrays, which are copied; what was read is wiped,
 * since traffic secrets pass here. */

import { assert } from "../base/mod.ts";

/** Before the messages: written u32, read u32, byte counts modulo 2^32. */
export const MAILBOX_HEADER_LEN = 8;
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** A message as it is received: `bytes` are fresh copies, owned by the receiver. */
export interface Mail<T> {
  readonly head: T;
  readonly bytes: readonly Uint8Array[];
}

export class Mailbox<T> {
  readonly #words: Int32Array;
  readonly #data: Uint8Array;
  readonly #mask: number;

  /** `len` bytes from `off` on, a multiple of 4, of a buffer that both sides see: a power of two, and MAILBOX_HEADER_LEN. */
  constructor(readonly buffer: ArrayBufferLike, off = 0, len = buffer.byteLength - off) {
    const dataLen = len - MAILBOX_HEADER_LEN;
    assert((dataLen & (dataLen - 1)) === 0, "a mailbox holds a power of two bytes");
    this.#words = new Int32Array(buffer, off, 2);
    this.#data = new Uint8Array(buffer, off + MAILBOX_HEADER_LEN, dataLen);
    this.#mask = dataLen - 1;
  }

  static create<T>(len: number): Mailbox<T> {
    return new Mailbox<T>(new SharedArrayBuffer(MAILBOX_HEADER_LEN + len));
  }

  /** Returns false, and writes nothing, when there is no room: the caller counts or tries again. */
  post(head: T, ...bytes: readonly Uint8Array[]): boolean {
    const text = ENCODER.encode(JSON.stringify({ head, lens: bytes.map((part) => part.length) }));
    const total = 8 + text.length + bytes.reduce((sum, part) => sum + part.length, 0);
    const written = Atomics.load(this.#words, 0) >>> 0;
    const read = Atomics.load(this.#words, 1) >>> 0;
    if (((written - read) >>> 0) + total > this.#mask + 1) return false;
    const numbers = new Uint8Array(8);
    const view = new DataView(numbers.buffer);
    view.setUint32(0, total);
    view.setUint32(4, text.length);
    let at = written;
    for (const part of [numbers, text, ...bytes]) {
      for (let i = 0; i < part.length; i++) this.#data[(at + i) & this.#mask] = part[i];
      at += part.length;
    }
    Atomics.store(this.#words, 0, at | 0);
    return true;
  }

  /** The oldest message, or undefined. */
  take(): Mail<T> | undefined {
    const read = Atomics.load(this.#words, 1) >>> 0;
    if ((Atomics.load(this.#words, 0) >>> 0) === read) return undefined;
    const header = this.#copy(read, 8);
    const view = new DataView(header.buffer);
    const total = view.getUint32(0);
    const textLen = view.getUint32(4);
    const body = JSON.parse(DECODER.decode(this.#copy(read + 8, textLen))) as { head: T; lens: number[] };
    const bytes: Uint8Array[] = [];
    let at = read + 8 + textLen;
    for (const len of body.lens) {
      bytes.push(this.#copy(at, len));
      at += len;
    }
    for (let i = 0; i < total; i++) this.#data[(read + i) & this.#mask] = 0;
    Atomics.store(this.#words, 1, (read + total) | 0);
    return { head: body.head, bytes };
  }

  #copy(from: number, len: number): Uint8Array {
    const out = new Uint8Array(len);
    for (let i = 0; i < len; i++) out[i] = this.#data[(from + i) & this.#mask];
    return out;
  }
}
