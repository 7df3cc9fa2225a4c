/** SOCKS protocol version 5 (RFC 1928), user name and password (RFC 1929), and the requests of version 4 with names
 * (SOCKS4A). A reader gets all bytes that have come so far and says `"more"` while they are the beginning of a
 * message, `"malformed"` when they cannot be, else the message and the count of its bytes. */

import { assert, concat } from "../base/mod.ts";
import { type Destination, hostOf } from "./host_port.ts";
import { formatIp, parseIp } from "./ip_address.ts";

export type Read<T> = "more" | "malformed" | (T & { readonly len: number });

// Set by RFC 1928 and RFC 1929.
export const SOCKS_VERSION = 5;
export const AUTH_METHOD = { none: 0, password: 2, unacceptable: 0xff } as const;
export const COMMAND = { connect: 1, bind: 2, associate: 3 } as const;
export const REPLY = {
  succeeded: 0,
  generalFailure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  connectionRefused: 5,
  ttlExpired: 6,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
} as const;
const ADDRESS_TYPE = { ipv4: 1, name: 3, ipv6: 4 } as const;
const PASSWORD_VERSION = 1;
const ANY: Destination = { host: "0.0.0.0", port: 0 };

// Set by the widespread description of SOCKS4 and SOCKS4A.
export const SOCKS4_VERSION = 4;
export const SOCKS4_REPLY = { granted: 90, rejected: 91 } as const;
const SOCKS4_TEXT_LEN_MAX = 255;

/** RFC 1928 §3: the methods that the client can do. */
export function readGreeting(bytes: Uint8Array): Read<{ readonly methods: Uint8Array }> {
  if (bytes.length > 0 && bytes[0] !== SOCKS_VERSION) return "malformed";
  if (bytes.length < 2 || bytes.length < 2 + bytes[1]) return "more";
  if (bytes[1] === 0) return "malformed";
  return { methods: bytes.subarray(2, 2 + bytes[1]), len: 2 + bytes[1] };
}

export function emitMethod(method: number): Uint8Array {
  return Uint8Array.of(SOCKS_VERSION, method);
}

export interface Credentials {
  /** 1 to 255 bytes each by RFC 1929; empty ones are let through, since clients send them. Views. */
  readonly user: Uint8Array;
  readonly password: Uint8Array;
}

/** RFC 1929 §2. */
export function readCredentials(bytes: Uint8Array): Read<Credentials> {
  if (bytes.length > 0 && bytes[0] !== PASSWORD_VERSION) return "malformed";
  if (bytes.length < 2 || bytes.length < 3 + bytes[1]) return "more";
  const passwordAt = 3 + bytes[1];
  const len = passwordAt + bytes[passwordAt - 1];
  if (bytes.length < len) return "more";
  return { user: bytes.subarray(2, passwordAt - 1), password: bytes.subarray(passwordAt, len), len };
}

export function emitCredentialsStatus(accepted: boolean): Uint8Array {
  return Uint8Array.of(PASSWORD_VERSION, accepted ? 0 : 1);
}

export interface SocksRequest {
  /** A COMMAND, or any other byte. */
  readonly command: number;
  /** Or the REPLY that refuses it. */
  readonly to: Destination | number;
}

/** RFC 1928 §4. */
export function readRequest(bytes: Uint8Array): Read<SocksRequest> {
  if (bytes.length > 0 && bytes[0] !== SOCKS_VERSION) return "malformed";
  if (bytes.length < 4) return "more";
  const address = readAddress(bytes, 3);
  if (address === "more" || address === "malformed") return address;
  return { command: bytes[1], to: address.to, len: 3 + address.len };
}

