/* Proxy and dialling in this process, over real sockets at loopback addresses and two joined multiplexers:
 *
 *   curl, ssh, … ──▶ 127.0.0.1:P ── ClientSide ══ Mux ══ Mux ══ ServerSide ──▶ 127.0.0.1:Q, servers of the test */

import { denoSockets, systemResolver, systemTimers } from "../../src/cli/sockets.ts";
import type { Resolver, Sockets } from "../../src/ports/sockets.ts";
import { ClientSide, type ClientSideOptions } from "../../src/socks/client_side.ts";
import { CLIENT_COUNTS, SERVER_COUNTS } from "../../src/socks/counts.ts";
import { DialPolicy, type DialRule } from "../../src/socks/dial_policy.ts";
import type { DialContext } from "../../src/socks/dialer.ts";
import { ServerSide } from "../../src/socks/server_side.ts";
import { Counters } from "../../src/status/counters.ts";
import { parsePrefix } from "../../src/wire/ip_address.ts";
import { shim } from "../ffi/support.ts";
import { type CarrierOptions, joinByMux } from "./proxy_mux.ts";

export const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

export function rule(prefix: string, ports: DialRule["ports"] = []): DialRule {
  return { prefix: parsePrefix(prefix)!, ports };
}

export interface ProxyLabOptions {
  readonly client?: Partial<ClientSideOptions>;
  readonly server?: Partial<DialContext>;
  readonly allow?: readonly DialRule[];
  readonly resolver?: Resolver;
  readonly carrier?: CarrierOptions;
}

export class ProxyLab {
  readonly sockets: Sockets = denoSockets(shim);
  readonly clientCounts = new Counters(CLIENT_COUNTS);
  readonly serverCounts = new Counters(SERVER_COUNTS);
  readonly lines: string[] = [];
  readonly client: ClientSide;
  readonly server: ServerSide;
  readonly #unjoin: () => void;
  /** Of the proxy, then of the local forwards. */
  ports: readonly number[] = [];

  private constructor(options: ProxyLabOptions) {
    const policy = new DialPolicy(
      { allow: options.allow ?? [rule("127.0.0.0/8"), rule("::1")], deny: [] },
      () => [],
    );
    const common = { sockets: this.sockets, timers: systemTimers };
    const { client, server, close } = joinByMux(
      (commands) =>
        new ClientSide({
          ...common,
          commands,
          count: (name) => this.clientCounts.add(name),
          listen: [{ kind: "tcp", ip: LOOPBACK, port: 0 }],
          users: undefined,
          connectionsMax: 1000,
          localForwards: [],
          remoteForwards: [],
          log: (_level, message, fields) => void this.lines.push(`${message} ${JSON.stringify(fields)}`),
          ...options.client,
        }),
      (commands) =>
        new ServerSide(commands, {
          ...common,
          policy,
          resolver: options.resolver ?? systemResolver,
          mayListen: () => true,
          streamsMax: 1000,
          dialsPerS: 10_000,
          idleMs: 60_000,
          count: (name) => this.serverCounts.add(name),
          ...options.server,
        }),
      options.carrier ?? { carrier: "ordered", lossRatio: 0 },
    );
    this.#unjoin = close;
    this.client = client;
    this.server = server;
  }

  static async open(options: ProxyLabOptions = {}): Promise<ProxyLab> {
    const lab = new ProxyLab(options);
    lab.ports = (await lab.client.listen()).map((address) => address?.port ?? 0);
    return lab;
  }

  /** host:port of the proxy. */
  get proxy(): string {
    return `127.0.0.1:${this.ports[0]}`;
  }

  close(): void {
    this.client.close();
    this.server.close();
    this.#unjoin();
  }
}
