/** The one table of settings: from it come the keys of the files, the flags of the command line and the help. */

import * as kind from "./kinds.ts";
import type { Kind } from "./kinds.ts";

// Set by the layout of receive buffers (2,048 bytes) and by what a flight's messages need.
export const PACKET_LENGTH_MIN = 576;
export const PACKET_LENGTH_MAX = 2000;
export const TUN_MTU_MIN = 576;
export const TUN_MTU_MAX = 1900;
/** Segments that the kernel takes in one UDP_SEGMENT call (UDP_MAX_SEGMENTS). */
export const BURST_MAX = 64;
// Chosen here.
export const CONNECTIONS_MAX = 65_536;

export const SUITES = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
] as const;
export const MODES = ["tun", "tcp", "udp"] as const;
export const GROUPS = ["x25519mlkem768", "x25519", "secp256r1"] as const;

export interface Setting<T> {
  readonly kind: Kind<T>;
  /** One line, for --help. */
  readonly help: string;
  /** As it would be written, where leaving the key out means that. */
  readonly default?: string;
  /** Further name of the flag, without dashes. */
  readonly alias?: string;
  readonly secret?: true;
}

function setting<T>(of: Kind<T>, help: string, more: Omit<Setting<T>, "kind" | "help"> = {}): Setting<T> {
  return { kind: of, help, ...more };
}

const KEYS = {
  key_file: setting(kind.path, "file with the key that client and server share; - is standard input"),
  key: setting(kind.secret("KEY"), "the key itself; better in a file of its own", { secret: true }),
  password_file: setting(kind.path, "instead of a key: file with a pass phrase; - is standard input"),
  password: setting(kind.secret("PHRASE"), "the pass phrase itself; better in a file of its own", {
    secret: true,
  }),
  i_accept_guessing: setting(
    kind.boolean,
    "take a weak password all the same; of version 0, which does not stretch it",
    { default: "false" },
  ),
  salt: setting(kind.salt, "salt of the pass phrase, the same on both sides; it may stand in the file, too"),
  identity: setting(
    kind.choice("hidden", "plain"),
    "hidden, or plain for programs of other makers: the name is sent in clear and the key used as it is",
    { default: "hidden" },
  ),
};

const CRYPTO = {
  suites: setting(kind.choices(...SUITES), "cipher suites, the preferred first", {
    default: "all, AES first where the CPU has instructions for it",
  }),
  groups: setting(kind.choices(...GROUPS), "groups of the key exchange, the preferred first", {
    default: "all",
  }),
};

const COMMON = {
  "pacing.poll_mode": setting(
    kind.choice("sleepy", "hybrid", "spinny"),
    "how to wait for a slot: sleep, sleep then spin, or spin",
    { default: "hybrid", alias: "poll-mode" },
  ),
  "pacing.sched_fifo": setting(kind.boolean, "real-time scheduling of the pacer", {
    default: "true",
    alias: "sched-fifo",
  }),
  "pacing.cpu": setting(kind.cpu, "CPU of the pacer", { default: "auto", alias: "cpu" }),
  "pacing.move_interrupts": setting(kind.boolean, "keep the outgoing interface's interrupts off that CPU", {
    default: "true",
    alias: "move-interrupts",
  }),
  "status.socket": setting(kind.path, "path of a socket that `i405 status` asks", { default: "none" }),
  "status.slot_trace": setting(kind.path, "file for the planned and the actual time of every slot", {
    default: "none",
  }),
  "status.deviation_every": setting(kind.time, "how often to log how far slots were from their plan", {
    default: "never",
    alias: "outgoing-send-deviation-stats",
  }),
  "status.transmit_stamps": setting(
    kind.boolean,
    "have the kernel tell when packets leave, for status and log",
    {
      default: "false",
      alias: "transmit-stamps",
    },
  ),
  "log.level": setting(kind.choice("error", "warn", "info", "debug"), "least grave lines to log", {
    default: "info",
  }),
  "log.format": setting(kind.choice("plain", "json"), "form of log lines", { default: "plain" }),
};

