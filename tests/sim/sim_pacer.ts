/** The pacer in simulated time: the plain twin of c/slot.c and c/ring.c over any Memory. One slot: 1 letter boxes (keys,
 * destination) · 2 freeze, a lead before the slot's time: take plaintext or chaff, release, seal · 3 at its time: send ·
 * 4 counters, next time.
 * It can be made to break the promise in each way that a comparison of traces must catch. */

import { histogramBucket } from "../../ffi/histogram.ts";
import { ShimError } from "../../ffi/errors.ts";
import type {
  Aside,
  EndpointAddress,
  Memory,
  Numbering,
  Pacer,
  RecordProtection,
  RingConfig,
} from "../../src/ports/mod.ts";
import { BUF, BUF_KIND, BUF_WORD, RECORD, RING, TRACE, TRACE_FLAG } from "../../src/ports/mod.ts";
import type { KeySet } from "./sim_ring.ts";
import { configSound, SimRing } from "./sim_ring.ts";
import type { Timeline } from "./virtual_time.ts";

/** What a slot with data does that one without does not: leaves 50 µs late · sends its first record twice · is a byte
 * shorter · is not sent · shows another epoch. As I405_FAULT_* of c/i405.h. */
export const PACER_FAULTS = ["delay", "add", "shorten", "skip", "epoch"] as const;
/** "number": all records have the same one, with data or without. */
export type PacerFault = "none" | "number" | typeof PACER_FAULTS[number];

/** Sends one datagram; false when the socket refuses it. `from` is unset where the kernel would choose. */
export type SimSend = (fd: number, bytes: Uint8Array, to: EndpointAddress, from?: EndpointAddress) => boolean;

export interface SimPacerOptions {
  readonly send: SimSend;
  /** From freeze to the slot's time. */
  readonly leadNs?: number;
}

const LATE_NS = 100e3;
const FAULT_DELAY_NS = 50e3;
// As in errno.h of Linux.
const EBUSY = 16;
const EINVAL = 22;
const ENOSPC = 28;
const EALREADY = 114;

export class SimPacer implements Pacer {
  fault: PacerFault = "none";
  readonly #memory: Memory;
  readonly #protection: RecordProtection;
  readonly #time: Timeline;
  readonly #send: SimSend;
  readonly #leadNs: number;
  readonly #rings = new Map<number, SimRing>();
  readonly #keysUsed = new Set<number>();
  #stalledUntilNs = 0;

  constructor(memory: Memory, protection: RecordProtection, time: Timeline, options: SimPacerOptions) {
    this.#memory = memory;
    this.#protection = protection;
    this.#time = time;
    this.#send = options.send;
    this.#leadNs = options.leadNs ?? 50e3;
  }

  /** The machine takes the pacer's CPU away until then: slots in between are late, or skipped. */
  stall(untilNs: number): void {
    this.#stalledUntilNs = Math.max(this.#stalledUntilNs, untilNs);
  }

