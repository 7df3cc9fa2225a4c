/* Static forwards, the client's side. Local: who connects here reaches a place beyond the server. Remote: the server
 * listens, and who connects there reaches a place on this side. */

import type { ByteConnection, SocketPlace, Sockets } from "../ports/sockets.ts";
import type { EndpointAddress } from "../ports/mod.ts";
import { RESET_REASON, type StreamAddress, type StreamKind } from "../ports/streams.ts";
import { listenHost, parseIncomingHost } from "../wire/forward_host.ts";
import type { Destination } from "../wire/host_port.ts";
import type { Places } from "./acceptor.ts";
import { type LocalStream, reasonOf } from "./local_stream.ts";
import { type OpenContext, openTo } from "./open_stream.ts";
import { Relay } from "./relay.ts";
import { addressOf, destinationOf } from "./stream_target.ts";

// Chosen here.
const CONNECT_MS = 15_000;
const RETRY_MIN_MS = 2000;
const RETRY_MAX_MS = 60_000;
const NOTHING = new Uint8Array();

/** Serves one connection that came to a local forward. Never rejects. */
export async function serveForward(
  context: OpenContext,
  connection: ByteConnection,
  to: Destination,
): Promise<void> {
  try {
    const { stream } = await openTo(context, to);
    await new Relay(connection, stream, context.timers).run(NOTHING);
  } catch {
    connection.reset(); // counted where it was refused; there is no other way to tell it
  }
}

export interface RemoteForward {
  /** Where the server is to listen. */
  readonly listen: EndpointAddress;
  /** Where connections from there go. */
  readonly to: SocketPlace;
}

export interface RemoteForwardsContext extends OpenContext {
  readonly sockets: Sockets;
  readonly places: Places;
  log(level: "info" | "warn", message: string, fields: Readonly<Record<string, unknown>>): void;
}

/** Keeps the server listening, through new sessions too, and serves what comes from there. */
export class RemoteForwards {
  readonly #context: RemoteForwardsContext;
  /** By the id of the stream that asked for it. */
  readonly #listening = new Map<number, RemoteForward>();
  #isClosed = false;
  readonly #closed = Promise.withResolvers<void>();

  constructor(context: RemoteForwardsContext) {
    this.#context = context;
  }

  /** Asks for `forward` until `close`. Never rejects. */
  async keep(forward: RemoteForward): Promise<void> {
    for (let retryMs = RETRY_MIN_MS; !this.#isClosed; retryMs = Math.min(2 * retryMs, RETRY_MAX_MS)) {
      const { streams, timers, log } = this.#context;
      const { listen } = forward;
      const stream = streams.open("stream", { host: listenHost(listen.ip), port: listen.port });
      this.#listening.set(stream.id, forward);
      try {
        const { host, port } = destinationOf(await stream.accepted());
        log("info", "the server listens for this client", { address: host, port });
        retryMs = RETRY_MIN_MS;
        while (await stream.read() !== undefined);
        stream.finish();
      } catch (error) {
        if (!this.#isClosed) {
          log("warn", "the server does not listen", { port: listen.port, reason: reasonOf(error) });
        }
      }
      this.#listening.delete(stream.id);
      const pause = Promise.withResolvers<void>();
      const callOff = timers.after(retryMs, pause.resolve);
      await Promise.race([pause.promise, this.#closed.promise]);
      callOff();
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#closed.resolve();
  }

  /** A stream that the server opens: of a listener, or refused. Never rejects. */
  async incoming(stream: LocalStream, kind: StreamKind, target: StreamAddress): Promise<void> {
    const { places, count } = this.#context;
    const id = typeof target.host === "string" ? parseIncomingHost(target.host) : undefined;
    const forward = id === undefined || kind !== "stream" ? undefined : this.#listening.get(id);
    if (forward === undefined || !places.take()) {
      count("forwards_incoming_refused");
      return stream.reset(forward === undefined ? RESET_REASON.notAllowed : RESET_REASON.limit);
    }
    try {
      await this.#serve(stream, forward.to);
    } catch (error) {
      stream.reset(reasonOf(error));
    }
    places.give();
  }

  async #serve(stream: LocalStream, to: SocketPlace): Promise<void> {
    const { sockets, timers } = this.#context;
    const given = new AbortController();
    const callOff = timers.after(CONNECT_MS, () => given.abort());
    const connection = await sockets.connect(to, given.signal).finally(callOff);
    stream.accept(addressOf(connection.local));
    await new Relay(connection, stream, timers).run(NOTHING);
  }
}
