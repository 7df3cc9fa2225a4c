/** A ring of slots as the data Worker handles it: times written seconds ahead, and plaintexts put into a queue that the
 * pacer takes from. When the pacer takes is the schedule's and nobody else's. */

import { slotGapMinNs } from "../config/mod.ts";
import type { Memory, Pacer, RingConfig } from "../ports/mod.ts";
import { BUF, BUF_KIND, BUF_WORD, RING } from "../ports/mod.ts";
import { SlotSchedule } from "../schedule/mod.ts";
import type { TrainParameters } from "./messages.ts";

// Chosen here.
const TIMES_AHEAD_NS = 5e9;
const FIRST_TIMES_NS = 0.5e9;
const BIND_AHEAD_NS = 2e6;
const LOOK_AGAIN_NS = 100e3;
const BUFFERS_PER_BIND = 2;
const BUFFERS_MIN = 16;
const TIMES_PER_REFILL_MAX = 4096;

export interface SlotRingOptions {
  readonly train: TrainParameters;
  /** 32 bytes of entropy, this train's alone. */
  readonly seed: Uint8Array;
  readonly startNs: number;
  /** How far ahead inner data is bound; 2 ms if not said. */
  readonly bindAheadNs?: number;
  /** The form of its records, and where they go. */
  readonly form: Omit<
    RingConfig,
    "datagramLen" | "burst" | "bufCount" | "timesCount" | "intervalNs"
  >;
}

export class SlotRing {
  readonly ring: number;
  readonly train: TrainParameters;
  /** Bytes of a record's inner plaintext, content type byte included. */
  readonly plaintextLen: number;
  /** Plaintexts of inner data that may wait: late binding. */
  readonly depth: number;
  protected readonly memory: Memory;
  protected readonly pacer: Pacer;
  readonly #schedule: SlotSchedule;
  readonly #bufs: number;
  readonly #stride: number;
  readonly #bufMask: number;
  /** Plaintexts made ready so far, modulo 2^32. */
  protected made = 0;
  #inserted = 0;
  #timesWritten = 0;

