/** The client's handshakes, in the main isolate: bytes and time in, orders for the data Worker out. It goes on for
 * ever: a server that is away, restarted or moved is found again without anybody's help. */

import { wipe } from "../crypto/wipe.ts";
import type { DtlsClientOptions } from "../flight/dtls_client.ts";
import { DtlsClient } from "../flight/dtls_client.ts";
import type { ServerWelcome } from "../wire/inner_control.ts";
import { parseServerWelcome } from "../wire/inner_control.ts";
import type { Order, WorkerEvent } from "./messages.ts";
import { CONNECTION_ID_LEN } from "./own_ids.ts";

// Chosen here.
/** A handshake that gets no further starts again from a fresh ClientHello after so long, or so many slots: each of its
 * datagrams waits for one. */
const RESTART_NS = 6e9;
const RESTART_SLOTS = 16;
/** A flight of up to three datagrams is repeated after so many slots at the earliest; later each time, up to the second
 * count. */
const REPEAT_NS = 400e6;
const REPEAT_SLOTS = 4;
const REPEAT_MAX_NS = 6e9;
const REPEAT_MAX_SLOTS = 8;
/** The first hello: its answer is one of what a server under a flood has for all that come. */
const HELLO_REPEAT_NS = 50e6;
const REPORT_NS = 10e9;
/** A server forgets a client after so much silence at the earliest. */
const FORGOTTEN_NS = 30e9;

const NO_ID = new Uint8Array(0);
/** Of a server of version 0, which gives no addresses. */
const NOTHING_GIVEN: ServerWelcome = Object.freeze({
  protocolVersion: 0,
  status: 0,
  nonce: new Uint8Array(0),
  addresses: [],
  serverAddresses: [],
  routes: [],
  dns: [],
  mtu: 0,
  maxSpeedBitsPerS: 0,
  message: "",
});

export type ClientState = "connecting" | "handshake done" | "up" | "reconnecting" | "refused";

export interface ClientControlPorts {
  order(order: Order, ...bytes: readonly Uint8Array[]): void;
  log(level: "error" | "warn" | "info" | "debug", message: string, fields?: Record<string, unknown>): void;
  /** The server's welcome of a new session. */
  welcomed(welcome: ServerWelcome): void;
}

export interface ClientControlOptions
  extends Omit<DtlsClientOptions, "timeoutNs" | "timeoutMaxNs" | "helloRepeatNs" | "connectionIds"> {
  /** Of the client's own slots. */
  readonly intervalNs: number;
  /** No connection ids, and no more hellos than the deployed client of version 0 sends. */
  readonly version0?: boolean;
}

export class ClientControl {
  state: ClientState = "connecting";
  suiteName = "";
  groupName = "";
  reconnects = 0;
  readonly #options: DtlsClientOptions;
  readonly #ports: ClientControlPorts;
  readonly #dtls: DtlsClient;
  #delivered = false;
  /** The session before is alive after all. */
  #isNeedless = false;
  /** When it began, or got on the last time. */
  #progressNs: number;
  /** When the cookie came. */
  #cookieNs: number;
  #reportAtNs: number;
  #firstNs: number;
  /** When a hello was answered the last time, or the first one was sent. */
  #answeredNs: number;
  readonly #restartNs: number;

