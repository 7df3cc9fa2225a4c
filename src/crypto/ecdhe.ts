/** X25519 (RFC 7748) and secp256r1 (FIPS 186-5) as groups of a key exchange, RFC 8446 §4.2.8, §7.4.2. */

import { x25519 } from "@noble/curves/ed25519.js";
import { p256 } from "@noble/curves/nist.js";
import type { Group } from "./key_exchange_group.ts";
import { wipe } from "./wipe.ts";

export const X25519_LEN = 32;

interface Curve {
  readonly seedLen: number;
  readonly shareLen: number;
  /** A private key of uniformly random `seed`. */
  privateKey(seed: Uint8Array): Uint8Array;
  publicKey(privateKey: Uint8Array): Uint8Array;
  /** Throws for an invalid peer share of the right length. */
  sharedSecret(privateKey: Uint8Array, peerShare: Uint8Array): Uint8Array;
}

export const X25519: Group = groupOf({
  seedLen: X25519_LEN,
  shareLen: X25519_LEN,
  privateKey: (seed) => seed.slice(),
  publicKey: (privateKey) => x25519.getPublicKey(privateKey),
  sharedSecret: x25519SharedSecret,
});

export const SECP256R1: Group = groupOf({
  seedLen: 48, // 16 bytes more than the order has: no bias (FIPS 186-5 §A.2.1)
  shareLen: 65,
  privateKey: (seed) => p256.utils.randomSecretKey(seed),
  publicKey: (privateKey) => p256.getPublicKey(privateKey, false),
  sharedSecret: p256SharedSecret,
});

function groupOf(curve: Curve): Group {
  return {
    clientSeedLen: curve.seedLen,
    serverSeedLen: curve.seedLen,
    clientShareLen: curve.shareLen,
    serverShareLen: curve.shareLen,
    privateKey: curve.privateKey,
    clientShare: curve.publicKey,
    finish: curve.sharedSecret,
    respond(seed, clientShare) {
      const privateKey = curve.privateKey(seed);
      try {
        return { secret: curve.sharedSecret(privateKey, clientShare), share: curve.publicKey(privateKey) };
      } finally {
        wipe(privateKey);
      }
    },
  };
}

function x25519SharedSecret(privateKey: Uint8Array, peerShare: Uint8Array): Uint8Array {
  const secret = x25519.getSharedSecret(privateKey, peerShare);
  // RFC 8446 §7.4.2: an all-zero X25519 result MUST be refused. Looks at every byte in any case.
  if (secret.reduce((all, byte) => all | byte, 0) === 0) {
    throw new RangeError("Cannot use a point of small order");
  }
  return secret;
}

/** The x coordinate, RFC 8446 §7.4.2. Of 65 bytes the library takes an uncompressed point on the curve alone, as
 * §4.2.8.2 wants, and throws for all else. */
function p256SharedSecret(privateKey: Uint8Array, peerShare: Uint8Array): Uint8Array {
  const point = p256.getSharedSecret(privateKey, peerShare, true);
  const secret = point.slice(1);
  wipe(point);
  return secret;
}
