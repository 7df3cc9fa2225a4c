/** Monitoring of version 0: which of the other side's data records came and which are lost, the server's reports of that
 * until they are acknowledged, and rows for the client's file. All of it has bounds; what finds no room is counted. */

import { assert } from "../base/mod.ts";
import { PACKET_STATUS_LEN, V0_TYPE, writeU32, writeU64 } from "../wire/v0_message.ts";

// Chosen here.
/** Numbers that are neither settled nor forgotten: a longer gap than this is passed over. */
const WINDOW = 16_384;
const REPORTS_MAX = 8192;
const BATCHES_MAX = 64;
const BATCH_STATUSES_MAX = 52;
const RETRY_NS = 1e9;
const RETRIES_MAX = 8;
const ROWS_MAX = 2048;
/** Direction u8, sequence number u64, send time u64, receive time u64. */
export const ROW_LEN = 25;
export const ROW_DIRECTION = { c2s: 0, s2c: 1 } as const;

/** Which sequence numbers have come, and which never will. */
export class Arrivals {
  readonly #came = new Uint8Array(WINDOW);
  readonly #lostAfter: number;
  /** All before it are settled. */
  #base = 0;
  #next = 0;

  /** A number is lost when one `lostAfter` above it has come: at most half of the window. */
  constructor(lostAfter: number) {
    this.#lostAfter = Math.min(WINDOW / 2, Math.max(1, Math.ceil(lostAfter)));
  }

