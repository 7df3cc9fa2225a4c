/** Packets on their way and what each carries; acks and loss in the style of RFC 9002, without congestion control: the
 * rate is the schedule's, whatever happens. A lost packet's items go back to where they came from, and leave again in
 * packets of new numbers. Nothing is allocated after it is made. */

import { assert } from "../base/mod.ts";
import { RoundTrip } from "./rtt.ts";
import type { Stream } from "./stream.ts";

// Set by a standard.
/** RFC 9002 §6.1.1. */
const PACKET_THRESHOLD = 3;
// Chosen here.
/** Packets taken for lost when nothing is heard (RFC 9002 §6.2.4 sends as many probes). */
const PROBES = 2;
const ITEMS_PER_PACKET = 4;
/** The pause between probes doubles up to this: slots leave anyway, so there is nothing to be gained by more. */
const PROBE_PAUSE_MAX_NS = 4e9;

export const ITEM = {
  hello: 0,
  open: 1,
  opened: 2,
  data: 3,
  dataLast: 4,
  credit: 5,
  reset: 6,
  refusal: 7,
  ping: 8,
};

/** Where items go back to. `a` and `b` are as they were given to `add`. */
export interface ItemSink {
  acked(kind: number, stream: Stream | undefined, a: number, b: number): void;
  lost(kind: number, stream: Stream | undefined, a: number, b: number): void;
}

/** How far packets may change places between their writing and their leaving. */
export interface Overtaking {
  readonly countMax: number;
  readonly timeMaxNs: number;
}
const IN_ORDER: Overtaking = { countMax: 0, timeMaxNs: 0 };

export interface SentOptions {
  /** Packets in flight at most; a power of two. */
  readonly packetsMax: number;
  /** False over a carrier that loses nothing while a session lasts: packets may leave in another order than they were
   * written in, and none is ever taken for lost. */
  readonly timers: boolean;
  /** How long the other side may wait before it acks, its slots included. */
  readonly ackDelayMaxNs: number;
  readonly overtaking?: Overtaking;
}

export class SentPackets {
  readonly roundTrip = new RoundTrip();
  /** Packets taken for lost so far, and how often nothing was heard for too long. */
  lostPackets = 0;
  probes = 0;
  readonly #options: SentOptions;
  readonly #mask: number;
  readonly #sentNs: Float64Array;
  readonly #itemsFrom: Float64Array;
  readonly #itemsEnd: Float64Array;
  readonly #inFlight: Uint8Array;
  readonly #itemMask: number;
  readonly #kinds: Uint8Array;
  readonly #streams: (Stream | undefined)[];
  readonly #as: Float64Array;
  readonly #bs: Float64Array;
  /** Packets before `#base` are settled, those from `#end` on were never in flight; `#next` is the number of the next
   * one. Items of packets in flight begin at `#itemsBase`, those of the packet being written at `#itemsOpen`. */
  #base = 0;
  #end = 0;
  #next = 0;
  #itemsBase = 0;
  #itemsOpen = 0;
  #itemsNext = 0;
  #inFlightCount = 0;
  #largestAcked = -1;
  #newestSentNs = 0;
  #lossNs = Infinity;
  #probeCount = 0;

  constructor(options: SentOptions) {
    const { packetsMax } = options;
    assert(Number.isInteger(Math.log2(packetsMax)), "packets in flight are a power of two");
    this.#options = options;
    this.#mask = packetsMax - 1;
    this.#sentNs = new Float64Array(packetsMax);
    this.#itemsFrom = new Float64Array(packetsMax);
    this.#itemsEnd = new Float64Array(packetsMax);
    this.#inFlight = new Uint8Array(packetsMax);
    const itemsMax = packetsMax * ITEMS_PER_PACKET;
    this.#itemMask = itemsMax - 1;
    this.#kinds = new Uint8Array(itemsMax);
    this.#streams = new Array(itemsMax).fill(undefined);
    this.#as = new Float64Array(itemsMax);
    this.#bs = new Float64Array(itemsMax);
  }

  get next(): number {
    return this.#next;
  }

  get inFlight(): number {
    return this.#inFlightCount;
  }

  /** Whether an item may be added to the packet that is being written. */
  get room(): boolean {
    return this.#next - this.#base <= this.#mask && this.#itemsNext - this.#itemsBase <= this.#itemMask;
  }

  /** Adds an item to the packet that is being written; needs `room`. */
  add(kind: number, stream: Stream | undefined, a: number, b: number): void {
    const at = this.#itemsNext & this.#itemMask;
    this.#itemsNext++;
    this.#kinds[at] = kind;
    this.#streams[at] = stream;
    this.#as[at] = a;
    this.#bs[at] = b;
  }