  constructor(memory: Memory, pacer: Pacer, options: SlotRingOptions) {
    const { train, seed, startNs, form, bindAheadNs = BIND_AHEAD_NS } = options;
    this.memory = memory;
    this.pacer = pacer;
    this.train = train;
    const slotsIn = (ns: number) => Math.ceil(ns / train.intervalNs);
    const bufCount = powerOfTwo(Math.max(BUFFERS_MIN, slotsIn(BUFFERS_PER_BIND * bindAheadNs) * train.burst));
    this.depth = Math.min(bufCount - 2, Math.max(2, slotsIn(bindAheadNs)) * train.burst);
    this.#schedule = new SlotSchedule({
      seed,
      intervalNs: train.intervalNs,
      jitter: { law: train.jitterLaw, sdNs: train.jitterSdNs },
      startNs,
      minGapNs: slotGapMinNs(train.burst),
    });
    this.ring = pacer.newRing({
      ...form,
      datagramLen: train.datagramLen,
      burst: train.burst,
      bufCount,
      timesCount: powerOfTwo(slotsIn(TIMES_AHEAD_NS) + 64),
      intervalNs: train.intervalNs,
    });
    this.#bufs = this.#u32(RING.bufs);
    this.#stride = this.#u32(RING.bufStride);
    this.#bufMask = this.#u32(RING.bufCount) - 1;
    this.plaintextLen = this.#u32(RING.plaintextLen);
    // The start is near: the rest of the times ahead is written by and by.
    while (this.#timesWritten * train.intervalNs < FIRST_TIMES_NS && this.refill()) { /* go on */ }
  }

  start(): void {
    this.pacer.ringStart(this.ring);
  }

  /** Takes the ring away from the pacer and frees everything. Keys are the caller's. */
  close(): void {
    this.pacer.ringFree(this.ring);
  }

  /** Number of the next slot to be frozen, its time, and the number that its first record gets. */
  get slotNext(): number {
    return this.memory.f64[(this.ring + RING.slotNext) >> 3];
  }

  get slotNextNs(): number {
    return this.memory.f64[(this.ring + RING.slotNextNs) >> 3];
  }

  get numberNext(): number {
    return this.memory.f64[(this.ring + RING.seqNext) >> 3];
  }

  get switches(): number {
    return Atomics.load(this.memory.i32, (this.ring + RING.switches) >> 2) >>> 0;
  }

  /** Plaintexts ready and not yet taken. */
  get waiting(): number {
    const taken = Atomics.load(this.memory.i32, (this.ring + RING.taken) >> 2) >>> 0;
    return (this.made - taken) >>> 0;
  }

  /** Plaintexts of inner data that may still be bound now. */
  get room(): number {
    return Math.max(0, this.depth - this.waiting);
  }

  /** Whether a content of the session's own would find a plaintext. */
  get hasFree(): boolean {
    return this.waiting < this.#bufMask;
  }

  /** When half of what is bound will have left: time to bind more. A pacer that is late is not waited for in a loop. */
  nextRoomNs(nowNs: number): number {
    const slots = Math.max(0, (this.waiting - this.depth / 2) / this.train.burst);
    const roomNs = this.slotNextNs + Math.max(0, slots - 1) * this.train.intervalNs;
    return Math.max(roomNs, nowNs + Math.min(this.train.intervalNs, LOOK_AGAIN_NS));
  }

  /** Writes slot times ahead; true while there is more to write. After a dry spell it catches up with the slots
   * that have passed: the grid is the same, so the schedule goes on where the pacer is. */
  refill(): boolean {
    const timesCount = this.#u32(RING.timesCount);
    const ahead = Math.max(0, this.#timesWritten - this.slotNext);
    const count = Math.min(timesCount - 1 - ahead, TIMES_PER_REFILL_MAX);
    if (count < Math.min(TIMES_PER_REFILL_MAX, timesCount / 16)) return false;
    const base = this.#u32(RING.times) >> 3;
    const times = this.memory.f64.subarray(base, base + timesCount);
    this.#schedule.fillTimes(times, this.#timesWritten, timesCount - 1, count);
    this.#timesWritten += count;
    this.pacer.ringTimes(this.ring, count);
    return true;
  }

  /** Offset of a free plaintext, or 0 when there is none or `most` wait already. It must be published before anything
   * else is claimed. */
  claim(most = this.#bufMask): number {
    if (this.waiting >= most) return 0;
    const buf = this.bufferOf(this.made);
    // The pacer frees a buffer right after it has counted it as taken; until then it is not ours.
    return Atomics.load(this.memory.i32, (buf + BUF.word) >> 2) === BUF_WORD.free ? buf + BUF.headLen : 0;
  }

  publish(kind: number = BUF_KIND.plaintext): void {
    const buf = this.bufferOf(this.made);
    this.memory.u32[(buf + BUF.kind) >> 2] = kind;
    this.made = (this.made + 1) >>> 0;
    Atomics.store(this.memory.i32, (buf + BUF.word) >> 2, BUF_WORD.ready);
  }

  /** Takes back the newest plaintext, to be published again: its offset, or 0 when the pacer has it. */
  takeBack(): number {
    const buf = this.bufferOf((this.made - 1) >>> 0);
    const word = (buf + BUF.word) >> 2;
    const { i32 } = this.memory;
    if (Atomics.compareExchange(i32, word, BUF_WORD.ready, BUF_WORD.filling) !== BUF_WORD.ready) return 0;
    this.made = (this.made - 1) >>> 0;
    return buf + BUF.headLen;
  }

  /** Offset of the plaintext that leaves next but is not older than `oldest`, counted like `made`; what it holds moves to
   * the end. 0 when none waits there, or `most` wait already. To be filled and given to `publishInserted`, and nothing else
   * before that. A slot that comes meanwhile carries chaff. */
  insert(most: number, oldest: number): number {
    const end = this.waiting >= most ? 0 : this.claim();
    if (end === 0) return 0;
    const taken = Atomics.load(this.memory.i32, (this.ring + RING.taken) >> 2) >>> 0;
    let index = (oldest - taken) >>> 0 <= this.waiting ? oldest : taken;
    while (index !== this.made && !this.#hold(index)) index = (index + 1) >>> 0;
    if (index === this.made) return 0; // nothing waits any more: the next claim gives what leaves next
    const buf = this.bufferOf(index);
    const { u8, u32 } = this.memory;
    u8.copyWithin(end, buf + BUF.headLen, buf + BUF.headLen + this.plaintextLen);
    u32[(end - BUF.headLen + BUF.kind) >> 2] = u32[(buf + BUF.kind) >> 2];
    this.#inserted = index;
    return buf + BUF.headLen;
  }

  /** Returns the index behind the plaintext that was inserted. */
  publishInserted(): number {
    for (const index of [this.#inserted, this.made]) {
      Atomics.store(this.memory.i32, (this.bufferOf(index) + BUF.word) >> 2, BUF_WORD.ready);
    }
    this.made = (this.made + 1) >>> 0;
    return (this.#inserted + 1) >>> 0;
  }

  /** Keeps the pacer from a plaintext that waits; false when it has it. */
  #hold(index: number): boolean {
    const word = (this.bufferOf(index) + BUF.word) >> 2;
    return Atomics.compareExchange(this.memory.i32, word, BUF_WORD.ready, BUF_WORD.filling) ===
      BUF_WORD.ready;
  }

  /** Where the plaintext of this index, counted like `made`, has its buffer. */
  protected bufferOf(index: number): number {
    return this.#bufs + (index & this.#bufMask) * this.#stride;
  }

  #u32(field: number): number {
    return this.memory.u32[(this.ring + field) >> 2];
  }
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast));
}