  /** False for a number that came before, or was given up. */
  receive(number: number): boolean {
    if (number < this.#base) return false;
    if (number >= this.#base + WINDOW) this.#jump(number);
    if (this.#came[number % WINDOW] !== 0) return false;
    this.#came[number % WINDOW] = 1;
    this.#next = Math.max(this.#next, number + 1);
    return true;
  }

  /** The next number that is lost, or -1. */
  nextLost(): number {
    while (this.#base + this.#lostAfter < this.#next) {
      const number = this.#base++;
      const came = this.#came[number % WINDOW];
      this.#came[number % WINDOW] = 0;
      if (came === 0) return number;
    }
    return -1;
  }

  /** A peer may count as it likes: what lies between is no work. */
  #jump(number: number): void {
    this.#came.fill(0);
    this.#base = this.#next = number;
  }
}

/** A u64 of wall-clock time as two halves: `nowNs` of the process's clock. */
export function wallTime(wallBaseNs: number, nowNs: number, out: Uint8Array, off: number): void {
  const baseHigh = Math.floor(wallBaseNs / 2 ** 32);
  const low = wallBaseNs - baseHigh * 2 ** 32 + Math.floor(nowNs) % 2 ** 32;
  const carry = low >= 2 ** 32 ? 1 : 0;
  writeU32(out, off, baseHigh + Math.floor(nowNs / 2 ** 32) + carry);
  writeU32(out, off + 4, low - carry * 2 ** 32);
}

/** Rows of packets' fates, on their way to main. */
export class FateRows {
  readonly #rows = new Uint8Array(ROWS_MAX * ROW_LEN);
  #count = 0;
  dropped = 0;

  /** A packet that came: `times` holds its send time at `sentOff`; it was received at `nowNs`. */
  add(
    direction: number,
    number: number,
    times: Uint8Array,
    sentOff: number,
    wallBaseNs: number,
    nowNs: number,
  ) {
    const at = this.#row(direction, number);
    if (at < 0) return;
    this.#rows.set(times.subarray(sentOff, sentOff + 8), at + 9);
    wallTime(wallBaseNs, nowNs, this.#rows, at + 17);
  }

  /** A packet whose two times stand at `off`; both 0 when it is lost. */
  addReported(direction: number, number: number, times: Uint8Array, off: number): void {
    const at = this.#row(direction, number);
    if (at >= 0) this.#rows.set(times.subarray(off, off + 16), at + 9);
  }

  addLost(direction: number, number: number): void {
    const at = this.#row(direction, number);
    if (at >= 0) this.#rows.fill(0, at + 9, at + ROW_LEN);
  }

  get isHalfFull(): boolean {
    return this.#count >= ROWS_MAX / 2;
  }

  /** A copy of all rows, in one piece; undefined when there are none. */
  take(): Uint8Array | undefined {
    if (this.#count === 0) return undefined;
    const rows = this.#rows.slice(0, this.#count * ROW_LEN);
    this.#count = 0;
    return rows;
  }

  #row(direction: number, number: number): number {
    if (this.#count === ROWS_MAX) {
      this.dropped++;
      return -1;
    }
    const at = this.#count++ * ROW_LEN;
    this.#rows[at] = direction;
    writeU64(this.#rows, at + 1, number);
    return at;
  }
}

interface Batch {
  readonly statuses: Uint8Array;
  token: number;
  /** Of the record that carried it; -1 while it waits for its slot. */
  count: number;
  sentAtNs: number;
  retries: number;
}

/** Packet statuses that a server owes its client. */
export class StatusReports {
  dropped = 0;
  readonly #waiting = new Uint8Array(REPORTS_MAX * PACKET_STATUS_LEN);
  #head = 0;
  #count = 0;
  #batches: Batch[] = [];
  #token = 0;

  /** Where the bytes behind the type of a new status go, or -1 when there is no room. */
  add(number: number): number {
    if (this.#count === REPORTS_MAX) {
      this.dropped++;
      return -1;
    }
    const at = (this.#head + this.#count++) % REPORTS_MAX * PACKET_STATUS_LEN;
    this.#waiting[at] = V0_TYPE.packetStatus;
    writeU64(this.#waiting, at + 1, number);
    this.#waiting.fill(0, at + 9, at + PACKET_STATUS_LEN);
    return at + 9;
  }

  get bytes(): Uint8Array {
    return this.#waiting;
  }

  /** Hands what is due to `put`, which may refuse: batches without an ACK again, then new ones of at most `roomLen`
   * bytes. */
  send(roomLen: number, nowNs: number, put: (statuses: Uint8Array, token: number) => boolean): void {
    this.#giveUp();
    for (const batch of this.#batches) {
      if (batch.count < 0 || nowNs - batch.sentAtNs < RETRY_NS) continue;
      if (!this.#put(batch, nowNs, put)) return;
      batch.retries++;
    }
    const most = Math.min(BATCH_STATUSES_MAX, Math.floor(roomLen / PACKET_STATUS_LEN));
    while (this.#count > 0 && this.#batches.length < BATCHES_MAX) {
      const batch = { statuses: this.#peek(most), token: 0, count: -1, sentAtNs: 0, retries: 0 };
      if (!this.#put(batch, nowNs, put)) return;
      this.#batches.push(batch);
      this.#drop(batch.statuses.length / PACKET_STATUS_LEN);
    }
  }

  /** The record with this token got this sequence number. */
  counted(token: number, count: number): void {
    const batch = this.#batches.find((one) => one.token === token);
    if (batch !== undefined) batch.count = count;
  }

  /** The client has the records `first`..`last`. */
  acked(first: number, last: number): void {
    this.#batches = this.#batches.filter(({ count }) => count < first || count > last);
  }

  #put(batch: Batch, nowNs: number, put: (statuses: Uint8Array, token: number) => boolean): boolean {
    const token = this.#token + 1;
    if (!put(batch.statuses, token)) return false;
    this.#token = batch.token = token;
    batch.count = -1;
    batch.sentAtNs = nowNs;
    return true;
  }

  #giveUp(): void {
    const before = this.#batches.length;
    this.#batches = this.#batches.filter(({ retries }) => retries < RETRIES_MAX);
    this.dropped += before - this.#batches.length;
  }

  /** A copy of the oldest statuses, `most` at most. */
  #peek(most: number): Uint8Array {
    assert(most > 0, "a record has room for a status");
    const count = Math.min(most, this.#count);
    const out = new Uint8Array(count * PACKET_STATUS_LEN);
    for (let i = 0; i < count; i++) {
      const at = (this.#head + i) % REPORTS_MAX * PACKET_STATUS_LEN;
      out.set(this.#waiting.subarray(at, at + PACKET_STATUS_LEN), i * PACKET_STATUS_LEN);
    }
    return out;
  }

  #drop(count: number): void {
    this.#head = (this.#head + count) % REPORTS_MAX;
    this.#count -= count;
  }
}
