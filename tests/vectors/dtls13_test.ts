/* dtls13.json, computed by generate_dtls13.py with Python's HMAC and OpenSSL's AEADs. */

import { deepStrictEqual as equal, strictEqual } from "node:assert/strict";
import { fromHex, toHex } from "../../src/base/mod.ts";
import type { Protocol } from "../../src/crypto/hkdf.ts";
import { identityMatches, makeIdentity } from "../../src/crypto/identity.ts";
import { identityKeyOf, importerKeyOf } from "../../src/crypto/subkeys.ts";
import {
  type BinderKind,
  exportKeyingMaterial,
  KeySchedule,
  nextTrafficSecret,
  verifyData,
} from "../../src/crypto/key_schedule.ts";
import { emitImportedIdentity, importPsk, parseImportedIdentity } from "../../src/crypto/psk_import.ts";
import { suiteById } from "../../src/crypto/suites.ts";
import { trafficKeys } from "../../src/crypto/traffic_keys.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";
import { EpochKeys, splitDatagram } from "../../src/record/handshake_records.ts";
import { installKey } from "../../src/record/install_key.ts";
import { PlainProtection } from "../../src/record/plain_protection.ts";
import { RECORD } from "../../src/ports/mod.ts";
import vectors from "./dtls13.json" with { type: "json" };

for (const v of vectors.schedules) {
  Deno.test(`KeySchedule gives the ${v.protocol} vector of suite ${v.suite.toString(16)}, ${v.binder} PSK`, () => {
    const suite = suiteById(v.suite);
    const protocol = v.protocol as Protocol;
    const schedule = new KeySchedule(suite, protocol, fromHex(v.psk));
    const binderKey = schedule.binderKey(v.binder as BinderKind);
    schedule.mixSharedSecret(fromHex(v.sharedSecret));
    const handshake = schedule.handshakeSecrets(fromHex(v.helloHash));
    schedule.toMaster();
    const application = schedule.applicationSecrets(fromHex(v.finishedHash));
    const exporter = schedule.exporterSecret(fromHex(v.finishedHash));
    const context = new TextEncoder().encode("context");
    const keys = trafficKeys(suite, protocol, application.client);
    equal({
      binderKey: toHex(binderKey),
      binderValue: toHex(verifyData(suite, protocol, binderKey, fromHex(v.partialHash))),
      clientHandshake: toHex(handshake.client),
      serverHandshake: toHex(handshake.server),
      serverFinished: toHex(verifyData(suite, protocol, handshake.server, fromHex(v.helloHash))),
      clientApplication: toHex(application.client),
      serverApplication: toHex(application.server),
      clientApplicationNext: toHex(nextTrafficSecret(suite, protocol, application.client)),
      exporter: toHex(exporter),
      exported: toHex(exportKeyingMaterial(suite, protocol, exporter, "EXPORTER-i405-test", context, 40)),
      key: toHex(keys.key),
      iv: toHex(keys.iv),
      sn: toHex(keys.sn),
    }, {
      binderKey: v.binderKey,
      binderValue: v.binderValue,
      clientHandshake: v.clientHandshake,
      serverHandshake: v.serverHandshake,
      serverFinished: v.serverFinished,
      clientApplication: v.clientApplication,
      serverApplication: v.serverApplication,
      clientApplicationNext: v.clientApplicationNext,
      exporter: v.exporter,
      exported: v.exported,
      key: v.key,
      iv: v.iv,
      sn: v.sn,
    });
  });
}

/** The vector's inner plaintext: content, content type, padding. */
function innerOf(v: typeof vectors.records[number]): Uint8Array {
  const content = fromHex(v.content);
  const inner = new Uint8Array(content.length + 1 + v.padding);
  inner.set(content);
  inner[content.length] = v.contentType;
  return inner;
}