  /** The packet that was being written is on its way; it had the number `next`. One without items is not waited for. */
  commit(nowNs: number): void {
    const number = this.#next++;
    const from = this.#itemsOpen;
    this.#itemsOpen = this.#itemsNext;
    if (number - this.#base > this.#mask) return;
    const at = number & this.#mask;
    this.#inFlight[at] = from < this.#itemsNext ? 1 : 0;
    if (this.#inFlight[at] === 1) {
      this.#itemsFrom[at] = from;
      this.#itemsEnd[at] = this.#itemsNext;
      this.#sentNs[at] = nowNs;
      this.#newestSentNs = nowNs;
      this.#inFlightCount++;
      this.#end = number + 1;
    }
    this.#settleBase();
  }

  /** The other side has packets first..last, all of them sent before. */
  ack(first: number, last: number, sink: ItemSink): void {
    const end = Math.min(last + 1, this.#end);
    for (let number = Math.max(first, this.#base); number < end; number++) {
      if (this.#inFlight[number & this.#mask] !== 1) continue;
      this.#settle(number, sink, true);
      this.#probeCount = 0;
    }
  }

  /** Before the ranges of an ack are gone through: takes the time of its newest packet, if that is news. */
  ackNewest(largest: number, delayNs: number, nowNs: number): void {
    if (largest < this.#base || largest >= this.#end || largest <= this.#largestAcked) return;
    if (this.#inFlight[largest & this.#mask] !== 1) return;
    this.roundTrip.sample(nowNs - this.#sentNs[largest & this.#mask], delayNs);
  }

  /** After the ranges of an ack: finds what it shows to be lost. */
  ackEnd(largest: number, nowNs: number, sink: ItemSink): void {
    this.#largestAcked = Math.max(this.#largestAcked, largest);
    if (this.#options.timers) this.#findLost(nowNs, sink);
  }

  /** When `tick` has something to do. */
  get deadlineNs(): number {
    if (!this.#options.timers || this.#inFlightCount === 0) return Infinity;
    return Math.min(this.#lossNs, this.#newestSentNs + this.#probePauseNs);
  }

  /** Finds what must be lost by now. True when nothing has been heard for too long, so that something should be sent
   * that asks for an ack: what is given up then may be of no use any more. */
  tick(nowNs: number, sink: ItemSink): boolean {
    if (nowNs < this.deadlineNs) return false;
    if (nowNs >= this.#lossNs) {
      this.#findLost(nowNs, sink);
      return false;
    }
    this.probes++;
    this.#probeCount++;
    this.#newestSentNs = nowNs;
    for (let count = 0; count < PROBES && this.#inFlightCount > 0; count++) this.#lose(this.#base, sink);
    return true;
  }

  /** The session under the packets is another one: nothing of what is on its way counts on. */
  loseAll(sink: ItemSink): void {
    while (this.#inFlightCount > 0) this.#lose(this.#base, sink);
    this.#probeCount = 0;
    this.#lossNs = Infinity;
  }

  get #probePauseNs(): number {
    const pause = this.roundTrip.probeDelayNs + this.#options.ackDelayMaxNs;
    return Math.min(pause * 2 ** this.#probeCount, Math.max(pause, PROBE_PAUSE_MAX_NS));
  }

  #findLost(nowNs: number, sink: ItemSink): void {
    this.#lossNs = Infinity;
    const { countMax, timeMaxNs } = this.#options.overtaking ?? IN_ORDER;
    const delayNs = this.roundTrip.lossDelayNs + timeMaxNs;
    const end = Math.min(this.#largestAcked, this.#end);
    for (let number = this.#base; number < end; number++) {
      const at = number & this.#mask;
      if (this.#inFlight[at] !== 1) continue;
      const dueNs = this.#options.timers ? this.#sentNs[at] + delayNs : Infinity;
      if (this.#largestAcked - number >= PACKET_THRESHOLD + countMax || dueNs <= nowNs) {
        this.#lose(number, sink);
      } else this.#lossNs = Math.min(this.#lossNs, dueNs);
    }
  }

  #lose(number: number, sink: ItemSink): void {
    this.lostPackets++;
    this.#settle(number, sink, false);
  }

  /** Hands a packet's items back. What the sink does may not send. */
  #settle(number: number, sink: ItemSink, arrived: boolean): void {
    const at = number & this.#mask;
    this.#inFlight[at] = 0;
    this.#inFlightCount--;
    const end = this.#itemsEnd[at];
    for (let item = this.#itemsFrom[at]; item < end; item++) {
      const i = item & this.#itemMask;
      const stream = this.#streams[i];
      this.#streams[i] = undefined;
      if (arrived) sink.acked(this.#kinds[i], stream, this.#as[i], this.#bs[i]);
      else sink.lost(this.#kinds[i], stream, this.#as[i], this.#bs[i]);
    }
    this.#settleBase();
  }

  #settleBase(): void {
    while (this.#base < this.#next && this.#inFlight[this.#base & this.#mask] !== 1) this.#base++;
    this.#itemsBase = this.#inFlightCount > 0 ? this.#itemsFrom[this.#base & this.#mask] : this.#itemsOpen;
  }
}
