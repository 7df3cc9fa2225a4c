/** The cipher suites of TLS 1.3 and DTLS 1.3 that are spoken here (RFC 8446 §B.4), and what bounds their use. */

import { sha256, sha384 } from "@noble/hashes/sha2.js";
import { hmac } from "@noble/hashes/hmac.js";

export type HashName = "sha256" | "sha384";

export interface CipherSuite {
  /** As in a hello's cipher_suites. */
  readonly id: number;
  readonly name: string;
  readonly hash: HashName;
  /** Bytes of the hash, of every traffic secret, of a Finished. */
  readonly hashLen: number;
  /** Bytes of the AEAD's key and of the sequence number key. */
  readonly keyLen: number;
  /** Records that one key may protect, at most (RFC 8446 §5.5, RFC 9147 §4.5.3). */
  readonly confidentialityLimit: number;
  /** Failed opens under one key after which it must not be used any more (RFC 9147 §4.5.3). */
  readonly integrityLimit: number;
}

// Set by a standard.
export const AEAD_TAG_LEN = 16;
export const AEAD_IV_LEN = 12;
/** The highest sequence number of a DTLS 1.3 epoch: RFC 9147 §4.2.1 keeps to the 48 bits of older versions. */
export const SEQUENCE_NUMBER_MAX = 2 ** 48 - 1;

/** TLS_CHACHA20_POLY1305_SHA256. */
export const CHACHA20_POLY1305 = 0x1303;

const SUITES: readonly CipherSuite[] = Object.freeze(
  [
    {
      id: 0x1301,
      name: "TLS_AES_128_GCM_SHA256",
      hash: "sha256",
      hashLen: 32,
      keyLen: 16,
      confidentialityLimit: Math.floor(2 ** 24.5),
      integrityLimit: 2 ** 36,
    },
    {
      id: 0x1302,
      name: "TLS_AES_256_GCM_SHA384",
      hash: "sha384",
      hashLen: 48,
      keyLen: 32,
      confidentialityLimit: Math.floor(2 ** 24.5),
      integrityLimit: 2 ** 36,
    },
    {
      id: CHACHA20_POLY1305,
      name: "TLS_CHACHA20_POLY1305_SHA256",
      hash: "sha256",
      hashLen: 32,
      keyLen: 32,
      confidentialityLimit: SEQUENCE_NUMBER_MAX + 1, // more than there are numbers
      integrityLimit: 2 ** 36,
    },
  ] satisfies CipherSuite[],
);

/** All suites spoken here, by ascending number. */
export function allSuites(): readonly CipherSuite[] {
  return SUITES;
}

/** The suite of this number, or `undefined`: for numbers that a peer sent. */
export function findSuite(id: number): CipherSuite | undefined {
  return SUITES.find((suite) => suite.id === id);
}

/** The suite of this number. Throws RangeError for an unknown one: for numbers that were checked before. */
export function suiteById(id: number): CipherSuite {
  const suite = findSuite(id);
  if (suite === undefined) throw new RangeError(`Unknown cipher suite 0x${id.toString(16)}`);
  return suite;
}

/** Bytes of a hash. */
export function hashLenOf(hash: HashName): number {
  return hash === "sha256" ? 32 : 48;
}

/** The hash over `parts`, one behind the other. */
export function hashOf(hash: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = hash === "sha256" ? sha256.create() : sha384.create();
  for (const part of parts) state.update(part);
  return state.digest();
}

/** HMAC (RFC 2104) with `key` over `bytes`; the result is as long as the hash. */
export function hmacOf(hash: HashName, key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return hash === "sha256" ? hmac(sha256, key, bytes) : hmac(sha384, key, bytes);
}

/** HMAC with SHA-256 under one key, over and over: what depends on the key alone is computed once. */
export class Sha256Mac {
  readonly #keyed: ReturnType<typeof hmac.create>;

  /** `key` is left for the caller to wipe. */
  constructor(key: Uint8Array) {
    this.#keyed = hmac.create(sha256, key);
  }

  /** The 32 bytes of HMAC over `bytes`. */
  of(bytes: Uint8Array): Uint8Array {
    return this.#keyed.clone().update(bytes).digest();
  }
}
