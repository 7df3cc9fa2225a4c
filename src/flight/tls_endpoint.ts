/** TLS 1.3 around the handshake's messages, RFC 8446 §5, §6: records in, bytes out. One record at a time, since the keys
 * change behind some. The bytes are a reliable stream's, so that whatever is wrong ends the handshake. */

import { concat } from "../base/mod.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import type { SecretPair } from "../crypto/key_schedule.ts";
import type { Failure, HandshakeEpoch, HandshakeResult, OutMessage } from "../handshake/types.ts";
import { plaintextTlsRecords, TlsKeys } from "../record/tls_records.ts";
import { ALERT, alertName, emitAlert, parseAlert } from "../wire/alert.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { emitTlsHandshakeMessage, TLS_HANDSHAKE_HEADER_LEN } from "../wire/handshake_header.ts";
import { isCompatibilityRecord, parseTlsRecord } from "../wire/tls_record.ts";

// Chosen here.
/** No message of a handshake with a PSK is longer. */
const MESSAGE_MAX_LEN = 8192;
/** Records of a handshake: what a peer may make one look at before it has shown a key. */
const RECORDS_MAX = 32;

/** What client and server machine have in common. */
export interface TlsMachine {
  readonly handshakeSecrets: SecretPair | undefined;
  readonly suite: CipherSuite | undefined;
  readonly result: HandshakeResult | undefined;
  readonly failure: Failure | undefined;
  takeMessages(): OutMessage[];
  wipe(): void;
}

export type TlsPhase = "handshake" | "connected" | "failed";

export abstract class TlsEndpoint {
  phase: TlsPhase = "handshake";
  /** Why it failed. */
  failure: Failure | undefined;
  #send: TlsKeys | undefined;
  #receive: TlsKeys | undefined;
  #messages: Uint8Array = new Uint8Array(0);
  #out: Uint8Array[] = [];
  #records = 0;

  protected abstract readonly machine: TlsMachine;
  protected abstract readonly role: "client" | "server";
  /** Hands one whole message to the machine. */
  protected abstract message(epoch: HandshakeEpoch, type: number, body: Uint8Array): Failure | undefined;

  /** Of a handshake that is done. */
  get result(): HandshakeResult | undefined {
    return this.phase === "connected" ? this.machine.result : undefined;
  }

  /** Takes one whole record, header included. */
  receive(record: Uint8Array): void {
    if (this.phase !== "handshake") return;
    const failure = ++this.#records > RECORDS_MAX
      ? { alert: ALERT.unexpectedMessage, reason: "too many records" }
      : this.#record(record);
    if (failure !== undefined) this.#fail(failure);
    else this.#advance();
  }

