/** ServerHello and HelloRetryRequest, which has its form: RFC 8446 §4.1.3, §4.1.4. */

import { assert, concat } from "../base/mod.ts";
import { RANDOM_LEN } from "./client_hello.ts";
import { emitExtensions, type Extension, parseExtensions } from "./extensions.ts";
import { Reader, u16, vector8 } from "./vectors.ts";

/** The random that makes a ServerHello a HelloRetryRequest: SHA-256 of "HelloRetryRequest", §4.1.3. */
const RETRY_RANDOM = Uint8Array.of(
  ...[0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91],
  ...[0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c],
);
const SESSION_ID_LEN_MAX = 32;

export interface ServerHello {
  readonly legacyVersion: number;
  readonly random: Uint8Array;
  readonly sessionIdEcho: Uint8Array;
  readonly suite: number;
  readonly compression: number;
  readonly extensions: readonly Extension[];
}

/** `undefined` unless `body` is exactly one ServerHello. Views into it. */
export function parseServerHello(body: Uint8Array): ServerHello | undefined {
  const reader = new Reader(body);
  const hello = {
    legacyVersion: reader.u16(),
    random: reader.bytes(RANDOM_LEN),
    sessionIdEcho: reader.vector8(),
    suite: reader.u16(),
    compression: reader.u8(),
  };
  const extensions = parseExtensions(reader.vector16());
  const valid = reader.ended && hello.sessionIdEcho.length <= SESSION_ID_LEN_MAX && extensions !== undefined;
  return valid ? { ...hello, extensions } : undefined;
}

export function emitServerHello(hello: ServerHello): Uint8Array {
  assert(
    hello.random.length === RANDOM_LEN && hello.sessionIdEcho.length <= SESSION_ID_LEN_MAX,
    "the fields fit",
  );
  return concat(
    u16(hello.legacyVersion),
    hello.random,
    vector8(hello.sessionIdEcho),
    u16(hello.suite),
    Uint8Array.of(hello.compression),
    emitExtensions(hello.extensions),
  );
}

/** Whether this is a HelloRetryRequest. */
export function isRetryRandom(random: Uint8Array): boolean {
  return random.length === RANDOM_LEN && RETRY_RANDOM.every((byte, index) => byte === random[index]);
}

/** A copy of the random of every HelloRetryRequest. */
export function retryRandom(): Uint8Array {
  return RETRY_RANDOM.slice();
}
