/** The client's handshakes in TCP mode, in the main isolate: one for each connection that the data Worker has made. */

import { TlsClient, type TlsClientOptions } from "../flight/tls_client.ts";
import { wipe } from "../crypto/wipe.ts";
import { parseServerWelcome } from "../wire/inner_control.ts";
import type { ClientControlPorts, ClientState } from "./client_control.ts";
import type { WorkerEvent } from "./messages.ts";

// Chosen here.
const REPORT_NS = 10e9;

export class TcpClientControl {
  state: ClientState = "connecting";
  suiteName = "";
  groupName = "";
  reconnects = 0;
  readonly #options: TlsClientOptions;
  readonly #ports: ClientControlPorts;
  #tls: TlsClient | undefined;
  #connection = -1;
  #sinceNs: number;
  #reportAtNs: number;
  #hint = "";

  constructor(options: TlsClientOptions, ports: ClientControlPorts, nowNs: number) {
    this.#options = options;
    this.#ports = ports;
    this.#sinceNs = nowNs;
    this.#reportAtNs = nowNs + REPORT_NS;
  }

  handle(event: WorkerEvent, nowNs: number): void {
    if (event.type === "tls open") {
      this.#tls?.wipe();
      this.#tls = new TlsClient(this.#options);
      this.#connection = event.connection;
      this.#advance(nowNs);
    } else if (event.type === "tls record" && event.connection === this.#connection) {
      this.#tls!.receive(event.record);
      this.#advance(nowNs);
    } else if (event.type === "tls end") {
      this.#hint = this.#tls?.failure?.reason ?? event.reason;
    } else if (event.type === "welcome") {
      this.#welcome(event.body);
    } else if (event.type === "closed") {
      this.#again(event.reason, nowNs);
    }
  }

  nextTimeoutNs(): number {
    return this.#isWaiting ? this.#reportAtNs : Infinity;
  }

  handleTimeout(nowNs: number): void {
    if (!this.#isWaiting || nowNs < this.#reportAtNs) return;
    this.#reportAtNs = nowNs + REPORT_NS;
    const seconds = Math.round((nowNs - this.#sinceNs) / 1e9);
    const reason = this.#hint !== ""
      ? this.#hint
      : "no answer from the server (away, port blocked, or wrong address)";
    this.#ports.log("warn", "still connecting", { seconds, reason });
  }

  /** Wipes what a handshake has left: the last thing to be done with it. */
  destroy(): void {
    this.#tls?.wipe();
  }

  get #isWaiting(): boolean {
    return this.state === "connecting" || this.state === "reconnecting";
  }

  #advance(nowNs: number): void {
    const tls = this.#tls!;
    const output = tls.takeOutput();
    const { result } = tls;
    if (result === undefined) {
      const then = tls.phase === "failed" ? "close" : "read";
      return this.#ports.order({ type: "tls", connection: this.#connection, then }, output);
    }
    this.state = "handshake done";
    this.suiteName = result.suite.name;
    this.groupName = result.groupName;
    this.#ports.order(
      { type: "tls session", connection: this.#connection, client: 0, suite: result.suite.id },
      output,
      result.clientSecret,
      result.serverSecret,
    );
    wipe(result.clientSecret, result.serverSecret, result.exporterSecret);
    this.#tls = undefined;
    this.#connection = -1;
    this.#ports.log("info", "handshake done", {
      suite: result.suite.name,
      group: result.groupName,
      after_ms: Math.round((nowNs - this.#sinceNs) / 1e6),
    });
  }

  #welcome(body: Uint8Array): void {
    const welcome = parseServerWelcome(body);
    if (welcome === undefined) return;
    if (welcome.status > 1) {
      this.state = "refused";
      return this.#ports.log("error", "the server refused these parameters", { reason: welcome.message });
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
    this.#hint = reason;
    this.#sinceNs = nowNs;
    this.#reportAtNs = nowNs + REPORT_NS;
    this.#ports.log("warn", "session lost, reconnecting", { reason });
  }
}
