/** Stream rings in simulated time: the plain twin of c/link.c. One slot: 1 the letter box (connection, or next key) · 2 does
 * the socket take a record? If not, the slot is skipped · 3 freeze: take plaintext, KeyUpdate or chaff, seal · 4 send.
 * `fault` breaks the promise as a comparison of traces must notice. */

import { ShimError } from "../../ffi/errors.ts";
import type {
  EndpointAddress,
  Memory,
  RecordProtection,
  RingConfig,
  StreamPacer,
} from "../../src/ports/mod.ts";
import { BUF, BUF_WORD, RECORD, RING } from "../../src/ports/mod.ts";
import { SimRing } from "./sim_ring.ts";
import type { VirtualTime } from "./virtual_time.ts";

const LEAD_NS = 50e3;
const FAULT_DELAY_NS = 50e3;
const EBUSY = 16;
const EALREADY = 114;

export type TcpFault = "none" | "delay" | "shorten" | "skip" | "ask";

/** The sockets as the pacer sees them. */
export interface SimSockets {
  /** All has left, and a record would leave at once. */
  room(fd: number): boolean;
  /** False: the connection is broken. */
  write(fd: number, bytes: Uint8Array): boolean;
}

interface Link {
  readonly fd: number;
  readonly key: number;
  readonly header: Uint8Array;
  /** Of a KeyUpdate. */
  readonly number: number | undefined;
}

interface Train {
  readonly ring: SimRing;
  link: Link | undefined;
  next: Link | undefined;
  isBroken: boolean;
}

export class TcpPacer implements StreamPacer {
  fault: TcpFault = "none";
  readonly #memory: Memory;
  readonly #protection: RecordProtection;
  readonly #time: VirtualTime;
  readonly #sockets: SimSockets;
  readonly #trains = new Map<number, Train>();
  readonly #keysUsed = new Set<number>();

  constructor(memory: Memory, protection: RecordProtection, time: VirtualTime, sockets: SimSockets) {
    this.#memory = memory;
    this.#protection = protection;
    this.#time = time;
    this.#sockets = sockets;
  }

