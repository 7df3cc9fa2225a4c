/* Outbound over TCP: 1 slot times, written seconds ahead · 2 contents that may not wait (inner control, alerts) · 3 frames
 * of streams into the newest plaintext that has not been taken · 4 does the socket take a record? freeze and seal · 5 one
 * send.
 * 1–3 are the data Worker's; 4 and 5 the pacer's, which looks at the socket and never at the plaintext. */

import { assert } from "../base/mod.ts";
import { AEAD_TAG_LEN } from "../crypto/suites.ts";
import type { FrameSource } from "../framing/packer.ts";
import type { Memory, RecordProtection, StreamPacer } from "../ports/mod.ts";
import { RING } from "../ports/mod.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { emitTlsHandshakeMessage, HANDSHAKE_TYPE } from "../wire/handshake_header.ts";
import { emitKeyUpdate } from "../wire/key_update.ts";
import { emitTlsRecordHeader, TLS_RECORD_HEADER_LEN } from "../wire/tls_record.ts";
import type { TrainParameters } from "./messages.ts";
import { SlotRing } from "./slot_ring.ts";
import type { FrameTaker } from "./stream_muxes.ts";

// Chosen here.
const NOWHERE = { ip: new Uint8Array(0), port: 0 };
/** Less room than this at the end of a plaintext is not worth another frame. */
const APPEND_MIN_LEN = 64;
/** Plaintexts beyond the depth of late binding, for what should not wait. */
const URGENT_MAX = 4;
/** What should not wait overtakes what is bound, so that much may be bound: a Worker that is late by less costs nothing. */
const BIND_AHEAD_NS = 16e6;

export interface TcpEmitterOptions {
  readonly train: TrainParameters;
  /** 32 bytes of entropy, this train's alone. */
  readonly seed: Uint8Array;
  readonly startNs: number;
  readonly traceCount: number;
}

/** A train of TLS records, whatever connection they go over: it outlives connections, and while there is none its slots
 * are skipped. */
export class TcpEmitter extends SlotRing implements FrameTaker {
  declare protected readonly pacer: StreamPacer;
  readonly #protection: RecordProtection;
  readonly #header: number;
  #key = 0;
  /** The key that the pacer has been told of and has not reached; undefined: none is told. */
  #next: number | undefined;
  #switchesSeen = 0;
  /** Bytes used in the newest plaintext if frames may be appended to it, else 0. */
  #openUsed = 0;
  /** Nothing overtakes the plaintexts before this one, counted like `made`: what the session itself has to say, and what
   * has overtaken others. */
  #behind = 0;

