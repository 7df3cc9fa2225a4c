/* What a server does for one client's streams: 1 within its limits · 2 a name becomes addresses · 3 those that the client
 * may reach are tried · 4 the stream is answered by what has come of it · 5 bytes both ways. */

import { TokenBucket } from "../base/token_bucket.ts";
import type { ByteConnection, Resolver, Sockets, Timers } from "../ports/sockets.ts";
import { SocketError } from "../ports/sockets.ts";
import { RESET_REASON, type StreamAddress, type StreamKind } from "../ports/streams.ts";
import { parseListenHost } from "../wire/forward_host.ts";
import { checkedHost } from "../wire/host_port.ts";
import { parseIp, plainAddress } from "../wire/ip_address.ts";
import { Places } from "./acceptor.ts";
import type { Count, ServerCount } from "./counts.ts";
import type { DialPolicy } from "./dial_policy.ts";
import { connectFirst } from "./happy_eyeballs.ts";
import { type LocalStream, reasonOf } from "./local_stream.ts";
import type { LocalStreams } from "./local_streams.ts";
import { Relay } from "./relay.ts";
import { serveListener } from "./remote_listener.ts";
import { addressOf } from "./stream_target.ts";
import { UdpExit } from "./udp_exit.ts";

// Chosen here.
const CONNECT_MS = 20_000;
const LOOKUP_MS = 10_000;
const LOOKUPS_MAX = 256;
const TURN_MS = 50;
const TURN_MAX_MS = 5000;

export interface DialContext {
  readonly sockets: Sockets;
  readonly resolver: Resolver;
  readonly timers: Timers;
  readonly policy: DialPolicy;
  /** Whether the client's remote forwards may listen there. */
  mayListen(ip: Uint8Array, port: number): boolean;
  readonly streamsMax: number;
  readonly dialsPerS: number;
  readonly idleMs: number;
  readonly count: Count<ServerCount>;
}

export class Dialer {
  readonly context: DialContext;
  readonly places: Places;
  readonly #lookups = new Map<string, Promise<readonly Uint8Array[]>>();
  readonly #rate: TokenBucket;

  constructor(context: DialContext) {
    this.context = context;
    this.places = new Places(context.streamsMax);
    this.#rate = new TokenBucket(context.dialsPerS);
  }

  /** Answers a stream that the client opens, and serves it to its end. `streams` are the client's. Never rejects. */
  async opening(
    streams: LocalStreams,
    stream: LocalStream,
    kind: StreamKind,
    target: StreamAddress,
  ): Promise<void> {
    const { count } = this.context;
    if (!this.places.take()) {
      count("dials_refused_limit");
      return stream.reset(RESET_REASON.limit);
    }
    try {
      await this.#turn();
      await this.#serve(streams, stream, kind, target);
    } catch (error) {
      stream.reset(reasonOf(error));
    } finally {
      this.places.give();
    }
  }

  /** A burst waits for the client's rate; who has too many for that is refused. */
  async #turn(): Promise<void> {
    const { timers, count } = this.context;
    const endMs = timers.nowMs() + TURN_MAX_MS;
    while (!this.#rate.take(timers.nowMs() * 1e6)) {
      if (timers.nowMs() >= endMs) {
        count("dials_refused_rate");
        throw new SocketError(RESET_REASON.limit, "too many in a second");
      }
      await new Promise<void>((resolve) => timers.after(TURN_MS, resolve));
    }
  }

  #serve(streams: LocalStreams, stream: LocalStream, kind: StreamKind, target: StreamAddress): Promise<void> {
    if (kind === "datagrams") return new UdpExit(this, stream).run();
    const listen = typeof target.host === "string" ? parseListenHost(target.host) : undefined;
    if (listen !== undefined) return serveListener(this, streams, stream, { ip: listen, port: target.port });
    return this.#connect(stream, target);
  }

  async #connect(stream: LocalStream, target: StreamAddress): Promise<void> {
    const { count, idleMs, timers } = this.context;
    count("dials");
    let connection: ByteConnection;
    try {
      connection = await this.#dial(target);
    } catch (error) {
      count("dials_failed");
      throw error;
    }
    if (stream.resetReason !== undefined) return connection.close();
    stream.accept(addressOf(connection.local));
    await new Relay(connection, stream, timers, { idleMs }).run(new Uint8Array());
  }

  async #dial({ host, port }: StreamAddress): Promise<ByteConnection> {
    const { sockets, timers } = this.context;
    const allowed = (await this.addresses(host)).filter((ip) => this.allows(ip, port));
    if (allowed.length === 0) throw new SocketError(RESET_REASON.notAllowed, "not for this client");
    return connectFirst(sockets, timers, allowed, port, CONNECT_MS);
  }

  /** Counts a refusal. */
  allows(ip: Uint8Array, port: number): boolean {
    const isAllowed = port !== 0 && this.context.policy.allows(ip, port);
    if (!isAllowed) this.context.count("dials_refused_policy");
    return isAllowed;
  }

  /** Of a host, never none. Rejects with SocketError. */
  async addresses(host: string | Uint8Array): Promise<Uint8Array[]> {
    if (typeof host !== "string") return [plainAddress(host)];
    const name = checkedHost(host);
    const literal = name === undefined ? undefined : parseIp(name);
    if (literal !== undefined) return [plainAddress(literal)];
    try {
      if (name === undefined) throw new SocketError(RESET_REASON.hostUnreachable, "no host is named so");
      return (await this.#lookup(name)).map(plainAddress);
    } catch (error) {
      this.context.count("names_not_found");
      throw error;
    }
  }

  /** Streams that want the same name at once share one question. */
  async #lookup(name: string): Promise<readonly Uint8Array[]> {
    let found = this.#lookups.get(name);
    if (found === undefined) {
      // The system's resolver cannot be stopped: one that is given up keeps its place until it has answered.
      if (this.#lookups.size >= LOOKUPS_MAX) {
        throw new SocketError(RESET_REASON.limit, "too many names at once");
      }
      found = this.context.resolver.lookup(name).finally(() => this.#lookups.delete(name));
      found.catch(() => {}); // when nobody waits for it any more
      this.#lookups.set(name, found);
    }
    const late = Promise.withResolvers<never>();
    const callOff = this.context.timers.after(LOOKUP_MS, () => {
      late.reject(new SocketError(RESET_REASON.timedOut, "the resolver did not answer in time"));
    });
    return await Promise.race([found, late.promise]).finally(callOff);
  }
}
