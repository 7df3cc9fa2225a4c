/** Streams of a server's clients in the main isolate: what is dialled for each, and the bridge to the data Worker. */

import type { Shim } from "../../ffi/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import { SERVER_COUNTS } from "../socks/counts.ts";
import type { ServerSide } from "../socks/server_side.ts";
import { Counters } from "../status/counters.ts";
import type { BridgeBuffers } from "../tunnel/tcp_messages.ts";
import { serverSide } from "./local_sides.ts";
import { drainEvents, type MainBridge, openBridge } from "./main_bridge.ts";

export class ServerStreams {
  readonly #config: ServerConfig;
  readonly #shim: Shim;
  readonly #bridge: MainBridge;
  readonly #counts = new Counters(SERVER_COUNTS);
  readonly #sides: (ServerSide | undefined)[];

  /** `wake` has the Worker look into the bridge. */
  constructor(config: ServerConfig, shim: Shim, wake: () => void) {
    this.#config = config;
    this.#shim = shim;
    this.#sides = config.clients.map(() => undefined);
    this.#bridge = openBridge(wake);
  }

  /** For the data Worker. */
  get buffers(): BridgeBuffers {
    return this.#bridge.buffers;
  }

  /** The Worker has put something into the bridge. */
  drain(): void {
    drainEvents(this.#bridge, (client) => this.#sideOf(client).events);
  }

  #sideOf(client: number): ServerSide {
    return this.#sides[client] ??= serverSide(
      this.#config.clients[client],
      this.#shim,
      this.#bridge.end.commands(client),
      (name) => this.#counts.add(name),
    );
  }

  /** For the status. */
  counters(): Readonly<Record<string, number>> {
    return {
      streams: this.#sides.reduce((sum, side) => sum + (side?.open ?? 0), 0),
      ...this.#counts.snapshot(),
    };
  }

  close(): void {
    for (const side of this.#sides) side?.close();
  }
}
