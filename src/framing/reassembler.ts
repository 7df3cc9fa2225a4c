/** Puts fragments together, in any order, within fixed bounds: so many packets at a time, each in a place of its own, in a
 * block that is taken with the first fragment and given back after a while without one. What overlaps or contradicts itself loses the whole packet; what stays incomplete is forgotten
 * after a count of records, since there is no clock here. Nothing a peer sends makes it grow or throw. */

import { assert } from "../base/mod.ts";

// Chosen here.
/** The largest inner packet. */
export const PACKET_MAX_LEN = 2048;
/** Packets in flight: a sender splits one at a time, so this much is for reordering and loss. */
const PACKETS_DEFAULT = 16;
const PACKETS_MAX = 64;
/** Bytes of the block that a Reassembler takes, unless it is told another count of packets. */
export const REASSEMBLY_LEN = PACKETS_DEFAULT * PACKET_MAX_LEN;
/** Stretches of a packet that have arrived and do not touch one another. */
const GAPS_MAX = 16;
/** A fragment whose record is this far from the packet's newest one does not belong to it: ids wrap at 65,536 split
 * packets, so at no fewer records. */
export const RECORDS_APART_MAX = 1024;
assert(RECORDS_APART_MAX < 65_536 / 2, "an id is forgotten before it comes again");

/** What framing needs of a Memory. */
export interface FramingMemory {
  readonly u8: Uint8Array;
  alloc(len: number): number;
  free(off: number, len: number): void;
}

/** Each kind of drop counts packets, but `badRange`, `late` and `noMemory`, which count fragments. */
export interface ReassemblyCounters {
  /** Packets put together. */
  completed: number;
  /** A fragment that ends past PACKET_MAX_LEN, or that no split makes (not first, offset 0). */
  badRange: number;
  overlap: number;
  /** Two ends, or bytes past the end. */
  inconsistent: number;
  /** More separate stretches than are kept. */
  scattered: number;
  timedOut: number;
  /** The oldest, given up for a new one since all places were taken. */
  evicted: number;
  /** Fragments of a packet that had been dropped already. */
  late: number;
  /** Fragments that came when there was no memory for a block. */
  noMemory: number;
}

/** State of one place. */
const EMPTY = 0;
const OPEN = 1;
/** Dropped; its later fragments are swallowed until its time is over. */
const SPOILED = 2;

export class Reassembler {
  readonly counters: ReassemblyCounters = {
    completed: 0,
    badRange: 0,
    overlap: 0,
    inconsistent: 0,
    scattered: 0,
    timedOut: 0,
    evicted: 0,
    late: 0,
    noMemory: 0,
  };
  readonly #memory: FramingMemory;
  /** 0: no block is taken. */
  #base = 0;
  #touched = false;
  readonly #places: number;
  readonly #state: Uint8Array;
  readonly #ids: Uint16Array;
  /** Number of the newest record that brought a fragment. */
  readonly #numbers: Float64Array;
  /** Length of the whole packet, 0 while unknown. */
  readonly #totals: Uint16Array;
  /** Bytes that have arrived. */
  readonly #arrived: Uint16Array;
  /** Whether a fragment came in a record that had met congestion. */
  readonly #marks: Uint8Array;
  /** Per place: count of stretches, and their starts and ends, ascending, not touching. */
  readonly #stretches: Uint8Array;
  readonly #starts: Uint16Array;
  readonly #ends: Uint16Array;

  /** Uses up to `packets` × 2,048 bytes of `memory` (32 KiB if not said). */
  constructor(memory: FramingMemory, packets = PACKETS_DEFAULT) {
    assert(packets >= 1 && packets <= PACKETS_MAX, "1 to 64 packets are put together at a time");
    this.#memory = memory;
    this.#places = packets;
    this.#state = new Uint8Array(packets);
    this.#ids = new Uint16Array(packets);
    this.#numbers = new Float64Array(packets);
    this.#totals = new Uint16Array(packets);
    this.#arrived = new Uint16Array(packets);
    this.#marks = new Uint8Array(packets);
    this.#stretches = new Uint8Array(packets);
    this.#starts = new Uint16Array(packets * GAPS_MAX);
    this.#ends = new Uint16Array(packets * GAPS_MAX);
  }