  newRing(config: RingConfig): number {
    const ring = new SimRing(this.#memory, config);
    ring.setU32(RING.update, this.#memory.alloc(ring.plaintextLen));
    this.#trains.set(ring.off, { ring, link: undefined, next: undefined, isBroken: false });
    return ring.off;
  }

  ringTimes(off: number, count: number): void {
    this.#trains.get(off)!.ring.add(RING.timesEnd, count);
  }

  ringStart(off: number): void {
    const train = this.#trains.get(off)!;
    this.#await(train);
  }

  ringFree(off: number): void {
    const { ring } = this.#trains.get(off)!;
    ring.freed = true;
    this.#trains.delete(off);
    this.#memory.free(ring.u32(RING.update), ring.plaintextLen);
    for (const block of ring.blocks) this.#memory.free(block.off, block.len);
  }

  ringLink(off: number, fd: number, key: number, hdr: number): boolean {
    const train = this.#trains.get(off)!;
    if (fd >= 0) this.#use(key);
    const isReplaced = train.next !== undefined;
    const header = fd < 0 ? new Uint8Array(0) : this.#memory.u8.slice(hdr, hdr + train.ring.config.hdrLen);
    train.next = { fd, key, header, number: undefined };
    return isReplaced;
  }

  ringUpdate(off: number, key: number, number: number): void {
    const train = this.#trains.get(off)!;
    if (train.next !== undefined || train.link === undefined) throw new ShimError("update a key", EBUSY);
    this.#use(key);
    train.next = { ...train.link, key, number };
  }

  ringKeys(): void {
    throw new ShimError("install a key in a stream ring", EALREADY);
  }

  ringDest(_ring: number, _fd: number, _to: EndpointAddress): void {
    throw new ShimError("move a stream ring", EALREADY);
  }

  ringMove(): void {
    throw new ShimError("move a stream ring", EALREADY);
  }

  ringAside(): void {
    throw new ShimError("send aside in a stream ring", EALREADY);
  }

  ringCredit(): void {
    throw new ShimError("send aside in a stream ring", EALREADY);
  }

  #use(key: number): void {
    if (this.#keysUsed.has(key)) throw new ShimError("use a key twice", EALREADY);
    this.#keysUsed.add(key);
  }

  #await(train: Train): void {
    const { ring } = train;
    ring.timeNs = ring.timeAt(ring.slot);
    ring.setF64(RING.slotNext, ring.slot);
    ring.setF64(RING.slotNextNs, ring.timeNs);
    this.#time.at(ring.timeNs - LEAD_NS, () => {
      if (ring.freed) return;
      const record = this.#freeze(train);
      const delayNs = this.#isFaulty(train, "delay") ? FAULT_DELAY_NS : 0;
      this.#time.at(ring.timeNs + delayNs, () => this.#send(train, record));
    });
  }

  #freeze(train: Train): Uint8Array | undefined {
    const { ring } = train;
    ring.dataRecords = 0;
    if (train.next !== undefined && train.next.number === undefined) this.#adopt(train);
    const { link } = train;
    ring.keyless = link === undefined || link.fd < 0 || train.isBroken;
    if (ring.keyless) return undefined;
    const dataIsThere = this.#word(ring, ring.taken) === BUF_WORD.ready;
    // The fault that a rule must not have: it asks for data before it asks the socket.
    if (this.fault === "ask" && dataIsThere) return undefined;
    if (!this.#sockets.room(link!.fd)) return undefined;
    const isUpdate = train.next !== undefined && ring.sequenceNumber >= train.next.number!;
    const source = isUpdate ? ring.u32(RING.update) : this.#take(ring) || ring.u32(RING.chaff);
    this.#memory.u8.copyWithin(ring.plain, source, source + ring.plaintextLen);
    if (!isUpdate && ring.dataRecords > 0) this.#release(ring);
    const record = this.#seal(ring, link!);
    if (isUpdate) this.#adopt(train);
    ring.setF64(RING.seqNext, ring.sequenceNumber);
    return record;
  }

  #adopt(train: Train): void {
    const { ring } = train;
    train.link = train.next;
    train.next = undefined;
    train.isBroken = false;
    ring.sequenceNumber = 0;
    ring.setF64(RING.seqNext, 0);
    ring.setU32(RING.switches, ring.u32(RING.switches) + 1);
  }

  #buffer(ring: SimRing, number: number): number {
    return ring.u32(RING.bufs) + (number % ring.config.bufCount) * ring.stride;
  }

  #word(ring: SimRing, number: number): number {
    return Atomics.load(this.#memory.i32, (this.#buffer(ring, number) + BUF.word) >> 2);
  }

  /** Offset of the oldest plaintext, or 0. */
  #take(ring: SimRing): number {
    if (this.#word(ring, ring.taken) !== BUF_WORD.ready) return 0;
    ring.dataRecords = 1;
    return this.#buffer(ring, ring.taken) + BUF.headLen;
  }

  #release(ring: SimRing): void {
    Atomics.store(this.#memory.i32, (this.#buffer(ring, ring.taken) + BUF.word) >> 2, BUF_WORD.free);
    ring.taken = (ring.taken + 1) >>> 0;
    Atomics.store(this.#memory.i32, (ring.off + RING.taken) >> 2, ring.taken | 0);
  }

  #seal(ring: SimRing, link: Link): Uint8Array {
    const { u8, u32, i32 } = this.#memory;
    const { hdrLen, datagramLen } = ring.config;
    const number = ring.sequenceNumber++;
    u8.set(link.header, ring.sealed);
    u32[(ring.job + RECORD.src) >> 2] = ring.sealed;
    u32[(ring.job + RECORD.len) >> 2] = datagramLen;
    u8[ring.job + RECORD.hdrLen] = hdrLen;
    u8[ring.job + RECORD.seqOff] = u8[ring.job + RECORD.seqLen] = 0;
    i32[(ring.job + RECORD.key) >> 2] = link.key;
    u32[(ring.job + RECORD.seqLo) >> 2] = number;
    u32[(ring.job + RECORD.seqHi) >> 2] = 0;
    u32[(ring.job + RECORD.dst) >> 2] = ring.plain;
    this.#protection.sealBatch(ring.job, 1);
    return u8.slice(ring.sealed, ring.sealed + datagramLen);
  }

  #isFaulty({ ring }: Train, fault: TcpFault): boolean {
    return this.fault === fault && ring.dataRecords > 0;
  }

  #send(train: Train, record: Uint8Array | undefined): void {
    const { ring, link } = train;
    if (ring.freed) return;
    ring.add(RING.slots);
    if (ring.keyless) {
      ring.add(RING.keyless);
    } else if (record === undefined) {
      ring.add(RING.socketFull);
    } else if (!this.#isFaulty(train, "skip")) {
      const isShort = this.#isFaulty(train, "shorten");
      const sent = this.#sockets.write(link!.fd, isShort ? record.subarray(0, -1) : record);
      ring.add(sent ? RING.records : RING.sendErrors);
      ring.add(RING.dataRecords, ring.dataRecords);
      if (!sent) train.isBroken = true;
    }
    ring.slot++;
    this.#await(train);
  }
}
