/** What a client demands of a ServerHello or a HelloRetryRequest. Pure: what does not pass changes nothing. */

import { suiteById } from "../crypto/suites.ts";
import { ALERT } from "../wire/alert.ts";
import { LEGACY_VERSION, VERSION_1_3 } from "../wire/client_hello.ts";
import {
  EXTENSION,
  type Extension,
  findExtension,
  type KeyShareEntry,
  parseConnectionId,
  parseCookie,
  parseOneU16,
  parseServerShare,
} from "../wire/extensions.ts";
import type { ServerHello } from "../wire/server_hello.ts";
import {
  type ConnectionIds,
  type Failure,
  illegal,
  type Policy,
  type PskOffer,
  undecodable,
} from "./types.ts";

/** Extensions that a client here ever sends: an answer may have no others (RFC 8446 §4.2). */
const OFFERED: readonly number[] = [
  EXTENSION.cookie,
  EXTENSION.supportedVersions,
  EXTENSION.supportedGroups,
  EXTENSION.keyShare,
  EXTENSION.pskKeyExchangeModes,
  EXTENSION.padding,
  EXTENSION.preSharedKey,
];
const CONNECTION: readonly number[] = [EXTENSION.connectionId, EXTENSION.returnRoutabilityCheck];
const IN_SERVER_HELLO = [EXTENSION.supportedVersions, EXTENSION.keyShare, EXTENSION.preSharedKey];
const IN_RETRY = [EXTENSION.supportedVersions, EXTENSION.keyShare, EXTENSION.cookie];

export interface CheckedServerHello {
  readonly suite: number;
  readonly share: KeyShareEntry;
  readonly offer: PskOffer;
  readonly connectionIds: ConnectionIds | undefined;
}

/** What a client says of connection ids. */
export interface ConnectionIdOffer {
  /** For the server's records; may be empty. */
  readonly own: Uint8Array;
  /** Bytes that the server's id must have; `undefined`: any number, or no id at all. */
  readonly peerLen?: number;
}

export interface CheckedRetry {
  readonly suite: number;
  readonly group: number | undefined;
  readonly cookie: Uint8Array | undefined;
}

/** RFC 8446 §4.2: what was not asked for is unsupported_extension, what stands in the wrong message illegal.
 * `idsOffered`: whether connection ids were. */
export function checkExtensionTypes(
  extensions: readonly Extension[],
  allowed: readonly number[],
  idsOffered: boolean,
): Failure | undefined {
  for (const { type } of extensions) {
    // RFC 8446 §4.2: a cookie in a HelloRetryRequest needs no offer.
    if (allowed.includes(type)) continue;
    return OFFERED.includes(type) || (idsOffered && CONNECTION.includes(type))
      ? illegal(`extension ${type} in the wrong message`)
      : { alert: ALERT.unsupportedExtension, reason: `extension ${type} was not offered` };
  }
  return undefined;
}

/** Checks a ServerHello against what was offered; `shareGroups` are the groups of the shares sent, `retry` what a
 * HelloRetryRequest before it chose. */
export function checkServerHello(
  policy: Policy,
  hello: ServerHello,
  offers: readonly PskOffer[],
  shareGroups: readonly number[],
  retry: CheckedRetry | undefined,
  ids: ConnectionIdOffer | undefined,
): CheckedServerHello | Failure {
  const allowed = ids === undefined ? IN_SERVER_HELLO : [...IN_SERVER_HELLO, ...CONNECTION];
  const failure = checkCommon(policy, hello) ??
    checkExtensionTypes(hello.extensions, allowed, ids !== undefined);
  if (failure !== undefined) return failure;
  // RFC 8446 §4.1.4: the suite MUST be that of the HelloRetryRequest.
  if (retry !== undefined && hello.suite !== retry.suite) {
    return illegal("the server changed the cipher suite");
  }
  const pskBody = findExtension(hello.extensions, EXTENSION.preSharedKey);
  // Without a PSK the server would have to show a certificate, which nobody here can check.
  if (pskBody === undefined) {
    return { alert: ALERT.handshakeFailure, reason: "the server chose no pre-shared key" };
  }
  const selected = parseOneU16(pskBody);
  if (selected === undefined) return undecodable("pre_shared_key");
  // RFC 8446 §4.2.11: in range, and of the suite's hash.
  const offer = offers[selected];
  if (offer === undefined || offer.hash !== suiteById(hello.suite).hash) {
    return illegal("the server chose an identity that does not fit");
  }
  const shareBody = findExtension(hello.extensions, EXTENSION.keyShare);
  // RFC 8446 §4.2.9: psk_dhe_ke was all that was offered.
  if (shareBody === undefined) return illegal("the server sent no key_share");
  const share = parseServerShare(shareBody);
  if (share === undefined) return undecodable("key_share");
  // RFC 8446 §4.2.8: of a group that a share was sent of.
  if (!shareGroups.includes(share.group)) return illegal("the server's share has another group");
  const connectionIds = checkConnectionIds(hello, ids);
  if (connectionIds !== undefined && "alert" in connectionIds) return connectionIds;
  return { suite: hello.suite, share, offer, connectionIds };
}