  constructor(
    { intervalNs, version0, ...options }: ClientControlOptions,
    ports: ClientControlPorts,
    nowNs: number,
  ) {
    const ofVersion1 = {
      connectionIds: { own: new Uint8Array(0), peerLen: CONNECTION_ID_LEN },
      helloRepeatNs: Math.max(HELLO_REPEAT_NS, intervalNs),
      numberedAnswers: true,
    };
    this.#options = {
      ...options,
      ...(version0 ? {} : ofVersion1),
      timeoutNs: Math.max(REPEAT_NS, REPEAT_SLOTS * intervalNs),
      timeoutMaxNs: Math.max(REPEAT_MAX_NS, REPEAT_MAX_SLOTS * intervalNs),
    };
    this.#restartNs = Math.max(RESTART_NS, RESTART_SLOTS * intervalNs);
    this.#ports = ports;
    this.#dtls = new DtlsClient(this.#options);
    this.#dtls.start(nowNs);
    this.#firstNs =
      this.#progressNs =
      this.#cookieNs =
      this.#answeredNs =
        nowNs;
    this.#reportAtNs = nowNs + REPORT_NS;
  }

  /** Since when hellos go without any answer; Infinity: none is waited for. */
  get unansweredSinceNs(): number {
    const isAsking = !this.#delivered && !this.#isConnected && this.#dtls.phase === "hello";
    return isAsking ? this.#answeredNs : Infinity;
  }

  /** Wipes what the handshake has left: the last thing to be done with it. */
  destroy(): void {
    this.#dtls.destroy();
  }

  /** The first ClientHello, which is slot 0 of the train. Once, before anything else. */
  firstDatagram(): Uint8Array {
    return this.#dtls.nextDatagram()!;
  }

  handle(event: WorkerEvent, nowNs: number): void {
    if (event.type === "handshake") {
      if (this.#isConnected) return;
      this.#receive(event.datagram, nowNs);
      this.#advance(nowNs);
      if (this.#isConnected) this.#ports.order({ type: "acknowledged" });
    } else if (event.type === "authentic") {
      this.#dtls.noteAuthenticRecord();
    } else if (event.type === "welcome") {
      this.#welcome(event.body);
    } else if (event.type === "silent") {
      this.#again(`nothing heard for ${(event.sinceMs / 1e3).toFixed(1)} s`, nowNs);
    } else if (event.type === "heard") {
      this.#heard();
    } else if (event.type === "closed") {
      this.#again(event.reason, nowNs);
    }
  }

  /** The machine has slept: a server forgets who is silent for longer than that. Its slots have stood still meanwhile. */
  woke(sleptNs: number, nowNs: number): void {
    if (sleptNs < FORGOTTEN_NS || !this.#delivered) return this.moved(nowNs);
    const reason = `this machine has slept for ${Math.round(sleptNs / 1e9)} s`;
    this.#ports.order({ type: "give up", reason });
  }

  /** The client's address is another one from now on, or the network is back. What a handshake has come to since the
   * server's first answer is bound to the old address: it begins again; a first hello is not, nor is a session. */
  moved(nowNs: number): void {
    if (this.#delivered || this.#isConnected || this.#dtls.phase === "hello") return;
    this.#begin(nowNs);
    this.#advance(nowNs);
  }

  #receive(datagram: Uint8Array, nowNs: number): void {
    const before = this.#dtls.phase;
    this.#dtls.receive(datagram, nowNs);
    if (this.#dtls.phase === before) return;
    this.#progressNs = this.#answeredNs = nowNs;
    if (this.#dtls.phase === "cookie") this.#cookieNs = nowNs;
  }

  nextTimeoutNs(): number {
    if (this.#isConnected) return Infinity;
    // Once the session is handed over, its silence decides: the data Worker tells.
    const restartAtNs = this.#delivered ? Infinity : this.#progressNs + this.#restartNs;
    return Math.min(this.#dtls.nextTimeoutNs(), restartAtNs, this.#reportAtNs);
  }

  handleTimeout(nowNs: number): void {
    if (this.#isConnected) return;
    if (nowNs >= this.#reportAtNs) this.#report(nowNs);
    const stuck = nowNs >= this.#progressNs + this.#restartNs && !this.#delivered;
    if (stuck || this.#dtls.phase === "failed") this.#begin(nowNs);
    else this.#dtls.handleTimeout(nowNs);
    this.#advance(nowNs);
  }

  #advance(nowNs: number): void {
    for (
      let datagram = this.#dtls.nextDatagram();
      datagram !== undefined;
      datagram = this.#dtls.nextDatagram()
    ) {
      this.#ports.order({ type: "raw" }, datagram);
    }
    const result = this.#dtls.result;
    if (result === undefined || this.#delivered) return;
    this.#delivered = true;
    this.state = "handshake done";
    this.suiteName = result.suite.name;
    this.groupName = result.groupName;
    this.#ports.order(
      {
        type: "session",
        client: 0,
        suite: result.suite.id,
        sendMessageSeq: result.sendMessageSeq,
        receiveMessageSeq: result.receiveMessageSeq,
        rrc: result.connectionIds?.rrc ?? false,
        fdIndex: 0,
        port: 0,
        scope: 0,
        localPort: 0,
        roundTripNs: nowNs - this.#cookieNs,
      },
      result.clientSecret,
      result.serverSecret,
      result.connectionIds?.own ?? NO_ID,
      result.connectionIds?.peer ?? NO_ID,
    );
    wipe(result.clientSecret, result.serverSecret, result.exporterSecret);
    this.#ports.log("info", "handshake done", {
      suite: result.suite.name,
      group: result.groupName,
      after_ms: Math.round((nowNs - this.#firstNs) / 1e6),
    });
  }

  get #isConnected(): boolean {
    return this.#isNeedless || this.#dtls.phase === "connected";
  }

  #welcome(body: Uint8Array): void {
    const welcome = body.length === 0 ? NOTHING_GIVEN : parseServerWelcome(body);
    if (welcome === undefined) return;
    if (welcome.status > 1) {
      this.state = "refused";
      this.#ports.log("error", "the server refused these parameters", { reason: welcome.message });
      return;
    }
    if (welcome.status === 1) {
      this.#ports.log("warn", "the server sends slower than asked for", { reason: welcome.message });
    }
    this.state = "up";
    this.#ports.welcomed(welcome);
  }

  #again(reason: string, nowNs: number): void {
    this.reconnects++;
    this.state = "reconnecting";
    this.#ports.log("warn", "session lost, reconnecting", { reason });
    this.#firstNs = this.#answeredNs = nowNs;
    this.#reportAtNs = nowNs + REPORT_NS;
    this.#begin(nowNs);
    this.#advance(nowNs);
  }

  /** The old session goes on; the handshake that was to replace it is not needed. */
  #heard(): void {
    if (this.#delivered) return;
    this.#isNeedless = this.#delivered = true;
    this.state = "up";
    this.#ports.log("info", "the server is heard again, the session goes on");
  }

  #begin(nowNs: number): void {
    this.#isNeedless = false;
    this.#dtls.restart(nowNs); // its record numbers go on, so that late answers to the old hellos are known
    this.#delivered = false;
    this.#progressNs = this.#cookieNs = nowNs;
  }

  /** A wrong key told apart from a silent server, as far as the protocol allows: both are silence, but only a server
   * that runs answers the cookie. */
  #report(nowNs: number): void {
    this.#reportAtNs = nowNs + REPORT_NS;
    const seconds = Math.round((nowNs - this.#firstNs) / 1e9);
    const hint = this.#dtls.hint;
    this.#ports.log("warn", "still connecting", {
      seconds,
      reason: hint ?? "no answer from the server (away, port blocked, or wrong address)",
    });
  }
}
