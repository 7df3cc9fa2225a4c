/** TLS 1.3 records over a byte stream, for tests only: as much as `ClientHandshake` and `ServerHandshake` need to speak to
 * a foreign peer. RFC 8446 §5; strict, since the peer is right: whatever is not expected throws. */

import { concat } from "../../src/base/mod.ts";
import { type Aead, plainAead } from "../../src/crypto/aead.ts";
import { nextTrafficSecret } from "../../src/crypto/key_schedule.ts";
import type { CipherSuite } from "../../src/crypto/suites.ts";
import { trafficKeys } from "../../src/crypto/traffic_keys.ts";
import type { ClientHandshake } from "../../src/handshake/client_handshake.ts";
import type { ServerHandshake } from "../../src/handshake/server_handshake.ts";
import { alertName, emitAlert, parseAlert } from "../../src/wire/alert.ts";
import { CONTENT_TYPE } from "../../src/wire/content_type.ts";
import {
  emitTlsHandshakeMessage,
  HANDSHAKE_TYPE,
  TLS_HANDSHAKE_HEADER_LEN,
} from "../../src/wire/handshake_header.ts";
import { emitKeyUpdate, parseKeyUpdate } from "../../src/wire/key_update.ts";

const RECORD_HEADER_LEN = 5;
const LEGACY_RECORD_VERSION = [0x03, 0x03];
const decoder = new TextDecoder();

/** One direction: the keys of now, and the number of the next record. */
class Direction {
  #aead: Aead;
  #number = 0;
  #secret: Uint8Array;
  readonly #suite: CipherSuite;

  constructor(suite: CipherSuite, secret: Uint8Array) {
    this.#suite = suite;
    this.#secret = secret.slice();
    this.#aead = plainAead(suite, trafficKeys(suite, "tls", secret));
  }

  seal(contentType: number, content: Uint8Array): Uint8Array {
    const inner = concat(content, Uint8Array.of(contentType, 0, 0, 0)); // with some padding, §5.4
    const header = recordHeader(CONTENT_TYPE.applicationData, inner.length + 16);
    return concat(header, this.#aead.seal(this.#number++, header, inner));
  }

  open(header: Uint8Array, sealed: Uint8Array): { contentType: number; content: Uint8Array } {
    const inner = this.#aead.open(this.#number++, header, sealed);
    if (inner === undefined) throw new Error("a record does not open");
    let end = inner.length;
    while (end > 0 && inner[end - 1] === 0) end--;
    if (end === 0) throw new Error("a record without content type");
    return { contentType: inner[end - 1], content: inner.subarray(0, end - 1) };
  }

  /** RFC 8446 §7.2. */
  update(): void {
    this.#secret = nextTrafficSecret(this.#suite, "tls", this.#secret);
    this.#aead = plainAead(this.#suite, trafficKeys(this.#suite, "tls", this.#secret));
    this.#number = 0;
  }
}

/** One TLS connection of ours. `connect` or `accept` first, then `write` and `readText`. */
export class TlsLink {
  /** The alert that the peer sent, by name. */
  alert: string | undefined;
  /** KeyUpdates of the peer's. */
  keyUpdates = 0;
  readonly #conn: Deno.TcpConn;
  readonly #machine: ClientHandshake | ServerHandshake;
  readonly #role: "client" | "server";
  #send: Direction | undefined;
  #receive: Direction | undefined;
  #unread: Uint8Array = new Uint8Array(0);
  #messages: Uint8Array = new Uint8Array(0);
  #text = "";
  #isOpen = true;

  constructor(conn: Deno.TcpConn, machine: ClientHandshake | ServerHandshake, role: "client" | "server") {
    this.#conn = conn;
    this.#machine = machine;
    this.#role = role;
  }