  /** Takes the fragment of `len` bytes at `srcOff`, bytes offset..offset+len-1 of packet `id`. `number` is of its
   * record. Returns the offset of the whole packet, valid until the next `add`, when this completes it (its length
   * is `completedLen`), else 0. */
  add(id: number, offset: number, srcOff: number, len: number, last: boolean, number: number): number {
    const end = offset + len;
    if (end > PACKET_MAX_LEN || len === 0) {
      this.counters.badRange++;
      return 0;
    }
    this.#touched = true;
    if (this.#base === 0 && !this.#take()) {
      this.counters.noMemory++;
      return 0;
    }
    const place = this.#placeOf(id, number);
    if (this.#state[place] === SPOILED) {
      this.counters.late++;
      return 0;
    }
    if (!this.#endFits(place, end, last)) return this.#spoil(place, "inconsistent");
    const fault = this.#insert(place, offset, end);
    if (fault !== "none") return this.#spoil(place, fault);
    const storage = this.#base + place * PACKET_MAX_LEN;
    this.#memory.u8.copyWithin(storage + offset, srcOff, srcOff + len);
    this.#arrived[place] += len;
    if (this.isMarked) this.#marks[place] = 1;
    if (last) this.#totals[place] = end;
    if (this.#totals[place] === 0 || this.#arrived[place] !== this.#totals[place]) return 0;
    this.completedLen = this.#totals[place];
    this.completedMarked = this.#marks[place] === 1;
    this.counters.completed++;
    this.#state[place] = EMPTY;
    return storage;
  }

  /** Length of the packet that `add` completed last. */
  completedLen = 0;
  /** To be set for each record: whether the network has marked it (RFC 3168). */
  isMarked = false;
  /** Whether a record was marked that brought a fragment of the packet that `add` completed last: RFC 3168 §5.3. */
  completedMarked = false;

  /** Whether a packet at `off` lies in this storage, so that it must be used before the next `add`. */
  holds(off: number): boolean {
    return this.#base !== 0 && off >= this.#base && off < this.#base + this.#places * PACKET_MAX_LEN;
  }

  /** A fragment that never was one: counted with those out of range. */
  refuse(): void {
    this.counters.badRange++;
  }

  /** Packets that are incomplete now. */
  get inFlight(): number {
    let count = 0;
    for (let place = 0; place < this.#places; place++) if (this.#state[place] === OPEN) count++;
    return count;
  }

  /** Packets lost here so far, of all kinds. */
  get droppedCount(): number {
    const { overlap, inconsistent, scattered, timedOut, evicted, noMemory } = this.counters;
    return overlap + inconsistent + scattered + timedOut + evicted + noMemory;
  }

  /** Forgets everything incomplete (a new session: its ids and numbers start anew). */
  reset(): void {
    this.counters.timedOut += this.inFlight;
    this.#state.fill(EMPTY);
  }

  /** Now and then, outside of `add`: gives the block back if nothing is incomplete and no fragment has come since the last
   * time. */
  rest(): void {
    if (this.#base !== 0 && !this.#touched && this.inFlight === 0) {
      this.#memory.free(this.#base, this.#places * PACKET_MAX_LEN);
      this.#base = 0;
    }
    this.#touched = false;
  }

  #take(): boolean {
    try {
      this.#base = this.#memory.alloc(this.#places * PACKET_MAX_LEN);
      return true;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return false;
    }
  }

  /** The place of packet `id`, made if there is none; what is too old is given up on the way. */
  #placeOf(id: number, number: number): number {
    let found = -1;
    let empty = -1;
    let oldest = 0;
    for (let place = 0; place < this.#places; place++) {
      if (this.#state[place] !== EMPTY && Math.abs(number - this.#numbers[place]) > RECORDS_APART_MAX) {
        if (this.#state[place] === OPEN) this.counters.timedOut++;
        this.#state[place] = EMPTY;
      }
      if (this.#state[place] === EMPTY) empty = place;
      else if (this.#ids[place] === id) found = place;
      if (this.#numbers[place] < this.#numbers[oldest]) oldest = place;
    }
    if (found >= 0) {
      if (number > this.#numbers[found]) this.#numbers[found] = number;
      return found;
    }
    if (empty < 0 && this.#state[oldest] === OPEN) this.counters.evicted++;
    return this.#open(empty < 0 ? oldest : empty, id, number);
  }

  #open(place: number, id: number, number: number): number {
    this.#state[place] = OPEN;
    this.#ids[place] = id;
    this.#numbers[place] = number;
    this.#totals[place] = 0;
    this.#arrived[place] = 0;
    this.#marks[place] = 0;
    this.#stretches[place] = 0;
    return place;
  }

  #endFits(place: number, end: number, last: boolean): boolean {
    const total = this.#totals[place];
    if (total !== 0) return !last && end <= total;
    const stretches = this.#stretches[place];
    // The last fragment may not end before bytes that are already there.
    return !last || stretches === 0 || this.#ends[place * GAPS_MAX + stretches - 1] <= end;
  }

  /** Marks start..end as arrived, keeping stretches ascending and merged. */
  #insert(place: number, start: number, end: number): "none" | "overlap" | "scattered" {
    const first = place * GAPS_MAX;
    const after = first + this.#stretches[place];
    let at = first;
    while (at < after && this.#ends[at] <= start) at++;
    if (at < after && this.#starts[at] < end) return "overlap";
    const joinsBefore = at > first && this.#ends[at - 1] === start;
    const joinsAfter = at < after && this.#starts[at] === end;
    if (joinsBefore && joinsAfter) {
      this.#ends[at - 1] = this.#ends[at];
      this.#starts.copyWithin(at, at + 1, after);
      this.#ends.copyWithin(at, at + 1, after);
      this.#stretches[place]--;
    } else if (joinsBefore) {
      this.#ends[at - 1] = end;
    } else if (joinsAfter) {
      this.#starts[at] = start;
    } else {
      if (this.#stretches[place] === GAPS_MAX) return "scattered";
      this.#starts.copyWithin(at + 1, at, after);
      this.#ends.copyWithin(at + 1, at, after);
      this.#starts[at] = start;
      this.#ends[at] = end;
      this.#stretches[place]++;
    }
    return "none";
  }

  #spoil(place: number, kind: "overlap" | "inconsistent" | "scattered"): 0 {
    this.counters[kind]++;
    this.#state[place] = SPOILED;
    return 0;
  }
}
