/** The PSK importer of RFC 9258: from one external key, a key per protocol and hash. */

import { concat } from "../base/mod.ts";
import { expandLabel, extract, type Protocol } from "./hkdf.ts";
import { hashLenOf, type HashName, hashOf } from "./suites.ts";
import { wipe } from "./wipe.ts";

export interface ImportedIdentity {
  /** 1..65535 bytes. */
  readonly externalIdentity: Uint8Array;
  /** 0..65535 bytes. */
  readonly context: Uint8Array;
  /** The protocol's version number: 0x0304 or 0xfefc. */
  readonly targetProtocol: number;
  /** HKDF_SHA256 or HKDF_SHA384, RFC 9258 §10. */
  readonly targetKdf: number;
}

// Set by a standard.
export const TARGET_PROTOCOL = { tls: 0x0304, dtls: 0xfefc } as const satisfies Record<Protocol, number>;
export const TARGET_KDF = { sha256: 0x0001, sha384: 0x0002 } as const satisfies Record<HashName, number>;
const IDENTITY_LEN_MAX = 0xffff;
/** The hash of an external key without one of its own: RFC 9258 §5.1. */
const EXTERNAL_HASH: HashName = "sha256";

/** The identity under which a key imported for `protocol` and `hash` goes on the wire, with an empty context. */
export function importedIdentity(
  externalIdentity: Uint8Array,
  protocol: Protocol,
  hash: HashName,
): ImportedIdentity {
  return {
    externalIdentity,
    context: new Uint8Array(0),
    targetProtocol: TARGET_PROTOCOL[protocol],
    targetKdf: TARGET_KDF[hash],
  };
}

/** The bytes of PskIdentity.identity. Throws RangeError for an empty external identity or more than 65,535 bytes in
 * all: the importer must reject those (RFC 9258 §5.1). */
export function emitImportedIdentity(identity: ImportedIdentity): Uint8Array {
  const { externalIdentity, context, targetProtocol, targetKdf } = identity;
  const len = 8 + externalIdentity.length + context.length;
  if (externalIdentity.length < 1 || len > IDENTITY_LEN_MAX) {
    throw new RangeError(`Cannot import a key under an identity of ${externalIdentity.length} bytes`);
  }
  return concat(
    u16(externalIdentity.length),
    externalIdentity,
    u16(context.length),
    context,
    u16(targetProtocol),
    u16(targetKdf),
  );
}

/** `undefined` unless `bytes` are exactly one ImportedIdentity; its arrays are views into `bytes`. */
export function parseImportedIdentity(bytes: Uint8Array): ImportedIdentity | undefined {
  if (bytes.length < 9 || bytes.length > IDENTITY_LEN_MAX) return undefined;
  const externalLen = bytes[0] << 8 | bytes[1];
  const contextAt = 2 + externalLen;
  if (externalLen < 1 || contextAt + 6 > bytes.length) return undefined;
  const contextLen = bytes[contextAt] << 8 | bytes[contextAt + 1];
  const targetAt = contextAt + 2 + contextLen;
  if (targetAt + 4 !== bytes.length) return undefined;
  return {
    externalIdentity: bytes.subarray(2, contextAt),
    context: bytes.subarray(contextAt + 2, targetAt),
    targetProtocol: bytes[targetAt] << 8 | bytes[targetAt + 1],
    targetKdf: bytes[targetAt + 2] << 8 | bytes[targetAt + 3],
  };
}

/** The imported key for `identity`, as long as the hash of its target_kdf; `undefined` for an unknown target_kdf or
 * target_protocol. RFC 9258 §5.1. */
export function importPsk(externalPsk: Uint8Array, identity: ImportedIdentity): Uint8Array | undefined {
  const target = keyWithValue(TARGET_KDF, identity.targetKdf);
  // RFC 9258 §5.1: the label's prefix is that of the target protocol.
  const protocol = keyWithValue(TARGET_PROTOCOL, identity.targetProtocol);
  if (target === undefined || protocol === undefined) return undefined;
  const epskx = extract(EXTERNAL_HASH, undefined, externalPsk);
  const identityHash = hashOf(EXTERNAL_HASH, emitImportedIdentity(identity));
  const ipskx = expandLabel(EXTERNAL_HASH, protocol, epskx, "derived psk", identityHash, hashLenOf(target));
  wipe(epskx);
  return ipskx;
}

function keyWithValue<K extends string>(table: Readonly<Record<K, number>>, value: number): K | undefined {
  return (Object.keys(table) as K[]).find((key) => table[key] === value);
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}
