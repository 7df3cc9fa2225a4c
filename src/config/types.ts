/** Checked configurations: frozen, with every default filled in. */

import type { IpPrefix } from "../wire/ip_address.ts";
import type { DirectionConfig } from "./direction.ts";
import type { PresharedKey } from "./key.ts";
import type { HostPort, ListenAddress } from "./kinds.ts";
import type { GROUPS, SUITES } from "./settings.ts";

export type SuiteName = typeof SUITES[number];
export type GroupName = typeof GROUPS[number];

export interface PacingConfig {
  readonly pollMode: "sleepy" | "hybrid" | "spinny";
  readonly schedFifo: boolean;
  readonly cpu: "auto" | "none" | number;
}

/** Paths are absolute, or relative to the working folder. */
export interface StatusConfig {
  readonly socket: string | undefined;
  readonly slotTrace: string | undefined;
}

export interface LogConfig {
  readonly level: "error" | "warn" | "info" | "debug";
  readonly format: "plain" | "json";
}

interface CommonConfig {
  /** The file as it was named; undefined when all came from flags. */
  readonly file: string | undefined;
  /** The preferred first; never empty. */
  readonly suites: readonly SuiteName[];
  readonly groups: readonly GroupName[];
  readonly pacing: PacingConfig;
  readonly status: StatusConfig;
  readonly log: LogConfig;
  /** What the operator should know, one line each, to be logged at the start. */
  readonly warnings: readonly string[];
}

export interface ClientConfig extends CommonConfig {
  readonly role: "client";
  readonly peer: HostPort;
  readonly mode: "tun";
  readonly protocol: "v1";
  readonly name: string;
  readonly key: PresharedKey;
  readonly up: DirectionConfig;
  readonly down: DirectionConfig;
  readonly tun: ClientTunConfig;
}

export interface ClientTunConfig {
  readonly name: string;
  /** Empty: what the server gives. Host bits are set: "10.140.5.2/24". */
  readonly addresses: readonly IpPrefix[];
  readonly mtu: number | undefined;
  readonly defaultRoute: boolean;
  readonly lockdown: boolean;
}

export interface ServerConfig extends CommonConfig {
  readonly role: "server";
  readonly listen: readonly ListenAddress[];
  readonly modes: readonly "tun"[];
  readonly tun: ServerTunConfig;
  /** At least one; names, keys, addresses and routes of two never overlap. */
  readonly clients: readonly ServerClientConfig[];
  readonly nat: { readonly masquerade: boolean };
}

export interface ServerTunConfig {
  readonly name: string;
  /** With host bits: the server's own address on each network. */
  readonly addresses: readonly IpPrefix[];
  readonly mtu: number | undefined;
}

export interface ServerClientConfig {
  readonly name: string;
  readonly key: PresharedKey;
  /** Its own inner addresses: prefixes of all bits. */
  readonly addresses: readonly IpPrefix[];
  /** The same with the prefix length of the server's network that they lie in: what the client puts on its device. */
  readonly given: readonly IpPrefix[];
  /** Networks behind it, host bits zero. */
  readonly routes: readonly IpPrefix[];
  readonly maxSpeedBitsPerS: number;
}
