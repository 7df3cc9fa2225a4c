/* Published values: RFC 5869 appendix A, RFC 8448 §3. */

import { deepStrictEqual as equal, notDeepStrictEqual as differ } from "node:assert/strict";
import { fromHex, toHex } from "../../src/base/mod.ts";
import { expand, extract } from "../../src/crypto/hkdf.ts";
import { finishedKey, KeySchedule, verifyData } from "../../src/crypto/key_schedule.ts";
import { suiteById } from "../../src/crypto/suites.ts";
import { trafficKeys } from "../../src/crypto/traffic_keys.ts";

const SUITE = suiteById(0x1301);
const SHARED = "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d";
const HELLO_HASH = "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8";
const FINISHED_HASH = "9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13";
const CLIENT_HANDSHAKE = "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21";
const SERVER_HANDSHAKE = "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38";

const HKDF_CASES = [
  {
    ikm: "0b".repeat(22),
    salt: "000102030405060708090a0b0c",
    info: "f0f1f2f3f4f5f6f7f8f9",
    prk: "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
    okm: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
  },
  {
    ikm: "0b".repeat(22),
    salt: "",
    info: "",
    prk: "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
    okm: "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
  },
];

HKDF_CASES.forEach((vector, index) => {
  Deno.test(`extract() and expand() give RFC 5869 appendix A, case ${index === 0 ? 1 : 3}`, () => {
    const prk = extract("sha256", fromHex(vector.salt), fromHex(vector.ikm));
    equal(toHex(prk), vector.prk);
    equal(toHex(expand("sha256", prk, fromHex(vector.info), 42)), vector.okm);
  });
});

function rfc8448(): KeySchedule {
  const schedule = new KeySchedule(SUITE, "tls");
  schedule.mixSharedSecret(fromHex(SHARED));
  return schedule;
}

Deno.test("KeySchedule.handshakeSecrets() gives RFC 8448 §3", () => {
  const secrets = rfc8448().handshakeSecrets(fromHex(HELLO_HASH));
  equal(toHex(secrets.client), CLIENT_HANDSHAKE);
  equal(toHex(secrets.server), SERVER_HANDSHAKE);
});

Deno.test("KeySchedule.applicationSecrets() and exporterSecret() give RFC 8448 §3", () => {
  const schedule = rfc8448();
  schedule.toMaster();
  const secrets = schedule.applicationSecrets(fromHex(FINISHED_HASH));
  equal(toHex(secrets.client), "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
  equal(toHex(secrets.server), "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
  const exporter = schedule.exporterSecret(fromHex(FINISHED_HASH));
  equal(toHex(exporter), "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50");
});

Deno.test("trafficKeys() gives RFC 8448 §3, and no sequence number key for TLS", () => {
  const client = trafficKeys(SUITE, "tls", fromHex(CLIENT_HANDSHAKE));
  const server = trafficKeys(SUITE, "tls", fromHex(SERVER_HANDSHAKE));
  equal(toHex(client.key), "dbfaa693d1762c5b666af5d950258d01");
  equal(toHex(client.iv), "5bd3c71b836e0b76bb73265f");
  equal(toHex(server.key), "3fce516009c21727d0f2e4e86ee403bc");
  equal(toHex(server.iv), "5d313eb2671276ee13000b30");
  equal(client.sn.length, 0);
});

Deno.test("finishedKey() and verifyData() give RFC 8448 §3", () => {
  const clientKey = finishedKey(SUITE, "tls", fromHex(CLIENT_HANDSHAKE));
  const serverKey = finishedKey(SUITE, "tls", fromHex(SERVER_HANDSHAKE));
  equal(toHex(clientKey), "b80ad01015fb2f0bd65ff7d4da5d6bf83f84821d1f87fdc7d3c75b5a7b42d9c4");
  equal(toHex(serverKey), "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8");
  const clientVerify = verifyData(SUITE, "tls", fromHex(CLIENT_HANDSHAKE), fromHex(FINISHED_HASH));
  equal(toHex(clientVerify), "a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61");
});

Deno.test("verifyData() under another secret differs from RFC 8448 §3", () => {
  const wrong = verifyData(SUITE, "tls", fromHex(SERVER_HANDSHAKE), fromHex(FINISHED_HASH));
  differ(toHex(wrong), "a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61");
});
