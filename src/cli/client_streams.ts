/** A client's streams in the main isolate: proxy and forwards, and their bridge to the data Worker. */

import type { Shim } from "../../ffi/mod.ts";
import type { ClientConfig } from "../config/mod.ts";
import { SocketError } from "../ports/sockets.ts";
import type { ClientSide } from "../socks/client_side.ts";
import { CLIENT_COUNTS } from "../socks/counts.ts";
import { Counters } from "../status/counters.ts";
import type { Log } from "../status/log.ts";
import type { BridgeBuffers } from "../tunnel/tcp_messages.ts";
import { OperatorError } from "./exit.ts";
import { clientSide } from "./local_sides.ts";
import { drainEvents, type MainBridge, openBridge } from "./main_bridge.ts";

export class ClientStreams {
  readonly #config: ClientConfig;
  readonly #log: Log;
  readonly #bridge: MainBridge;
  readonly #counts = new Counters(CLIENT_COUNTS);
  readonly #side: ClientSide;

  /** Not yet listening. `wake` has the Worker look into the bridge. */
  constructor(config: ClientConfig, shim: Shim, log: Log, wake: () => void) {
    this.#config = config;
    this.#log = log;
    this.#bridge = openBridge(wake);
    this.#side = clientSide(
      config,
      shim,
      log,
      this.#bridge.end.commands(0),
      (name) => this.#counts.add(name),
    );
  }

  /** For the data Worker. */
  get buffers(): BridgeBuffers {
    return this.#bridge.buffers;
  }

  /** Streams that are open. */
  get open(): number {
    return this.#side.open.streams;
  }

  /** Programs may connect from now on; before there is a session their streams wait. Throws OperatorError. */
  async listen(): Promise<void> {
    const { socks, forwards } = this.#config;
    try {
      await this.#side.listen();
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      throw new OperatorError(
        `Cannot listen on ${error.message}; choose another place in socks.listen or forward`,
      );
    }
    const places = socks.listen.map(({ text }) => text);
    if (places.length > 0) {
      this.#log.info("proxy listens", { socks: places.join(","), forwards: forwards.length });
    }
  }

  /** The Worker has put something into the bridge. */
  drain(): void {
    drainEvents(this.#bridge, () => this.#side.events);
  }

  /** For the status. */
  counters(): Readonly<Record<string, number>> {
    const { streams, connections } = this.#side.open;
    return { ...this.#counts.snapshot(), streams, connections_open: connections };
  }

  close(): void {
    this.#side.close();
  }
}
