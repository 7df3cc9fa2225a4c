/** A client's configuration, from TOML and flags. */

import { commonOf, cryptoOf, type FileContext, identityOf, keyOf, keyValuesOf, pathFrom } from "./common.ts";
import { type DirectionConfig, DirectionError, resolveDirection } from "./direction.ts";
import { type Overrides, Problems, Reading } from "./reading.ts";
import { CLIENT_SETTINGS, type Settings, type Values } from "./settings.ts";
import { forwardsOf, socksOf } from "./streams.ts";
import type { TomlSource } from "./toml_source.ts";
import type { ClientConfig } from "./types.ts";
import { cryptoV0, directionV0, passwordV0Of } from "./v0.ts";

/** Length to check a rate with when the path's MTU is not known yet. */
const MTU_USUAL = 1500;

type ClientValues = Values<typeof CLIENT_SETTINGS>;

/** Throws ConfigError with all that is wrong. */
export function clientConfig(source: TomlSource, overrides: Overrides, context: FileContext): ClientConfig {
  const problems = new Problems();
  const reading = new Reading(CLIENT_SETTINGS, source, problems);
  reading.table(source.values, ["forward"]);
  for (const [key, override] of overrides) reading.override(key, override);
  const { values } = reading;
  checkTunnel(reading);
  const isV0 = values["tunnel.protocol"] === "v0";
  const key = keyFor(reading, isV0, context);
  const up = direction(reading, "up", isV0);
  const down = direction(reading, "down", isV0);
  const crypto = isV0
    ? cryptoV0(reading, values["tunnel.suites"], values["tunnel.groups"])
    : cryptoOf(reading, "tunnel", values["tunnel.suites"], values["tunnel.groups"]);
  const tun = tunOf(reading, values);
  const socks = socksOf(reading, values, context);
  const forwards = forwardsOf(source, problems, context);
  checkMode(reading, forwards.length > 0);
  const common = commonOf(values, reading, context);
  problems.throwIfAny();
  return Object.freeze<ClientConfig>({
    role: "client",
    file: source.file,
    peer: Object.freeze(values["tunnel.peer"]!),
    mode: values["tunnel.mode"] ?? "tun",
    protocol: values["tunnel.protocol"] ?? "v1",
    monitorPackets: monitorPath(reading, context),
    name: values["tunnel.name"] ?? "client",
    pathMtu: values["tunnel.path_mtu"] ?? (isV0 ? "interface" : "search"),
    ecn: values["tunnel.ecn"] ?? false,
    rotateNs: isV0 || values["tunnel.rotate"] === "never" ? undefined : values["tunnel.rotate"],
    key: key!,
    identity: identityOf(reading, "tunnel.", values["tunnel.identity"], isV0),
    up,
    down,
    tun,
    socks,
    forwards,
    ...crypto,
    ...common,
    warnings: Object.freeze(context.warnings),
  });
}

function checkTunnel(reading: Reading<typeof CLIENT_SETTINGS>): void {
  const { values } = reading;
  if (values["tunnel.peer"] === undefined && reading.place("tunnel.peer") === undefined) {
    reading.problem("tunnel.peer", `there is no server; write peer = "host:port" in [tunnel]`);
  }
  if (values["tunnel.mode"] === "tcp" && reading.place("tunnel.rotate") !== undefined) {
    reading.problem("tunnel.rotate", "a TCP connection stays where it is; leave it out");
  }
  if (values["tunnel.mode"] === "tcp" && reading.place("tunnel.path_mtu") !== undefined) {
    reading.problem("tunnel.path_mtu", "TCP finds its segments' length itself; leave it out");
  }
  if (values["tunnel.mode"] === "tcp" && reading.place("tunnel.ecn") !== undefined) {
    reading.problem("tunnel.ecn", "over TCP it is the system's affair (net.ipv4.tcp_ecn); leave it out");
  }
  if (values["tunnel.protocol"] === "v0") return checkV0(reading);
  for (const key of ["tunnel.monitor_packets", "tunnel.i_accept_guessing"]) {
    if (reading.place(key) !== undefined) reading.problem(key, "it belongs to version 0; leave it out");
  }
}

function checkV0(reading: Reading<typeof CLIENT_SETTINGS>): void {
  const { values } = reading;
  const mode = values["tunnel.mode"] ?? "tun";
  if (mode !== "tun") {
    reading.problem("tunnel.mode", `version 0 is served in mode "tun"; leave mode out`, mode);
  }
  if (reading.place("tunnel.rotate") !== undefined) {
    reading.problem("tunnel.rotate", "a server of version 0 does not follow a client; leave it out");
  }
  if (values["tunnel.path_mtu"] === "search") {
    reading.problem(
      "tunnel.path_mtu",
      "a server of version 0 answers no probes; write a length or leave it out",
    );
  }
  if ((values["tun.addresses"] ?? []).length === 0) {
    reading.problem(
      "tun.addresses",
      `a server of version 0 gives no addresses; write addresses = ["10.140.5.2/24"] in [tun]`,
    );
  }
}

