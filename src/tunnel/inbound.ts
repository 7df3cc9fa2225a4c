/* Inbound, per turn of the data Worker: 1 collect the records of a batch · 2 remove number encryption · 3 rebuild
 * each number, refuse replays · 4 open · 5 move the window · 6 hand the plaintext on.
 * 1–5 run over descriptors in Memory; nothing is allocated per record but on the slow road, which is bounded. */

import { assert } from "../base/mod.ts";
import { AEAD_TAG_LEN } from "../crypto/suites.ts";
import type { Memory, RecordProtection } from "../ports/mod.ts";
import { RECORD } from "../ports/mod.ts";
import { candidates, reconstruct } from "../record/record_number.ts";
import type { ReceiveEpoch } from "../session/receive_epoch.ts";
import type { Session } from "../session/session.ts";
import { parseUnifiedHeader, UnifiedHeader } from "../wire/dtls_unified_header.ts";
import type { DataCounters } from "./counters.ts";
import { CONNECTION_ID_LEN } from "./own_ids.ts";

// Chosen here.
const PLAINTEXT_STRIDE = 2048;
/** Opens on the slow road in one turn: stale numbers, a session that has just been replaced. */
const SLOW_OPENS_PER_TURN = 64;
const CANDIDATES_MAX = 6;
const STALE_NS = 30e6;
/** A number of 16 bits is rebuilt without doubt while fewer records than this may have been missed. */
const UNDOUBTED_GAP = 16384;

/** Sessions whose records may come from one sender: the current one, and one that is about to replace it. */
export interface InboundPeer {
  readonly index: number;
  current: Session | undefined;
  pending: Session | undefined;
}

/** An authentic record. One object, filled over and over: it is the sink's for the time of the call. */
export interface OpenedRecord {
  readonly peer: InboundPeer;
  readonly session: Session;
  readonly epoch: ReceiveEpoch;
  readonly number: number;
  /** Of the inner plaintext, content type byte (and padding behind it) included. */
  readonly off: number;
  readonly len: number;
  /** Bytes of the whole record, as it came. */
  readonly recordLen: number;
  /** RX descriptor of its datagram. */
  readonly rx: number;
}
const NOWHERE = { off: 0, len: 0, recordLen: 0, rx: 0 };
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export interface InboundSink {
  plaintext(record: OpenedRecord): void;
}

/** Where a record lies. */
export interface RecordSource {
  /** The session that the connection id in the datagram's first record names, 0 or 1; -1 if it has none. */
  readonly side: number;
  /** Of the datagram's first record. */
  readonly first: number;
  /** RX descriptor of the datagram. */
  readonly rx: number;
}

export class Inbound {
  readonly #memory: Memory;
  readonly #protection: RecordProtection;
  readonly #counters: DataCounters;
  readonly #records: number;
  readonly #plaintexts: number;
  readonly #capacity: number;
  readonly #peers: (InboundPeer | undefined)[];
  readonly #sessions: (Session | undefined)[];
  readonly #epochs: (ReceiveEpoch | undefined)[];
  readonly #numbers: Float64Array;
  readonly #rx: Uint32Array;
  #opened: Mutable<OpenedRecord> | undefined;
  readonly #header = new UnifiedHeader();
  #count = 0;
  #slowOpens = 0;

  /** Room for `capacity` records a batch: allocates 2,080 bytes of `memory` each. */
  constructor(memory: Memory, protection: RecordProtection, counters: DataCounters, capacity: number) {
    this.#memory = memory;
    this.#protection = protection;
    this.#counters = counters;
    this.#capacity = capacity;
    this.#records = memory.alloc((capacity + 1) * RECORD.size); // one more: the slow road's own
    this.#plaintexts = memory.alloc(capacity * PLAINTEXT_STRIDE);
    this.#peers = new Array(capacity).fill(undefined);
    this.#sessions = new Array(capacity).fill(undefined);
    this.#epochs = new Array(capacity).fill(undefined);
    this.#numbers = new Float64Array(capacity);
    this.#rx = new Uint32Array(capacity);
  }

  get full(): boolean {
    return this.#count >= this.#capacity;
  }

  beginTurn(): void {
    this.#slowOpens = 0;
  }

