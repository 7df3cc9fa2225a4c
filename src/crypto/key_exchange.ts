/** (EC)DHE groups of RFC 8446 §4.2.8. Two moves, so that a KEM fits as well: the client generates a share, the server
 * responds with share and secret, the client finishes. */

import { x25519 } from "@noble/curves/ed25519.js";
import { p256 } from "@noble/curves/nist.js";
import { assert } from "../base/mod.ts";
import type { Entropy } from "../ports/mod.ts";
import { wipe } from "./wipe.ts";

export const GROUP = { secp256r1: 0x0017, x25519: 0x001d } as const;

/** The client's half of an exchange; keeps its private key until `finish` or `wipe`. */
export interface KeyShare {
  readonly group: number;
  /** key_exchange of the client's KeyShareEntry. */
  readonly share: Uint8Array;
  /** The shared secret, or `undefined` if the peer's share is invalid: illegal_parameter. Uses the private key up:
   * a second call is a defect and throws. */
  finish(peerShare: Uint8Array): Uint8Array | undefined;
  wipe(): void;
}

export interface KeyResponse {
  /** key_exchange of the server's KeyShareEntry. */
  readonly share: Uint8Array;
  /** Owned and wiped by the caller. */
  readonly secret: Uint8Array;
}

interface Curve {
  readonly seedLen: number;
  readonly shareLen: number;
  /** A private key of uniformly random `seed`. */
  privateKey(seed: Uint8Array): Uint8Array;
  publicKey(privateKey: Uint8Array): Uint8Array;
  /** Throws for an invalid peer share. */
  sharedSecret(privateKey: Uint8Array, peerShare: Uint8Array): Uint8Array;
}

const CURVES: ReadonlyMap<number, Curve> = new Map<number, Curve>([
  [GROUP.x25519, {
    seedLen: 32,
    shareLen: 32,
    privateKey: (seed) => seed.slice(),
    publicKey: (privateKey) => x25519.getPublicKey(privateKey),
    sharedSecret: (privateKey, peerShare) => x25519.getSharedSecret(privateKey, peerShare),
  }],
  [GROUP.secp256r1, {
    seedLen: 48, // 16 bytes more than the order has: no bias (FIPS 186-5 §A.2.1)
    shareLen: 65,
    privateKey: (seed) => p256.utils.randomSecretKey(seed),
    publicKey: (privateKey) => p256.getPublicKey(privateKey, false),
    sharedSecret: p256SharedSecret,
  }],
]);

export function isKnownGroup(group: number): boolean {
  return CURVES.has(group);
}

/** Bytes of a client's or server's share in `group`, which must be known. */
export function shareLenOf(group: number): number {
  return curveOf(group).shareLen;
}

/** A client's share in `group`. Throws RangeError for an unknown group. */
export function generate(group: number, entropy: Entropy): KeyShare {
  const curve = curveOf(group);
  const privateKey = newPrivateKey(curve, entropy);
  let used = false;
  return {
    group,
    share: curve.publicKey(privateKey),
    finish(peerShare) {
      assert(!used, "a private key serves one exchange");
      used = true;
      const secret = sharedSecret(curve, privateKey, peerShare);
      wipe(privateKey);
      return secret;
    },
    wipe() {
      used = true;
      wipe(privateKey);
    },
  };
}

/** A server's answer to a client's share, or `undefined` if that is invalid: illegal_parameter. Throws RangeError for an
 * unknown group. */
export function respond(group: number, peerShare: Uint8Array, entropy: Entropy): KeyResponse | undefined {
  const curve = curveOf(group);
  const privateKey = newPrivateKey(curve, entropy);
  const secret = sharedSecret(curve, privateKey, peerShare);
  const share = curve.publicKey(privateKey);
  wipe(privateKey);
  return secret === undefined ? undefined : { share, secret };
}

function curveOf(group: number): Curve {
  const curve = CURVES.get(group);
  if (curve === undefined) throw new RangeError(`Unknown group 0x${group.toString(16)}`);
  return curve;
}

function newPrivateKey(curve: Curve, entropy: Entropy): Uint8Array {
  const seed = new Uint8Array(curve.seedLen);
  entropy.fill(seed);
  const privateKey = curve.privateKey(seed);
  wipe(seed);
  return privateKey;
}

function sharedSecret(curve: Curve, privateKey: Uint8Array, peerShare: Uint8Array): Uint8Array | undefined {
  if (peerShare.length !== curve.shareLen) return undefined;
  let secret: Uint8Array;
  try {
    secret = curve.sharedSecret(privateKey, peerShare);
  } catch {
    return undefined; // a point not on the curve, the point at infinity
  }
  // RFC 8446 §7.4.2: an all-zero X25519 result MUST be refused. Looks at every byte in any case.
  return secret.reduce((all, byte) => all | byte, 0) === 0 ? undefined : secret;
}

/** The x coordinate, RFC 8446 §7.4.2. Of 65 bytes the library takes an uncompressed point on the curve alone, as
 * §4.2.8.2 wants, and throws for all else. */
function p256SharedSecret(privateKey: Uint8Array, peerShare: Uint8Array): Uint8Array {
  const point = p256.getSharedSecret(privateKey, peerShare, true);
  const secret = point.slice(1);
  wipe(point);
  return secret;
}