/** The ids as they are agreed on: RFC 9146 §3, RFC 9853 §3. */
function checkConnectionIds(
  { extensions }: ServerHello,
  ids: ConnectionIdOffer | undefined,
): ConnectionIds | Failure | undefined {
  if (ids === undefined) return undefined;
  const body = findExtension(extensions, EXTENSION.connectionId);
  const rrcBody = findExtension(extensions, EXTENSION.returnRoutabilityCheck);
  const peer = body && parseConnectionId(body);
  if (body !== undefined && peer === undefined) return undecodable("connection_id");
  if (rrcBody !== undefined && rrcBody.length > 0) return undecodable("rrc");
  if (peer === undefined && rrcBody !== undefined) return illegal("rrc without connection_id");
  if (ids.peerLen !== undefined && peer?.length !== ids.peerLen) {
    return {
      alert: ALERT.handshakeFailure,
      reason: `the server gave no connection id of ${ids.peerLen} bytes`,
    };
  }
  return peer && { own: ids.own, peer: peer.slice(), rrc: rrcBody !== undefined };
}

/** Checks a HelloRetryRequest; `shareGroups` are the groups of the shares in the first hello. */
export function checkRetry(
  policy: Policy,
  hello: ServerHello,
  shareGroups: readonly number[],
  idsOffered: boolean,
): CheckedRetry | Failure {
  const failure = checkCommon(policy, hello) ?? checkExtensionTypes(hello.extensions, IN_RETRY, idsOffered);
  if (failure !== undefined) return failure;
  const groupBody = findExtension(hello.extensions, EXTENSION.keyShare);
  const group = groupBody && parseOneU16(groupBody);
  if (groupBody !== undefined && group === undefined) return undecodable("key_share");
  // RFC 8446 §4.2.8: a group that was offered and that no share was sent of.
  if (group !== undefined && (!policy.groups.includes(group) || shareGroups.includes(group))) {
    return illegal("the server asks for a group that it cannot ask for");
  }
  const cookieBody = findExtension(hello.extensions, EXTENSION.cookie);
  const cookie = cookieBody && parseCookie(cookieBody);
  if (cookieBody !== undefined && cookie === undefined) return undecodable("cookie");
  // RFC 8446 §4.1.4: it must change the next hello.
  if (group === undefined && cookie === undefined) {
    return illegal("a HelloRetryRequest that asks for nothing");
  }
  if (group === undefined && shareGroups.length === 0) {
    return illegal("a HelloRetryRequest that names no group");
  }
  return { suite: hello.suite, group, cookie };
}

function checkCommon(policy: Policy, hello: ServerHello): Failure | undefined {
  const { protocol } = policy;
  const versionBody = findExtension(hello.extensions, EXTENSION.supportedVersions);
  // RFC 8446 §4.2.1: without it the server speaks an older version, which is not spoken here.
  if (versionBody === undefined) {
    return { alert: ALERT.protocolVersion, reason: "the server does not speak version 1.3" };
  }
  if (parseOneU16(versionBody) !== VERSION_1_3[protocol]) return illegal("the server chose another version");
  if (hello.legacyVersion !== LEGACY_VERSION[protocol]) return illegal("legacy_version is wrong");
  // RFC 8446 §4.1.3, RFC 9147 §5.3: the echo of an empty id is empty.
  if (hello.sessionIdEcho.length !== 0) return illegal("the server echoes a session id that was not sent");
  if (!policy.suites.includes(hello.suite)) return illegal("the server chose a suite that was not offered");
  if (hello.compression !== 0) return illegal("the server chose a compression");
  return undefined;
}
