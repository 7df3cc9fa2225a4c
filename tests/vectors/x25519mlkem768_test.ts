/* X25519MLKEM768: exchanges computed by Go (generate_x25519mlkem768.go), and for ML-KEM-768 alone the published hash over
 * accumulated exchanges (C2SP CCTV, ML-KEM, "Accumulated pq-crystals vectors"). */

import { deepStrictEqual as equal } from "node:assert/strict";
import { shake128 } from "@noble/hashes/sha3.js";
import { concat, fromHex, toHex } from "../../src/base/mod.ts";
import { generate, GROUP, respond } from "../../src/crypto/key_exchange.ts";
import type { Entropy } from "../../src/ports/mod.ts";
import exchanges from "./x25519mlkem768.json" with { type: "json" };

const GROUP_ID = GROUP.x25519mlkem768;
const CIPHERTEXT_LEN = 1088;
const KEY_LEN = 1184;

/** An entropy that yields exactly `bytes`, at once. */
function yielding(bytes: Uint8Array): Entropy {
  return {
    fill(out) {
      equal(out.length, bytes.length);
      out.set(bytes);
    },
  };
}

exchanges.forEach((vector, index) => {
  const client = () => generate(GROUP_ID, yielding(fromHex(vector.clientSeed)));
  const answer = (share: Uint8Array) => respond(GROUP_ID, share, yielding(fromHex(vector.serverSeed)));

  Deno.test(`generate() and respond() with X25519MLKEM768 give Go's exchange ${index}`, () => {
    const share = client();
    equal(toHex(share.share), vector.clientShare);
    const response = answer(share.share)!;
    equal(toHex(response.share), vector.serverShare);
    equal(toHex(response.secret), vector.secret);
    equal(toHex(share.finish(response.share)!), vector.secret);
  });

  Deno.test(`KeyShare.finish() with X25519MLKEM768 rejects a changed ciphertext as Go does: ${index}`, () => {
    const altered = fromHex(vector.serverShare);
    altered[700] ^= 1;
    equal(toHex(client().finish(altered)!), vector.rejectedSecret);
  });
});

Deno.test("respond() with X25519MLKEM768 refuses each coefficient that is not reduced (FIPS 203 §7.2)", () => {
  const share = fromHex(exchanges[0].clientShare);
  for (let index = 0; index < 768; index += 1) {
    const changed = share.slice();
    const at = 3 * (index >> 1);
    // 12 bits in little-endian order, 3329 = q: the least value that is not allowed.
    if (index % 2 === 0) {
      changed[at] = 3329 & 0xff;
      changed[at + 1] = (changed[at + 1] & 0xf0) | 3329 >> 8;
    } else {
      changed[at + 1] = (changed[at + 1] & 0x0f) | (3329 & 0xf) << 4;
      changed[at + 2] = 3329 >> 4;
    }
    equal(respond(GROUP_ID, changed, yielding(fromHex(exchanges[0].serverSeed))), undefined, `${index}`);
  }
});

Deno.test("respond() with X25519MLKEM768 takes the largest reduced coefficient", () => {
  const share = fromHex(exchanges[0].clientShare);
  share[0] = 3328 & 0xff;
  share[1] = (share[1] & 0xf0) | 3328 >> 8;
  equal(respond(GROUP_ID, share, yielding(fromHex(exchanges[0].serverSeed)))?.secret.length, 64);
});

for (const point of ["00".repeat(32), "01" + "00".repeat(31), "ec" + "ff".repeat(30) + "7f"]) {
  Deno.test(`KeyShare.finish() and respond() with X25519MLKEM768 refuse the X25519 part ${point.slice(0, 4)}…`, () => {
    const [{ clientSeed, clientShare, serverSeed, serverShare }] = exchanges;
    const toServer = concat(fromHex(clientShare).subarray(0, KEY_LEN), fromHex(point));
    equal(respond(GROUP_ID, toServer, yielding(fromHex(serverSeed))), undefined);
    const toClient = concat(fromHex(serverShare).subarray(0, CIPHERTEXT_LEN), fromHex(point));
    equal(generate(GROUP_ID, yielding(fromHex(clientSeed))).finish(toClient), undefined);
  });
}

Deno.test("KeyShare.finish() and respond() with X25519MLKEM768 refuse parts in the other order, or one alone", () => {
  const [{ clientSeed, clientShare, serverSeed, serverShare }] = exchanges;
  const swapped = (share: string, len: number) =>
    concat(fromHex(share).subarray(len), fromHex(share).subarray(0, len));
  equal(respond(GROUP_ID, swapped(clientShare, KEY_LEN), yielding(fromHex(serverSeed))), undefined);
  for (const len of [0, 32, CIPHERTEXT_LEN, 1119, 1121, 1216]) {
    const client = generate(GROUP_ID, yielding(fromHex(clientSeed)));
    equal(client.finish(concat(fromHex(serverShare), new Uint8Array(96)).subarray(0, len)), undefined);
  }
  for (const len of [0, 32, KEY_LEN, 1215, 1217]) {
    const share = concat(fromHex(clientShare), new Uint8Array(1)).subarray(0, len);
    equal(respond(GROUP_ID, share, yielding(fromHex(serverSeed))), undefined);
  }
});

Deno.test("generate() and respond() with X25519MLKEM768 give the published hash over 100 exchanges of ML-KEM-768", () => {
  const random = shake128.create({ dkLen: 32 });
  const seen = shake128.create({ dkLen: 32 });
  const scalar = new Uint8Array(32).fill(0x77);
  const point = fromHex(exchanges[0].serverShare).subarray(CIPHERTEXT_LEN);
  for (let i = 0; i < 100; i++) {
    const keySeed = random.xof(64);
    const client = () => generate(GROUP_ID, yielding(concat(keySeed, scalar)));
    const first = client();
    seen.update(first.share.subarray(0, KEY_LEN));
    const response = respond(GROUP_ID, first.share, yielding(concat(random.xof(32), scalar)))!;
    seen.update(response.share.subarray(0, CIPHERTEXT_LEN)).update(response.secret.subarray(0, 32));
    equal(first.finish(response.share), response.secret);
    const noise = random.xof(CIPHERTEXT_LEN);
    seen.update(client().finish(concat(noise, point))!.subarray(0, 32));
  }
  equal(toHex(seen.digest()), "1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415");
});