  constructor(
    memory: Memory,
    pacer: StreamPacer,
    protection: RecordProtection,
    { train, seed, startNs, traceCount }: TcpEmitterOptions,
  ) {
    assert(train.burst === 1, "one record a slot over TCP");
    const form = {
      fd: -1,
      hdrLen: TLS_RECORD_HEADER_LEN,
      seqOff: 0,
      seqLen: 0,
      traceCount,
      to: NOWHERE,
      stream: true,
    };
    super(memory, pacer, { train, seed, startNs, bindAheadNs: BIND_AHEAD_NS, form });
    this.#protection = protection;
    this.#header = memory.alloc(TLS_RECORD_HEADER_LEN);
    const bodyLen = train.datagramLen - TLS_RECORD_HEADER_LEN;
    emitTlsRecordHeader(memory.u8, this.#header, CONTENT_TYPE.applicationData, bodyLen);
    this.#writeUpdate();
  }

  /** RFC 8446 §4.6.3: update_not_requested, since each side updates by its own count. */
  #writeUpdate(): void {
    const message = emitTlsHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, emitKeyUpdate(false));
    const off = this.memory.u32[(this.ring + RING.update) >> 2];
    this.memory.u8.set(message, off);
    this.memory.u8[off + message.length] = CONTENT_TYPE.handshake;
  }

  // --- the connection and its keys

  /** From the next slot on: over `fd` under `key`, which this takes over. Plaintexts that wait go over the new
   * connection, where they mean nothing. */
  connect(fd: number, key: number): void {
    this.#link(fd, key);
  }

  /** Slots are skipped from the next one on. */
  disconnect(): void {
    this.#link(-1, 0);
  }

  #link(fd: number, key: number): void {
    this.maintain();
    const isReplaced = this.pacer.ringLink(this.ring, fd, key, fd < 0 ? 0 : this.#header);
    if (isReplaced) this.#free(this.#next!);
    else this.maintain();
    this.#next = key;
  }

  /** The record of this number is the KeyUpdate; then `key`. */
  update(key: number, number: number): void {
    assert(this.#next === undefined, "one change of keys at a time");
    this.pacer.ringUpdate(this.ring, key, number);
    this.#next = key;
  }

  /** The pacer has not reached the last change. */
  get changing(): boolean {
    this.maintain();
    return this.#next !== undefined;
  }

  /** Frees the key that the pacer no longer uses. */
  maintain(): void {
    if (this.#next === undefined || this.switches === this.#switchesSeen) return;
    this.#switchesSeen = this.switches;
    this.#free(this.#key);
    this.#key = this.#next;
    this.#next = undefined;
  }

  #free(key: number): void {
    if (key !== 0) this.#protection.freeKey(key);
  }

  override close(): void {
    super.close();
    this.#free(this.#key);
    this.#free(this.#next ?? 0);
    this.memory.free(this.#header, TLS_RECORD_HEADER_LEN);
  }

  // --- plaintexts

  /** Bytes of frames that a plaintext holds. */
  get contentLen(): number {
    return this.plaintextLen - 1;
  }

  /** Puts a content of its own type into the next plaintext. False when none is free. */
  content(contentType: number, bytes: Uint8Array): boolean {
    assert(bytes.length <= this.contentLen, "a control content fits one record");
    const off = this.claim();
    if (off === 0) return false;
    this.memory.u8.set(bytes, off);
    this.#publish(off, bytes.length, contentType, bytes.length);
    this.#openUsed = 0;
    this.#behind = this.made;
    return true;
  }

  /** Puts an inner control frame into the next plaintext. False when none is free or it does not fit. */
  control(frame: Uint8Array): boolean {
    if (frame.length > this.contentLen) return false;
    const off = this.claim();
    if (off === 0) return false;
    this.memory.u8.set(frame, off);
    this.#publish(off, frame.length, CONTENT_TYPE.applicationData, this.contentLen);
    this.#openUsed = frame.length;
    this.#behind = this.made;
    return true;
  }

  /** Moves frames of `source` into plaintexts, as far as late binding allows. */
  pumpFrames(source: FrameSource, nowNs: number): void {
    while (source.urgent() && this.#pumpFirst(source, nowNs)) { /* all that is */ }
    while (source.wants(nowNs)) {
      const off = this.#reopen() || this.claim(this.depth);
      if (off === 0) return;
      const from = this.#openUsed;
      const end = this.#fill(source, off, from, nowNs);
      if (end === 0) return; // claimed and not published: the next claim gives it again
      this.#publish(off, end, CONTENT_TYPE.applicationData, this.contentLen);
      this.#openUsed = end > from && this.contentLen - end >= APPEND_MIN_LEN ? end : 0;
    }
  }

  /** One plaintext before those that wait; false when there is nothing to overtake, or no room. */
  #pumpFirst(source: FrameSource, nowNs: number): boolean {
    const off = this.insert(this.depth + URGENT_MAX, this.#behind);
    if (off === 0) return false;
    const end = this.#fill(source, off, 0, nowNs);
    this.#write(off, end, CONTENT_TYPE.applicationData, this.contentLen);
    this.#behind = this.publishInserted();
    this.#openUsed = 0; // the newest plaintext is another one
    return end > 0;
  }

  /** Frames behind the `from` bytes that are there; returns how many bytes are used then. */
  #fill(source: FrameSource, off: number, from: number, nowNs: number): number {
    let at = from;
    for (let len = 1; len > 0 && at < this.contentLen; at += len) {
      len = source.fill(off + at, this.contentLen - at, nowNs);
      assert(len <= this.contentLen - at, "a frame stays within its plaintext");
    }
    return at;
  }

  /** The newest plaintext, if something fits behind what it holds and the pacer has not taken it. */
  #reopen(): number {
    if (this.#openUsed === 0) return 0;
    const off = this.takeBack();
    if (off === 0) this.#openUsed = 0;
    return off;
  }

  #publish(off: number, len: number, contentType: number, typeAt: number): void {
    this.#write(off, len, contentType, typeAt);
    this.publish();
  }

  /** Content of `len` bytes, its type at `typeAt`, zeros between and behind: RFC 8446 §5.4. */
  #write(off: number, len: number, contentType: number, typeAt: number): void {
    const { u8 } = this.memory;
    u8.fill(0, off + len, off + this.plaintextLen);
    u8[off + typeAt] = contentType;
  }
}

/** Bytes of inner plaintext, content type byte included, of a record of `recordLen` bytes. */
export function tcpPlaintextLenOf(recordLen: number): number {
  return recordLen - TLS_RECORD_HEADER_LEN - AEAD_TAG_LEN;
}
