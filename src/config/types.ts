/** Checked configurations: frozen, with every default filled in. */

import type { IpPrefix } from "../wire/ip_address.ts";
import type { DirectionConfig } from "./direction.ts";
import type { PresharedKey } from "./key.ts";
import type { DialRule, ForwardTarget, HostPort, ListenAddress, StreamListen } from "./kinds.ts";
import type { GROUPS, MODES, SUITES } from "./settings.ts";
import type { Users } from "./users.ts";

export type SuiteName = typeof SUITES[number];
export type GroupName = typeof GROUPS[number];

export interface PacingConfig {
  readonly pollMode: "sleepy" | "hybrid" | "spinny";
  readonly schedFifo: boolean;
  readonly cpu: "auto" | "none" | number;
  /** Whether the outgoing interface's interrupts are kept off that CPU. */
  readonly moveInterrupts: boolean;
}

/** Paths are absolute, or relative to the working folder. */
export interface StatusConfig {
  readonly socket: string | undefined;
  readonly slotTrace: string | undefined;
  /** ns between two lines of the log; undefined: none. */
  readonly deviationEveryNs: number | undefined;
  /** Whether the kernel stamps when packets leave. */
  readonly transmitStamps: boolean;
}

export interface LogConfig {
  readonly level: "error" | "warn" | "info" | "debug";
  readonly format: "plain" | "json";
}

interface CommonConfig {
  /** The file as it was named; undefined when all came from flags. */
  readonly file: string | undefined;
  /** Outer packets say ECT(0), all of them; else Not-ECT. */
  readonly ecn: boolean;
  /** The preferred first; never empty. Undefined: all, by what the CPU does fast. */
  readonly suites: readonly SuiteName[] | undefined;
  /** The preferred first; never empty. */
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
  readonly mode: TunnelMode;
  readonly protocol: ProtocolVersion;
  readonly name: string;
  /** Longest outer packet of the path, bytes; or how it is found. */
  readonly pathMtu: number | "search" | "interface";
  /** Another source port and connection id so often; undefined: only when the address changes. */
  readonly rotateNs: number | undefined;
  /** With version 0 its password. */
  readonly key: PresharedKey;
  readonly identity: IdentityForm;
  /** Of version 0. A path; undefined: nothing is watched. */
  readonly monitorPackets: string | undefined;
  readonly up: DirectionConfig;
  readonly down: DirectionConfig;
  /** Of mode "tun". */
  readonly tun: ClientTunConfig;
  /** Of modes "tcp" and "udp". */
  readonly socks: SocksConfig;
  readonly forwards: readonly ForwardConfig[];
}

/** How a key is named on the wire: by an identity that tells an observer nothing, or by the client's name. */
export type IdentityForm = "hidden" | "plain";

/** What is spoken within DTLS, and how keys and lengths are made: chosen, never negotiated. */
export type ProtocolVersion = "v0" | "v1";

/** What is carried: packets of a TUN device over UDP, or streams over one TCP connection, or over UDP. */
export type TunnelMode = typeof MODES[number];

export interface SocksConfig {
  /** Empty: no proxy. Elsewhere than at loopback addresses and in the file system only with `users`. */
  readonly listen: readonly StreamListen[];
  /** Those who may use the proxy; undefined: whoever reaches it. */
  readonly users: Users | undefined;
  readonly connectionsMax: number;
}

/** Connections to `listen` go to `to`: `local` from this machine over the server, `remote` from the server, which
 * listens, to this machine. */
export interface ForwardConfig {
  readonly direction: "local" | "remote";
  readonly listen: StreamListen;
  readonly to: ForwardTarget;
}

export interface ClientTunConfig {
  readonly name: string;
  /** Empty: what the server gives. Host bits are set: "10.140.5.2/24". */
  readonly addresses: readonly IpPrefix[];
  readonly mtu: number | undefined;
  readonly clampMss: boolean;
  readonly defaultRoute: boolean;
  readonly lockdown: boolean;
}

export interface ServerConfig extends CommonConfig {
  readonly role: "server";
  readonly listen: readonly ListenAddress[];
  /** Without doubles, never empty. */
  readonly modes: readonly TunnelMode[];
  /** Of mode "tun". */
  readonly tun: ServerTunConfig;
  /** At least one; names, keys, addresses and routes of two never overlap. */
  readonly clients: readonly ServerClientConfig[];
  /** Inner packets from one client to another pass, as far as the system forwards them. */
  readonly betweenClients: boolean;
  readonly nat: { readonly masquerade: boolean };
}

export interface ServerTunConfig {
  readonly name: string;
  /** With host bits: the server's own address on each network. */
  readonly addresses: readonly IpPrefix[];
  readonly mtu: number | undefined;
  readonly clampMss: boolean;
}

export interface ServerClientConfig {
  readonly name: string;
  readonly protocol: ProtocolVersion;
  /** With version 0 its password. */
  readonly key: PresharedKey;
  readonly identity: IdentityForm;
  /** Its own inner addresses: prefixes of all bits. None where mode "tun" is not served. */
  readonly addresses: readonly IpPrefix[];
  /** The same with the prefix length of the server's network that they lie in: what the client puts on its device. */
  readonly given: readonly IpPrefix[];
  /** Networks behind it, host bits zero. */
  readonly routes: readonly IpPrefix[];
  readonly maxSpeedBitsPerS: number;
  readonly dial: ServerDialConfig;
}

/** What the server connects to for a client whose streams it carries. */
export interface ServerDialConfig {
  /** The rule with the longest prefix decides, `deny` of two equal ones; without a rule, public addresses only. */
  readonly allow: readonly DialRule[];
  readonly deny: readonly DialRule[];
  /** Where the client's remote forwards may listen. */
  readonly listen: readonly DialRule[];
  readonly streamsMax: number;
  readonly dialsPerS: number;
  readonly idleNs: number;
}
