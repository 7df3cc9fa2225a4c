/** The server's handshakes in TCP mode, in the main isolate: one for each connection that the data Worker has told of. How
 * many there may be and how long they may take is the Worker's to say. */

import type { SecretMemory } from "../base/mod.ts";
import { TlsServer, type TlsServerOptions } from "../flight/tls_server.ts";
import { wipe } from "../crypto/wipe.ts";
import { type LongTermKey, PskDirectory } from "../handshake/psk_directory.ts";
import type { Order, PlainAddress, WorkerEvent } from "./messages.ts";
import type { ServerControlPorts } from "./server_control.ts";
import { textOf } from "./server_control.ts";

export interface TcpServerControlPorts extends Pick<ServerControlPorts, "log" | "clientName"> {
  order(order: Order, ...bytes: readonly Uint8Array[]): void;
  /** A client's handshake is done; it comes from there. */
  arrived(client: number, from: PlainAddress): void;
}

export interface TcpServerControlOptions extends Omit<TlsServerOptions, "lookup"> {
  /** Of the clients, by index. What is needed of them is copied into `secrets`. */
  readonly keys: readonly LongTermKey[];
  readonly secrets: SecretMemory;
}

interface Handshake {
  readonly tls: TlsServer;
  readonly from: PlainAddress;
}

export class TcpServerControl {
  readonly counters = { tlsBegun: 0, tlsDone: 0, tlsFailed: 0 };
  readonly #options: TlsServerOptions;
  readonly #ports: TcpServerControlPorts;
  readonly #directory: PskDirectory;
  /** By connection. */
  readonly #handshakes = new Map<number, Handshake>();

  constructor({ keys, secrets, ...options }: TcpServerControlOptions, ports: TcpServerControlPorts) {
    const directory = this.#directory = new PskDirectory("tls", keys, secrets);
    this.#options = { ...options, lookup: (identity, hash) => directory.lookup(identity, hash) };
    this.#ports = ports;
  }

  get halfOpen(): number {
    return this.#handshakes.size;
  }

  handle(event: WorkerEvent): void {
    if (event.type === "tls open") {
      this.counters.tlsBegun++;
      this.#handshakes.set(event.connection, { tls: new TlsServer(this.#options), from: event.from });
      this.#ports.order({ type: "tls", connection: event.connection, then: "read" }, new Uint8Array(0));
    } else if (event.type === "tls record") {
      const handshake = this.#handshakes.get(event.connection);
      if (handshake === undefined) return;
      handshake.tls.receive(event.record);
      this.#advance(event.connection, handshake);
    } else if (event.type === "tls end") {
      this.#forget(event.connection);
    }
  }

  /** The Worker has the clock of connections. */
  nextTimeoutNs(): number {
    return Infinity;
  }

  handleTimeout(): void {
    // Never asked for.
  }

  /** Wipes what handshakes have left: the last thing to be done with it. */
  destroy(): void {
    for (const connection of [...this.#handshakes.keys()]) this.#forget(connection);
    this.#directory.wipe();
  }

  #forget(connection: number): void {
    this.#handshakes.get(connection)?.tls.wipe();
    this.#handshakes.delete(connection);
  }

  #advance(connection: number, { tls, from }: Handshake): void {
    const output = tls.takeOutput();
    const { result } = tls;
    if (result === undefined) {
      const hasFailed = tls.phase === "failed";
      this.#ports.order({ type: "tls", connection, then: hasFailed ? "close" : "read" }, output);
      if (!hasFailed) return;
      this.counters.tlsFailed++;
      this.#ports.log("warn", "handshake refused", { from: textOf(from), reason: tls.failure?.reason });
      return this.#forget(connection);
    }
    this.counters.tlsDone++;
    const client = result.clientIndex!;
    this.#ports.arrived(client, from);
    this.#ports.order(
      { type: "tls session", connection, client, suite: result.suite.id },
      output,
      result.serverSecret,
      result.clientSecret,
    );
    wipe(result.clientSecret, result.serverSecret, result.exporterSecret);
    this.#handshakes.delete(connection);
    this.#ports.log("info", "handshake done", {
      client: this.#ports.clientName(client),
      from: textOf(from),
      suite: result.suite.name,
      group: result.groupName,
    });
  }
}