  /** Bytes that are to be sent now, in order. */
  takeOutput(): Uint8Array {
    const out = concat(...this.#out);
    this.#out = [];
    return out;
  }

  /** Ends the handshake from here: a time-out. Nothing is sent. */
  abandon(reason: string): void {
    if (this.phase !== "handshake") return;
    this.#fail({ alert: ALERT.userCanceled, reason, silent: true });
  }

  wipe(): void {
    this.#send?.wipe();
    this.#receive?.wipe();
    this.machine.wipe();
  }

  /** Sends what the machine has to say, and sees whether it is done. To be called after its start, too. */
  protected advance(): void {
    this.#advance();
  }

  #advance(): void {
    this.#keys();
    for (const { epoch, type, body } of this.machine.takeMessages()) {
      const message = emitTlsHandshakeMessage(type, body);
      const isClear = epoch === 0;
      const { handshake } = CONTENT_TYPE;
      this.#out.push(
        isClear ? plaintextTlsRecords(handshake, message) : this.#send!.seal(handshake, message),
      );
    }
    if (this.machine.failure !== undefined) return this.#fail(this.machine.failure);
    if (this.machine.result === undefined) return;
    this.phase = "connected";
    this.wipe(); // but for the result
  }

  /** Takes up the handshake's keys as soon as there are some. */
  #keys(): void {
    const { handshakeSecrets: secrets, suite } = this.machine;
    if (secrets === undefined || suite === undefined || this.#send !== undefined) return;
    const isClient = this.role === "client";
    this.#send = new TlsKeys(suite, isClient ? secrets.client : secrets.server);
    this.#receive = new TlsKeys(suite, isClient ? secrets.server : secrets.client);
  }

  #record(bytes: Uint8Array): Failure | undefined {
    const record = parseTlsRecord(bytes);
    if (record === undefined) return { alert: ALERT.recordOverflow, reason: "a record that is too long" };
    if (isCompatibilityRecord(record)) return undefined;
    if (record.contentType !== CONTENT_TYPE.applicationData) {
      // RFC 8446 §5: once there are keys, nothing but alerts may come in the clear.
      const isWrong = this.#receive !== undefined && record.contentType !== CONTENT_TYPE.alert;
      return isWrong
        ? { alert: ALERT.unexpectedMessage, reason: "a record in the clear" }
        : this.#content(record.contentType, record.body, 0);
    }
    if (this.#receive === undefined) {
      return { alert: ALERT.unexpectedMessage, reason: "a protected record before the hello" };
    }
    const opened = this.#receive.open(record);
    if (opened === undefined) return { alert: ALERT.badRecordMac, reason: "a record does not open" };
    return this.#content(opened.contentType, opened.content, 2);
  }

  #content(contentType: number, content: Uint8Array, epoch: HandshakeEpoch): Failure | undefined {
    if (contentType === CONTENT_TYPE.alert) {
      const alert = parseAlert(content);
      const name = alert === undefined ? "malformed" : alertName(alert.description);
      return {
        alert: ALERT.closeNotify,
        reason: `the other side ended the handshake: ${name}`,
        silent: true,
      };
    }
    if (contentType !== CONTENT_TYPE.handshake || content.length === 0) {
      return { alert: ALERT.unexpectedMessage, reason: `a record of type ${contentType}` };
    }
    return this.#handshake(epoch, content);
  }

  #handshake(epoch: HandshakeEpoch, content: Uint8Array): Failure | undefined {
    this.#messages = concat(this.#messages, content);
    while (this.#messages.length >= TLS_HANDSHAKE_HEADER_LEN) {
      const bytes = this.#messages;
      const len = TLS_HANDSHAKE_HEADER_LEN + (bytes[1] << 16 | bytes[2] << 8 | bytes[3]);
      if (len > MESSAGE_MAX_LEN) {
        return { alert: ALERT.illegalParameter, reason: "a message that is too long" };
      }
      if (bytes.length < len) return undefined;
      this.#messages = bytes.slice(len);
      const hadKeys = this.#receive !== undefined;
      const failure = this.message(epoch, bytes[0], bytes.subarray(TLS_HANDSHAKE_HEADER_LEN, len));
      if (failure !== undefined) return failure;
      this.#keys();
      // RFC 8446 §5.1: a message before a change of keys ends its record.
      const changed = !hadKeys && this.#receive !== undefined || this.machine.result !== undefined;
      if (changed && this.#messages.length > 0) {
        return { alert: ALERT.unexpectedMessage, reason: "more in a record than the keys are for" };
      }
    }
    return undefined;
  }

  /** RFC 8446 §6.2: a fatal alert before the connection is closed. */
  #fail(failure: Failure): void {
    this.phase = "failed";
    this.failure = failure;
    const isTold = failure.alert !== ALERT.closeNotify && failure.alert !== ALERT.userCanceled;
    if (isTold) {
      const alert = emitAlert(failure.alert);
      this.#out.push(
        this.#send?.seal(CONTENT_TYPE.alert, alert) ?? plaintextTlsRecords(CONTENT_TYPE.alert, alert),
      );
    }
    this.wipe();
  }
}
