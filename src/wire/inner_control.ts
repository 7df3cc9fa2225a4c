/** Bodies of the inner control frames of protocol version 1. All integers are big-endian; lists are a count u8 and
 * their items; an address is family u8 (4 or 6), prefix length u8, 4 or 16 bytes. Parsers are strict: a body that is
 * too short, too long or holds a value without meaning is `undefined`. A later version that needs more fields adds a
 * frame of another type, which older readers skip. */

import { assert } from "../base/mod.ts";
import { FieldReader, FieldWriter } from "./fields.ts";
import { emitControl, INNER_TYPE } from "./inner_frame.ts";
import type { IpPrefix } from "./ip_address.ts";

export const NONCE_LEN = 8;
const CLIENT_PARAMETERS_LEN = 53;
const LIST_MAX = 255;
const MESSAGE_MAX_LEN = 255;

export type JitterLawName = "none" | "gaussian" | "cosine" | "classic";
/** Codes of the laws of jitter are indexes here. */
const JITTER_LAWS: readonly JitterLawName[] = ["none", "gaussian", "cosine", "classic"];

/** 0x40, client to server: which schedule the client has, and which one it wants of the server. Lengths are of UDP
 * datagrams, without IP and UDP headers. */
export interface ClientParameters {
  readonly protocolVersion: number;
  readonly oldestVersion: number;
  readonly flags: number;
  readonly s2cDatagramLen: number;
  readonly s2cIntervalNs: number;
  readonly s2cJitterSdNs: number;
  readonly s2cJitterLaw: JitterLawName;
  /** Records per slot. */
  readonly s2cBurst: number;
  readonly c2sIntervalNs: number;
  readonly c2sDatagramLen: number;
  readonly c2sBurst: number;
  /** 8 bytes that identify the attempt; the welcome echoes them. */
  readonly nonce: Uint8Array;
}

/** `status` of a welcome. */
export const WELCOME_STATUS = { ok: 0, rateRefused: 1, versionRefused: 2, lengthRefused: 3 } as const;

/** 0x41, server to client: whether, and with which addresses. */
export interface ServerWelcome {
  readonly protocolVersion: number;
  /** A WELCOME_STATUS. */
  readonly status: number;
  readonly nonce: Uint8Array;
  readonly addresses: readonly IpPrefix[];
  readonly serverAddresses: readonly IpPrefix[];
  readonly routes: readonly IpPrefix[];
  readonly dns: readonly IpPrefix[];
  readonly mtu: number;
  readonly maxSpeedBitsPerS: number;
  /** UTF-8, at most 255 bytes; control characters are taken out on reading. */
  readonly message: string;
}

/** A whole frame: protocol version u32, oldest compatible version u32, flags u32, s2c datagram length u16, s2c
 * interval u64 ns, s2c jitter sd u64 ns, s2c jitter law u8, s2c burst u16, c2s interval u64 ns, c2s datagram length
 * u16, c2s burst u16, nonce (8). Times are rounded to whole ns. */
export function emitClientParameters(parameters: ClientParameters): Uint8Array {
  const writer = new FieldWriter(CLIENT_PARAMETERS_LEN);
  writer.u32(parameters.protocolVersion);
  writer.u32(parameters.oldestVersion);
  writer.u32(parameters.flags);
  writer.u16(parameters.s2cDatagramLen);
  writer.u64(Math.round(parameters.s2cIntervalNs));
  writer.u64(Math.round(parameters.s2cJitterSdNs));
  writer.u8(JITTER_LAWS.indexOf(parameters.s2cJitterLaw));
  writer.u16(parameters.s2cBurst);
  writer.u64(Math.round(parameters.c2sIntervalNs));
  writer.u16(parameters.c2sDatagramLen);
  writer.u16(parameters.c2sBurst);
  assert(parameters.nonce.length === NONCE_LEN, "a nonce of the inner protocol has 8 bytes");
  writer.bytes(parameters.nonce);
  return emitControl(INNER_TYPE.clientParameters, writer.written());
}

/** The body of a 0x40 frame. */
export function parseClientParameters(body: Uint8Array): ClientParameters | undefined {
  const reader = new FieldReader(body);
  const protocolVersion = reader.u32();
  const oldestVersion = reader.u32();
  const flags = reader.u32();
  const s2cDatagramLen = reader.u16();
  const s2cIntervalNs = reader.u64();
  const s2cJitterSdNs = reader.u64();
  const s2cJitterLaw = JITTER_LAWS[reader.u8()];
  const s2cBurst = reader.u16();
  const c2sIntervalNs = reader.u64();
  const c2sDatagramLen = reader.u16();
  const c2sBurst = reader.u16();
  const nonce = reader.bytes(NONCE_LEN);
  if (!reader.complete() || s2cJitterLaw === undefined || oldestVersion > protocolVersion) return undefined;
  if (s2cIntervalNs === 0 || c2sIntervalNs === 0 || s2cBurst === 0 || c2sBurst === 0) return undefined;
  return {
    protocolVersion,
    oldestVersion,
    flags,
    s2cDatagramLen,
    s2cIntervalNs,
    s2cJitterSdNs,
    s2cJitterLaw,
    s2cBurst,
    c2sIntervalNs,
    c2sDatagramLen,
    c2sBurst,
    nonce,
  };
}