  newRing(config: RingConfig): number {
    if (!configSound(config)) throw new ShimError("make a ring", EINVAL);
    const ring = new SimRing(this.#memory, config);
    this.#rings.set(ring.off, ring);
    return ring.off;
  }

  ringTimes(off: number, count: number): void {
    const ring = this.#ring(off);
    const timesEnd = ring.f64(RING.timesEnd);
    const size = ring.config.timesCount;
    if (count > size || timesEnd + count - ring.f64(RING.slotNext) > size) {
      throw new ShimError("publish slot times", ENOSPC);
    }
    let before = timesEnd === 0 ? -Infinity : ring.timeAt(timesEnd - 1);
    for (let slot = timesEnd; slot < timesEnd + count; slot++) {
      const time = ring.timeAt(slot);
      if (!(Number.isFinite(time) && time > before)) throw new ShimError("publish slot times", EINVAL);
      before = time;
    }
    ring.setF64(RING.timesEnd, timesEnd + count);
  }

  ringKeys(off: number, key: number, hdr: number, firstSlot: number, numbering?: Numbering): void {
    const ring = this.#ring(off);
    if (ring.keysNext !== undefined) throw new ShimError("install a key", EBUSY);
    // Numbers start at 0 each time: a key that came twice would repeat nonces.
    if (this.#keysUsed.has(key)) throw new ShimError("install a key", EALREADY);
    this.#keysUsed.add(key);
    const header = this.#memory.u8.slice(hdr, hdr + ring.config.hdrLen);
    const set: KeySet = { first: 0, ...numbering, key, header, firstSlot };
    if (ring.started || ring.keys !== undefined) {
      ring.keysNext = set;
    } else {
      ring.keys = set;
      ring.number();
    }
  }

  ringDest(off: number, fd: number, to: EndpointAddress, from?: EndpointAddress): void {
    this.#ring(off).destinationNext = { fd, to, from };
  }

  ringMove(off: number, fd: number, to: EndpointAddress, hdr: number, firstSlot: number): void {
    const ring = this.#ring(off);
    if (ring.keysNext !== undefined) throw new ShimError("move a ring", EBUSY);
    if (!ring.started || ring.keys === undefined) throw new ShimError("move a ring", EINVAL);
    const header = this.#memory.u8.slice(hdr, hdr + ring.config.hdrLen);
    ring.keysNext = { ...ring.keys, header, firstSlot, destination: { fd, to } };
  }

  ringAside(off: number, aside: Aside | undefined): void {
    const ring = this.#ring(off);
    const plaintext = this.#memory.u8.slice(aside?.plaintext, (aside?.plaintext ?? 0) + ring.plaintextLen);
    ring.asideNext = { aside: aside && { ...aside, plaintext, credit: 0 } };
  }

  ringCredit(off: number, bytes: number): void {
    const ring = this.#ring(off);
    const newest = ring.asideNext === undefined ? ring.aside : ring.asideNext.aside;
    if (newest !== undefined) newest.credit += bytes;
  }

  ringStart(off: number): void {
    const ring = this.#ring(off);
    if (ring.started) throw new ShimError("start a ring", EALREADY);
    if (ring.f64(RING.timesEnd) < 1) throw new ShimError("start a ring", EINVAL);
    ring.started = true;
    ring.setU32(RING.running, 1);
    this.#setTime(ring, ...this.#timeOf(ring, 0));
    this.#awaitFreeze(ring);
  }

  /** A slot that is frozen is still sent: its bytes are the pacer's own. */
  ringFree(off: number): void {
    const ring = this.#ring(off);
    ring.freed = true;
    this.#rings.delete(off);
    for (const block of ring.blocks) this.#memory.free(block.off, block.len);
  }

  #ring(off: number): SimRing {
    const ring = this.#rings.get(off);
    if (ring === undefined) throw new ShimError("find a ring", EINVAL);
    return ring;
  }

  // ---- times ----

  #timeOf(ring: SimRing, slot: number): [timeNs: number, dry: boolean] {
    if (slot < ring.f64(RING.timesEnd)) return [ring.timeAt(slot), false];
    // The repeat rule of c/i405.h.
    const back = Math.min(slot, ring.history.length);
    return [ring.history[(slot - back) % ring.history.length] + back * ring.config.intervalNs, true];
  }

