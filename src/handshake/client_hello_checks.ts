/** What a server demands of a ClientHello before it looks at a key, and what it chooses from it. Pure: the stateless
 * first answer and the state machine ask the same. */

import { CHACHA20_POLY1305, findSuite, type HashName } from "../crypto/suites.ts";
import { ALERT } from "../wire/alert.ts";
import { type ClientHello, parseClientHello, VERSION_1_3 } from "../wire/client_hello.ts";
import {
  EXTENSION,
  findExtension,
  type KeyShareEntry,
  type OfferedPsks,
  parseClientShares,
  parseClientVersions,
  parseConnectionId,
  parseGroups,
  parseOfferedPsks,
  parsePskModes,
  PSK_MODE,
} from "../wire/extensions.ts";
import { hashOfIdentity } from "./psk_directory.ts";
import { type Failure, illegal, type Policy, undecodable } from "./types.ts";

// Chosen here.
/** Each identity costs a look through all clients. */
const IDENTITIES_MAX = 4;

/** A ClientHello that passed: everything needed parsed. Views into its bytes. */
export interface CheckedHello {
  readonly hello: ClientHello;
  readonly suite: number;
  readonly group: number;
  readonly shares: readonly KeyShareEntry[];
  readonly psks: OfferedPsks;
  /** Absent: the client does not offer connection ids. */
  readonly connectionIds: OfferedIds | undefined;
}

/** RFC 9146 §3, RFC 9853 §3. */
export interface OfferedIds {
  /** For the server's records; may be empty. */
  readonly peer: Uint8Array;
  readonly rrc: boolean;
}

/** Parses `body` and chooses the first suite and group of `policy` that the client has too, with a PSK that fits the
 * suite. With a fixed choice, of a HelloRetryRequest, the client must still have that. */
export function checkClientHello(
  policy: Policy,
  body: Uint8Array,
  fixed?: { readonly suite: number; readonly group: number },
): CheckedHello | Failure {
  const hello = parseClientHello(policy.protocol, body);
  if (hello === undefined) return undecodable("ClientHello");
  const failure = checkFrame(policy, hello);
  if (failure !== undefined) return failure;
  const psks = checkPsks(hello);
  if ("alert" in psks) return psks;
  const exchange = checkExchange(hello);
  if ("alert" in exchange) return exchange;
  const connectionIds = checkConnectionIds(hello);
  if (connectionIds !== undefined && "alert" in connectionIds) return connectionIds;

  const hashes = new Set<HashName>(
    psks.identities.map(({ identity }) => hashOfIdentity(identity, policy.protocol, policy.plainHash)),
  );
  const suite = preferred(policy, hello).find((id) =>
    hello.suites.includes(id) && hashes.has(findSuite(id)!.hash) &&
    (fixed === undefined || id === fixed.suite)
  );
  if (suite === undefined) return noCommon("cipher suite");
  const group = policy.groups.find((id) =>
    exchange.groups.includes(id) && (fixed === undefined || id === fixed.group)
  );
  if (group === undefined) return noCommon("key exchange group");
  return { hello, suite, group, shares: exchange.shares, psks, connectionIds };
}

/** The server's suites, its first choice first. */
function preferred(policy: Policy, hello: ClientHello): readonly number[] {
  const first = hello.suites.find((id) => policy.suites.includes(id));
  if (policy.yieldsToChaCha !== true || first !== CHACHA20_POLY1305) return policy.suites;
  return [first, ...policy.suites.filter((id) => id !== first)];
}