for (const v of vectors.records) {
  const form =
    `suite ${v.suite.toString(16)} epoch ${v.epoch} number ${v.number} of ${8 * v.numberLen} bits` +
    `${v.hasLength ? " with length" : ""}${v.cid === "" ? "" : " with connection id"}`;
  const record = fromHex(v.record);
  const cidLen = v.cid.length / 2;
  const hdrLen = 1 + cidLen + v.numberLen + (v.hasLength ? 2 : 0);

  /** One descriptor over the record, in a memory of its own. */
  const setUp = (src: Uint8Array) => {
    const memory = new HeapMemory(16384);
    const protection = new PlainProtection(memory);
    const at = memory.alloc(RECORD.size);
    const srcAt = memory.alloc(src.length);
    const dstAt = memory.alloc(src.length);
    memory.u8.set(src, srcAt);
    memory.u8.fill(0xa5, dstAt, dstAt + src.length);
    memory.u32[(at + RECORD.src) >> 2] = srcAt;
    memory.u32[(at + RECORD.len) >> 2] = src.length;
    memory.u32[(at + RECORD.dst) >> 2] = dstAt;
    memory.u8[at + RECORD.hdrLen] = hdrLen;
    memory.u8[at + RECORD.seqOff] = 1 + cidLen;
    memory.u8[at + RECORD.seqLen] = v.numberLen;
    memory.u32[(at + RECORD.seqLo) >> 2] = v.number % 2 ** 32;
    memory.u32[(at + RECORD.seqHi) >> 2] = Math.floor(v.number / 2 ** 32);
    memory.i32[(at + RECORD.key) >> 2] = installKey(
      memory,
      protection,
      suiteById(v.suite),
      fromHex(v.trafficSecret),
      "dtls",
    );
    return { memory, protection, at, srcAt, dstAt };
  };

  Deno.test(`PlainProtection.openBatch() opens the vector: ${form}`, () => {
    const { memory, protection, at, srcAt, dstAt } = setUp(record);
    protection.unmaskBatch(at, 1);
    let low = 0;
    for (let i = 0; i < v.numberLen; i++) low = low * 256 + memory.u8[srcAt + 1 + cidLen + i];
    strictEqual(low, v.number % 256 ** v.numberLen);
    strictEqual(protection.openBatch(at, 1), 1);
    const len = memory.i32[(at + RECORD.result) >> 2];
    equal(toHex(memory.u8.subarray(dstAt, dstAt + len)), toHex(innerOf(v)));
    strictEqual(memory.u8[dstAt + len], 0xa5);
  });

  Deno.test(`PlainProtection.sealBatch() gives the vector: ${form}`, () => {
    const template = new Uint8Array(record.length).fill(0xa5);
    template.set(record.subarray(0, hdrLen));
    for (let i = 0; i < v.numberLen; i++) {
      template[1 + cidLen + i] = Math.floor(v.number / 256 ** (v.numberLen - 1 - i)) % 256;
    }
    const { memory, protection, at, srcAt, dstAt } = setUp(template);
    memory.u8.set(innerOf(v), dstAt);
    protection.sealBatch(at, 1);
    strictEqual(memory.i32[(at + RECORD.result) >> 2], record.length);
    equal(toHex(memory.u8.subarray(srcAt, srcAt + record.length)), v.record);
  });

  // A receiver that expects 0 rebuilds up to 65,535: there are no numbers below 0 to be nearer.
  if (v.number > 65535) continue;
  Deno.test(`EpochKeys.open() opens the vector: ${form}`, () => {
    const keys = new EpochKeys(suiteById(v.suite), fromHex(v.trafficSecret), v.epoch);
    const [found, ...rest] = splitDatagram(record, cidLen);
    strictEqual(rest.length, 0);
    strictEqual(found.kind, "ciphertext");
    if (found.kind !== "ciphertext") return;
    const opened = keys.open(found);
    equal(opened, {
      contentType: v.contentType,
      content: fromHex(v.content),
      epoch: v.epoch,
      sequenceNumber: v.number,
    });
  });
}

for (const v of vectors.imports) {
  Deno.test(`importPsk() gives the vector for protocol ${v.targetProtocol.toString(16)}, KDF ${v.targetKdf}, context ${v.context.length / 2} bytes`, () => {
    const identity = {
      externalIdentity: fromHex(v.externalIdentity),
      context: fromHex(v.context),
      targetProtocol: v.targetProtocol,
      targetKdf: v.targetKdf,
    };
    equal(toHex(emitImportedIdentity(identity)), v.identity);
    equal(parseImportedIdentity(fromHex(v.identity)), identity);
    equal(toHex(importPsk(fromHex(v.psk), identity)!), v.importedPsk);
  });
}

vectors.identities.forEach((v, index) => {
  Deno.test(`makeIdentity() gives vector ${index}, identityMatches() knows it`, () => {
    const identityKey = identityKeyOf(fromHex(v.key));
    equal(toHex(identityKey), v.identityKey);
    equal(toHex(importerKeyOf(fromHex(v.key))), v.importerKey);
    const identity = makeIdentity(identityKey, fromHex(v.nonce));
    equal(new TextDecoder().decode(identity), v.identity);
    strictEqual(identityMatches(identityKey, identity), true);
    const other = vectors.identities[(index + 1) % vectors.identities.length];
    strictEqual(identityMatches(identityKey, new TextEncoder().encode(other.identity)), false);
  });
});
