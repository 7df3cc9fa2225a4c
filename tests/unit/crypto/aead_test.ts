import { deepStrictEqual as equal, throws } from "node:assert/strict";
import { chacha20 } from "@noble/ciphers/chacha.js";
import fc from "fast-check";
import { chachaMask, nonce, plainAead } from "../../../src/crypto/aead.ts";
import { chachaBlock } from "../../../src/crypto/chacha_block.ts";
import { allSuites, SEQUENCE_NUMBER_MAX } from "../../../src/crypto/suites.ts";
import { trafficKeys } from "../../../src/crypto/traffic_keys.ts";

Deno.test("nonce() is the iv xor the number in its last eight bytes", () => {
  const iv = new Uint8Array(12).fill(0xff);
  fc.assert(fc.property(fc.maxSafeNat(), (any) => {
    const number = any % (SEQUENCE_NUMBER_MAX + 1);
    const expected = new Uint8Array(12).fill(0xff);
    const view = new DataView(expected.buffer);
    view.setBigUint64(4, view.getBigUint64(4) ^ BigInt(number));
    equal(nonce(iv, number), expected);
  }));
  equal(iv, new Uint8Array(12).fill(0xff));
  throws(() => nonce(iv, SEQUENCE_NUMBER_MAX + 1), /Defect/);
  throws(() => nonce(iv, -1), /Defect/);
});

Deno.test("chachaBlock() is the library's key stream, block by block", () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const rest = fc.uint8Array({ minLength: 12, maxLength: 12 });
  fc.assert(fc.property(key, fc.nat(0xfffffff0), rest, (key, counter, iv) => {
    const block = new Uint8Array(16);
    new DataView(block.buffer).setUint32(0, counter, true);
    block.set(iv, 4);
    equal(chachaBlock(key, block), chacha20(key, iv, new Uint8Array(64), undefined, counter));
  }));
});

Deno.test("chachaMask() takes a sample of ones, whose counter is the last", () => {
  // Computed with OpenSSL's ChaCha20, key 00..1f.
  const key = Uint8Array.from({ length: 32 }, (_, i) => i);
  equal(
    chachaMask(key, new Uint8Array(16).fill(0xff)),
    Uint8Array.of(
      0x3a,
      0x74,
      0x63,
      0xc6,
      0xb2,
      0xaa,
      0x11,
      0xea,
      0x1a,
      0xf8,
      0x11,
      0x46,
      0x9c,
      0x8c,
      0x94,
      0xb9,
    ),
  );
});

for (const suite of allSuites()) {
  const aead = () => plainAead(suite, trafficKeys(suite, "dtls", new Uint8Array(suite.hashLen).fill(1)));

  Deno.test(`Aead.open() inverts seal(), whatever the number, header and plaintext: ${suite.name}`, () => {
    const header = fc.uint8Array({ maxLength: 20 });
    const plaintext = fc.uint8Array({ maxLength: 100 });
    fc.assert(fc.property(fc.maxSafeNat(), header, plaintext, (any, header, plaintext) => {
      const number = any % (SEQUENCE_NUMBER_MAX + 1);
      const sealed = aead().seal(number, header, plaintext);
      equal(sealed.length, plaintext.length + 16);
      equal(aead().open(number, header, sealed), plaintext);
      equal(aead().open((number + 1) % 2 ** 40, header, sealed), undefined);
    }));
  });

  Deno.test(`Aead throws for everything after wipe(): ${suite.name}`, () => {
    const wiped = aead();
    wiped.wipe();
    throws(() => wiped.seal(0, new Uint8Array(5), new Uint8Array(5)), /Defect/);
    throws(() => wiped.open(0, new Uint8Array(5), new Uint8Array(30)), /Defect/);
    throws(() => wiped.mask(new Uint8Array(16)), /Defect/);
  });
}