/** A whole frame: protocol version u32, status u8, nonce (8), addresses, server addresses, routes, DNS servers (lists
 * of addresses), MTU u16, greatest speed u64 bit/s (a greater one than 2^53 - 1 is written as that), message (length
 * u8, UTF-8). The frame must fit one record: the caller checks. */
export function emitServerWelcome(welcome: ServerWelcome): Uint8Array {
  const lists = [welcome.addresses, welcome.serverAddresses, welcome.routes, welcome.dns];
  const items = lists.reduce((sum, list) => sum + list.length, 0);
  const message = utf8Prefix(welcome.message, MESSAGE_MAX_LEN);
  const writer = new FieldWriter(4 + 1 + NONCE_LEN + lists.length + items * 18 + 2 + 8 + 1 + message.length);
  writer.u32(welcome.protocolVersion);
  writer.u8(welcome.status);
  assert(welcome.nonce.length === NONCE_LEN, "a nonce of the inner protocol has 8 bytes");
  writer.bytes(welcome.nonce);
  for (const list of lists) writePrefixes(writer, list);
  writer.u16(welcome.mtu);
  writer.u64(Math.min(Math.round(welcome.maxSpeedBitsPerS), Number.MAX_SAFE_INTEGER));
  writer.u8(message.length);
  writer.bytes(message);
  return emitControl(INNER_TYPE.serverWelcome, writer.written());
}

/** The body of a 0x41 frame. */
export function parseServerWelcome(body: Uint8Array): ServerWelcome | undefined {
  const reader = new FieldReader(body);
  const protocolVersion = reader.u32();
  const status = reader.u8();
  const nonce = reader.bytes(NONCE_LEN);
  const addresses = readPrefixes(reader);
  const serverAddresses = readPrefixes(reader);
  const routes = readPrefixes(reader);
  const dns = readPrefixes(reader);
  const mtu = reader.u16();
  const maxSpeedBitsPerS = reader.u64();
  const message = printable(reader.bytes(reader.u8()));
  if (!reader.complete() || status > WELCOME_STATUS.lengthRefused) return undefined;
  return {
    protocolVersion,
    status,
    nonce,
    addresses,
    serverAddresses,
    routes,
    dns,
    mtu,
    maxSpeedBitsPerS,
    message,
  };
}

/** `reason` of a close. */
export const CLOSE_REASON = { goodbye: 0, protocolError: 1, refused: 2 } as const;

/** A whole 0x42 frame: reason u8. */
export function emitClose(reason: number): Uint8Array {
  return emitControl(INNER_TYPE.close, new Uint8Array([reason]));
}

/** The reason in the body of a 0x42 frame; unknown reasons are let through. */
export function parseClose(body: Uint8Array): number | undefined {
  return body.length === 1 ? body[0] : undefined;
}

function writePrefixes(writer: FieldWriter, list: readonly IpPrefix[]): void {
  assert(list.length <= LIST_MAX, "a list of the inner protocol has at most 255 items");
  writer.u8(list.length);
  for (const { ip, prefixLen } of list) {
    writer.u8(ip.length === 4 ? 4 : 6);
    writer.u8(prefixLen);
    writer.bytes(ip);
  }
}

function readPrefixes(reader: FieldReader): IpPrefix[] {
  const count = reader.u8();
  const list: IpPrefix[] = [];
  for (let i = 0; i < count && !reader.failed; i++) {
    const family = reader.u8();
    const prefixLen = reader.u8();
    const len = family === 4 ? 4 : 16;
    if ((family !== 4 && family !== 6) || prefixLen > len * 8) reader.failed = true;
    list.push({ ip: reader.bytes(len), prefixLen });
  }
  return list;
}

/** The text's UTF-8, cut before the first character that does not fit. */
function utf8Prefix(text: string, lenMax: number): Uint8Array {
  const out = new Uint8Array(lenMax);
  return out.subarray(0, new TextEncoder().encodeInto(text, out).written);
}

/** A peer's text is shown to people: nothing in it may steer a terminal. */
function printable(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ");
}
