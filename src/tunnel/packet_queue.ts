/** The queue of inner packets before framing: flow queueing with CoDel, RFC 8290, so that a flow with little to send does
 * not wait behind one with much, and none makes a long queue. It never delays a slot.
 *
 * Packets lie in cells of two lengths, each contiguous, so that framing can read it in place. The packet that was asked
 * for stays the front until `pop`, whatever comes meanwhile: framing may have split it. All of it is one block of memory,
 * taken with the first packet and given back after a while without one: a server has many clients, and few of them busy. */

import { assert } from "../base/mod.ts";
import type { Memory } from "../ports/mod.ts";
import { markCe } from "../wire/ecn.ts";
import { flowHash } from "../wire/flow_hash.ts";
import type { TrainParameters } from "./messages.ts";
import { Codel, type CodelLine, type CodelParameters } from "./codel.ts";
import { PACKET_MAX_LEN } from "../framing/reassembler.ts";

// Set by a standard.
/** RFC 8290 §5.2.4: a full packet of Ethernet. */
const QUANTUM = 1514;
/** RFC 8290 §5.2.1, §5.2.2. */
const TARGET_NS = 5e6;
const INTERVAL_NS = 100e6;
// Chosen here.
const FLOWS = 256;
/** Slots that a packet may wait for without being late: below 1 Mbit/s these are longer than the target. */
const TARGET_SLOTS = 1.5;
const INTERVAL_TARGETS = 4;
const PACKETS_NS = 10e6;
const PACKETS_MAX = 1024;
/** Of a cell: next cell u32, length u32, when it came f64. */
const CELL_HEAD_LEN = 16;
const LARGE_LEN = CELL_HEAD_LEN + PACKET_MAX_LEN;
const SMALL_LEN = 256;
/** Cells of a short packet for each of a long one: acknowledgements come in numbers. */
const SMALLS_PER_LARGE = 2;
/** RFC 8290 §4.1 drops so many at once; here they are the most that give way to one packet. */
const DROPS_MAX = 64;

/** Lists of flows: those that have just begun have a head start of one quantum. */
const IDLE = 0;
const NEW = 1;
const OLD = 2;

class Flow {
  readonly codel = new Codel();
  bucket = 0;
  head = 0;
  tail = 0;
  bytes = 0;
  deficit = 0;
  list = IDLE;
  next: Flow | undefined;
}

class FlowList {
  head: Flow | undefined;
  tail: Flow | undefined;

  push(flow: Flow): void {
    flow.next = undefined;
    if (this.tail === undefined) this.head = flow;
    else this.tail.next = flow;
    this.tail = flow;
  }

  shift(): Flow {
    const flow = this.head!;
    this.head = flow.next;
    if (this.head === undefined) this.tail = undefined;
    return flow;
  }
}

/** Bytes of the block for so many long packets at once. */
export function packetQueueLen(larges: number): number {
  return larges * (LARGE_LEN + SMALLS_PER_LARGE * SMALL_LEN);
}

/** Full packets for which a queue before this train has room: `least`, or what a fast one takes in a while. */
export function queuePackets(least: number, { intervalNs, burst }: TrainParameters): number {
  return Math.max(least, Math.min(PACKETS_MAX, Math.ceil(PACKETS_NS * burst / intervalNs)));
}

export interface PacketQueueCounters {
  /** Dropped from the fullest flow, since there was no room. */
  full: number;
  /** Dropped for the time that packets of the flow had waited. */
  late: number;
  /** Marked in place of that. */
  marked: number;
}

export class PacketQueue implements CodelLine {
  readonly counters: PacketQueueCounters = { full: 0, late: 0, marked: 0 };
  readonly #memory: Memory;
  #larges: number;
  readonly #seed: number;
  readonly #now: () => number;
  #codel: CodelParameters = { targetNs: TARGET_NS, intervalNs: INTERVAL_NS, bytesMin: QUANTUM };
  #bytesMax = Infinity;
  /** 0: no block is taken. */
  #base = 0;
  #touched = false;
  /** First cells of the lists of free ones, 0: none. */
  #freeSmall = 0;
  #freeLarge = 0;
  #smallEnd = 0;
  #flows: (Flow | undefined)[] = [];
  /** Flows that are used again. */
  readonly #spare: Flow[] = [];
  readonly #new = new FlowList();
  readonly #old = new FlowList();
  #count = 0;
  #payload = 0;
  /** The cell that leaves next; 0: not chosen yet. */
  #front = 0;
  /** While one is chosen: the flow, and the cell that was taken off it. */
  #flow!: Flow;
  #taken = 0;

