/* A server's TCP mode: 1 listening sockets beside those of UDP · 2 data Worker and handshakes · 3 what is dialled for each
 * client's streams · 4 goodbye in slots. It needs no right that others have not. */

import type { Shim } from "../../ffi/mod.ts";
import { ShimError } from "../../ffi/mod.ts";
import type { ListenAddress, ServerConfig } from "../config/mod.ts";
import type { PacerReport, PacerSettings } from "../tunnel/messages.ts";
import { REKEY_RECORDS } from "../tunnel/rekey.ts";
import { TcpServerControl } from "../tunnel/tcp_server_control.ts";
import { OperatorError } from "./exit.ts";
import { endpointText } from "./network.ts";
import { listenRemedy } from "./open.ts";
import { Runtime } from "./runtime.ts";
import type { ServerClients } from "./server_clients.ts";
import { ServerStreams } from "./server_streams.ts";
import type { Serving, ServingContext } from "./serving.ts";

export class TcpServing implements Serving {
  readonly runtime: Runtime;
  /** Where it listens, as text. */
  readonly listening: string[] = [];
  readonly #config: ServerConfig;
  readonly #shim: Shim;
  readonly #clients: ServerClients;
  readonly #control: TcpServerControl;
  readonly #streams: ServerStreams;
  readonly #fds: number[] = [];

  /** Listens, but serves nobody yet. Throws OperatorError. */
  constructor(context: ServingContext) {
    const { config, shim, shimPath, log, keys, clients, policy } = context;
    this.#config = config;
    this.#shim = shim;
    this.#clients = clients;
    for (const address of config.listen) this.#listen(address);
    const runtime = new Runtime(shim, shimPath, log);
    this.runtime = runtime;
    this.#streams = new ServerStreams(config, shim, () => runtime.wake());
    const { secrets, entropy } = shim;
    this.#control = new TcpServerControl({ ...policy, keys, secrets, entropy }, {
      order: (order, ...bytes) => runtime.order(order, ...bytes),
      arrived: (client, from) => clients.handshake(client, from),
      log: (level, message, fields) => clients.note(level, message, fields),
      clientName: (index) => config.clients[index].name,
    });
  }

  #listen(address: ListenAddress): void {
    try {
      const { fd, address: bound } = this.#shim.tcpListen(address);
      this.#fds.push(fd);
      this.listening.push(endpointText(bound));
    } catch (error) {
      if (!(error instanceof ShimError)) throw error;
      throw new OperatorError(
        `Cannot listen on ${endpointText(address)}/tcp: ${listenRemedy(error.errnoName)}`,
      );
    }
  }

  /** Counters for the status. */
  counters(): Readonly<Record<string, number>> {
    const { tlsBegun, tlsDone, tlsFailed } = this.#control.counters;
    return {
      tls_begun: tlsBegun,
      tls_done: tlsDone,
      tls_failed: tlsFailed,
      tls_open: this.#control.halfOpen,
      ...this.#streams.counters(),
    };
  }

  start(pacer: PacerSettings | PacerReport, traceCount: number): void {
    this.runtime.start(
      {
        role: "tcp server",
        tunFd: -1,
        udpFds: [],
        pacer,
        traceCount,
        rekeyRecords: REKEY_RECORDS,
        listeners: this.#fds,
        clients: this.#config.clients.map(({ name, maxSpeedBitsPerS }) => ({ name, maxSpeedBitsPerS })),
        bridge: this.#streams.buffers,
      },
      this.#control,
      (event) => {
        if (event.type === "streams") this.#streams.drain();
        else this.#clients.event(event, this.runtime);
      },
    );
  }

  async stop(): Promise<void> {
    await this.runtime.stop();
    this.#streams.close();
    this.#control.destroy();
  }

  /** After the pacer has stopped. */
  close(): void {
    this.runtime.freeRings();
    for (const fd of this.#fds) this.runtime.close(fd);
  }
}
