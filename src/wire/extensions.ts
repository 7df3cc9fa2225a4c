/** Extensions of hello messages, RFC 8446 §4.2: the block, and the bodies of those that are spoken here. Every parser
 * gives `undefined` unless the body is exactly what the standard says; arrays are views into it. */

import { assert, concat } from "../base/mod.ts";
import { parseU16List, Reader, u16, vector16, vector8, writeU16 } from "./vectors.ts";

export const EXTENSION = {
  supportedGroups: 10,
  padding: 21, // RFC 7685
  preSharedKey: 41,
  earlyData: 42,
  supportedVersions: 43,
  cookie: 44,
  pskKeyExchangeModes: 45,
  keyShare: 51,
  connectionId: 54, // RFC 9146
  returnRoutabilityCheck: 61, // RFC 9853
} as const;

/** PskKeyExchangeMode, RFC 8446 §4.2.9. */
export const PSK_MODE = { pskKe: 0, pskDheKe: 1 } as const;

/** More than any hello has; a bound for what a peer makes us keep. */
const EXTENSIONS_MAX = 128;

/** Type and length before each body. */
const EXTENSION_HEADER_LEN = 4;

export interface Extension {
  readonly type: number;
  readonly body: Uint8Array;
}

export interface KeyShareEntry {
  readonly group: number;
  readonly share: Uint8Array;
}

export interface PskIdentity {
  readonly identity: Uint8Array;
  readonly obfuscatedTicketAge: number;
}

export interface OfferedPsks {
  readonly identities: readonly PskIdentity[];
  readonly binders: readonly Uint8Array[];
  /** Bytes of the binders with the length before them: what a truncated ClientHello lacks (RFC 8446 §4.2.11.2). */
  readonly bindersLen: number;
}

/** The content of an extensions vector; `undefined` also for one type twice (RFC 8446 §4.2). */
export function parseExtensions(bytes: Uint8Array): Extension[] | undefined {
  const reader = new Reader(bytes);
  const extensions: Extension[] = [];
  const seen = new Set<number>();
  while (reader.more) {
    const type = reader.u16();
    const body = reader.vector16();
    if (seen.has(type) || extensions.length === EXTENSIONS_MAX) return undefined;
    seen.add(type);
    extensions.push({ type, body });
  }
  return reader.ended ? extensions : undefined;
}

/** The vector with its length. */
export function emitExtensions(extensions: readonly Extension[]): Uint8Array {
  let len = 0;
  for (const { body } of extensions) len += EXTENSION_HEADER_LEN + body.length;
  const out = new Uint8Array(2 + len);
  writeU16(out, 0, len);
  let at = 2;
  for (const { type, body } of extensions) {
    writeU16(out, at, type);
    writeU16(out, at + 2, body.length);
    out.set(body, at + EXTENSION_HEADER_LEN);
    at += EXTENSION_HEADER_LEN + body.length;
  }
  return out;
}

/** The body of the extension of this type, or `undefined` when it is not there. */
export function findExtension(extensions: readonly Extension[], type: number): Uint8Array | undefined {
  return extensions.find((extension) => extension.type === type)?.body;
}

/** supported_versions of a ClientHello, §4.2.1. */
export function parseClientVersions(body: Uint8Array): number[] | undefined {
  const reader = new Reader(body);
  const list = parseU16List(reader.vector8());
  return reader.ended && list !== undefined && list.length > 0 ? list : undefined;
}

export function emitClientVersions(versions: readonly number[]): Extension {
  return { type: EXTENSION.supportedVersions, body: vector8(u16(...versions)) };
}

/** A body of one 16-bit number: supported_versions of a ServerHello, pre_shared_key of a ServerHello, key_share of a
 * HelloRetryRequest. */
export function parseOneU16(body: Uint8Array): number | undefined {
  return body.length === 2 ? body[0] << 8 | body[1] : undefined;
}

/** Writes what `parseOneU16` reads. */
export function emitOneU16(type: number, value: number): Extension {
  return { type, body: u16(value) };
}

/** supported_groups, §4.2.7. */
export function parseGroups(body: Uint8Array): number[] | undefined {
  const reader = new Reader(body);
  const list = parseU16List(reader.vector16());
  return reader.ended && list !== undefined && list.length > 0 ? list : undefined;
}

export function emitGroups(groups: readonly number[]): Extension {
  return { type: EXTENSION.supportedGroups, body: vector16(u16(...groups)) };
}