  #nextTime(ring: SimRing): [timeNs: number, dry: boolean] {
    const [timeNs, dry] = this.#timeOf(ring, ring.slot + 1);
    return [timeNs > ring.timeNs ? timeNs : ring.timeNs + ring.config.intervalNs, dry];
  }

  #setTime(ring: SimRing, timeNs: number, dry: boolean): void {
    ring.timeNs = timeNs;
    ring.timeDry = dry;
    ring.history[ring.slot % ring.history.length] = timeNs;
    ring.setF64(RING.slotNext, ring.slot);
    ring.setF64(RING.slotNextNs, timeNs);
  }

  #advance(ring: SimRing): void {
    const [timeNs, dry] = this.#nextTime(ring);
    ring.slot++;
    this.#setTime(ring, timeNs, dry);
    this.#awaitFreeze(ring);
  }

  /** Runs `action` at `timeNs`, or when the machine lets the pacer run again. */
  #runAt(timeNs: number, action: () => void): void {
    this.#time.at(timeNs, () => {
      if (this.#time.nowNs() < this.#stalledUntilNs) this.#runAt(this.#stalledUntilNs, action);
      else action();
    });
  }

  #awaitFreeze(ring: SimRing): void {
    this.#runAt(ring.timeNs - this.#leadNs, () => {
      if (ring.freed) return;
      const nowNs = this.#time.nowNs();
      if (nowNs > ring.timeNs && nowNs >= this.#nextTime(ring)[0]) return this.#skip(ring);
      this.#freeze(ring);
      const delayNs = this.#faulty(ring, "delay") ? FAULT_DELAY_NS : 0;
      this.#runAt(ring.timeNs + delayNs, () => this.#sendSlot(ring));
    });
  }

  #skip(ring: SimRing): void {
    ring.dataRecords = 0;
    ring.add(RING.skipped);
    this.#traceSlot(ring, 0, TRACE_FLAG.skipped);
    this.#advance(ring);
  }

  // ---- freeze ----

  #freeze(ring: SimRing): void {
    this.#adoptKeys(ring);
    ring.destination = ring.destinationNext ?? ring.destination;
    ring.destinationNext = undefined;
    if (ring.asideNext !== undefined) ring.aside = ring.asideNext.aside;
    ring.asideNext = undefined;
    ring.away = this.#takeCredit(ring);
    ring.dataRecords = 0;
    ring.records = [];
    ring.keyless = ring.keys === undefined && !this.#allRaw(ring);
    if (ring.keyless) return;
    for (let i = 0; i < ring.config.burst; i++) ring.records.push(this.#freezeRecord(ring, i));
    ring.setF64(RING.seqNext, ring.sequenceNumber);
  }

  #adoptKeys(ring: SimRing): void {
    if (ring.keysNext === undefined || ring.slot < ring.keysNext.firstSlot) return;
    const isMove = ring.keysNext.key === ring.keys?.key;
    ring.destination = ring.keysNext.destination ?? ring.destination;
    ring.keys = ring.keysNext;
    ring.keysNext = undefined;
    if (!isMove) ring.number();
    ring.setU32(RING.switches, ring.u32(RING.switches) + 1);
  }

  #buffer(ring: SimRing, number: number): number {
    return ring.u32(RING.bufs) + (number % ring.config.bufCount) * ring.stride;
  }

  /** Without keys a slot can only carry finished datagrams, and only if there is one for each record. */
  #allRaw(ring: SimRing): boolean {
    const { i32, u32 } = this.#memory;
    if (ring.config.burst > ring.config.bufCount) return false;
    for (let i = 0; i < ring.config.burst; i++) {
      const buffer = this.#buffer(ring, ring.taken + i);
      if (Atomics.load(i32, (buffer + BUF.word) >> 2) !== BUF_WORD.ready) return false;
      if (u32[(buffer + BUF.kind) >> 2] !== BUF_KIND.raw) return false;
    }
    return true;
  }

  #takeCredit(ring: SimRing): boolean {
    const cost = ring.config.burst * ring.config.datagramLen;
    if (ring.aside === undefined || ring.keys === undefined || ring.aside.credit < cost) return false;
    ring.aside.credit -= cost;
    return true;
  }

  #freezeRecord(ring: SimRing, index: number): Uint8Array {
    const { u8, i32, u32 } = this.#memory;
    const buffer = this.#buffer(ring, ring.taken);
    const word = (buffer + BUF.word) >> 2;
    const bytes = buffer + BUF.headLen;
    const took = !ring.away &&
      Atomics.compareExchange(i32, word, BUF_WORD.ready, BUF_WORD.taken) === BUF_WORD.ready;
    const raw = took && u32[(buffer + BUF.kind) >> 2] === BUF_KIND.raw;
    const source = took && !raw ? bytes : ring.u32(RING.chaff);
    u8.copyWithin(ring.plain, source, source + ring.plaintextLen);
    if (ring.away && index === 0) u8.set(ring.aside!.plaintext, ring.plain);
    const isCounted = !took || u32[(buffer + BUF.kind) >> 2] === BUF_KIND.counted;
    const count = isCounted ? this.#stamp(ring) : 0;
    let record = ring.keys === undefined ? new Uint8Array(0) : this.#seal(ring, ring.keys);
    if (raw) record = u8.slice(bytes, bytes + ring.config.datagramLen);
    if (took) {
      ring.taken = (ring.taken + 1) >>> 0;
      ring.dataRecords++;
      this.#memory.f64[(buffer + BUF.count) >> 3] = count;
      Atomics.store(i32, word, BUF_WORD.free);
      Atomics.store(i32, (ring.off + RING.taken) >> 2, ring.taken | 0);
    }
    return record;
  }

  #stamp(ring: SimRing): number {
    const { stamps } = ring.config;
    if (stamps === undefined) return 0;
    const view = new DataView(this.#memory.u8.buffer, ring.plain, ring.plaintextLen);
    const { countOff, timeOff, wallBaseNs } = stamps;
    view.setBigUint64(countOff, BigInt(ring.count));
    if (timeOff !== 0) view.setBigUint64(timeOff, BigInt(wallBaseNs) + BigInt(Math.floor(ring.timeNs)));
    return ring.count++;
  }

  #seal(ring: SimRing, keys: KeySet): Uint8Array {
    const { u8, u32, i32 } = this.#memory;
    const { hdrLen, seqOff, seqLen, datagramLen } = ring.config;
    // Used up whatever comes of it: none is ever used twice.
    const number = this.fault === "number" ? 0 : ring.sequenceNumber++;
    u8.set(keys.header, ring.sealed);
    for (let i = 0; i < seqLen; i++) {
      u8[ring.sealed + seqOff + i] = Math.floor(number / 2 ** (8 * (seqLen - 1 - i)));
    }
    u32[(ring.job + RECORD.src) >> 2] = ring.sealed;
    u32[(ring.job + RECORD.len) >> 2] = datagramLen;
    u8[ring.job + RECORD.hdrLen] = hdrLen;
    u8[ring.job + RECORD.seqOff] = seqOff;
    u8[ring.job + RECORD.seqLen] = seqLen;
    i32[(ring.job + RECORD.key) >> 2] = keys.key;
    u32[(ring.job + RECORD.seqLo) >> 2] = number % 2 ** 32;
    u32[(ring.job + RECORD.seqHi) >> 2] = Math.floor(number / 2 ** 32);
    u32[(ring.job + RECORD.dst) >> 2] = ring.plain;
    this.#protection.sealBatch(ring.job, 1);
    if (i32[(ring.job + RECORD.result) >> 2] < 0) throw new ShimError("seal a record", EINVAL);
    return u8.slice(ring.sealed, ring.sealed + datagramLen);
  }

  // ---- send ----

  #faulty(ring: SimRing, fault: PacerFault): boolean {
    return this.fault === fault && ring.dataRecords > 0;
  }

  #sendSlot(ring: SimRing): void {
    if (ring.keyless) {
      if (ring.freed) return;
      ring.add(RING.keyless);
      this.#traceSlot(ring, 0, TRACE_FLAG.skipped);
      return this.#advance(ring);
    }
    const sent = this.#sendRecords(ring);
    if (ring.freed) return;
    if (ring.away) ring.add(RING.aside);
    const deviationNs = this.#time.nowNs() - ring.timeNs;
    const failed = ring.config.burst - sent;
    this.#countDeviation(ring, deviationNs);
    ring.add(RING.records, sent);
    ring.add(RING.dataRecords, ring.dataRecords);
    ring.add(RING.sendErrors, failed);
    const flags = (deviationNs > LATE_NS ? TRACE_FLAG.late : 0) | (failed > 0 ? TRACE_FLAG.sendError : 0);
    this.#traceSlot(ring, this.#time.nowNs(), flags);
    this.#advance(ring);
  }

  /** Returns how many of the burst were sent. */
  #sendRecords(ring: SimRing): number {
    if (this.#faulty(ring, "skip")) return 0;
    const records = ring.records.map((record) =>
      this.#faulty(ring, "shorten") ? record.subarray(0, -1) : record
    );
    if (this.#faulty(ring, "epoch")) records[0][0] ^= 1;
    const { fd, to, from } = ring.away ? ring.aside! : ring.destination;
    if (this.#faulty(ring, "add")) this.#send(fd, records[0], to, from);
    return records.filter((record) => this.#send(fd, record, to, from)).length;
  }

  #countDeviation(ring: SimRing, deviationNs: number): void {
    const first = ring.f64(RING.records) + ring.f64(RING.sendErrors) === 0;
    this.#memory.u32[((ring.off + RING.hist) >> 2) + histogramBucket(deviationNs)]++;
    ring.add(RING.devSumNs, deviationNs);
    ring.add(RING.devSum2, deviationNs * deviationNs);
    if (first || deviationNs > ring.f64(RING.devMaxNs)) ring.setF64(RING.devMaxNs, deviationNs);
    if (first || deviationNs < ring.f64(RING.devMinNs)) ring.setF64(RING.devMinNs, deviationNs);
    if (deviationNs > LATE_NS) ring.add(RING.late);
  }

  /** The entry of this slot, and the slot's own counters. */
  #traceSlot(ring: SimRing, actualNs: number, flags: number): void {
    ring.add(RING.slots);
    if (ring.timeDry) ring.add(RING.dry);
    const { traceCount } = ring.config;
    if (traceCount === 0) return;
    const { f64, u32 } = this.#memory;
    const at = ring.u32(RING.trace) + (ring.slot % traceCount) * TRACE.size;
    f64[(at + TRACE.slot) >> 3] = ring.slot;
    f64[(at + TRACE.plannedNs) >> 3] = ring.timeNs;
    f64[(at + TRACE.actualNs) >> 3] = actualNs;
    u32[(at + TRACE.dataRecords) >> 2] = ring.dataRecords;
    u32[(at + TRACE.flags) >> 2] = flags | (ring.timeDry ? TRACE_FLAG.dry : 0);
  }
}
