/* Published values: RFC 7748 §6.1, RFC 8448 §3, and NIST's CAVS ECC CDH vectors for P-256. */

import { deepStrictEqual as equal } from "node:assert/strict";
import { fromHex, toHex } from "../../src/base/mod.ts";
import { generate, GROUP, respond } from "../../src/crypto/key_exchange.ts";
import type { Entropy } from "../../src/ports/mod.ts";

/** An entropy that yields `hex`, padded with zeros in front: the seed of a given private key. */
function seeded(hex: string): Entropy {
  const bytes = fromHex(hex);
  return {
    fill(out) {
      out.fill(0);
      out.set(bytes, out.length - bytes.length);
    },
  };
}

const X25519_CASES = [
  {
    source: "RFC 7748 §6.1",
    clientKey: "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    clientShare: "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    serverKey: "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    serverShare: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    secret: "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
  },
  {
    source: "RFC 8448 §3",
    clientKey: "49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005",
    clientShare: "99381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c",
    serverKey: "b1580eeadf6dd589b8ef4f2d5652578cc810e9980191ec8d058308cea216a21e",
    serverShare: "c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f",
    secret: "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d",
  },
];

for (const vector of X25519_CASES) {
  Deno.test(`generate() and respond() with X25519 give ${vector.source}`, () => {
    const client = generate(GROUP.x25519, seeded(vector.clientKey));
    equal(toHex(client.share), vector.clientShare);
    const server = respond(GROUP.x25519, client.share, seeded(vector.serverKey))!;
    equal(toHex(server.share), vector.serverShare);
    equal(toHex(server.secret), vector.secret);
    equal(toHex(client.finish(server.share)!), vector.secret);
  });
}

/** Points of small order (RFC 7748 §6.1, the list of Bernstein's contributory behaviour): the secret would be zeros. */
const X25519_SMALL_ORDER = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

for (const share of X25519_SMALL_ORDER) {
  Deno.test(`KeyShare.finish() and respond() refuse the X25519 share ${share.slice(0, 8)}…`, () => {
    equal(respond(GROUP.x25519, fromHex(share), seeded(X25519_CASES[0].serverKey)), undefined);
    equal(generate(GROUP.x25519, seeded(X25519_CASES[0].clientKey)).finish(fromHex(share)), undefined);
  });
}

/* CAVS 14.1, ECC CDH primitive, P-256, COUNT = 0. A seed s makes the private key (s mod (n - 1)) + 1. */
const P256 = {
  seed: "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a533",
  share: "04ead218590119e8876b29146ff89ca61770c4edbbf97d38ce385ed281d8a6b230" +
    "28af61281fd35e2fa7002523acc85a429cb06ee6648325389f59edfce1405141",
  peerX: "700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287",
  peerY: "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
  secret: "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b",
};

Deno.test("generate() with secp256r1 gives NIST's ECC CDH vector", () => {
  const client = generate(GROUP.secp256r1, seeded(P256.seed));
  equal(toHex(client.share), P256.share);
  equal(toHex(client.finish(fromHex("04" + P256.peerX + P256.peerY))!), P256.secret);
});

const P256_INVALID: Record<string, string> = {
  "a point off the curve": "04" + P256.peerX + P256.peerY.slice(0, -2) + "ad",
  "a compressed point": "02" + P256.peerX,
  "a hybrid point": "06" + P256.peerX + P256.peerY,
  "a compressed form of uncompressed length": "02" + P256.peerX + P256.peerY,
  "the point at infinity": "00",
  "zeros": "00".repeat(65),
  "coordinates of zero": "04" + "00".repeat(64),
  "an x that is not reduced": "04" + "ff".repeat(32) + P256.peerY,
  "a byte too much": "04" + P256.peerX + P256.peerY + "00",
  "a byte too few": "04" + P256.peerX + P256.peerY.slice(2),
  "nothing": "",
};

for (const [what, share] of Object.entries(P256_INVALID)) {
  Deno.test(`KeyShare.finish() and respond() with secp256r1 refuse ${what}`, () => {
    equal(respond(GROUP.secp256r1, fromHex(share), seeded(P256.seed)), undefined);
    equal(generate(GROUP.secp256r1, seeded(P256.seed)).finish(fromHex(share)), undefined);
  });
}
