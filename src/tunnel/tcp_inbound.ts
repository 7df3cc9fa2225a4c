/* Inbound over TCP, per turn of the data Worker: 1 collect a connection's records · 2 open them under consecutive numbers
 * · 3 hand each plaintext on · 4 behind a KeyUpdate, open the rest again under the next key.
 * Over descriptors in Memory; nothing is allocated per record. */

import { AEAD_TAG_LEN } from "../crypto/suites.ts";
import type { Memory, RecordProtection } from "../ports/mod.ts";
import { RECORD } from "../ports/mod.ts";
import type { TlsSession } from "../session/tls_session.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { TLS_RECORD_HEADER_LEN } from "../wire/tls_record.ts";

const PLAINTEXT_STRIDE = 2048;

/** What to do with the rest of a batch. */
export type TcpVerdict = "go on" | "keys changed" | "stop";

export interface TcpInboundSink<T> {
  /** An authentic record's plaintext: `len` bytes of content at `off`, and its type. */
  plaintext(owner: T, contentType: number, off: number, len: number): TcpVerdict;
  /** A record that is none, or does not open (RFC 8446 §5.2): has to end the owner's session. */
  broken(owner: T): void;
}

export class TcpInbound<T extends { readonly session: TlsSession | undefined }> {
  readonly #memory: Memory;
  readonly #protection: RecordProtection;
  readonly #records: number;
  readonly #plaintexts: number;
  readonly #capacity: number;
  #owner: T | undefined;
  #count = 0;

  /** Room for `capacity` records a batch. */
  constructor(memory: Memory, protection: RecordProtection, capacity: number) {
    this.#memory = memory;
    this.#protection = protection;
    this.#capacity = capacity;
    this.#records = memory.alloc(capacity * RECORD.size);
    this.#plaintexts = memory.alloc(capacity * PLAINTEXT_STRIDE);
  }

  /** Takes the record of `len` bytes, header included. Records of one owner are a batch; another's begins one. */
  add(owner: T, off: number, len: number, sink: TcpInboundSink<T>): void {
    if (this.#count > 0 && (owner !== this.#owner || this.#count === this.#capacity)) this.run(sink);
    this.#owner = owner;
    if (owner.session === undefined) return; // an earlier record has ended it
    const { u8, u32 } = this.#memory;
    const bodyLen = len - TLS_RECORD_HEADER_LEN;
    if (u8[off] !== CONTENT_TYPE.applicationData || bodyLen <= AEAD_TAG_LEN) {
      this.run(sink);
      if (owner.session !== undefined) sink.broken(owner);
      return;
    }
    const at = this.#records + this.#count * RECORD.size;
    u32[(at + RECORD.src) >> 2] = off;
    u32[(at + RECORD.len) >> 2] = len;
    u8[at + RECORD.hdrLen] = TLS_RECORD_HEADER_LEN;
    u8[at + RECORD.seqOff] = 0;
    u8[at + RECORD.seqLen] = 0;
    u32[(at + RECORD.dst) >> 2] = this.#plaintexts + this.#count * PLAINTEXT_STRIDE;
    this.#count++;
  }

  /** Opens what was added and hands it on, in order. */
  run(sink: TcpInboundSink<T>): void {
    const count = this.#count;
    const owner = this.#owner;
    this.#count = 0;
    let from = 0;
    while (from < count && owner?.session !== undefined) {
      from = this.#runFrom(owner, owner.session, from, count, sink);
    }
  }

  /** Opens records from..count under the key of now; returns from where on another key is needed. */
  #runFrom(owner: T, session: TlsSession, from: number, count: number, sink: TcpInboundSink<T>): number {
    const { i32, u32 } = this.#memory;
    const first = session.receiveNumber;
    for (let i = from; i < count; i++) {
      const at = this.#records + i * RECORD.size;
      const number = first + i - from;
      i32[(at + RECORD.key) >> 2] = session.receiveKey;
      u32[(at + RECORD.seqLo) >> 2] = number % 2 ** 32;
      u32[(at + RECORD.seqHi) >> 2] = Math.floor(number / 2 ** 32);
    }
    this.#protection.openBatch(this.#records + from * RECORD.size, count - from);
    for (let i = from; i < count; i++) {
      const verdict = this.#finish(owner, session, this.#records + i * RECORD.size, sink);
      if (verdict === "stop") return count;
      if (verdict === "keys changed") return i + 1;
    }
    return count;
  }

  #finish(owner: T, session: TlsSession, at: number, sink: TcpInboundSink<T>): TcpVerdict {
    const { i32, u32, u8 } = this.#memory;
    const off = u32[(at + RECORD.dst) >> 2];
    // RFC 8446 §5.4: the content type is the last byte that is not zero.
    let end = off + i32[(at + RECORD.result) >> 2] - 1;
    while (end >= off && u8[end] === 0) end--;
    if (end < off) {
      sink.broken(owner);
      return "stop";
    }
    session.noteOpened();
    return sink.plaintext(owner, u8[end], off, end - off);
  }
}
