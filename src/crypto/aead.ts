/** Record protection's primitives in plain TypeScript: the twin that the shim's AEAD is compared with, and what
 * handshakes use. */

import { ecb, gcm } from "@noble/ciphers/aes.js";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { assert } from "../base/mod.ts";
import { chachaBlock } from "./chacha_block.ts";
import { AEAD_TAG_LEN, type CipherSuite, SEQUENCE_NUMBER_MAX } from "./suites.ts";
import { type TrafficKeys, wipeTrafficKeys } from "./traffic_keys.ts";

/** Bytes of ciphertext that the sequence number mask is made of: RFC 9147 §4.2.3. */
export const MASK_SAMPLE_LEN = 16;

/** One direction of one epoch. Sequence numbers are whole numbers up to 2^48 - 1; whoever seals never uses one twice. */
export interface Aead {
  readonly suite: CipherSuite;
  /** Ciphertext and tag: 16 bytes more than `plaintext`. `header` is the additional data. */
  seal(sequenceNumber: number, header: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** The plaintext, or `undefined` if the tag is wrong: count it, drop it. */
  open(sequenceNumber: number, header: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /** 16 bytes to be xored over a record's sequence number, from the first 16 bytes of its ciphertext. */
  mask(sample: Uint8Array): Uint8Array;
  /** Wipes the keys; nothing works afterwards. */
  wipe(): void;
}

/** An Aead that takes `keys` over and wipes them in its `wipe`. */
export function plainAead(suite: CipherSuite, keys: TrafficKeys): Aead {
  const isChaCha = suite.id === 0x1303;
  const cipher = isChaCha ? chacha20poly1305 : gcm;
  let wiped = false;
  const nonceOf = (sequenceNumber: number) => {
    assert(!wiped, "a wiped key seals and opens nothing");
    return nonce(keys.iv, sequenceNumber);
  };
  return {
    suite,
    seal: (sequenceNumber, header, plaintext) =>
      cipher(keys.key, nonceOf(sequenceNumber), header).encrypt(plaintext),
    open(sequenceNumber, header, sealed) {
      const perRecord = nonceOf(sequenceNumber);
      if (sealed.length < AEAD_TAG_LEN) return undefined;
      try {
        return cipher(keys.key, perRecord, header).decrypt(sealed);
      } catch {
        return undefined;
      }
    },
    mask(sample) {
      assert(
        !wiped && sample.length === MASK_SAMPLE_LEN,
        "a mask is made of 16 bytes, before the key is wiped",
      );
      return isChaCha ? chachaMask(keys.sn, sample) : aesMask(keys.sn, sample);
    },
    wipe() {
      wiped = true;
      wipeTrafficKeys(keys);
    },
  };
}

/** iv xor the number as 64 bits in its last 8 bytes: RFC 8446 §5.3, RFC 9147 §4. */
export function nonce(iv: Uint8Array, sequenceNumber: number): Uint8Array {
  assert(sequenceNumber >= 0 && sequenceNumber <= SEQUENCE_NUMBER_MAX, "a sequence number has 48 bits");
  const out = iv.slice();
  let rest = sequenceNumber;
  for (let i = out.length - 1; rest > 0; i--) {
    out[i] ^= rest % 256;
    rest = Math.floor(rest / 256);
  }
  return out;
}

/** RFC 9147 §4.2.3 (and RFC 9001 §5.4.3): AES-ECB of the sample. */
export function aesMask(snKey: Uint8Array, sample: Uint8Array): Uint8Array {
  return ecb(snKey, { disablePadding: true }).encrypt(sample.slice());
}

/** RFC 9147 §4.2.3 (and RFC 9001 §5.4.4): the first bytes of a ChaCha20 block whose counter is the sample's first four
 * bytes, little-endian, and whose nonce is the other twelve. */
export function chachaMask(snKey: Uint8Array, sample: Uint8Array): Uint8Array {
  return chachaBlock(snKey, sample).subarray(0, MASK_SAMPLE_LEN);
}
