/** A client's configuration, from TOML and flags. */

import { commonOf, cryptoOf, type FileContext, keyOf, keyValuesOf } from "./common.ts";
import { type DirectionConfig, DirectionError, resolveDirection } from "./direction.ts";
import { type Overrides, Problems, Reading } from "./reading.ts";
import { CLIENT_SETTINGS, type Settings, type Values } from "./settings.ts";
import { forwardsOf, socksOf } from "./streams.ts";
import type { TomlSource } from "./toml_source.ts";
import type { ClientConfig } from "./types.ts";

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
  const key = keyOf(reading, "tunnel.", keyValuesOf(values, "tunnel."), context);
  const up = direction(reading, "up", values);
  const down = direction(reading, "down", values);
  const crypto = cryptoOf(reading, "tunnel", values["tunnel.suites"], values["tunnel.groups"]);
  const tun = tunOf(reading, values);
  const socks = socksOf(reading, values, context);
  const forwards = forwardsOf(source, problems);
  checkMode(reading, forwards.length > 0);
  const common = commonOf(values, reading, context);
  problems.throwIfAny();
  return Object.freeze<ClientConfig>({
    role: "client",
    file: source.file,
    peer: Object.freeze(values["tunnel.peer"]!),
    mode: values["tunnel.mode"] ?? "tun",
    protocol: "v1",
    name: values["tunnel.name"] ?? "client",
    rotateNs: values["tunnel.rotate"] === "never" ? undefined : values["tunnel.rotate"],
    key: key!,
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
  if (values["tunnel.protocol"] === "v0") {
    reading.problem(
      "tunnel.protocol",
      `protocol version 0 is not served by this version; leave protocol out`,
      "v0",
    );
  }
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

function direction(reading: Reading<Settings>, name: "up" | "down", values: ClientValues): DirectionConfig {
  const speedBitsPerS = values[`${name}.speed`];
  const intervalNs = values[`${name}.interval`];
  const config: DirectionConfig = Object.freeze({
    speedBitsPerS: intervalFromFlag(reading, name) ? undefined : speedBitsPerS,
    intervalNs: speedFromFlag(reading, name) ? undefined : intervalNs,
    packetLength: values[`${name}.packet_length`],
    jitter: values[`${name}.jitter`],
    burst: values[`${name}.burst`] ?? 1,
  });
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
