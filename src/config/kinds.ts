/** Kinds of values: how each is read from TOML or from a flag's text, and what is said when it cannot be. */

import { parseLen, parseShare, parseSpeed, parseTime } from "../base/units.ts";
import { classicSdRatio, type JitterLaw } from "../schedule/mod.ts";
import { type Destination, parseDestination } from "../wire/host_port.ts";
import { parseSalt } from "./password.ts";
import { formatIp, type IpPrefix, parseIp, parsePrefix } from "../wire/ip_address.ts";
import { networkOf } from "./prefixes.ts";

export const PORT_DEFAULT = 1405;

/** What a flag's text becomes before it is read as if it had stood in the file. */
export type Shape = "text" | "boolean" | "number" | "texts";

export interface Kind<T> {
  readonly shape: Shape;
  /** The value's name in help texts. */
  readonly placeholder: string;
  /** Throws RangeError that says what is expected. */
  read(raw: unknown): T;
}

/** A host that may have to be resolved, and a port. */
export interface HostPort {
  /** An address without brackets, or a name. */
  readonly host: string;
  readonly port: number;
}

/** An address to listen at. */
export interface ListenAddress {
  readonly ip: Uint8Array;
  readonly port: number;
  readonly text: string;
}

/** Where programs connect to: an address and a port, or a socket in the file system. */
export type StreamListen =
  | ({ readonly kind: "tcp" } & ListenAddress)
  | { readonly kind: "unix"; readonly path: string; readonly text: string };

/** Where a forward leads to. */
export type ForwardTarget =
  | ({ readonly kind: "host" } & Destination)
  | { readonly kind: "unix"; readonly path: string };

/** Addresses and ports that a client may or may not reach; each range of ports has its ends in it. */
export interface DialRule {
  readonly prefix: IpPrefix;
  /** Empty: all ports. */
  readonly ports: readonly (readonly [from: number, to: number])[];
}

export interface JitterSetting {
  readonly law: JitterLaw;
  /** Standard deviation: this share of the interval, plus this time (one of both is 0). */
  readonly sdRatio: number;
  readonly sdNs?: number;
}

function text<T>(placeholder: string, expected: string, read: (text: string) => T | undefined): Kind<T> {
  return {
    shape: "text",
    placeholder,
    read(raw) {
      const value = typeof raw === "string" ? read(raw) : undefined;
      if (value === undefined) throw new RangeError(`expected ${expected}`);
      return value;
    },
  };
}

/** A list of what `kind` reads; a single text is a list of one. */
function listOf<T>(kind: Kind<T>, countMax: number): Kind<readonly T[]> {
  return {
    shape: "texts",
    placeholder: kind.placeholder,
    read(raw) {
      const items = Array.isArray(raw) ? raw : [raw];
      if (items.length > countMax) throw new RangeError(`expected at most ${countMax} entries`);
      return Object.freeze(items.map((item) => kind.read(item)));
    },
  };
}

export const boolean: Kind<boolean> = {
  shape: "boolean",
  placeholder: "BOOL",
  read(raw) {
    if (typeof raw !== "boolean") throw new RangeError("expected true or false, without quotes");
    return raw;
  },
};

export function integer(min: number, max: number): Kind<number> {
  return {
    shape: "number",
    placeholder: "NUMBER",
    read(raw) {
      if (typeof raw !== "number" || !Number.isInteger(raw) || raw < min || raw > max) {
        throw new RangeError(`expected a whole number from ${min} to ${max}`);
      }
      return raw;
    },
  };
}

export function choice<const T extends string>(...names: readonly T[]): Kind<T> {
  const expected = names.map((name) => `"${name}"`).join(" or ");
  return text(names.join("|"), expected, (raw) => names.find((name) => name === raw));
}

export function choices<const T extends string>(...names: readonly T[]): Kind<readonly T[]> {
  return listOf(choice(...names), names.length);
}

/** Of a participant, in log lines and status. */
export const name = text(
  "NAME",
  "a name of 1 to 64 letters, digits and . _ -",
  (raw) => /^[A-Za-z0-9._-]{1,64}$/.test(raw) ? raw : undefined,
);

// The kernel allows more characters, nftables as part of a table's name does not; 15: IFNAMSIZ - 1.
export const interfaceName = text(
  "NAME",
  "an interface's name of 1 to 15 letters, digits and . _ -, starting with a letter",
  (raw) => /^[A-Za-z][A-Za-z0-9._-]{0,14}$/.test(raw) ? raw : undefined,
);

export const path = text("FILE", "a path", (raw) => raw === "" || raw.includes("\0") ? undefined : raw);

/** What is in a text of the configuration itself; its reader checks it, since messages must not show it. */
export function secret(placeholder: string): Kind<string> {
  return text(placeholder, "text", (raw) => raw);
}

export const salt = text(
  "SALT",
  "22 letters, digits and - _, as `i405 keygen --password` makes them",
  parseSalt,
);

