/** A client's hello with its binders, padded where that is asked for. */

import { assert } from "../base/mod.ts";
import { KeySchedule, type Protocol, verifyData } from "../crypto/key_schedule.ts";
import { hashLenOf, type HashName, hashOf } from "../crypto/suites.ts";
import type { Transcript } from "../crypto/transcript.ts";
import { wipe } from "../crypto/wipe.ts";
import { emitClientHello, LEGACY_VERSION, VERSION_1_3 } from "../wire/client_hello.ts";
import {
  emitClientShares,
  emitClientVersions,
  emitConnectionId,
  emitCookie,
  emitGroups,
  emitOfferedPsks,
  emitPadding,
  emitPskModes,
  emitReturnRoutabilityCheck,
  type Extension,
  type KeyShareEntry,
  PSK_MODE,
} from "../wire/extensions.ts";
import { emitTlsHandshakeMessage, HANDSHAKE_TYPE } from "../wire/handshake_header.ts";
import type { Policy, PskOffer } from "./types.ts";

export interface HelloParts {
  readonly policy: Policy;
  readonly random: Uint8Array;
  readonly shares: readonly KeyShareEntry[];
  readonly cookie: Uint8Array | undefined;
  readonly offers: readonly PskOffer[];
  /** The id for the server's records, empty for none; absent: connection ids are not offered. */
  readonly connectionId?: Uint8Array;
  /** The body's length becomes a multiple of this by the padding extension (RFC 7685); 0: no padding extension. */
  readonly unit: number;
}

/** The body of a ClientHello. `before` is the transcript up to it, with its hash chosen, when it is the second one. */
export function buildClientHello(parts: HelloParts, before: Transcript | undefined): Uint8Array {
  const natural = emitParts(parts, parts.unit > 0 ? 0 : undefined);
  const body = parts.unit > 0
    ? emitParts(parts, Math.ceil(natural.length / parts.unit) * parts.unit - natural.length)
    : natural;
  assert(parts.unit === 0 || body.length % parts.unit === 0, "a padded hello fills its datagrams");
  writeBinders(parts, body, before);
  return body;
}

function emitParts(parts: HelloParts, paddingLen: number | undefined): Uint8Array {
  const { policy, offers, cookie, connectionId } = parts;
  const binderLens = offers.map(({ hash }) => hashLenOf(hash));
  const extensions: Extension[] = [
    // First, so that a server can check it before it keeps anything of a fragmented hello.
    ...(cookie === undefined ? [] : [emitCookie(cookie)]),
    emitClientVersions([VERSION_1_3[policy.protocol]]),
    emitGroups(policy.groups),
    emitClientShares(parts.shares),
    emitPskModes([PSK_MODE.pskDheKe]),
    // RFC 9853 §3: who offers the one SHOULD offer the other.
    ...(connectionId === undefined ? [] : [emitConnectionId(connectionId), emitReturnRoutabilityCheck()]),
    ...(paddingLen === undefined ? [] : [emitPadding(paddingLen)]),
    emitOfferedPsks(offers.map(({ identity }) => identity), binderLens), // RFC 8446 §4.2.11: the last one
  ];
  return emitClientHello(policy.protocol, {
    legacyVersion: LEGACY_VERSION[policy.protocol],
    random: parts.random,
    sessionId: new Uint8Array(0), // RFC 9147 §5.3 for DTLS; no middlebox compatibility in TLS
    legacyCookie: new Uint8Array(0),
    suites: policy.suites,
    compressions: Uint8Array.of(0),
    extensions,
  });
}

/** RFC 8446 §4.2.11.2: each binder is over the hello up to all of them. They stand at the end of the body. */
function writeBinders(parts: HelloParts, body: Uint8Array, before: Transcript | undefined): void {
  const { policy: { protocol }, offers } = parts;
  const bindersLen = 2 + offers.reduce((len, { hash }) => len + 1 + hashLenOf(hash), 0);
  const truncated = emitTlsHandshakeMessage(HANDSHAKE_TYPE.clientHello, body).subarray(
    0,
    4 + body.length - bindersLen,
  );
  let at = body.length - bindersLen + 2;
  for (const offer of offers) {
    const hash = before === undefined ? hashOf(offer.hash, truncated) : before.hash(truncated);
    body.set(binderOf(protocol, offer, hash), at + 1);
    at += 1 + hashLenOf(offer.hash);
  }
}

function binderOf(
  protocol: Protocol,
  offer: PskOffer & { readonly hash: HashName },
  transcriptHash: Uint8Array,
): Uint8Array {
  const schedule = new KeySchedule(offer, protocol, offer.psk);
  const binderKey = schedule.binderKey(offer.binder);
  const binder = verifyData(offer, protocol, binderKey, transcriptHash);
  wipe(binderKey);
  schedule.wipe();
  return binder;
}