/** key_share of a ClientHello, §4.2.8; may be empty. */
export function parseClientShares(body: Uint8Array): KeyShareEntry[] | undefined {
  const reader = new Reader(body);
  const list = new Reader(reader.vector16());
  const shares: KeyShareEntry[] = [];
  while (list.more) shares.push(readShare(list));
  const valid = reader.ended && list.ended && shares.every(({ share }) => share.length > 0);
  return valid ? shares : undefined;
}

export function emitClientShares(shares: readonly KeyShareEntry[]): Extension {
  return { type: EXTENSION.keyShare, body: vector16(...shares.map(shareBytes)) };
}

/** key_share of a ServerHello, §4.2.8. */
export function parseServerShare(body: Uint8Array): KeyShareEntry | undefined {
  const reader = new Reader(body);
  const share = readShare(reader);
  return reader.ended && share.share.length > 0 ? share : undefined;
}

export function emitServerShare(share: KeyShareEntry): Extension {
  return { type: EXTENSION.keyShare, body: shareBytes(share) };
}

/** psk_key_exchange_modes, §4.2.9. */
export function parsePskModes(body: Uint8Array): Uint8Array | undefined {
  const reader = new Reader(body);
  const modes = reader.vector8();
  return reader.ended && modes.length > 0 ? modes : undefined;
}

export function emitPskModes(modes: readonly number[]): Extension {
  return { type: EXTENSION.pskKeyExchangeModes, body: vector8(Uint8Array.from(modes)) };
}

/** cookie, §4.2.2. */
export function parseCookie(body: Uint8Array): Uint8Array | undefined {
  const reader = new Reader(body);
  const cookie = reader.vector16();
  return reader.ended && cookie.length > 0 ? cookie : undefined;
}

export function emitCookie(cookie: Uint8Array): Extension {
  return { type: EXTENSION.cookie, body: vector16(cookie) };
}

/** padding, RFC 7685: `len` zero bytes; 4 more with its header. */
export function emitPadding(len: number): Extension {
  return { type: EXTENSION.padding, body: new Uint8Array(len) };
}

/** connection_id, RFC 9146 §3: the id that its sender wants to see in records. */
export function parseConnectionId(body: Uint8Array): Uint8Array | undefined {
  const reader = new Reader(body);
  const id = reader.vector8();
  return reader.ended ? id : undefined;
}

export function emitConnectionId(id: Uint8Array): Extension {
  return { type: EXTENSION.connectionId, body: vector8(id) };
}

/** rrc, RFC 9853 §3: it has no body. */
export function emitReturnRoutabilityCheck(): Extension {
  return { type: EXTENSION.returnRoutabilityCheck, body: new Uint8Array(0) };
}

/** pre_shared_key of a ClientHello, §4.2.11. An empty identity is let through: version 0 peers send one. */
export function parseOfferedPsks(body: Uint8Array): OfferedPsks | undefined {
  const reader = new Reader(body);
  const identityReader = new Reader(reader.vector16());
  const bindersOff = reader.at;
  const binderReader = new Reader(reader.vector16());
  const identities: PskIdentity[] = [];
  while (identityReader.more) {
    const identity = identityReader.vector16();
    identities.push({ identity, obfuscatedTicketAge: identityReader.u32() });
  }
  const binders: Uint8Array[] = [];
  while (binderReader.more) binders.push(binderReader.vector8());
  const valid = reader.ended && identityReader.ended && binderReader.ended && identities.length > 0 &&
    binders.length > 0 && binders.every((binder) => binder.length >= 32);
  return valid ? { identities, binders, bindersLen: body.length - bindersOff } : undefined;
}

/** pre_shared_key of a ClientHello whose binders, of these lengths, are zeros yet. Obfuscated ticket ages are 0, as
 * §4.2.11 wants for external keys. */
export function emitOfferedPsks(
  identities: readonly Uint8Array[],
  binderLens: readonly number[],
): Extension {
  assert(identities.length > 0 && identities.length === binderLens.length, "each identity has a binder");
  const list = identities.map((identity) => concat(vector16(identity), new Uint8Array(4)));
  const binders = binderLens.map((len) => vector8(new Uint8Array(len)));
  return { type: EXTENSION.preSharedKey, body: concat(vector16(...list), vector16(...binders)) };
}

function readShare(reader: Reader): KeyShareEntry {
  const group = reader.u16();
  return { group, share: reader.vector16() };
}

function shareBytes({ group, share }: KeyShareEntry): Uint8Array {
  return concat(u16(group), vector16(share));
}