export const peer = text("HOST:PORT", `"host:port", for IPv6 "[address]:port"`, parseHostPort);

export const listen = listOf(
  text(
    "ADDRESS:PORT",
    `"address:port", such as "0.0.0.0:${PORT_DEFAULT}" or "[::]:${PORT_DEFAULT}"`,
    parseListen,
  ),
  8,
);

export const prefixes = listOf(
  text("PREFIX", `an address with its prefix length, such as "10.140.5.1/24"`, (raw) => {
    return raw.includes("/") ? parsePrefix(raw) : undefined;
  }),
  64,
);

/** Addresses of single hosts. */
export const hosts = listOf(
  text(
    "ADDRESS",
    `an address alone, such as "10.140.5.2" (its network is the server's)`,
    (raw): IpPrefix | undefined => {
      const prefix = parsePrefix(raw);
      return prefix === undefined || prefix.prefixLen !== prefix.ip.length * 8 ? undefined : prefix;
    },
  ),
  16,
);

const UNIX_PATH_LEN_MAX = 107; // sun_path of unix(7), with its end

/** Of "unix:/path" or "/path". */
function unixPathOf(raw: string): string | undefined {
  const path = raw.replace(/^unix:/, "");
  const isGood = path.startsWith("/") && !path.includes("\0") &&
    new TextEncoder().encode(path).length <= UNIX_PATH_LEN_MAX;
  return isGood ? path : undefined;
}

function parseStreamListen(raw: string): StreamListen | undefined {
  const path = unixPathOf(raw);
  if (path !== undefined) return { kind: "unix", path, text: `unix:${path}` };
  const address = /:\d+$/.test(raw) ? parseListen(raw) : undefined;
  return address === undefined ? undefined : { kind: "tcp", ...address };
}

/** Where a proxy or a forward listens. */
export const streamListen = text(
  "ADDRESS:PORT|unix:FILE",
  `"address:port", such as "127.0.0.1:1080" or "[::1]:1080", or "unix:/path"`,
  parseStreamListen,
);

export const streamListens = listOf(streamListen, 16);

/** Where a forward leads to. */
export const forwardTarget = text(
  "HOST:PORT|unix:FILE",
  `"host:port", for IPv6 "[address]:port", or "unix:/path"`,
  (raw): ForwardTarget | undefined => {
    const path = unixPathOf(raw);
    if (path !== undefined) return { kind: "unix", path };
    const destination = parseDestination(raw);
    return destination === undefined ? undefined : { kind: "host", ...destination };
  },
);

// A prefix of IPv6 with ports stands in brackets, as an address with a port does.
const DIAL_RULE = /^(?:\[([0-9A-Fa-f:.]+(?:\/\d{1,3})?)\]|([0-9.]+(?:\/\d{1,2})?))(?::([\d,-]+))?$/;

/** "10.0.0.0/8", "10.0.0.1:80", "fd00::/8", "[fd00::/8]:22,8000-8100". */
function parseDialRule(raw: string): DialRule | undefined {
  const match = DIAL_RULE.exec(raw);
  const prefix = parsePrefix(match?.[1] ?? match?.[2] ?? raw);
  const ports = match?.[3] === undefined ? [] : portsOf(match[3]);
  if (prefix === undefined || ports === undefined) return undefined;
  const isBracketed = match?.[1] !== undefined;
  return isBracketed && prefix.ip.length === 4 ? undefined : { prefix: networkOf(prefix), ports };
}

/** "22,8000-8100". */
function portsOf(text: string): (readonly [number, number])[] | undefined {
  const ranges: (readonly [number, number])[] = [];
  for (const part of text.split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    const from = Number(match?.[1]);
    const to = Number(match?.[2] ?? match?.[1]);
    if (!(from >= 0 && from <= to && to <= 65_535)) return undefined;
    ranges.push([from, to]);
  }
  return ranges;
}

/** Lists are written as TOML arrays and as repeated flags, since a comma stands between ports. */
export const dialRules = listOf(
  text(
    "PREFIX[:PORTS]",
    `a prefix and ports, such as "10.0.0.0/8:80,443", "[fd00::/8]:22" or "192.0.2.7"`,
    parseDialRule,
  ),
  256,
);

export const speed = quantity("SPEED", `a speed such as "1 Mbit/s"`, parseSpeed, undefined);
export const time = quantity("TIME", `a time such as "10 ms"`, parseTime, undefined);

/** "never", or a time of at least a minute. */
export const period: Kind<number | "never"> = text(
  "TIME|never",
  `"never" or a time of at least a minute, such as "1 h"`,
  (raw) => {
    if (raw === "never") return raw;
    const ns = parseTime(raw);
    return ns >= 60e9 ? ns : undefined;
  },
);