function direction<const D extends "up" | "down">(name: D, what: string) {
  const keys = {
    speed: setting(kind.speed, `speed ${what}, of outer IP packets`, { default: "1 Mbit/s" }),
    interval: setting(kind.time, `mean time between slots ${what}, instead of a speed`),
    packet_length: setting(
      kind.length(PACKET_LENGTH_MIN, PACKET_LENGTH_MAX),
      `length of outer IP packets ${what}`,
      { default: "what tunnel.path_mtu gives" },
    ),
    jitter: setting(kind.jitter, `standard deviation of slot times ${what} (classic: reach of intervals)`, {
      default: "12%",
    }),
    burst: setting(kind.integer(1, BURST_MAX), `packets in each slot ${what}`, {
      default: "1; above 45 Mbit/s as many as leave 250 µs between slots",
    }),
  };
  return prefixed(name, keys);
}

function prefixed<const P extends string, T extends Record<string, unknown>>(prefix: P, keys: T) {
  const entries = Object.entries(keys).map(([key, value]) => [`${prefix}.${key}`, value]);
  return Object.fromEntries(entries) as { [K in keyof T & string as `${P}.${K}`]: T[K] };
}

export const CLIENT_SETTINGS = {
  "tunnel.peer": setting(kind.peer, "the server; the port is 1405 unless given"),
  "tunnel.mode": setting(kind.choice(...MODES), "a TUN device over UDP, or a proxy over TCP or UDP", {
    default: "tun",
  }),
  "tunnel.protocol": setting(kind.choice("v1", "v0"), "protocol version; v0 is that of i405-tunnel 0.1", {
    default: "v1",
  }),
  "tunnel.monitor_packets": setting(
    kind.path,
    "file for what becomes of each packet, both ways; of version 0",
    { default: "none", alias: "monitor-packets" },
  ),
  "tunnel.name": setting(
    kind.name,
    "name of this client in its own log; with a plain identity what the server knows it by",
    { default: "client" },
  ),
  "tunnel.path_mtu": setting(
    kind.pathMtu(PACKET_LENGTH_MIN, PACKET_LENGTH_MAX),
    "the longest packet that passes: found by probes before the first slot, the interface's MTU, or a length",
    { default: "search" },
  ),
  "tunnel.ecn": setting(
    kind.boolean,
    "every outer packet says that routers may mark it instead of dropping (ECT(0)), whatever is inside",
    { default: "false" },
  ),
  "tunnel.rotate": setting(kind.period, "take another source port and connection id so often", {
    default: "never",
  }),
  ...prefixed("tunnel", KEYS),
  ...prefixed("tunnel", CRYPTO),
  ...direction("up", "to the server"),
  ...direction("down", "to the client"),
  "tun.name": setting(kind.interfaceName, "name of the TUN device", { default: "i405" }),
  "tun.addresses": setting(kind.prefixes, "addresses of the TUN device instead of those from the server"),
  "tun.mtu": setting(kind.integer(TUN_MTU_MIN, TUN_MTU_MAX), "MTU of the TUN device", {
    default: "what fills a packet, at least 1280",
  }),
  "tun.clamp_mss": setting(kind.boolean, "hold connections of TCP to segments that fill a packet", {
    default: "true",
  }),
  "tun.default_route": setting(kind.boolean, "send all traffic of this machine through the tunnel", {
    default: "false",
  }),
  "tun.lockdown": setting(kind.boolean, "with default_route: nothing goes past the tunnel while it is down", {
    default: "false",
  }),
  "socks.listen": setting(
    kind.streamListens,
    "where programs find the SOCKS5 and HTTP proxy; with [] there is none",
    { default: "127.0.0.1:1080" },
  ),
  "socks.password_file": setting(
    kind.path,
    "file of lines user:password; then nobody uses the proxy without one of them",
    { default: "none" },
  ),
  "socks.connections_max": setting(kind.integer(1, CONNECTIONS_MAX), "programs' connections at once", {
    default: "10000",
  }),
  ...COMMON,
};

