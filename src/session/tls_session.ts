/** The keyed state of two participants over a byte stream once the handshake is done: RFC 8446 §4.6, §7.2. Numbers are
 * implicit, records come in order, each exactly once; so there is no window, no ACK, and a record that does not open ends
 * the connection. No I/O, no clock, no slots.
 *
 * Nothing of a KeyUpdate shows on the wire: records look alike under all keys. It still is sent at a public count. */

import { assert } from "../base/mod.ts";
import { nextTrafficSecret } from "../crypto/key_schedule.ts";
import { type CipherSuite, suiteById } from "../crypto/suites.ts";
import type { Memory, RecordProtection } from "../ports/mod.ts";
import { installKey } from "../record/install_key.ts";
import { ALERT, parseAlert } from "../wire/alert.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { HANDSHAKE_TYPE, TLS_HANDSHAKE_HEADER_LEN } from "../wire/handshake_header.ts";
import { parseKeyUpdate } from "../wire/key_update.ts";

// Chosen here.
/** KeyUpdates of the peer within so many records: one more is a way to keep the processor busy. */
const UPDATES_MAX = 4;
const UPDATES_WINDOW = 1024;

/** Application traffic secrets 0 of this participant's sending and receiving direction. The caller wipes them. */
export interface TlsSecrets {
  readonly suite: number;
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
}

/** What a content other than application data did. "keys changed": what comes next is under the next key. */
export type TlsEvent = "none" | "keys changed" | "peer closed" | "peer failed" | "malformed";

export class TlsSession {
  readonly suite: CipherSuite;
  /** The peer has asked for a KeyUpdate that has not been made. */
  updateRequested = false;
  readonly #memory: Memory;
  readonly #protection: RecordProtection;
  #sendSecret: Uint8Array;
  #receiveSecret: Uint8Array;
  #receiveKey: number;
  #receiveNumber = 0;
  #received = 0;
  #updates = 0;
  #isKeyed = false;

  constructor(memory: Memory, protection: RecordProtection, secrets: TlsSecrets) {
    this.suite = suiteById(secrets.suite);
    this.#memory = memory;
    this.#protection = protection;
    this.#sendSecret = secrets.send.slice();
    this.#receiveSecret = secrets.receive.slice();
    this.#receiveKey = this.#newReceiveKey();
  }

  /** Opens with this key, and the number that comes next. */
  get receiveKey(): number {
    return this.#receiveKey;
  }

  get receiveNumber(): number {
    return this.#receiveNumber;
  }

  /** To be called after each record that has been opened. */
  noteOpened(): void {
    this.#receiveNumber++;
    if (++this.#received % UPDATES_WINDOW === 0) this.#updates = 0;
  }

  /** The sending key of the handshake: a key id, owned by the caller. Once: a second one would repeat nonces. */
  firstSendKey(): number {
    assert(!this.#isKeyed, "a secret makes one sealing key: a second one would repeat nonces");
    this.#isKeyed = true;
    return this.#newSendKey();
  }

  /** The sending key after a KeyUpdate; the one before goes on until the pacer has sent that. */
  nextSendKey(): number {
    assert(this.#isKeyed, "a first key comes before the next");
    this.#sendSecret = this.#next(this.#sendSecret);
    this.updateRequested = false;
    return this.#newSendKey();
  }

  /** Handles a content other than application data of an authentic record. Never throws for a peer's bytes. */
  control(contentType: number, bytes: Uint8Array): TlsEvent {
    if (contentType === CONTENT_TYPE.handshake) return this.#handshake(bytes);
    const alert = contentType === CONTENT_TYPE.alert ? parseAlert(bytes) : undefined;
    if (alert === undefined) return "malformed";
    return alert.description === ALERT.closeNotify ? "peer closed" : "peer failed";
  }

  close(): void {
    this.#protection.freeKey(this.#receiveKey);
    this.#sendSecret.fill(0);
    this.#receiveSecret.fill(0);
  }

  /** Whole messages, as peers send them after the handshake. RFC 8446 §4.6.1: a ticket may be ignored; §5.1: a KeyUpdate
   * ends its record. */
  #handshake(bytes: Uint8Array): TlsEvent {
    for (let at = 0; at < bytes.length;) {
      if (bytes.length - at < TLS_HANDSHAKE_HEADER_LEN) return "malformed";
      const body = at + TLS_HANDSHAKE_HEADER_LEN;
      const end = body + (bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]);
      if (end > bytes.length) return "malformed";
      if (bytes[at] === HANDSHAKE_TYPE.keyUpdate && end === bytes.length) {
        return this.#keyUpdate(bytes.subarray(body, end));
      }
      if (bytes[at] !== HANDSHAKE_TYPE.newSessionTicket) return "malformed";
      at = end;
    }
    return bytes.length === 0 ? "malformed" : "none";
  }

  #keyUpdate(body: Uint8Array): TlsEvent {
    const update = parseKeyUpdate(body);
    if (update === undefined || ++this.#updates > UPDATES_MAX) return "malformed";
    if (update.requested) this.updateRequested = true;
    this.#receiveSecret = this.#next(this.#receiveSecret);
    this.#protection.freeKey(this.#receiveKey);
    this.#receiveKey = this.#newReceiveKey();
    this.#receiveNumber = 0;
    return "keys changed";
  }

  #next(secret: Uint8Array): Uint8Array {
    const next = nextTrafficSecret(this.suite, "tls", secret);
    secret.fill(0);
    return next;
  }

  #newSendKey(): number {
    return installKey(this.#memory, this.#protection, this.suite, this.#sendSecret, "tls");
  }

  #newReceiveKey(): number {
    return installKey(this.#memory, this.#protection, this.suite, this.#receiveSecret, "tls");
  }
}
