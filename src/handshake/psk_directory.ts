/** From long-term keys to PSKs on the wire and back: hidden identities and imported keys between our own programs,
 * plain ones with foreign peers. */

import { equalsConstantTime, heapSecrets, type SecretMemory } from "../base/mod.ts";
import { IDENTITY_NONCE_LEN, identityMatches, makeIdentity } from "../crypto/identity.ts";
import type { Protocol } from "../crypto/key_schedule.ts";
import {
  emitImportedIdentity,
  importedIdentity,
  importPsk,
  parseImportedIdentity,
  TARGET_KDF,
  TARGET_PROTOCOL,
} from "../crypto/psk_import.ts";
import { type HashName, suiteById } from "../crypto/suites.ts";
import { identityKeyOf, importerKeyOf } from "../crypto/subkeys.ts";
import { wipe } from "../crypto/wipe.ts";
import type { Entropy, PskCandidate, PskOffer } from "./types.ts";

// Set by a standard.
/** RFC 8446 §4.2.11: of an external key that was agreed without any. */
const PLAIN_HASH: HashName = "sha256";
// Chosen here.
const NO_KEY = new Uint8Array(32);

/** One client's long-term key. */
export interface LongTermKey {
  /** 32 bytes; with a plain identity any number. Never changed, never wiped here. */
  readonly key: Uint8Array;
  /** For foreign peers: this identity goes over the wire as it is, and `key` is used without import. Empty for version 0
   * peers. Absent: a fresh identity that tells an observer nothing, and a key imported for protocol and hash, each made
   * of a key that `key` stands for (src/crypto/subkeys.ts). */
  readonly plainIdentity?: Uint8Array;
  /** The hash that a key with a plain identity was agreed for; SHA-256 if for none (RFC 8446 §4.2.11). */
  readonly plainHash?: HashName;
}

/** What a client offers in one handshake: one PSK for each hash among its suites; with a plain identity one alone, for
 * the hash of that. */
export function pskOffers(
  longTerm: LongTermKey,
  protocol: Protocol,
  suites: readonly number[],
  entropy: Entropy,
): PskOffer[] {
  const { key, plainIdentity, plainHash = PLAIN_HASH } = longTerm;
  if (plainIdentity !== undefined) {
    return [{ identity: plainIdentity.slice(), psk: key.slice(), hash: plainHash, binder: "external" }];
  }
  const identityKey = identityKeyOf(key);
  const nonce = new Uint8Array(IDENTITY_NONCE_LEN);
  entropy.fill(nonce);
  const external = makeIdentity(identityKey, nonce);
  wipe(identityKey);
  const importerKey = importerKeyOf(key);
  const hashes = [...new Set(suites.map((suite) => suiteById(suite).hash))];
  const offers = hashes.map((hash): PskOffer => {
    const imported = importedIdentity(external, protocol, hash);
    const psk = importPsk(importerKey, imported)!; // never undefined: the target is one of ours
    return { identity: emitImportedIdentity(imported), psk, hash, binder: "imported" };
  });
  wipe(importerKey);
  return offers;
}

/** The hash that a PSK under this identity is for, as far as the identity tells; a plain one is for `plainHash`. */
export function hashOfIdentity(
  identity: Uint8Array,
  protocol: Protocol,
  plainHash: HashName = PLAIN_HASH,
): HashName {
  const imported = parseImportedIdentity(identity);
  if (imported?.targetProtocol !== TARGET_PROTOCOL[protocol]) return plainHash;
  return imported.targetKdf === TARGET_KDF.sha384 ? "sha384" : "sha256";
}

interface Entry {
  readonly index: number;
  /** The importer's, or, with a plain identity, the PSK itself. */
  readonly key: Uint8Array;
  /** Of no meaning with a plain identity. */
  readonly identityKey: Uint8Array;
  readonly plainIdentity: Uint8Array | undefined;
  readonly plainHash: HashName;
}

/** A server's clients. Looks through all of them each time, so that the time tells nothing about whom it found. */
export class PskDirectory {
  readonly #protocol: Protocol;
  readonly #entries: readonly Entry[];
  readonly #secrets: SecretMemory;

  /** The index of a client in the list is its clientIndex. What is needed of the keys is kept in `secrets`. */
  constructor(protocol: Protocol, clients: readonly LongTermKey[], secrets: SecretMemory = heapSecrets) {
    this.#protocol = protocol;
    this.#secrets = secrets;
    this.#entries = clients.map(({ key, plainIdentity, plainHash = PLAIN_HASH }, index) => ({
      index,
      key: this.#kept(plainIdentity === undefined ? importerKeyOf(key) : key.slice()),
      identityKey: this.#kept(identityKeyOf(key)),
      plainIdentity,
      plainHash,
    }));
  }

  #kept(secret: Uint8Array): Uint8Array {
    const block = this.#secrets.take(secret.length);
    block.set(secret);
    wipe(secret);
    return block;
  }

  /** Wipes all keys: the last thing to be done with it. */
  wipe(): void {
    for (const { key, identityKey } of this.#entries) {
      this.#secrets.give(key);
      this.#secrets.give(identityKey);
    }
  }

  /** A PskLookup. */
  lookup(identity: Uint8Array, hash: HashName): PskCandidate[] {
    const imported = parseImportedIdentity(identity);
    const isForThis = imported !== undefined && imported.context.length === 0 &&
      imported.targetProtocol === TARGET_PROTOCOL[this.#protocol] && imported.targetKdf === TARGET_KDF[hash];
    const owners: Entry[] = [];
    this.#entries.forEach((entry) => {
      const { identityKey, plainIdentity, plainHash } = entry;
      const matches = plainIdentity !== undefined
        ? hash === plainHash && equalsConstantTime(plainIdentity, identity)
        : isForThis && identityMatches(identityKey, imported.externalIdentity);
      if (matches) owners.push(entry);
    });
    const candidate = (owner: Entry | undefined): PskCandidate => {
      const key = owner?.key ?? NO_KEY;
      const isImported = isForThis && owner?.plainIdentity === undefined;
      const psk = isImported ? importPsk(key, imported)! : key.slice();
      return { psk, binder: isImported ? "imported" : "external", clientIndex: owner?.index ?? -1 };
    };
    if (owners.length > 0) return owners.map(candidate);
    candidate(undefined); // also for nobody: the same work
    return [];
  }
}
