/** From configuration to the local sides of streams: proxy and forwards of a client, dialling of a server. */

import type { Shim } from "../../ffi/mod.ts";
import type {
  ClientConfig,
  DialRule,
  ForwardTarget,
  ServerClientConfig,
  StreamListen,
} from "../config/mod.ts";
import type { SocketPlace } from "../ports/sockets.ts";
import type { StreamCommands } from "../ports/streams.ts";
import { ClientSide } from "../socks/client_side.ts";
import type { ClientCount, Count, ServerCount } from "../socks/counts.ts";
import { DialPolicy } from "../socks/dial_policy.ts";
import { ServerSide } from "../socks/server_side.ts";
import type { Log } from "../status/log.ts";
import { parseIp, prefixHolds } from "../wire/ip_address.ts";
import { denoSockets, ownPrefixes, systemResolver, systemTimers } from "./sockets.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);

/** Proxy and forwards, not yet listening. */
export function clientSide(
  config: ClientConfig,
  shim: Shim,
  log: Log,
  commands: StreamCommands,
  count: Count<ClientCount>,
): ClientSide {
  const { socks, forwards } = config;
  const localForwards = [];
  const remoteForwards = [];
  for (const { direction, listen, to } of forwards) {
    if (direction === "local" && to.kind === "host") localForwards.push({ listen: placeOf(listen), to });
    if (direction !== "remote" || listen.kind !== "tcp") continue;
    remoteForwards.push({ listen: { ip: listen.ip, port: listen.port }, to: targetOf(to) });
  }
  return new ClientSide({
    commands,
    sockets: denoSockets(shim),
    timers: systemTimers,
    count,
    listen: socks.listen.map(placeOf),
    users: socks.users,
    connectionsMax: socks.connectionsMax,
    localForwards,
    remoteForwards,
    log: (level, message, fields) => log.log(level, message, fields),
  });
}

/** What is dialled for one client. */
export function serverSide(
  client: ServerClientConfig,
  shim: Shim,
  commands: StreamCommands,
  count: Count<ServerCount>,
): ServerSide {
  const { allow, deny, listen, streamsMax, dialsPerS, idleNs } = client.dial;
  return new ServerSide(commands, {
    sockets: denoSockets(shim),
    resolver: systemResolver,
    timers: systemTimers,
    policy: new DialPolicy({ allow, deny }, ownPrefixes(systemTimers)),
    mayListen: (ip, port) => listen.some((rule) => fits(rule, ip, port)),
    streamsMax,
    dialsPerS,
    idleMs: idleNs / 1e6,
    count,
  });
}

function fits({ prefix, ports }: DialRule, ip: Uint8Array, port: number): boolean {
  return prefixHolds(prefix, ip, 0, ip.length) &&
    (ports.length === 0 || ports.some(([from, to]) => from <= port && port <= to));
}

/** Never a name: the configuration has none here but localhost. */
function targetOf(to: ForwardTarget): SocketPlace {
  if (to.kind === "unix") return { kind: "unix", path: to.path };
  return { kind: "tcp", ip: parseIp(to.host) ?? LOOPBACK, port: to.port };
}

function placeOf(listen: StreamListen): SocketPlace {
  return listen.kind === "unix"
    ? { kind: "unix", path: listen.path }
    : { kind: "tcp", ip: listen.ip, port: listen.port };
}
