/* Published values: GCM's specification (McGrew and Viega) cases 4 and 16, RFC 8439 §2.8.2, RFC 9001 appendix A. Each
 * must also fail with any one part changed. */

import { deepStrictEqual as equal, strictEqual } from "node:assert/strict";
import { fromHex, toHex } from "../../src/base/mod.ts";
import { aesMask, chachaMask, plainAead } from "../../src/crypto/aead.ts";
import { suiteById } from "../../src/crypto/suites.ts";

const GCM_PLAINTEXT = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
const GCM_HEADER = "feedfacedeadbeeffeedfacedeadbeefabaddad2";

const VECTORS = [
  {
    source: "GCM case 4",
    suite: 0x1301,
    key: "feffe9928665731c6d6a8f9467308308",
    iv: "cafebabefacedbaddecaf888",
    number: 0,
    header: GCM_HEADER,
    plaintext: GCM_PLAINTEXT,
    sealed: "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
      "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091" + "5bc94fbc3221a5db94fae95ae7121a47",
  },
  {
    source: "GCM case 16",
    suite: 0x1302,
    key: "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
    iv: "cafebabefacedbaddecaf888",
    number: 0,
    header: GCM_HEADER,
    plaintext: GCM_PLAINTEXT,
    sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
      "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" + "76fc6ece0f4e1768cddf8853bb2d551b",
  },
  {
    source: "RFC 8439 §2.8.2",
    suite: 0x1303,
    key: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
    iv: "070000004041424344454647",
    number: 0,
    header: "50515253c0c1c2c3c4c5c6c7",
    plaintext: toHex(
      new TextEncoder().encode(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
          "sunscreen would be it.",
      ),
    ),
    sealed: "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
      "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
      "3ff4def08e4b7a9de576d26586cec64b6116" + "1ae10b594f09e26a7e902ecbd0600691",
  },
  {
    source: "RFC 9001 §A.5 (the number goes into the nonce as ours does)",
    suite: 0x1303,
    key: "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8",
    iv: "e0459b3474bdd0e44a41c144",
    number: 654360564,
    header: "4200bff4",
    plaintext: "01",
    sealed: "655e5cd55c41f69080575d7999c25a5bfb",
  },
];

function aeadOf(vector: typeof VECTORS[number]) {
  const keys = { key: fromHex(vector.key), iv: fromHex(vector.iv), sn: new Uint8Array(0) };
  return plainAead(suiteById(vector.suite), keys);
}

function flipped(bytes: Uint8Array, index: number): Uint8Array {
  const out = bytes.slice();
  out[index] ^= 1 << index % 8;
  return out;
}

for (const vector of VECTORS) {
  const header = fromHex(vector.header);
  const sealed = fromHex(vector.sealed);

  Deno.test(`Aead.seal() and open() give ${vector.source}`, () => {
    const aead = aeadOf(vector);
    equal(toHex(aead.seal(vector.number, header, fromHex(vector.plaintext))), vector.sealed);
    equal(toHex(aead.open(vector.number, header, sealed)!), vector.plaintext);
  });

  Deno.test(`Aead.open() refuses ${vector.source} with any byte, the number or the length changed`, () => {
    const aead = aeadOf(vector);
    for (let i = 0; i < sealed.length; i++) {
      strictEqual(aead.open(vector.number, header, flipped(sealed, i)), undefined);
    }
    for (let i = 0; i < header.length; i++) {
      strictEqual(aead.open(vector.number, flipped(header, i), sealed), undefined);
    }
    strictEqual(aead.open(vector.number + 1, header, sealed), undefined);
    strictEqual(aead.open(vector.number, header, sealed.subarray(0, sealed.length - 1)), undefined);
    strictEqual(aead.open(vector.number, header, sealed.subarray(0, 15)), undefined);
    strictEqual(aead.open(vector.number, header, new Uint8Array(0)), undefined);
  });
}

/* Header protection of QUIC is the sequence number encryption of DTLS 1.3: RFC 9001 §5.4.3, §5.4.4 and RFC 9147 §4.2.3. */
const MASKS = [
  {
    source: "RFC 9001 §A.2",
    mask: aesMask,
    key: "9f50449e04a0e810283a1e9933adedd2",
    sample: "d1b1c98dd7689fb8ec11d242b123dc9b",
    expected: "437b9aec36",
  },
  {
    source: "RFC 9001 §A.3",
    mask: aesMask,
    key: "c206b8d9b9f0f37644430b490eeaa314",
    sample: "2cd0991cd25b0aac406a5816b6394100",
    expected: "2ec0d8356a",
  },
  {
    source: "RFC 9001 §A.5",
    mask: chachaMask,
    key: "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
    sample: "5e5cd55c41f69080575d7999c25a5bfb",
    expected: "aefefe7d03",
  },
];

for (const { source, mask, key, sample, expected } of MASKS) {
  Deno.test(`${mask.name}() gives ${source}`, () => {
    equal(toHex(mask(fromHex(key), fromHex(sample)).subarray(0, 5)), expected);
  });
}
