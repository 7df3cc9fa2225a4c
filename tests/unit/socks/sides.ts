/** A client's and a server's local side over sockets in memory. */

import type { EndpointAddress } from "../../../src/ports/mod.ts";
import type { Resolver } from "../../../src/ports/sockets.ts";
import { SocketError } from "../../../src/ports/sockets.ts";
import { RESET_REASON } from "../../../src/ports/streams.ts";
import { ClientSide, type ClientSideOptions } from "../../../src/socks/client_side.ts";
import { CLIENT_COUNTS, SERVER_COUNTS } from "../../../src/socks/counts.ts";
import { DialPolicy } from "../../../src/socks/dial_policy.ts";
import type { DialContext } from "../../../src/socks/dialer.ts";
import { ServerSide } from "../../../src/socks/server_side.ts";
import { Counters } from "../../../src/status/counters.ts";
import { parseIp } from "../../../src/wire/ip_address.ts";
import { type Answer, FakeConnection, FakeSockets, FakeTimers, settled } from "./fakes.ts";
import { join } from "./joined.ts";

export interface SidesOptions {
  readonly client?: Partial<ClientSideOptions>;
  readonly server?: Partial<DialContext>;
  /** What the server's connections become. */
  readonly answer?: Answer;
  /** Addresses of names. */
  readonly names?: Readonly<Record<string, readonly string[]>>;
}

export class Sides {
  readonly timers = new FakeTimers();
  readonly clientCounts = new Counters(CLIENT_COUNTS);
  readonly serverCounts = new Counters(SERVER_COUNTS);
  readonly near = new FakeSockets();
  readonly far: FakeSockets;
  readonly client: ClientSide;
  readonly server: ServerSide;
  readonly lookedUp: string[] = [];

  private constructor({ client, server, answer, names = {} }: SidesOptions) {
    this.far = new FakeSockets(answer);
    const resolver: Resolver = {
      lookup: (name) => {
        this.lookedUp.push(name);
        const found = names[name]?.map((text) => parseIp(text)!);
        return found === undefined
          ? Promise.reject(new SocketError(RESET_REASON.hostUnreachable, "no such name"))
          : Promise.resolve(found);
      },
    };
    const made = join(
      (commands) =>
        new ClientSide({
          ...{ commands, sockets: this.near, timers: this.timers, log: () => {} },
          count: (name) => this.clientCounts.add(name),
          listen: [{ kind: "tcp", ip: Uint8Array.of(127, 0, 0, 1), port: 1080 }],
          ...{ users: undefined, connectionsMax: 100, localForwards: [], remoteForwards: [] },
          ...client,
        }),
      (commands) =>
        new ServerSide(commands, {
          ...{ sockets: this.far, resolver, timers: this.timers, mayListen: () => true },
          policy: new DialPolicy({ allow: [], deny: [] }, () => []),
          ...{ streamsMax: 100, dialsPerS: 100, idleMs: 1e6, count: (name) => this.serverCounts.add(name) },
          ...server,
        }),
    );
    this.client = made.client;
    this.server = made.server;
  }

  static async open(options: SidesOptions = {}): Promise<Sides> {
    const sides = new Sides(options);
    await sides.client.listen();
    return sides;
  }

  /** A program that connects to listener `index` of the client, whose ends have these addresses. */
  async connect(index = 0, local?: EndpointAddress, remote = local): Promise<FakeConnection> {
    const [near, program] = FakeConnection.pair();
    if (local !== undefined) Object.assign(near, { local, remote });
    this.near.listeners[index].come(near);
    await settled();
    return program;
  }

  /** Nothing is left over: streams, connections, timers. */
  get left(): number {
    return this.client.open.streams + this.client.open.connections + this.server.open + this.timers.pending;
  }
}
