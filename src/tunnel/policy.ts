/** Suites, groups and keys of a configuration, as the handshake takes them; and the order of the suites where it names
 * none. */

import { assert } from "../base/mod.ts";
import type { GroupName, IdentityForm, PresharedKey, ProtocolVersion, SuiteName } from "../config/mod.ts";
import { GROUP } from "../crypto/key_exchange.ts";
import { allSuites } from "../crypto/suites.ts";
import type { LongTermKey } from "../handshake/psk_directory.ts";

export interface PolicyNames {
  /** Undefined: all, the order by what the CPU does fast. */
  readonly suites: readonly SuiteName[] | undefined;
  readonly groups: readonly GroupName[];
}

export interface PolicyNumbers {
  readonly suites: number[];
  readonly groups: number[];
  /** As in Policy. */
  readonly yieldsToChaCha: boolean;
}

const WITH_AES: readonly SuiteName[] = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
];
/** Without instructions for AES, ChaCha20 is several times faster, and AES from tables tells its key to the caches. */
const WITHOUT_AES: readonly SuiteName[] = [
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
];

/** Numbers in the same order of preference. */
export function policyOf({ suites, groups }: PolicyNames, hasAes: boolean): PolicyNumbers {
  return {
    suites: (suites ?? (hasAes ? WITH_AES : WITHOUT_AES)).map(suiteIdOf),
    groups: groups.map((name) => GROUP[name]),
    yieldsToChaCha: suites === undefined,
  };
}

/** Whether the CPU has instructions for AES and for GCM's multiplication, by the text of /proc/cpuinfo (flags of x86,
 * features of ARM). Where that cannot be read they are taken to be there, as nearly everywhere. */
export function hasAesInstructions(cpuInfo: string | undefined): boolean {
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(cpuInfo ?? "")?.[1];
  if (flags === undefined) return true;
  const names = flags.trim().split(/\s+/);
  return names.includes("aes") && (names.includes("pclmulqdq") || names.includes("pmull"));
}

function suiteIdOf(name: SuiteName): number {
  const suite = allSuites().find((candidate) => candidate.name === name);
  assert(suite !== undefined, `a suite that the configuration knows exists: ${name}`);
  return suite.id;
}

export interface KeyEntry {
  readonly name: string;
  readonly key: PresharedKey;
  readonly protocol: ProtocolVersion;
  readonly identity: IdentityForm;
}

/** The key where it lies. A password of version 0 is a PSK as it is, under the empty identity; a key with a plain
 * identity one under the client's name. */
export function longTermKeyOf({ name, key, protocol, identity }: KeyEntry): LongTermKey {
  if (protocol === "v0") return { key: key.view(), plainIdentity: new Uint8Array(0) };
  if (identity === "plain") return { key: key.view(), plainIdentity: new TextEncoder().encode(name) };
  return { key: key.view() };
}
