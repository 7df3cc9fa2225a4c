/* A client's local side: 1 listeners of the proxy and of local forwards · 2 what connects to them is served · 3 remote
 * forwards are kept at the server. */

import type { EndpointAddress } from "../ports/mod.ts";
import type { ConnectionListener, SocketPlace, Sockets, Timers } from "../ports/sockets.ts";
import { SocketError } from "../ports/sockets.ts";
import type { StreamCommands, StreamEvents } from "../ports/streams.ts";
import { RESET_REASON } from "../ports/streams.ts";
import { type Destination, formatDestination } from "../wire/host_port.ts";
import { formatIp } from "../wire/ip_address.ts";
import { acceptAll, type Acceptor, Places } from "./acceptor.ts";
import type { ClientCount, Count } from "./counts.ts";
import { type RemoteForward, RemoteForwards, serveForward } from "./forwards.ts";
import { reasonOf } from "./local_stream.ts";
import { LocalStreams } from "./local_streams.ts";
import { type ProxyContext, serveClient } from "./proxy_client.ts";

export interface ClientSideOptions {
  readonly commands: StreamCommands;
  readonly sockets: Sockets;
  readonly timers: Timers;
  readonly count: Count<ClientCount>;
  /** Where the proxy listens. */
  readonly listen: readonly SocketPlace[];
  readonly users: ProxyContext["users"];
  readonly connectionsMax: number;
  readonly localForwards: readonly { readonly listen: SocketPlace; readonly to: Destination }[];
  readonly remoteForwards: readonly RemoteForward[];
  log(level: "info" | "warn", message: string, fields: Readonly<Record<string, unknown>>): void;
}

export class ClientSide {
  readonly #options: ClientSideOptions;
  readonly #streams: LocalStreams;
  readonly #places: Places;
  readonly #remote: RemoteForwards;
  readonly #listeners: ConnectionListener[] = [];

  constructor(options: ClientSideOptions) {
    this.#options = options;
    this.#places = new Places(options.connectionsMax);
    this.#streams = new LocalStreams(
      "client",
      options.commands,
      (stream, kind, target) => void this.#remote.incoming(stream, kind, target),
    );
    this.#remote = new RemoteForwards({ ...options, streams: this.#streams, places: this.#places });
  }

  /** What the multiplexer says. */
  get events(): StreamEvents {
    return this.#streams.events;
  }

  /** Streams and connections of programs, now. */
  get open(): { readonly streams: number; readonly connections: number } {
    return { streams: this.#streams.count, connections: this.#places.taken };
  }

  /** Where it really listens, in the order of the options: the proxy's, then those of local forwards. Rejects with
   * SocketError, which names the place, and then listens nowhere. */
  async listen(): Promise<readonly (EndpointAddress | undefined)[]> {
    const context = { ...this.#options, streams: this.#streams };
    for (const place of this.#options.listen) {
      await this.#open(place, (connection) => serveClient(context, connection));
    }
    for (const { listen, to } of this.#options.localForwards) {
      await this.#open(listen, (connection) => serveForward(context, connection, to));
    }
    for (const forward of this.#options.remoteForwards) void this.#remote.keep(forward);
    return this.#listeners.map(({ address }) => address);
  }

  async #open(place: SocketPlace, serve: Acceptor["serve"]): Promise<void> {
    const { sockets, count } = this.#options;
    let listener: ConnectionListener;
    try {
      listener = await sockets.listen(place);
    } catch (error) {
      this.close();
      const text = error instanceof Error ? error.message : String(error);
      throw new SocketError(reasonOf(error), `${textOf(place)}: ${text}`);
    }
    this.#listeners.push(listener);
    void acceptAll(listener, {
      places: this.#places,
      refused: () => count("connections_refused_limit"),
      serve: (connection) => {
        count("connections");
        return serve(connection);
      },
    });
  }

  /** Ends everything. */
  close(): void {
    this.#remote.close();
    for (const listener of this.#listeners) listener.close();
    this.#streams.reset(RESET_REASON.peerReset);
  }
}

function textOf(place: SocketPlace): string {
  return place.kind === "unix"
    ? place.path
    : formatDestination({ host: formatIp(place.ip), port: place.port });
}
