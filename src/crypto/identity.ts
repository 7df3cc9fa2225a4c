/** PSK identities that name nobody to an observer: base64url(n ‖ HMAC-SHA256(identity key, n) cut to 16 bytes), with
 * n of 16 random bytes per handshake. Only who has the key can tell whose it is, or that two belong together. */

import { assert, concat, equalsConstantTime, fromBase64Url, toBase64Url } from "../base/mod.ts";
import { hmacOf } from "./suites.ts";

// Chosen here.
export const IDENTITY_NONCE_LEN = 16;
const IDENTITY_MAC_LEN = 16;
/** Characters of base64url without padding for 32 bytes. */
export const IDENTITY_LEN = 43;

/** The 43 ASCII bytes of one handshake's identity; `nonce` is 16 fresh random bytes. */
export function makeIdentity(identityKey: Uint8Array, nonce: Uint8Array): Uint8Array {
  assert(nonce.length === IDENTITY_NONCE_LEN, "an identity nonce has 16 bytes");
  const mac = hmacOf("sha256", identityKey, nonce).subarray(0, IDENTITY_MAC_LEN);
  return toBase64Url(concat(nonce, mac));
}

/** Whether `identity` was made with `identityKey`; takes the same time whether it was or not, for one length. */
export function identityMatches(identityKey: Uint8Array, identity: Uint8Array): boolean {
  if (identity.length !== IDENTITY_LEN) return false;
  const nonce = fromBase64Url(identity, IDENTITY_NONCE_LEN);
  if (nonce === undefined) return false;
  return equalsConstantTime(makeIdentity(identityKey, nonce), identity);
}