/** The fields that every 1.3 hello has, and the version. */
function checkFrame(policy: Policy, hello: ClientHello): Failure | undefined {
  const { protocol } = policy;
  const versions = findExtension(hello.extensions, EXTENSION.supportedVersions);
  const list = versions && parseClientVersions(versions);
  if (versions !== undefined && list === undefined) return undecodable("supported_versions");
  // RFC 8446 §4.2.1: only this extension counts; no older version is spoken here.
  if (list === undefined || !list.includes(VERSION_1_3[protocol])) {
    return { alert: ALERT.protocolVersion, reason: "the client does not offer version 1.3" };
  }
  // RFC 8446 §4.1.2: exactly the null compression.
  if (hello.compressions.length !== 1 || hello.compressions[0] !== 0) {
    return illegal("the client offers a compression");
  }
  // RFC 9147 §5.3: MUST be empty.
  if (hello.legacyCookie.length !== 0) return illegal("legacy_cookie is not empty");
  return undefined;
}

function checkPsks(hello: ClientHello): OfferedPsks | Failure {
  const body = findExtension(hello.extensions, EXTENSION.preSharedKey);
  if (body === undefined) {
    return { alert: ALERT.handshakeFailure, reason: "the client offers no pre-shared key" };
  }
  // RFC 8446 §4.2.11: it MUST be the last extension.
  if (hello.extensions[hello.extensions.length - 1].type !== EXTENSION.preSharedKey) {
    return illegal("pre_shared_key is not the last extension");
  }
  const psks = parseOfferedPsks(body);
  if (psks === undefined) return undecodable("pre_shared_key");
  // RFC 8446 §4.2.11: one binder for each identity.
  if (psks.binders.length !== psks.identities.length) {
    return illegal("identities and binders differ in number");
  }
  if (psks.identities.length > IDENTITIES_MAX) return illegal("too many identities");
  const modesBody = findExtension(hello.extensions, EXTENSION.pskKeyExchangeModes);
  // RFC 8446 §4.2.9: MUST abort without it.
  if (modesBody === undefined) return missing("psk_key_exchange_modes");
  const modes = parsePskModes(modesBody);
  if (modes === undefined) return undecodable("psk_key_exchange_modes");
  // psk_ke is never chosen: it has no forward secrecy.
  if (!modes.includes(PSK_MODE.pskDheKe)) {
    return { alert: ALERT.handshakeFailure, reason: "the client does not offer psk_dhe_ke" };
  }
  return psks;
}

function checkExchange(
  hello: ClientHello,
): { readonly groups: number[]; readonly shares: KeyShareEntry[] } | Failure {
  const groupsBody = findExtension(hello.extensions, EXTENSION.supportedGroups);
  const sharesBody = findExtension(hello.extensions, EXTENSION.keyShare);
  // RFC 8446 §9.2: each needs the other, and psk_dhe_ke both.
  if (groupsBody === undefined) return missing("supported_groups");
  if (sharesBody === undefined) return missing("key_share");
  const groups = parseGroups(groupsBody);
  if (groups === undefined) return undecodable("supported_groups");
  const shares = parseClientShares(sharesBody);
  if (shares === undefined) return undecodable("key_share");
  // RFC 8446 §4.2.8: one share a group, only of groups that are offered, in their order.
  let last = -1;
  for (const { group } of shares) {
    const index = groups.indexOf(group);
    if (index <= last) return illegal("key_share does not follow supported_groups");
    last = index;
  }
  return { groups, shares };
}

function checkConnectionIds({ extensions }: ClientHello): OfferedIds | Failure | undefined {
  const body = findExtension(extensions, EXTENSION.connectionId);
  const rrcBody = findExtension(extensions, EXTENSION.returnRoutabilityCheck);
  if (rrcBody !== undefined && rrcBody.length > 0) return undecodable("rrc");
  if (body === undefined) return undefined; // RFC 9853 §3: nor is rrc answered then
  const peer = parseConnectionId(body);
  return peer === undefined ? undecodable("connection_id") : { peer, rrc: rrcBody !== undefined };
}

function missing(extension: string): Failure {
  return { alert: ALERT.missingExtension, reason: `the client sent no ${extension}` };
}

function noCommon(what: string): Failure {
  return { alert: ALERT.handshakeFailure, reason: `no common ${what}` };
}