/** Keys of each [[forward]] of a client. */
export const FORWARD_SETTINGS = {
  listen: setting(kind.streamListen, "where to listen: on this machine, or with remote at the server"),
  to: setting(kind.forwardTarget, "where connections go: from the server, or with remote from this machine"),
  direction: setting(kind.choice("local", "remote"), "which side listens", { default: "local" }),
};

export const SERVER_SETTINGS = {
  "server.listen": setting(kind.listen, "addresses and ports to listen at", { default: "0.0.0.0:1405" }),
  "server.modes": setting(kind.choices(...MODES), "modes of clients that are served", { default: "tun" }),
  "server.ecn": setting(
    kind.boolean,
    "every outer packet says that routers may mark it instead of dropping (ECT(0)), whatever is inside",
    { default: "false" },
  ),
  ...prefixed("server", CRYPTO),
  "tun.name": setting(kind.interfaceName, "name of the TUN device", { default: "i405s" }),
  "tun.addresses": setting(kind.prefixes, "inner addresses of the server, with their networks"),
  "tun.mtu": setting(kind.integer(TUN_MTU_MIN, TUN_MTU_MAX), "MTU of the TUN device", {
    default: "what fills packets of 1400 bytes",
  }),
  "tun.clamp_mss": setting(kind.boolean, "hold connections of TCP to segments that fill a packet", {
    default: "true",
  }),
  "server.between_clients": setting(
    kind.boolean,
    "let clients reach one another; the system has to forward (net.ipv4.ip_forward), as with masquerade",
    { default: "false" },
  ),
  "nat.masquerade": setting(kind.boolean, "let clients reach other networks under the server's address", {
    default: "false",
  }),
  ...COMMON,
};

/** Keys of each [[client]] of a server; as flags only by `--set client.NAME.key=value`. */
export const SERVER_CLIENT_SETTINGS = {
  name: setting(kind.name, "name of the client in log and status"),
  protocol: setting(kind.choice("v1", "v0"), "protocol version; v0 is that of i405-tunnel 0.1", {
    default: "v1",
  }),
  ...KEYS,
  addresses: setting(kind.hosts, "inner addresses of the client"),
  routes: setting(kind.prefixes, "networks behind the client"),
  max_speed: setting(kind.speed, "the most that the client may ask for, each way", { default: "100 Mbit/s" }),
  allow: setting(kind.dialRules, "destinations that the proxy reaches for it beside public ones"),
  deny: setting(kind.dialRules, "destinations that the proxy does not reach for it"),
  listen: setting(kind.dialRules, "own addresses of the server at which its remote forwards may listen", {
    default: "none",
  }),
  streams_max: setting(kind.integer(1, CONNECTIONS_MAX), "connections that it may have at once", {
    default: "10000",
  }),
  dial_rate: setting(kind.integer(1, 100_000), "connections that it may begin in a second", {
    default: "200",
  }),
  idle_time: setting(kind.time, "after which a connection that carries nothing is ended", { default: "4 h" }),
};

export type Settings = Readonly<Record<string, Setting<unknown>>>;

/** The checked values of the keys that were given. */
export type Values<S> = { [K in keyof S]?: S[K] extends Setting<infer T> ? T : never };

const NOT_YET = "is not served by this version; leave it out";
/** Keys that have a meaning which this version does not serve, and what to do instead. */
export const REFUSED_KEYS: Readonly<Record<string, string>> = {
  "tun.dns": `setting the resolver ${NOT_YET} and set it in the system`,
  "pool": `an address pool ${NOT_YET} and give each [[client]] its addresses`,
};

/** "up.packet_length" as a flag: "up-packet-length". */
export function flagOf(key: string): string {
  return key.replace(/[._]/g, "-");
}
