/** The streams of one mux, and what they share: bounds, buffers, credit, queues. */

import { assert } from "../base/mod.ts";
import { RESET_REASON, type StreamAddress, type StreamEvents, type StreamKind } from "../ports/mod.ts";
import { Allowance } from "./allowance.ts";
import { BufferPool } from "./byte_ring.ts";
import { type MuxCounters, newMuxCounters } from "./counters.ts";
import { DatagramBudget, DatagramParts, DatagramQueue } from "./datagrams.ts";
import { FairQueue } from "./fair_queue.ts";
import { Fifo } from "./fifo.ts";
import { Ranges } from "./ranges.ts";
import { ReceiveHalf } from "./receive_half.ts";
import { SendHalf } from "./send_half.ts";
import { CONTROL, Stream } from "./stream.ts";

// Chosen here.
/** Refusals of streams that are not kept, waiting to be sent. */
const REFUSALS_MAX = 1024;
/** Gaps among the ids of the other side's streams: they close, since no open is lost for good. */
const ID_GAPS_MAX = 256;
const KEPT_BUFFERS_LEN = 4 * 1024 * 1024;

export interface MuxLimits {
  /** Streams that each side may have opened at a time; those that are being reset count. */
  readonly streamsMax: number;
  /** Bytes beyond the least credit of each stream, once for each direction. */
  readonly sharedLen: number;
}

export interface Refusal {
  readonly id: number;
  readonly reason: number;
}

export class StreamTable {
  readonly counters: MuxCounters = newMuxCounters();
  readonly events: StreamEvents;
  readonly limits: MuxLimits;
  readonly pool = new BufferPool(KEPT_BUFFERS_LEN);
  readonly sendAllowance: Allowance;
  readonly receiveAllowance: Allowance;
  readonly budget = new DatagramBudget();
  readonly parts = new DatagramParts();
  /** Streams that have something to tell · refusals · streams that have bytes or datagrams to send. */
  readonly control = new Fifo<Stream>();
  readonly refusals = new Fifo<Refusal>();
  readonly senders = new FairQueue<Stream>();
  readonly #streams = new Map<number, Stream>();
  /** Streams that the other side opened, by the ids that the local side knows. */
  readonly #theirs = new Map<number, Stream>();
  /** 1 for odd ids, 0 for even ones: of the streams opened here. */
  readonly #ownParity: number;
  #ownCount = 0;
  #newestOwn = 0;
  #nextTheirLocal: number;
  /** Ids, halved, that the other side has used. */
  readonly #used = new Ranges();

  constructor(client: boolean, limits: MuxLimits, events: StreamEvents, localIdNext?: number) {
    this.events = events;
    this.limits = limits;
    this.sendAllowance = new Allowance(limits.sharedLen);
    this.receiveAllowance = new Allowance(limits.sharedLen);
    this.#ownParity = client ? 1 : 0;
    this.#nextTheirLocal = localIdNext ?? (client ? 2 : 1);
  }

  /** What the local side will know the other side's next stream by. */
  get localIdNext(): number {
    return this.#nextTheirLocal;
  }

  get count(): number {
    return this.#streams.size;
  }

  get ownCount(): number {
    return this.#ownCount;
  }

  get theirCount(): number {
    return this.#theirs.size;
  }

  find(id: number): Stream | undefined {
    return this.#streams.get(id);
  }

  /** By the id that the local side knows. */
  findLocal(id: number): Stream | undefined {
    return (id & 1) === this.#ownParity ? this.#streams.get(id) : this.#theirs.get(id);
  }

  /** Checks and remembers the id of a stream that the local side opens. False: there are too many. */
  claimOwn(id: number): boolean {
    const valid = Number.isInteger(id) && id > this.#newestOwn && id <= 0xffffffff &&
      (id & 1) === this.#ownParity;
    assert(valid, "ids of streams go up, odd at the client and even at the server");
    this.#newestOwn = id;
    return this.#ownCount < this.limits.streamsMax;
  }

