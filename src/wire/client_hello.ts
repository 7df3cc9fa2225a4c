/** ClientHello, RFC 8446 §4.1.2; in DTLS with legacy_cookie, RFC 9147 §5.3. */

import { assert, concat } from "../base/mod.ts";
import { emitExtensions, EXTENSION, type Extension, parseCookie, parseExtensions } from "./extensions.ts";
import { parseU16List, Reader, u16, vector16, vector8 } from "./vectors.ts";

/** legacy_version of hello messages, and the version that is meant, in supported_versions. */
export const LEGACY_VERSION = { tls: 0x0303, dtls: 0xfefd } as const;
export const VERSION_1_3 = { tls: 0x0304, dtls: 0xfefc } as const;
export const RANDOM_LEN = 32;
const SESSION_ID_LEN_MAX = 32;
// Chosen here.
/** Ours puts the cookie first; others have some before it. */
export const FIRST_EXTENSIONS_MAX = 16;

export interface ClientHello {
  readonly legacyVersion: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  /** legacy_cookie; empty in TLS. */
  readonly legacyCookie: Uint8Array;
  readonly suites: readonly number[];
  readonly compressions: Uint8Array;
  readonly extensions: readonly Extension[];
}

/** `undefined` unless `body` is exactly one ClientHello, with every vector within its legal length. Views into it. */
export function parseClientHello(protocol: "dtls" | "tls", body: Uint8Array): ClientHello | undefined {
  const reader = new Reader(body);
  const start = readStart(protocol, reader);
  const suites = parseU16List(start.suiteBytes);
  const extensions = parseExtensions(reader.vector16());
  if (!reader.ended || suites === undefined || suites.length === 0 || extensions === undefined) {
    return undefined;
  }
  if (start.sessionId.length > SESSION_ID_LEN_MAX || start.compressions.length === 0) return undefined;
  const { legacyVersion, random, sessionId, legacyCookie, compressions } = start;
  return { legacyVersion, random, sessionId, legacyCookie, suites, compressions, extensions };
}

export function emitClientHello(protocol: "dtls" | "tls", hello: ClientHello): Uint8Array {
  assert(
    hello.random.length === RANDOM_LEN && hello.sessionId.length <= SESSION_ID_LEN_MAX,
    "a hello's fields fit",
  );
  return concat(
    u16(hello.legacyVersion),
    hello.random,
    vector8(hello.sessionId),
    protocol === "dtls" ? vector8(hello.legacyCookie) : new Uint8Array(0),
    vector16(u16(...hello.suites)),
    vector8(hello.compressions),
    emitExtensions(hello.extensions),
  );
}

/** The cookie of a DTLS ClientHello of which only the first fragment is there: `undefined` unless it is among the first
 * FIRST_EXTENSIONS_MAX extensions and lies whole in `fragment`. */
export function cookieOfFirstFragment(fragment: Uint8Array): Uint8Array | undefined {
  const reader = new Reader(fragment);
  readStart("dtls", reader);
  reader.u16(); // length of the extensions, which go on in the next fragment
  for (let count = 0; count < FIRST_EXTENSIONS_MAX; count++) {
    const type = reader.u16();
    const body = reader.vector16();
    if (reader.failed) return undefined;
    if (type === EXTENSION.cookie) return parseCookie(body);
  }
  return undefined;
}

function readStart(protocol: "dtls" | "tls", reader: Reader) {
  return {
    legacyVersion: reader.u16(),
    random: reader.bytes(RANDOM_LEN),
    sessionId: reader.vector8(),
    legacyCookie: protocol === "dtls" ? reader.vector8() : new Uint8Array(0),
    suiteBytes: reader.vector16(),
    compressions: reader.vector8(),
  };
}
