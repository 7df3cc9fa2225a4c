/** The clients of a server, as its log and its status show them. */

import type { ServerConfig } from "../config/mod.ts";
import { LimitedLog } from "../status/limited_log.ts";
import type { Log, LogFields, LogLevel } from "../status/log.ts";
import type { PlainAddress, WorkerEvent } from "../tunnel/messages.ts";
import { textOf } from "../tunnel/server_control.ts";
import { outerOverhead } from "../wire/ip_header.ts";
import { intervalText } from "./network.ts";
import type { Runtime } from "./runtime.ts";

interface PeerState {
  readonly index: number;
  readonly name: string;
  state: string;
  address: string;
  suite: string;
  group: string;
  reconnects: number;
}

/** What the server says of its clients, and when it says it, whichever way they come. */
export class ServerClients {
  readonly #states: PeerState[];
  readonly #log: Log;
  readonly #limited: LimitedLog;

  constructor(config: ServerConfig, log: Log) {
    this.#log = log;
    this.#limited = new LimitedLog(log);
    this.#states = config.clients.map(({ name }, index) => ({
      index,
      name,
      state: "away",
      address: "",
      suite: "",
      group: "",
      reconnects: -1,
    }));
  }

  list(): readonly PeerState[] {
    return this.#states;
  }

  handshake(index: number, from: PlainAddress): void {
    const state = this.#states[index];
    state.state = "handshake done";
    state.address = textOf(from);
    state.reconnects++;
  }

  /** Lines of the handshakes; those that anybody can cause are limited. */
  note(level: LogLevel, message: string, fields: LogFields = {}): void {
    const state = this.#states.find(({ name }) => name === fields.client);
    if (state === undefined || message !== "handshake done") {
      return this.#limited.log(level, message, message, fields);
    }
    state.suite = String(fields.suite);
    state.group = String(fields.group);
    this.#log.log(level, message, fields);
  }

  event(event: WorkerEvent, runtime: Runtime): void {
    if (event.type === "notice") return this.#log.log(event.level, event.text);
    if (event.type === "parameters") return this.#parameters(event);
    if (event.type === "moved") return this.#moved(event.client, textOf(event.to));
    if (event.type === "tls gone") return this.#gone(event.client, event.reason);
    if (event.type !== "closed") return;
    runtime.rings.delete(event.client);
    const state = this.#states[event.client];
    state.state = "away";
    this.#log.info("client gone", { client: state.name, reason: event.reason });
  }

  /** Its connection is gone; its streams wait for the next one. */
  #gone(index: number, reason: string): void {
    const state = this.#states[index];
    state.state = "reconnecting";
    this.#log.info("connection lost", { client: state.name, reason });
  }

  #moved(index: number, to: string): void {
    const state = this.#states[index];
    const fields = { client: state.name, from: state.address, to };
    this.#limited.log("info", "client moved", "client moved", fields);
    state.address = to;
  }

  #parameters({ client, intervalNs, datagramLen, note }: Extract<WorkerEvent, { type: "parameters" }>): void {
    const state = this.#states[client];
    state.state = "up";
    this.#log.info("client up", {
      client: state.name,
      from: state.address,
      down_interval: intervalText(intervalNs),
      down_packet_length: datagramLen + outerOverhead(state.address.startsWith("[") ? 16 : 4),
      note: note === "" ? undefined : note,
    });
  }
}
