/* The key schedule of RFC 8446 §7.1 with (EC)DHE and, for us, always an external PSK:
 * 1 early secret from the PSK (binder key) · 2 handshake secret from (EC)DHE (handshake traffic secrets)
 * · 3 master secret (application traffic secrets, exporter). Each step wipes the secret before it. */

import { assert } from "../base/mod.ts";
import { deriveSecret, expandLabel, extract, type Protocol } from "./hkdf.ts";
import { type CipherSuite, hashLenOf, type HashName, hashOf, hmacOf } from "./suites.ts";
import { wipe } from "./wipe.ts";

export type { Protocol } from "./hkdf.ts";

/** `external`: a PSK used as it is ("ext binder", RFC 8446 §7.1); `imported`: one of RFC 9258 §5.2 ("imp binder"). */
export type BinderKind = "external" | "imported";

export interface SecretPair {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

const EMPTY = new Uint8Array(0);
const BINDER_LABEL = { external: "ext binder", imported: "imp binder" } as const;

/** One handshake's key schedule. Guarantees the order of its stages: a call out of turn is a defect and throws.
 * All results are new arrays owned by the caller, who wipes them. */
export class KeySchedule {
  readonly #hash: HashName;
  readonly #protocol: Protocol;
  #secret: Uint8Array;
  #stage: "early" | "handshake" | "master" | "wiped" = "early";

  /** Begins with the early secret. `psk` is not kept; without one it counts as HashLen zeros. */
  constructor(suite: Pick<CipherSuite, "hash">, protocol: Protocol, psk?: Uint8Array) {
    this.#hash = suite.hash;
    this.#protocol = protocol;
    this.#secret = extract(this.#hash, undefined, psk ?? new Uint8Array(hashLenOf(this.#hash)));
  }

  /** The base key of PSK binders: `verifyData(hash, protocol, binderKey, hash of the truncated ClientHello)` is the
   * binder (RFC 8446 §4.2.11.2). */
  binderKey(kind: BinderKind): Uint8Array {
    this.#expect("early");
    return this.#derive(BINDER_LABEL[kind], hashOf(this.#hash, EMPTY));
  }

  /** Early → handshake, with the (EC)DHE shared secret, which the caller wipes. */
  mixSharedSecret(sharedSecret: Uint8Array): void {
    this.#expect("early");
    this.#advance(sharedSecret, "handshake");
  }

  /** Traffic secrets of epoch 2 from the hash over ClientHello..ServerHello. */
  handshakeSecrets(transcriptHash: Uint8Array): SecretPair {
    this.#expect("handshake");
    return {
      client: this.#derive("c hs traffic", transcriptHash),
      server: this.#derive("s hs traffic", transcriptHash),
    };
  }

  /** Handshake → master. */
  toMaster(): void {
    this.#expect("handshake");
    const zeros = new Uint8Array(hashLenOf(this.#hash));
    this.#advance(zeros, "master");
  }

  /** Traffic secrets 0 of application data (epoch 3) from the hash over ClientHello..server Finished. */
  applicationSecrets(transcriptHash: Uint8Array): SecretPair {
    this.#expect("master");
    return {
      client: this.#derive("c ap traffic", transcriptHash),
      server: this.#derive("s ap traffic", transcriptHash),
    };
  }

  /** The exporter master secret, from the same hash as `applicationSecrets`. See `exportKeyingMaterial`. */
  exporterSecret(transcriptHash: Uint8Array): Uint8Array {
    this.#expect("master");
    return this.#derive("exp master", transcriptHash);
  }

  /** Wipes what is left; nothing can be derived afterwards. */
  wipe(): void {
    wipe(this.#secret);
    this.#stage = "wiped";
  }

  #derive(label: string, transcriptHash: Uint8Array): Uint8Array {
    assert(transcriptHash.length === hashLenOf(this.#hash), "a transcript hash is as long as its hash");
    return deriveSecret(this.#hash, this.#protocol, this.#secret, label, transcriptHash);
  }

  #advance(ikm: Uint8Array, stage: "handshake" | "master"): void {
    const salt = this.#derive("derived", hashOf(this.#hash, EMPTY));
    wipe(this.#secret);
    this.#secret = extract(this.#hash, salt, ikm);
    this.#stage = stage;
    wipe(salt);
  }

  #expect(stage: "early" | "handshake" | "master"): void {
    assert(this.#stage === stage, `key schedule is in stage ${this.#stage}, not ${stage}`);
  }
}

/** verify_data of a Finished under a handshake traffic secret, or a PSK binder under a binder key: RFC 8446 §4.4.4.
 * Compare with `equalsConstantTime`. */
export function verifyData(
  suite: Pick<CipherSuite, "hash">,
  protocol: Protocol,
  baseKey: Uint8Array,
  transcriptHash: Uint8Array,
): Uint8Array {
  const key = finishedKey(suite, protocol, baseKey);
  const result = hmacOf(suite.hash, key, transcriptHash);
  wipe(key);
  return result;
}

/** finished_key of RFC 8446 §4.4.4; as long as the hash. */
export function finishedKey(
  suite: Pick<CipherSuite, "hash">,
  protocol: Protocol,
  baseKey: Uint8Array,
): Uint8Array {
  return expandLabel(suite.hash, protocol, baseKey, "finished", EMPTY, hashLenOf(suite.hash));
}

/** application_traffic_secret_N+1, RFC 8446 §7.2. `secret` is left for the caller to wipe. */
export function nextTrafficSecret(
  suite: Pick<CipherSuite, "hash">,
  protocol: Protocol,
  secret: Uint8Array,
): Uint8Array {
  return expandLabel(suite.hash, protocol, secret, "traffic upd", EMPTY, hashLenOf(suite.hash));
}

/** TLS-Exporter, RFC 8446 §7.5, of `KeySchedule.exporterSecret`; `label` without prefix. */
export function exportKeyingMaterial(
  suite: Pick<CipherSuite, "hash">,
  protocol: Protocol,
  exporterSecret: Uint8Array,
  label: string,
  context: Uint8Array,
  len: number,
): Uint8Array {
  const secret = deriveSecret(suite.hash, protocol, exporterSecret, label, hashOf(suite.hash, EMPTY));
  const result = expandLabel(suite.hash, protocol, secret, "exporter", hashOf(suite.hash, context), len);
  wipe(secret);
  return result;
}