  /** Takes the record at off..end of `peer`'s datagram. Returns its length, -1 if it is malformed. One of an epoch without
   * keys is counted and passed over, like one that does not open: RFC 9147 §6.1. */
  add(peer: InboundPeer, off: number, end: number, { side, first, rx }: RecordSource): number {
    const header = this.#header;
    const { u8, u32, i32 } = this.#memory;
    if (!parseUnifiedHeader(u8, off, end, side < 0 ? 0 : CONNECTION_ID_LEN, header)) return -1;
    // RFC 9147 §4: a later record without an id is the first one's; with another id it ends the datagram.
    if (off > first && header.cidLen > 0 && !this.#sameId(off, first)) return -1;
    const session = side < 0
      ? this.#sessionFor(peer, header.epochBits)
      : this.#sessionAt(peer, side, header.epochBits);
    const recordLen = header.headerLen + header.bodyLen;
    if (session === undefined) {
      this.#counters.add("records_no_epoch");
      return recordLen;
    }
    if (header.bodyLen <= AEAD_TAG_LEN || recordLen > PLAINTEXT_STRIDE) return -1;
    const epoch = session.receiveEpochFor(header.epochBits)!;
    assert(!this.full, "the caller runs the batch when it is full");
    const index = this.#count++;
    const at = this.#records + index * RECORD.size;
    u32[(at + RECORD.src) >> 2] = off;
    u32[(at + RECORD.len) >> 2] = recordLen;
    u8[at + RECORD.hdrLen] = header.headerLen;
    u8[at + RECORD.seqOff] = header.sequenceOff;
    u8[at + RECORD.seqLen] = header.sequenceLen;
    i32[(at + RECORD.key) >> 2] = epoch.key;
    u32[(at + RECORD.dst) >> 2] = this.#plaintexts + index * PLAINTEXT_STRIDE;
    this.#peers[index] = peer;
    this.#rx[index] = rx;
    this.#sessions[index] = session;
    this.#epochs[index] = epoch;
    return recordLen;
  }

  /** Opens what was added and hands it on, in order. */
  run(nowNs: number, sink: InboundSink): void {
    const count = this.#count;
    if (count === 0) return;
    this.#count = 0;
    this.#counters.add("records_in", count);
    this.#protection.unmaskBatch(this.#records, count);
    const { i32, u32 } = this.#memory;
    let fresh = 0;
    for (let i = 0; i < count; i++) {
      const at = this.#records + i * RECORD.size;
      const epoch = this.#epochs[i]!;
      const number = i32[(at + RECORD.result) >> 2] < 0 ? -1 : this.#numberOf(at, epoch);
      this.#numbers[i] = number;
      if (number >= 0) {
        u32[(at + RECORD.seqLo) >> 2] = number % 2 ** 32;
        u32[(at + RECORD.seqHi) >> 2] = Math.floor(number / 2 ** 32);
        fresh++;
      }
    }
    if (fresh > 0) this.#protection.openBatch(this.#records, count);
    for (let i = 0; i < count; i++) this.#finish(i, nowNs, sink);
  }

  #finish(index: number, nowNs: number, sink: InboundSink): void {
    const at = this.#records + index * RECORD.size;
    const peer = this.#peers[index]!;
    let session = this.#sessions[index]!;
    let epoch = this.#epochs[index]!;
    let number = this.#numbers[index];
    let len = number < 0 ? -1 : this.#memory.i32[(at + RECORD.result) >> 2];
    this.#peers[index] = this.#sessions[index] = this.#epochs[index] = undefined;
    if (session.receiveEpochs.length === 0) { // closed by an earlier record of this batch
      this.#counters.add("records_no_epoch");
      return;
    }
    if (len < 0) {
      const found = this.#openSlowly(at, peer, session, epoch, nowNs);
      if (found === undefined) {
        this.#counters.add("records_failed");
        return;
      }
      ({ session, epoch, number, len } = found);
    }
    if (!epoch.accept(number, nowNs)) {
      this.#counters.add("records_replayed");
      return;
    }
    this.#counters.add("records_opened");
    session.noteAuthentic(epoch);
    const { u32 } = this.#memory;
    const opened: Mutable<OpenedRecord> = this.#opened ??= { peer, session, epoch, number, ...NOWHERE };
    opened.peer = peer;
    opened.session = session;
    opened.epoch = epoch;
    opened.number = number;
    opened.off = u32[(at + RECORD.dst) >> 2];
    opened.len = len;
    opened.recordLen = u32[(at + RECORD.len) >> 2];
    opened.rx = this.#rx[index];
    sink.plaintext(opened);
  }

