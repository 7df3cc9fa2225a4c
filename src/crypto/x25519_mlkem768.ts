/** X25519MLKEM768 (0x11ec), draft-ietf-tls-ecdhe-mlkem: ML-KEM-768 (FIPS 203) and X25519 side by side. Who breaks one of
 * them learns nothing. Everywhere ML-KEM's part comes first. */

import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { concat } from "../base/mod.ts";
import { X25519, X25519_LEN } from "./ecdhe.ts";
import type { Group } from "./key_exchange_group.ts";
import { wipe } from "./wipe.ts";

// Set by FIPS 203 §8, table 3.
const ENCAPSULATION_KEY_LEN = 1184;
const DECAPSULATION_KEY_LEN = 2400;
const CIPHERTEXT_LEN = 1088;
/** d and z of KeyGen, Algorithm 19. */
const KEY_SEED_LEN = 64;
/** m of Encaps, Algorithm 20. */
const ENCAPSULATION_SEED_LEN = 32;

export const X25519MLKEM768: Group = {
  clientSeedLen: KEY_SEED_LEN + X25519.clientSeedLen,
  serverSeedLen: ENCAPSULATION_SEED_LEN + X25519.serverSeedLen,
  clientShareLen: ENCAPSULATION_KEY_LEN + X25519_LEN,
  serverShareLen: CIPHERTEXT_LEN + X25519_LEN,

  privateKey(seed) {
    const { secretKey } = ml_kem768.keygen(seed.subarray(0, KEY_SEED_LEN));
    const scalar = X25519.privateKey(seed.subarray(KEY_SEED_LEN));
    const privateKey = concat(secretKey, scalar);
    wipe(secretKey, scalar);
    return privateKey;
  },

  clientShare(privateKey) {
    return concat(
      ml_kem768.getPublicKey(privateKey.subarray(0, DECAPSULATION_KEY_LEN)),
      X25519.clientShare(privateKey.subarray(DECAPSULATION_KEY_LEN)),
    );
  },

  finish(privateKey, serverShare) {
    const agreed = X25519.finish(
      privateKey.subarray(DECAPSULATION_KEY_LEN),
      serverShare.subarray(CIPHERTEXT_LEN),
    );
    // FIPS 203 §6.3: a false ciphertext gives a random secret, no error; the server's Finished shows it.
    const decapsulated = ml_kem768.decapsulate(
      serverShare.subarray(0, CIPHERTEXT_LEN),
      privateKey.subarray(0, DECAPSULATION_KEY_LEN),
    );
    return joined(decapsulated, agreed);
  },

  respond(seed, clientShare) {
    // FIPS 203 §7.2: the library checks that all coefficients are reduced, and throws otherwise.
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(
      clientShare.subarray(0, ENCAPSULATION_KEY_LEN),
      seed.subarray(0, ENCAPSULATION_SEED_LEN),
    );
    try {
      const curve = X25519.respond(
        seed.subarray(ENCAPSULATION_SEED_LEN),
        clientShare.subarray(ENCAPSULATION_KEY_LEN),
      );
      return { share: concat(cipherText, curve.share), secret: joined(sharedSecret, curve.secret) };
    } finally {
      wipe(sharedSecret);
    }
  },
};

/** Both secrets in one; they are wiped. */
function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const secret = concat(first, second);
  wipe(first, second);
  return secret;
}