function keyFor(reading: Reading<typeof CLIENT_SETTINGS>, isV0: boolean, context: FileContext) {
  const values = keyValuesOf(reading.values, "tunnel.");
  if (!isV0) return keyOf(reading, "tunnel.", values, context);
  const acceptsGuessing = reading.values["tunnel.i_accept_guessing"] ?? false;
  return passwordV0Of(reading, "tunnel.", values, acceptsGuessing, context);
}

function monitorPath(reading: Reading<typeof CLIENT_SETTINGS>, context: FileContext): string | undefined {
  const path = reading.values["tunnel.monitor_packets"];
  return path === undefined ? undefined : pathFrom(context, reading, "tunnel.monitor_packets", path);
}

/** What belongs to the other mode would be without effect. */
function checkMode(reading: Reading<typeof CLIENT_SETTINGS>, hasForwards: boolean): void {
  const { values } = reading;
  const isTun = (values["tunnel.mode"] ?? "tun") === "tun";
  const stray = Object.keys(values).filter((key) => key.startsWith(isTun ? "socks." : "tun."));
  if (isTun && hasForwards) stray.push("forward[0]");
  const others = isTun ? `"tcp" or "udp"` : `"tun"`;
  const message = `it belongs to mode = ${others}; write that in [tunnel], or leave it out`;
  for (const key of stray) reading.problem(key, message);
  if (values["tunnel.mode"] !== "tcp") return;
  for (const key of ["up.burst", "down.burst"] as const) {
    if ((values[key] ?? 1) === 1) continue;
    reading.problem(key, "over TCP there is one record in each slot; leave it out, and shorten the interval");
  }
}

function tunOf(reading: Reading<typeof CLIENT_SETTINGS>, values: ClientValues): ClientConfig["tun"] {
  const tun = {
    name: values["tun.name"] ?? "i405",
    addresses: values["tun.addresses"] ?? [],
    mtu: values["tun.mtu"],
    clampMss: values["tun.clamp_mss"] ?? true,
    defaultRoute: values["tun.default_route"] ?? false,
    lockdown: values["tun.lockdown"] ?? false,
  };
  if (tun.lockdown && !tun.defaultRoute) {
    reading.problem(
      "tun.lockdown",
      "lockdown goes with default_route = true; add that or leave lockdown out",
      true,
    );
  }
  return Object.freeze(tun);
}

function direction(
  reading: Reading<typeof CLIENT_SETTINGS>,
  name: "up" | "down",
  isV0: boolean,
): DirectionConfig {
  const { values } = reading;
  const speedBitsPerS = values[`${name}.speed`];
  const intervalNs = values[`${name}.interval`];
  const plain: DirectionConfig = Object.freeze({
    speedBitsPerS: intervalFromFlag(reading, name) ? undefined : speedBitsPerS,
    intervalNs: speedFromFlag(reading, name) ? undefined : intervalNs,
    packetLength: values[`${name}.packet_length`],
    jitter: values[`${name}.jitter`],
    burst: values[`${name}.burst`] ?? (values["tunnel.mode"] === "tcp" ? 1 : undefined),
  });
  const config = isV0 ? directionV0(reading, name, plain) : plain;
  if (config.speedBitsPerS !== undefined && config.intervalNs !== undefined) {
    reading.problem(`${name}.interval`, "there are both speed and interval; leave one out");
    return config;
  }
  // A value that could not be read has its problem already.
  const unread = ["speed", "interval", "packet_length", "jitter", "burst"].some((part) => {
    const key = `${name}.${part}` as keyof ClientValues;
    return reading.place(key) !== undefined && values[key] === undefined;
  });
  if (unread) return config;
  try {
    resolveDirection(name, config, config.packetLength ?? MTU_USUAL);
  } catch (error) {
    if (!(error instanceof DirectionError)) throw error;
    const key = ["interval", "speed", "burst", "jitter"].map((part) => `${name}.${part}`)
      .find((part) => error.message.startsWith(part));
    reading.problem(key ?? name, error.message);
  }
  return config;
}

/** A flag for the one wins over the file's word on the other. */
function speedFromFlag(reading: Reading<Settings>, name: string): boolean {
  return reading.place(`${name}.speed`)?.flag !== undefined &&
    reading.place(`${name}.interval`)?.flag === undefined;
}

function intervalFromFlag(reading: Reading<Settings>, name: string): boolean {
  return reading.place(`${name}.interval`)?.flag !== undefined &&
    reading.place(`${name}.speed`)?.flag === undefined;
}