  /** Runs the handshake to its end; true if it ended well. A client's machine must have been started. */
  async handshake(): Promise<boolean> {
    await this.#flush();
    while (this.#isOpen && this.#machine.state !== "done" && this.#machine.state !== "failed") {
      await this.#step();
    }
    if (this.#machine.state !== "done") return false;
    const { suite, clientSecret, serverSecret } = this.#machine.result!;
    const isClient = this.#role === "client";
    this.#send = new Direction(suite, isClient ? clientSecret : serverSecret);
    this.#receive = new Direction(suite, isClient ? serverSecret : clientSecret);
    return true;
  }

  async write(text: string): Promise<void> {
    await this.#write(this.#send!.seal(CONTENT_TYPE.applicationData, new TextEncoder().encode(text)));
  }

  /** All that came since the handshake, as soon as `wanted` is in it, or the connection has ended. */
  async readText(wanted: string): Promise<string> {
    while (this.#isOpen && !this.#text.includes(wanted)) await this.#step();
    return this.#text;
  }

  /** Changes our sending keys, and asks for the peer's if `requested`. RFC 8446 §4.6.3. */
  async updateKeys(requested: boolean): Promise<void> {
    const message = emitTlsHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, emitKeyUpdate(requested));
    await this.#write(this.#send!.seal(CONTENT_TYPE.handshake, message));
    this.#send!.update();
  }

  /** Says goodbye (close_notify) and closes. */
  async close(): Promise<void> {
    if (this.#isOpen && this.#send !== undefined) {
      await this.#write(this.#send.seal(CONTENT_TYPE.alert, emitAlert(0))).catch(() => {}); // the peer may be gone
    }
    this.#isOpen = false;
    this.#conn.close();
  }

  async #step(): Promise<void> {
    const header = await this.#read(RECORD_HEADER_LEN);
    const body = header && await this.#read(header[3] << 8 | header[4]);
    if (header === undefined || body === undefined) {
      this.#isOpen = false;
      return;
    }
    const type = header[0];
    // RFC 8446 §5: change_cipher_spec of middlebox compatibility is dropped.
    if (type === CONTENT_TYPE.changeCipherSpec) return;
    if (type !== CONTENT_TYPE.applicationData) return await this.#content(type, body, 0);
    if (this.#receive === undefined) throw new Error("a protected record before there are keys");
    const { contentType, content } = this.#receive.open(header, body);
    await this.#content(contentType, content, 2);
  }

  async #content(type: number, content: Uint8Array, epoch: 0 | 2): Promise<void> {
    if (type === CONTENT_TYPE.alert) {
      this.alert = alertName(parseAlert(content)!.description);
      this.#isOpen = false;
    } else if (type === CONTENT_TYPE.applicationData && epoch === 2) {
      this.#text += decoder.decode(content);
    } else if (type === CONTENT_TYPE.handshake) {
      this.#messages = concat(this.#messages, content);
      for (let message = this.#takeMessage(); message !== undefined; message = this.#takeMessage()) {
        await this.#message(epoch, message[0], message.subarray(TLS_HANDSHAKE_HEADER_LEN));
      }
    } else {
      throw new Error(`a record of type ${type}`);
    }
  }

  #takeMessage(): Uint8Array | undefined {
    const bytes = this.#messages;
    if (bytes.length < TLS_HANDSHAKE_HEADER_LEN) return undefined;
    const len = TLS_HANDSHAKE_HEADER_LEN + (bytes[1] << 16 | bytes[2] << 8 | bytes[3]);
    if (bytes.length < len) return undefined;
    this.#messages = bytes.slice(len);
    return bytes.subarray(0, len);
  }

  async #message(epoch: 0 | 2, type: number, body: Uint8Array): Promise<void> {
    const machine = this.#machine;
    if (machine.state === "done") return await this.#afterHandshake(type, body);
    const failure = machine.receive(epoch, type, body);
    if (failure !== undefined && "fail" in machine) machine.fail(failure); // nobody else can have sent it here
    await this.#flush();
  }

  async #afterHandshake(type: number, body: Uint8Array): Promise<void> {
    if (type === HANDSHAKE_TYPE.newSessionTicket) return;
    const update = type === HANDSHAKE_TYPE.keyUpdate ? parseKeyUpdate(body) : undefined;
    if (update === undefined) throw new Error(`a message of type ${type} after the handshake`);
    this.keyUpdates++;
    this.#receive!.update();
    if (update.requested) await this.updateKeys(false);
  }

  /** Sends what the machine has to say, or its alert. */
  async #flush(): Promise<void> {
    const machine = this.#machine;
    if (machine.handshakeSecrets !== undefined && this.#send === undefined) {
      const { client, server } = machine.handshakeSecrets;
      const isClient = this.#role === "client";
      this.#send = new Direction(machine.suite!, isClient ? client : server);
      this.#receive = new Direction(machine.suite!, isClient ? server : client);
    }
    for (const { epoch, type, body } of machine.takeMessages()) {
      const message = emitTlsHandshakeMessage(type, body);
      await this.#write(
        epoch === 0
          ? concat(recordHeader(CONTENT_TYPE.handshake, message.length), message)
          : this.#send!.seal(CONTENT_TYPE.handshake, message),
      );
    }
    if (machine.failure === undefined || machine.failure.silent === true) return;
    const alert = emitAlert(machine.failure.alert);
    await this.#write(
      this.#send === undefined
        ? concat(recordHeader(CONTENT_TYPE.alert, alert.length), alert)
        : this.#send.seal(CONTENT_TYPE.alert, alert),
    );
  }

  /** The next `len` bytes of the stream, or `undefined` at its end. */
  async #read(len: number): Promise<Uint8Array | undefined> {
    const chunk = new Uint8Array(4096).fill(0xa5);
    while (this.#unread.length < len) {
      const count = await this.#conn.read(chunk).catch(() => null); // reset by the peer: the end as well
      if (count === null) return undefined;
      this.#unread = concat(this.#unread, chunk.subarray(0, count));
    }
    const bytes = this.#unread.slice(0, len);
    this.#unread = this.#unread.slice(len);
    return bytes;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let off = 0; off < bytes.length;) off += await this.#conn.write(bytes.subarray(off));
  }
}

function recordHeader(type: number, len: number): Uint8Array {
  return Uint8Array.of(type, ...LEGACY_RECORD_VERSION, len >> 8, len);
}
