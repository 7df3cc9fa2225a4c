/** HelloRetryRequest on the server's side: what has to be known of the first ClientHello when the second one comes. It
 * fits a cookie, so that nobody has to remember anything. RFC 8446 §4.1.4, §4.2.2. */

import type { Protocol } from "../crypto/key_schedule.ts";
import { type HashName, hashOf, suiteById } from "../crypto/suites.ts";
import { type ClientHello, LEGACY_VERSION, VERSION_1_3 } from "../wire/client_hello.ts";
import { emitCookie, emitOneU16, EXTENSION } from "../wire/extensions.ts";
import { emitTlsHandshakeHeader, HANDSHAKE_TYPE } from "../wire/handshake_header.ts";
import { emitServerHello, retryRandom } from "../wire/server_hello.ts";
import { u16, vector16, vector8 } from "../wire/vectors.ts";
import type { CheckedHello } from "./client_hello_checks.ts";

export const HELLO_DIGEST_LEN = 16;

/** What the HelloRetryRequest said and what it answered. */
export interface RetryState {
  readonly suite: number;
  readonly group: number;
  /** Whether it named the group, since the first ClientHello had no share of it. */
  readonly namedGroup: boolean;
  /** Hash of the first ClientHello, by the suite's hash. */
  readonly helloHash: Uint8Array;
  /** `unchangingDigest` of the first ClientHello. */
  readonly helloDigest: Uint8Array;
  /** The cookie that was sent, if any. */
  readonly cookie?: Uint8Array;
  /** legacy_session_id_echo. */
  readonly sessionId: Uint8Array;
}

/** The state after `checked`, whose message body is `body`. */
export function retryStateOf(protocol: Protocol, body: Uint8Array, checked: CheckedHello): RetryState {
  const { hash } = suiteById(checked.suite);
  return {
    suite: checked.suite,
    group: checked.group,
    namedGroup: !checked.shares.some(({ group }) => group === checked.group),
    helloHash: clientHelloHash(hash, body),
    helloDigest: unchangingDigest(protocol, checked.hello),
    sessionId: new Uint8Array(0),
  };
}

/** The body of the HelloRetryRequest; the same bytes each time for the same state. */
export function emitRetry(protocol: Protocol, state: RetryState): Uint8Array {
  return emitServerHello({
    legacyVersion: LEGACY_VERSION[protocol],
    random: retryRandom(),
    sessionIdEcho: state.sessionId,
    suite: state.suite,
    compression: 0,
    extensions: [
      emitOneU16(EXTENSION.supportedVersions, VERSION_1_3[protocol]),
      // RFC 8446 §4.2.8: only a group that the client sent no share of.
      ...(state.namedGroup ? [emitOneU16(EXTENSION.keyShare, state.group)] : []),
      ...(state.cookie === undefined ? [] : [emitCookie(state.cookie)]),
    ],
  });
}

/** Extensions that RFC 8446 §4.1.2 allows a client to change, add or remove after a HelloRetryRequest. */
const CHANGEABLE: readonly number[] = [
  EXTENSION.keyShare,
  EXTENSION.cookie,
  EXTENSION.earlyData,
  EXTENSION.preSharedKey,
  EXTENSION.padding,
];

/** 16 bytes over everything in a ClientHello that must be the same in the second one: RFC 8446 §4.1.2. */
export function unchangingDigest(protocol: Protocol, hello: ClientHello): Uint8Array {
  // Their order means nothing (RFC 8446 §4.2), and some clients change it.
  const fixed = hello.extensions.filter(({ type }) => !CHANGEABLE.includes(type)).sort((a, b) =>
    a.type - b.type
  );
  const digest = hashOf(
    "sha256",
    u16(hello.legacyVersion),
    hello.random,
    vector8(hello.sessionId),
    protocol === "dtls" ? vector8(hello.legacyCookie) : new Uint8Array(0),
    vector16(u16(...hello.suites)),
    vector8(hello.compressions),
    ...fixed.flatMap(({ type, body }) => [u16(type, body.length), body]),
  );
  return digest.slice(0, HELLO_DIGEST_LEN);
}

function clientHelloHash(hash: HashName, body: Uint8Array): Uint8Array {
  return hashOf(hash, emitTlsHandshakeHeader(HANDSHAKE_TYPE.clientHello, body.length), body);
}
