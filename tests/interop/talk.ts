/** What follows a handshake, epoch 3 and above: the parts that a tunnel has, `Session` and `Inbound`, with a sealer in
 * place of the pacer. */

import { equalsConstantTime } from "../../src/base/mod.ts";
import { AEAD_TAG_LEN } from "../../src/crypto/suites.ts";
import type { DtlsResult } from "../../src/flight/dtls_client.ts";
import { RECORD } from "../../src/ports/mod.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";
import { PlainProtection } from "../../src/record/plain_protection.ts";
import { Session, type SessionOptions } from "../../src/session/session.ts";
import { COUNTERS_LEN, DataCounters } from "../../src/tunnel/counters.ts";
import { Inbound, type InboundPeer } from "../../src/tunnel/inbound.ts";
import { emitAlert } from "../../src/wire/alert.ts";
import { CONTENT_TYPE } from "../../src/wire/content_type.ts";
import { isUnifiedHeader } from "../../src/wire/dtls_unified_header.ts";
import { nowNs } from "./loopback.ts";

const RECORD_HEADER_LEN = 5;
const CID_BIT = 0x10;
const PLAINTEXT_LEN_MAX = 2048;
/** As the tunnel's, but that a new epoch begins as soon as it may. */
const SESSION_OPTIONS: SessionOptions = { rekeyRecords: 2 ** 23, rekeyBlock: 1, receiveRate: 1e-6 };

export class Talk {
  readonly session: Session;
  readonly #memory = new HeapMemory(2 ** 18);
  readonly #protection = new PlainProtection(this.#memory);
  readonly #inbound: Inbound;
  readonly #peer: InboundPeer;
  readonly #datagram = this.#memory.alloc(PLAINTEXT_LEN_MAX);
  readonly #work = this.#memory.alloc(RECORD.size);
  #key: number;
  #number = 0;

  constructor(result: DtlsResult, role: "client" | "server", options: Partial<SessionOptions> = {}) {
    const { clientSecret, serverSecret, sendMessageSeq, receiveMessageSeq, connectionIds } = result;
    const [send, receive] = role === "client" ? [clientSecret, serverSecret] : [serverSecret, clientSecret];
    this.session = new Session(
      this.#memory,
      this.#protection,
      { suite: result.suite.id, send, receive, sendMessageSeq, receiveMessageSeq, connectionIds },
      { ...SESSION_OPTIONS, ...options },
      nowNs(),
    );
    const counters = new DataCounters(this.#memory, this.#memory.alloc(COUNTERS_LEN));
    this.#inbound = new Inbound(this.#memory, this.#protection, counters, 8);
    this.#peer = { index: 0, current: this.session, pending: undefined };
    this.#key = this.session.newSendKey();
  }

  line(text: string): Uint8Array {
    return this.#seal(CONTENT_TYPE.applicationData, new TextEncoder().encode(text), 200);
  }

  closeNotify(): Uint8Array {
    return this.#seal(CONTENT_TYPE.alert, emitAlert(0));
  }

  /** Application data of a datagram's records, authentic ones only; all other contents go to the session. */
  open(datagram: Uint8Array): string[] {
    const texts: string[] = [];
    this.#inbound.beginTurn();
    this.#memory.u8.set(datagram, this.#datagram);
    const end = this.#datagram + datagram.length;
    const side = this.#hasOwnId(datagram) ? 0 : -1;
    for (let at = this.#datagram; at < end;) {
      if (!isUnifiedHeader(this.#memory.u8[at])) break;
      const len = this.#inbound.add(this.#peer, at, end, { side, first: this.#datagram, rx: 0 });
      if (len < 0) break;
      at += len;
    }
    this.#inbound.run(nowNs(), {
      plaintext: ({ session, epoch: { epoch }, number, off, len }) => {
        let last = off + len - 1;
        while (this.#memory.u8[last] === 0) last--;
        const content = this.#memory.u8.slice(off, last);
        const contentType = this.#memory.u8[last];
        if (contentType === CONTENT_TYPE.applicationData) texts.push(new TextDecoder().decode(content));
        else session.control(contentType, content, epoch, number, nowNs());
      },
    });
    return texts;
  }

  /** What the session has to say: ACKs, KeyUpdates. To be called after each record. */
  controls(): Uint8Array[] {
    const { session } = this;
    session.maintain(this.#number);
    if (this.#number >= (session.switchNumber(this.#number - 1) ?? Infinity)) {
      this.#key = session.nextSendEpoch();
      this.#number = 0;
    }
    const datagrams: Uint8Array[] = [];
    while (session.hasControl) {
      const { contentType, bytes } = session.takeControl()!;
      datagrams.push(this.#seal(contentType, bytes));
    }
    return datagrams;
  }

  /** What the table of connection ids does for a tunnel. */
  #hasOwnId(datagram: Uint8Array): boolean {
    const { own } = this.session.ids;
    return own.length > 0 && (datagram[0] & CID_BIT) !== 0 &&
      equalsConstantTime(datagram.subarray(1, 1 + own.length), own);
  }

  /** One record, padded to a plaintext of `innerLen` bytes at least. */
  #seal(contentType: number, content: Uint8Array, innerLen = 0): Uint8Array {
    const inner = new Uint8Array(Math.max(innerLen, content.length + 1));
    inner.set(content);
    inner[content.length] = contentType;
    const { u8, u32, i32 } = this.#memory;
    const id = this.session.ids.peer;
    const headerLen = RECORD_HEADER_LEN + id.length;
    const len = headerLen + inner.length + AEAD_TAG_LEN;
    const [src, dst] = [this.#memory.alloc(len), this.#memory.alloc(inner.length)];
    const bodyLen = len - headerLen;
    const first = (id.length > 0 ? CID_BIT : 0) | 0x2c | this.session.sendEpoch & 3;
    u8.set([first, ...id, this.#number >> 8, this.#number, bodyLen >> 8, bodyLen], src);
    u8.set(inner, dst);
    const at = this.#work;
    for (
      const [field, value] of [["src", src], ["len", len], ["dst", dst], ["seqLo", this.#number]] as const
    ) {
      u32[(at + RECORD[field]) >> 2] = value;
    }
    u8[at + RECORD.hdrLen] = headerLen;
    u8[at + RECORD.seqOff] = 1 + id.length;
    u8[at + RECORD.seqLen] = 2;
    i32[(at + RECORD.key) >> 2] = this.#key;
    this.#number++;
    this.#protection.sealBatch(at, 1);
    const record = u8.slice(src, src + len);
    this.#memory.free(src, len);
    this.#memory.free(dst, inner.length);
    return record;
  }
}