/** Address type, address, port at `off`. An unknown type has no known length, so it ends the bytes. */
function readAddress(bytes: Uint8Array, off: number): Read<{ readonly to: Destination | number }> {
  const rest = bytes.subarray(off);
  if (rest.length < 2) return "more";
  const type = rest[0];
  if (type !== ADDRESS_TYPE.ipv4 && type !== ADDRESS_TYPE.ipv6 && type !== ADDRESS_TYPE.name) {
    return { to: REPLY.addressTypeNotSupported, len: rest.length };
  }
  const hostAt = type === ADDRESS_TYPE.name ? 2 : 1;
  const hostLen = type === ADDRESS_TYPE.name ? rest[1] : type === ADDRESS_TYPE.ipv4 ? 4 : 16;
  const len = hostAt + hostLen + 2;
  if (rest.length < len) return "more";
  const hostBytes = rest.subarray(hostAt, hostAt + hostLen);
  const host = type === ADDRESS_TYPE.name ? hostOf(hostBytes) : formatIp(hostBytes);
  const port = rest[len - 2] << 8 | rest[len - 1];
  return { to: host === undefined ? REPLY.hostUnreachable : { host, port }, len };
}

/** RFC 1928 §6; `bound` is what the far end is reached from, zeros where that is not told. */
export function emitReply(reply: number, bound: Destination = ANY): Uint8Array {
  return concat(Uint8Array.of(SOCKS_VERSION, reply, 0), emitAddress(bound));
}

function emitAddress({ host, port }: Destination): Uint8Array {
  const ip = parseIp(host);
  const bytes = ip ?? new TextEncoder().encode(host);
  assert(bytes.length > 0 && bytes.length <= 255, "a host has 1 to 255 bytes");
  const head = ip === undefined
    ? [ADDRESS_TYPE.name, bytes.length]
    : [ip.length === 4 ? ADDRESS_TYPE.ipv4 : ADDRESS_TYPE.ipv6];
  return concat(Uint8Array.from(head), bytes, Uint8Array.of(port >> 8, port));
}

export interface SocksDatagram {
  /** 0: a whole datagram. */
  readonly fragment: number;
  readonly to: Destination;
  /** A view. */
  readonly data: Uint8Array;
}

/** RFC 1928 §7; `undefined` for what is no such datagram. */
export function parseDatagram(bytes: Uint8Array): SocksDatagram | undefined {
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0) return undefined;
  const address = readAddress(bytes, 3);
  if (typeof address === "string" || typeof address.to === "number") return undefined;
  return { fragment: bytes[2], to: address.to, data: bytes.subarray(3 + address.len) };
}

export function emitDatagram(from: Destination, data: Uint8Array): Uint8Array {
  return concat(new Uint8Array(3), emitAddress(from), data);
}

/** Version 4, and 4A: an address 0.0.0.x (x not 0) says that a name follows. */
export function readRequest4(bytes: Uint8Array): Read<SocksRequest & { readonly user: Uint8Array }> {
  if (bytes.length > 0 && bytes[0] !== SOCKS4_VERSION) return "malformed";
  if (bytes.length < 9) return "more";
  const user = readText(bytes, 8);
  if (typeof user === "string") return user;
  const port = bytes[2] << 8 | bytes[3];
  const ip = bytes.subarray(4, 8);
  const hasName = ip[0] === 0 && ip[1] === 0 && ip[2] === 0 && ip[3] !== 0;
  if (!hasName) {
    return { command: bytes[1], user: user.text, to: { host: formatIp(ip), port }, len: 8 + user.len };
  }
  const name = readText(bytes, 8 + user.len);
  if (typeof name === "string") return name;
  const host = hostOf(name.text);
  const to = host === undefined ? REPLY.hostUnreachable : { host, port };
  return { command: bytes[1], user: user.text, to, len: 8 + user.len + name.len };
}

/** Bytes up to a zero byte, which counts in `len`. */
function readText(bytes: Uint8Array, off: number): Read<{ readonly text: Uint8Array }> {
  const end = bytes.subarray(off, off + SOCKS4_TEXT_LEN_MAX + 1).indexOf(0);
  if (end >= 0) return { text: bytes.subarray(off, off + end), len: end + 1 };
  return bytes.length - off > SOCKS4_TEXT_LEN_MAX ? "malformed" : "more";
}

export function emitReply4(reply: number): Uint8Array {
  return Uint8Array.of(0, reply, 0, 0, 0, 0, 0, 0);
}
