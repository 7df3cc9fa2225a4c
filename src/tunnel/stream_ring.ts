/** One direction of the stream bridge: a single-producer, single-consumer ring of messages in shared memory, each in one
 * piece. Neither side ever waits. */

import { assert } from "../base/mod.ts";

// Words of the head.
const WRITTEN = 0; // bytes, modulo 2^32
const READ = 1;
const WAKING = 2; // 1: the reader has been woken and has not begun to read since
const STALLED = 3; // 1: the writer has found the ring full and wants to be woken
const HEAD_LEN = 16;
/** Of a message: its length with this head and padding, u32; the rest is its writer's. */
const LEN_LEN = 4;
const ALIGN = 8;
const SKIP = 0x8000_0000; // the rest of the ring's end is unused

/** Length with head and padding of a message of `len` bytes. */
function wholeLen(len: number): number {
  return (LEN_LEN + len + ALIGN - 1) & ~(ALIGN - 1);
}

export class StreamRing {
  readonly u8: Uint8Array;
  /** Over the same bytes as `u8`. */
  readonly view: DataView;
  readonly #words: Int32Array;
  readonly #lens: Uint32Array;
  readonly #mask: number;
  #reserved = 0;

  /** `buffer` is shared with the other side: 16 + a power of two bytes. */
  constructor(readonly buffer: SharedArrayBuffer) {
    const len = buffer.byteLength - HEAD_LEN;
    assert((len & (len - 1)) === 0 && len >= 64, "a ring holds a power of two bytes");
    this.#words = new Int32Array(buffer, 0, HEAD_LEN / 4);
    this.u8 = new Uint8Array(buffer, HEAD_LEN);
    this.view = new DataView(buffer, HEAD_LEN);
    this.#lens = new Uint32Array(buffer, HEAD_LEN);
    this.#mask = len - 1;
  }

  static create(len: number): StreamRing {
    return new StreamRing(new SharedArrayBuffer(HEAD_LEN + len));
  }

  /** The longest message that always finds room once all before it are read. */
  get messageLenMax(): number {
    return (this.#mask + 1) / 2 - LEN_LEN;
  }

  /** The writer's: where in `u8` a message of `len` bytes may be written, to be published by `commit`; -1 when there is
   * no room. */
  begin(len: number): number {
    assert(len <= this.messageLenMax, "a message fits half of its ring");
    const whole = wholeLen(len);
    const written = Atomics.load(this.#words, WRITTEN);
    const used = (written - Atomics.load(this.#words, READ)) >>> 0;
    const at = written & this.#mask;
    const toEnd = this.#mask + 1 - at;
    const skipped = toEnd < whole ? toEnd : 0;
    if (used + skipped + whole > this.#mask + 1) return -1;
    if (skipped > 0) this.#lens[at >> 2] = SKIP | skipped;
    const start = skipped > 0 ? 0 : at;
    this.#lens[start >> 2] = LEN_LEN + len;
    this.#reserved = skipped + whole;
    return start + LEN_LEN;
  }

  commit(): void {
    Atomics.store(this.#words, WRITTEN, (Atomics.load(this.#words, WRITTEN) + this.#reserved) | 0);
  }

  /** The writer's: whether the reader has to be woken for what was committed. */
  needsWake(): boolean {
    return Atomics.exchange(this.#words, WAKING, 1) === 0;
  }

  /** The writer's, after `begin` found no room: asks for a wake-up when there is some. Returns true when there is some
   * already. */
  stall(len: number): boolean {
    Atomics.store(this.#words, STALLED, 1);
    return this.begin(len) >= 0;
  }

  /** The reader's, before it reads: from here on a wake-up is needed for what comes. */
  beginReading(): void {
    Atomics.store(this.#words, WAKING, 0);
  }

  /** The reader's: bytes that are there now. */
  get pending(): number {
    return (Atomics.load(this.#words, WRITTEN) - Atomics.load(this.#words, READ)) >>> 0;
  }

  /** The reader's: hands the oldest message to `take` as `len` bytes at `off` of `u8`, good during the call. Returns the
   * bytes that it took in the ring, 0 when there is none. */
  read(take: (off: number, len: number) => void): number {
    const read = Atomics.load(this.#words, READ);
    if (Atomics.load(this.#words, WRITTEN) === read) return 0;
    let at = read & this.#mask;
    let taken = 0;
    if ((this.#lens[at >> 2] & SKIP) !== 0) {
      taken = this.#lens[at >> 2] & ~SKIP;
      at = 0;
    }
    const len = this.#lens[at >> 2] - LEN_LEN;
    take(at + LEN_LEN, len);
    taken += wholeLen(len);
    Atomics.store(this.#words, READ, (read + taken) | 0);
    return taken;
  }

  /** The reader's, after it has read: whether the writer waits for room. */
  wasStalled(): boolean {
    return Atomics.load(this.#words, STALLED) === 1 && Atomics.exchange(this.#words, STALLED, 0) === 1;
  }
}