  /** Uses up to packetQueueLen(larges) bytes of `memory`. `seed`: 32 random bits. `now`: time in ns. */
  constructor(memory: Memory, larges: number, seed: number, now: () => number) {
    this.#memory = memory;
    this.#larges = larges;
    this.#seed = seed;
    this.#now = now;
  }

  /** Says how fast it is emptied: by a slot every `slotNs`. Never more than `bytesMax` bytes wait then, in cells for
   * `larges` long packets, unless packets wait now. */
  pace(slotNs: number, bytesMax: number, larges = this.#larges): void {
    const targetNs = Math.max(TARGET_NS, TARGET_SLOTS * slotNs);
    const intervalNs = Math.max(INTERVAL_NS, INTERVAL_TARGETS * targetNs);
    this.#codel = { targetNs, intervalNs, bytesMin: QUANTUM };
    this.#bytesMax = bytesMax;
    if (this.#count > 0) return;
    this.#giveBlock();
    this.#larges = larges;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of the packets held. */
  get payloadLen(): number {
    return this.#payload;
  }

  /** Long packets that have room. */
  get larges(): number {
    return this.#larges;
  }

  /** Copies in the packet of `len` bytes, an IP packet whose header is whole. Where there is no room the fullest flow loses
   * some of its oldest, and if there is no memory at all this one is lost: false. */
  push(off: number, len: number): boolean {
    this.#touched = true;
    const cell = this.#base === 0 && !this.#takeBlock() ? 0 : this.#cellFor(len);
    if (cell === 0) {
      this.counters.full++;
      return false;
    }
    const { u8, u32, f64 } = this.#memory;
    u32[cell >> 2] = 0;
    u32[(cell >> 2) + 1] = len;
    f64[(cell >> 3) + 1] = this.#now();
    u8.copyWithin(cell + CELL_HEAD_LEN, off, off + len);
    const flow = this.#flowOf(flowHash(u8, off, len, this.#seed) % FLOWS);
    if (flow.head === 0) flow.head = cell;
    else u32[flow.tail >> 2] = cell;
    flow.tail = cell;
    flow.bytes += len;
    this.#count++;
    this.#payload += len;
    if (flow.list === IDLE) {
      flow.list = NEW;
      flow.deficit = QUANTUM;
      this.#new.push(flow);
    }
    return true;
  }

  /** Offset of the bytes of the packet that leaves next; it stays valid, and the next one, until `pop`. Only when
   * count > 0; what is late is dropped on the way. */
  frontOff(): number {
    return this.#choose() + CELL_HEAD_LEN;
  }

  frontLen(): number {
    return this.#memory.u32[(this.#choose() >> 2) + 1];
  }

  pop(): void {
    this.#discard(this.#choose());
    this.#front = 0;
  }

  clear(): void {
    if (this.#front !== 0) this.pop();
    for (const flow of this.#flows) {
      while (flow !== undefined && flow.head !== 0) this.#discard(this.#unlink(flow));
    }
  }

  /** Now and then: gives the block back if the queue is empty and nothing was put in since the last time. */
  rest(): void {
    if (this.#count === 0 && !this.#touched) this.#giveBlock();
    this.#touched = false;
  }

  // ---- the order: RFC 8290 §4.2 ----

  #choose(): number {
    if (this.#front !== 0) return this.#front;
    assert(this.#count > 0, "the queue is not empty");
    for (;;) {
      const isNew = this.#new.head !== undefined;
      const list = isNew ? this.#new : this.#old;
      const flow = list.head!;
      if (flow.deficit <= 0) {
        flow.deficit += QUANTUM;
        this.#toOld(list);
      } else if (this.#next(flow)) {
        flow.deficit -= this.#memory.u32[(this.#taken >> 2) + 1];
        return this.#front = this.#taken;
      } else if (isNew && this.#old.head !== undefined) {
        this.#toOld(list); // else it could be new again at once, and starve the others
      } else {
        this.#retire(list.shift());
      }
    }
  }

  #next(flow: Flow): boolean {
    this.#flow = flow;
    return flow.codel.next(this, this.#now(), this.#codel);
  }

  #toOld(list: FlowList): void {
    const flow = list.shift();
    flow.list = OLD;
    this.#old.push(flow);
  }

  #retire(flow: Flow): void {
    flow.list = IDLE;
    this.#flows[flow.bucket] = undefined;
    this.#spare.push(flow);
  }

  #flowOf(bucket: number): Flow {
    const known = this.#flows[bucket];
    if (known !== undefined) return known;
    const flow = this.#spare.pop() ?? new Flow();
    flow.bucket = bucket;
    flow.codel.reset();
    return this.#flows[bucket] = flow;
  }

  // ---- CodelLine, of the flow that is looked at ----

  get bytes(): number {
    return this.#flow.bytes;
  }

  take(): boolean {
    if (this.#flow.head === 0) return false;
    this.#taken = this.#unlink(this.#flow);
    return true;
  }

  get takenNs(): number {
    return this.#memory.f64[(this.#taken >> 3) + 1];
  }

  mark(): boolean {
    const isMarked = markCe(this.#memory.u8, this.#taken + CELL_HEAD_LEN);
    if (isMarked) this.counters.marked++;
    return isMarked;
  }

  drop(): void {
    this.#discard(this.#taken);
    this.counters.late++;
  }

  // ---- cells ----

  #unlink(flow: Flow): number {
    const { u32 } = this.#memory;
    const cell = flow.head;
    flow.head = u32[cell >> 2];
    if (flow.head === 0) flow.tail = 0;
    flow.bytes -= u32[(cell >> 2) + 1];
    return cell;
  }

  /** The cell is free again, and its packet gone. */
  #discard(cell: number): void {
    const { u32 } = this.#memory;
    this.#count--;
    this.#payload -= u32[(cell >> 2) + 1];
    if (cell < this.#smallEnd) {
      u32[cell >> 2] = this.#freeSmall;
      this.#freeSmall = cell;
    } else {
      u32[cell >> 2] = this.#freeLarge;
      this.#freeLarge = cell;
    }
  }

  /** A cell for a packet of `len` bytes; 0: there is none, and nothing that may be dropped for it. */
  #cellFor(len: number): number {
    if (len > PACKET_MAX_LEN) return 0;
    for (let drops = 0;; drops++) {
      const isSmall = len <= SMALL_LEN - CELL_HEAD_LEN && this.#freeSmall !== 0;
      const cell = isSmall ? this.#freeSmall : this.#freeLarge;
      if (cell !== 0 && this.#payload + len <= this.#bytesMax) {
        const next = this.#memory.u32[cell >> 2];
        if (isSmall) this.#freeSmall = next;
        else this.#freeLarge = next;
        return cell;
      }
      const fullest = drops < DROPS_MAX ? this.#fullest() : undefined;
      if (fullest === undefined) return 0;
      this.#discard(this.#unlink(fullest));
      this.counters.full++;
    }
  }

  #fullest(): Flow | undefined {
    let fullest: Flow | undefined;
    for (const list of [this.#new, this.#old]) {
      for (let flow = list.head; flow !== undefined; flow = flow.next) {
        if (flow.bytes > (fullest?.bytes ?? 0)) fullest = flow;
      }
    }
    return fullest;
  }

  #giveBlock(): void {
    if (this.#base === 0) return;
    this.#memory.free(this.#base, packetQueueLen(this.#larges));
    this.#base = 0;
    this.#flows = [];
    this.#spare.length = 0;
    this.#new.head =
      this.#new.tail =
      this.#old.head =
      this.#old.tail =
        undefined;
  }

  #takeBlock(): boolean {
    try {
      this.#base = this.#memory.alloc(packetQueueLen(this.#larges));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return false;
    }
    const larges = this.#larges;
    this.#smallEnd = this.#base + larges * SMALLS_PER_LARGE * SMALL_LEN;
    this.#freeSmall = this.#chain(this.#base, SMALL_LEN, larges * SMALLS_PER_LARGE);
    this.#freeLarge = this.#chain(this.#smallEnd, LARGE_LEN, larges);
    this.#flows = new Array(FLOWS).fill(undefined);
    return true;
  }

  /** Makes a list of `count` free cells at `at`. */
  #chain(at: number, len: number, count: number): number {
    const { u32 } = this.#memory;
    for (let i = 0; i < count; i++) u32[(at + i * len) >> 2] = i + 1 < count ? at + (i + 1) * len : 0;
    return at;
  }
}