  /** The session whose epoch the bits may name, of those without connection ids: the current one first. RFC 9147 §9:
   * where ids are agreed on, every datagram has one. */
  #sessionFor({ current, pending }: InboundPeer, bits: number): Session | undefined {
    if (current?.ids.own.length === 0 && current.receiveEpochFor(bits) !== undefined) return current;
    if (pending?.ids.own.length === 0 && pending.receiveEpochFor(bits) !== undefined) return pending;
    return undefined;
  }

  /** The session that a connection id names. */
  #sessionAt(peer: InboundPeer, side: number, bits: number): Session | undefined {
    const session = peer.current?.side === side ? peer.current : peer.pending;
    return session?.side === side && session.receiveEpochFor(bits) !== undefined ? session : undefined;
  }

  #sameId(off: number, first: number): boolean {
    const { u8 } = this.#memory;
    for (let i = 1; i <= CONNECTION_ID_LEN; i++) if (u8[off + i] !== u8[first + i]) return false;
    return true;
  }

  /** The likeliest full number: nearest to the expected one (RFC 9147 §4.2.2). */
  #numberOf(at: number, epoch: ReceiveEpoch): number {
    return reconstruct(epoch.expected, 8 * this.#memory.u8[at + RECORD.seqLen], this.#lowBits(at));
  }

  #lowBits(at: number): number {
    const { u8, u32 } = this.#memory;
    const from = u32[(at + RECORD.src) >> 2] + u8[at + RECORD.seqOff];
    return u8[at + RECORD.seqLen] === 2 ? u8[from] << 8 | u8[from + 1] : u8[from];
  }

  /** A record that did not open at once: the number may be far from the expected one after a long gap, or the
   * record may belong to the session that is about to replace the current one. */
  #openSlowly(at: number, peer: InboundPeer, session: Session, epoch: ReceiveEpoch, nowNs: number) {
    const staleNs = nowNs - epoch.lastAuthenticNs;
    if (staleNs > STALE_NS && staleNs * session.receiveRate > UNDOUBTED_GAP) {
      const found = this.#tryNumbers(at, session, epoch, staleNs);
      if (found !== undefined) {
        this.#counters.add("records_late_number_found");
        return found;
      }
    }
    epoch.failedOpens++; // RFC 9147 §4.5.3: counted for each key that it was tried with
    const isNamed = session.ids.own.length > 0;
    const other = session === peer.current && !isNamed ? peer.pending : undefined;
    const otherEpoch = other?.receiveEpochFor(epoch.bits);
    if (other === undefined || otherEpoch === undefined || this.#slowOpens >= SLOW_OPENS_PER_TURN) {
      return undefined;
    }
    this.#remask(at, epoch.key, otherEpoch.key);
    const found = this.#tryNumbers(at, other, otherEpoch, 0);
    if (found === undefined) otherEpoch.failedOpens++;
    return found;
  }

  #tryNumbers(at: number, session: Session, epoch: ReceiveEpoch, staleNs: number) {
    const bits = 8 * this.#memory.u8[at + RECORD.seqLen];
    const tries = candidates(epoch.expected, staleNs, session.receiveRate, bits, this.#lowBits(at));
    for (let i = 0; i < tries.length && i < CANDIDATES_MAX; i++) {
      if (this.#slowOpens >= SLOW_OPENS_PER_TURN) return undefined;
      this.#slowOpens++;
      const number = tries[i];
      const { i32, u32 } = this.#memory;
      i32[(at + RECORD.key) >> 2] = epoch.key;
      u32[(at + RECORD.seqLo) >> 2] = number % 2 ** 32;
      u32[(at + RECORD.seqHi) >> 2] = Math.floor(number / 2 ** 32);
      if (this.#protection.openBatch(at, 1) === 1) {
        return { session, epoch, number, len: i32[(at + RECORD.result) >> 2] };
      }
    }
    return undefined;
  }

  /** Undoes number encryption under one key and does it under another: it is its own inverse. */
  #remask(at: number, from: number, to: number): void {
    const { i32 } = this.#memory;
    i32[(at + RECORD.key) >> 2] = from;
    this.#protection.unmaskBatch(at, 1);
    i32[(at + RECORD.key) >> 2] = to;
    this.#protection.unmaskBatch(at, 1);
  }
}