  /** Whether this could be the id of a stream that the other side opens. */
  isTheirs(id: number): boolean {
    return id > 0 && (id & 1) !== this.#ownParity;
  }

  /** Whether there has ever been a stream of this id. */
  wasUsed(id: number): boolean {
    return this.isTheirs(id) ? this.#used.has(id >>> 1) : id > 0 && id <= this.#newestOwn;
  }

  /** The other side has used this id; no stream of it can begin any more. */
  markUsed(id: number): void {
    this.#used.add(id >>> 1, (id >>> 1) + 1);
    if (this.#used.count > ID_GAPS_MAX) this.#used.closeLowestGap();
  }

  /** The other side may use an id again when it has begun anew. The local side knows its streams by ids of this
   * side's choice, which never come twice: so nothing meant for an old stream reaches a new one. */
  create(id: number, kind: StreamKind, own: boolean, address: StreamAddress): Stream {
    const stream = new Stream(id, own ? id : this.#nextTheirLocal, kind, own, address);
    if (kind === "stream") {
      stream.send = new SendHalf(this.pool, this.sendAllowance);
      stream.receive = new ReceiveHalf(this.pool, this.receiveAllowance);
      stream.firstWindow = stream.receive.limit;
      stream.receive.held = own;
    } else {
      stream.datagrams = new DatagramQueue(this.budget);
    }
    this.#streams.set(id, stream);
    if (own) {
      this.#ownCount++;
    } else {
      this.#theirs.set(this.#nextTheirLocal, stream);
      this.#nextTheirLocal += 2;
    }
    this.counters.opened++;
    return stream;
  }

  /** The stream has something (CONTROL) to tell the other side. */
  tell(stream: Stream, what: number): void {
    stream.control |= what;
    if (stream.controlQueued) return;
    stream.controlQueued = true;
    this.control.push(stream);
  }

  activate(stream: Stream): void {
    if (stream.sendable) this.senders.activate(stream);
  }

  /** Refuses a stream that is not kept. False: too many refusals wait. */
  refuse(id: number, reason: number): boolean {
    if (this.refusals.count >= REFUSALS_MAX) return false;
    this.refusals.push({ id, reason });
    this.counters.refused++;
    return true;
  }

  /** Ends a stream and says so to the other side, until it has acknowledged that. */
  abort(stream: Stream, reason: number): void {
    this.#release(stream);
    stream.state = "resetting";
    stream.reason = reason;
    stream.control = 0;
    this.tell(stream, CONTROL.reset);
    this.counters.resetHere++;
  }

  /** As `abort`, and the local side is told. */
  abortBoth(stream: Stream, reason: number): void {
    this.abort(stream, reason);
    this.events.reset(stream.localId, reason);
  }

  forgetIfDone(stream: Stream): void {
    if (stream.state === "open" && stream.done) this.forget(stream);
  }

  forget(stream: Stream): void {
    if (stream.state === "gone") return;
    this.#release(stream);
    stream.state = "gone";
    stream.control = 0;
    this.#streams.delete(stream.id);
    if (stream.own) this.#ownCount--;
    else this.#theirs.delete(stream.localId);
  }

  /** Forgets everything; the local side is told of each stream that was not over. */
  forgetAll(): void {
    this.control.clear();
    this.refusals.clear();
    this.senders.clear();
    this.parts.clear();
    this.#used.clear();
    for (const stream of [...this.#streams.values()]) {
      const told = stream.state === "resetting";
      this.forget(stream);
      if (!told) this.events.reset(stream.localId, RESET_REASON.sessionLost);
    }
  }

  #release(stream: Stream): void {
    stream.send?.release();
    stream.receive?.release();
    stream.datagrams?.clear();
    if (stream.kind === "datagrams") this.parts.drop(stream.id);
    stream.send = stream.receive = stream.datagrams = undefined;
  }
}