/** Bytes: a number or a text with a unit. */
export function length(min: number, max: number): Kind<number> {
  const bytes = quantity("LENGTH", `a length such as 1400 or "1400 B"`, parseLen, (raw) => raw);
  return {
    ...bytes,
    read(raw) {
      const value = bytes.read(typeof raw === "string" && /^\d{1,9}$/.test(raw) ? Number(raw) : raw);
      if (!Number.isInteger(value) || value < min || value > max) {
        throw new RangeError(`expected a length from ${min} to ${max} bytes`);
      }
      return value;
    },
  };
}

/** "search", "interface", or a length. */
export function pathMtu(min: number, max: number): Kind<number | "search" | "interface"> {
  const bytes = length(min, max);
  return {
    shape: "text",
    placeholder: "search|interface|LENGTH",
    read(raw) {
      if (raw === "search" || raw === "interface") return raw;
      try {
        return bytes.read(raw);
      } catch {
        throw new RangeError(`expected "search", "interface" or a length from ${min} to ${max} bytes`);
      }
    },
  };
}

function quantity(
  placeholder: string,
  expected: string,
  parse: (text: string) => number,
  fromNumber: ((value: number) => number) | undefined,
): Kind<number> {
  return {
    shape: "text",
    placeholder,
    read(raw) {
      if (typeof raw === "number" && fromNumber !== undefined) return fromNumber(raw);
      if (typeof raw !== "string") throw new RangeError(`expected ${expected}, in quotes`);
      const value = parse(raw);
      if (value === 0) throw new RangeError(`expected ${expected}, more than 0`);
      return value;
    },
  };
}

/** "none", "12%", "gaussian 12%", "50 us", "cosine 15%", "classic 25%". */
export const jitter = text(
  "JITTER",
  `a share of the interval or a time, such as "12%", "50 us", "cosine 12%", "classic 25%", or "none"`,
  (raw): JitterSetting | undefined => {
    if (raw === "none") return { law: "none", sdRatio: 0 };
    const match = /^(?:(gaussian|cosine|classic)\s+)?(\S.*)$/.exec(raw.trim());
    if (match === null) return undefined;
    const law = (match[1] ?? "gaussian") as JitterLaw;
    // What people say of the classic law is how far an interval may be from the mean.
    const sdOf = (reach: number) => law === "classic" ? classicSdRatio(reach) : reach;
    if (match[2].endsWith("%")) return { law, sdRatio: sdOf(parseShare(match[2])) };
    return { law, sdRatio: 0, sdNs: sdOf(parseTime(match[2])) };
  },
);

/** "auto", "none" or the number of a CPU. */
export const cpu: Kind<"auto" | "none" | number> = {
  shape: "text",
  placeholder: "auto|none|NUMBER",
  read(raw) {
    if (raw === "auto" || raw === "none") return raw;
    const value = typeof raw === "string" && /^\d{1,4}$/.test(raw) ? Number(raw) : raw;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 1023) {
      throw new RangeError(`expected "auto", "none" or the number of a CPU from 0 to 1023`);
    }
    return value;
  },
};

function parseHostPort(raw: string): HostPort | undefined {
  const { host, port } = splitPort(raw);
  const bare = host.replace(/%[A-Za-z0-9._-]{1,15}$/, ""); // RFC 4007 §11: a zone, of IPv6 only
  const isAddress = parseIp(bare) !== undefined && (bare === host || host.includes(":"));
  if (port === undefined || !(isAddress || isHostName(host))) return undefined;
  return { host, port };
}

function parseListen(raw: string): ListenAddress | undefined {
  const { host, port } = splitPort(raw);
  const ip = parseIp(host);
  if (ip === undefined || port === undefined) return undefined;
  const address = formatIp(ip);
  return { ip, port, text: ip.length === 4 ? `${address}:${port}` : `[${address}]:${port}` };
}

/** The port is the default one where none is written, undefined where it is none. */
function splitPort(raw: string): { host: string; port: number | undefined } {
  const match = /^\[([^\[\]]*)\](?::(\d{1,5}))?$/.exec(raw);
  if (match !== null) {
    return match[1].includes(":")
      ? { host: match[1], port: portOf(match[2]) }
      : { host: "", port: undefined };
  }
  // More than one colon without brackets: an IPv6 address without a port.
  const colon = raw.indexOf(":");
  if (colon < 0 || colon !== raw.lastIndexOf(":")) return { host: raw, port: PORT_DEFAULT };
  const port = raw.slice(colon + 1);
  return { host: raw.slice(0, colon), port: /^\d{1,5}$/.test(port) ? portOf(port) : undefined };
}

function portOf(digits: string | undefined): number | undefined {
  if (digits === undefined) return PORT_DEFAULT;
  const port = Number(digits);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** RFC 1123 §2.1; a name of digits and dots alone is a mistyped address. */
function isHostName(host: string): boolean {
  return host.length <= 253 && !/^[\d.]*$/.test(host) &&
    host.replace(/\.$/, "").split(".").every((label) =>
      /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label)
    );
}
