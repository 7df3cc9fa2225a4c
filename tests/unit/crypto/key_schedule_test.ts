import { deepStrictEqual as equal, notDeepStrictEqual as differ, throws } from "node:assert/strict";
import { expandLabel } from "../../../src/crypto/hkdf.ts";
import { KeySchedule, nextTrafficSecret } from "../../../src/crypto/key_schedule.ts";
import { allSuites, findSuite, hashOf, suiteById } from "../../../src/crypto/suites.ts";
import { trafficKeys, wipeTrafficKeys } from "../../../src/crypto/traffic_keys.ts";

const SUITE = suiteById(0x1301);
const EMPTY = new Uint8Array(0);
const HASH = hashOf("sha256", EMPTY);

Deno.test("KeySchedule throws for each call out of turn", () => {
  const early = new KeySchedule(SUITE, "dtls");
  throws(() => early.handshakeSecrets(HASH), /stage early/);
  throws(() => early.toMaster(), /stage early/);
  throws(() => early.applicationSecrets(HASH), /stage early/);
  early.mixSharedSecret(new Uint8Array(32));
  throws(() => early.binderKey("external"), /stage handshake/);
  throws(() => early.mixSharedSecret(new Uint8Array(32)), /stage handshake/);
  early.toMaster();
  throws(() => early.handshakeSecrets(HASH), /stage master/);
  early.wipe();
  throws(() => early.exporterSecret(HASH), /stage wiped/);
});

Deno.test("KeySchedule.handshakeSecrets() throws for a hash of another length", () => {
  const schedule = new KeySchedule(suiteById(0x1302), "dtls");
  schedule.mixSharedSecret(new Uint8Array(32));
  throws(() => schedule.handshakeSecrets(HASH), /as long as its hash/);
});

Deno.test("KeySchedule leaves the PSK and the shared secret to the caller", () => {
  const psk = new Uint8Array(32).fill(7);
  const shared = new Uint8Array(32).fill(9);
  const schedule = new KeySchedule(SUITE, "dtls", psk);
  schedule.mixSharedSecret(shared);
  schedule.wipe();
  equal(psk, new Uint8Array(32).fill(7));
  equal(shared, new Uint8Array(32).fill(9));
});

Deno.test("KeySchedule.binderKey() differs by kind, by protocol and by PSK", () => {
  const psk = new Uint8Array(32).fill(7);
  const base = new KeySchedule(SUITE, "dtls", psk).binderKey("external");
  differ(new KeySchedule(SUITE, "dtls", psk).binderKey("imported"), base);
  differ(new KeySchedule(SUITE, "tls", psk).binderKey("external"), base);
  differ(new KeySchedule(SUITE, "dtls", new Uint8Array(32)).binderKey("external"), base);
  equal(new KeySchedule(SUITE, "dtls", psk).binderKey("external"), base);
});

Deno.test("nextTrafficSecret() leaves its argument and never repeats it", () => {
  const secret = new Uint8Array(32).fill(1);
  differ(nextTrafficSecret(SUITE, "dtls", secret), secret);
  equal(secret, new Uint8Array(32).fill(1));
});

Deno.test("expandLabel() throws for a label or a context that HkdfLabel cannot hold", () => {
  const secret = new Uint8Array(32);
  throws(() => expandLabel("sha256", "tls", secret, "", EMPTY, 32), /Defect/);
  throws(() => expandLabel("sha256", "tls", secret, "x".repeat(250), EMPTY, 32), /Defect/);
  throws(() => expandLabel("sha256", "tls", secret, "x", new Uint8Array(256), 32), /Defect/);
  equal(expandLabel("sha256", "tls", secret, "x".repeat(249), new Uint8Array(255), 8160).length, 8160);
  throws(() => expandLabel("sha256", "tls", secret, "x", EMPTY, 8161));
});

Deno.test("findSuite() finds what allSuites() lists and nothing else, suiteById() throws", () => {
  for (const suite of allSuites()) equal(findSuite(suite.id), suite);
  equal(findSuite(0x1304), undefined);
  equal(findSuite(0), undefined);
  throws(() => suiteById(0x1304), /0x1304/);
});

Deno.test("wipeTrafficKeys() leaves zeros", () => {
  const keys = trafficKeys(SUITE, "dtls", new Uint8Array(32).fill(3));
  wipeTrafficKeys(keys);
  equal([keys.key, keys.iv, keys.sn], [new Uint8Array(16), new Uint8Array(12), new Uint8Array(16)]);
});
