import { deepStrictEqual as equal, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { concat } from "../../../src/base/mod.ts";
import type { HashName } from "../../../src/crypto/suites.ts";
import { Transcript } from "../../../src/crypto/transcript.ts";

const HASHES: HashName[] = ["sha256", "sha384"];
const FIRST = Uint8Array.of(1, 0, 0, 3, 10, 11, 12);
const RETRY = Uint8Array.of(2, 0, 0, 1, 20);
const SECOND = Uint8Array.of(1, 0, 0, 2, 30, 31);

function reference(hash: HashName, ...messages: Uint8Array[]): Uint8Array {
  return new Uint8Array(createHash(hash).update(concat(...messages)).digest());
}

for (const hash of HASHES) {
  Deno.test(`Transcript.hash() is the ${hash} over all messages, whenever the hash was chosen`, () => {
    const early = new Transcript(hash);
    const late = new Transcript();
    for (const transcript of [early, late]) {
      transcript.add(FIRST);
      transcript.add(RETRY);
    }
    late.select(hash);
    for (const transcript of [early, late]) {
      transcript.add(SECOND);
      equal(transcript.hash(), reference(hash, FIRST, RETRY, SECOND));
      equal(transcript.hash(), reference(hash, FIRST, RETRY, SECOND));
    }
  });

  Deno.test(`Transcript.hash() with more bytes does not add them (${hash})`, () => {
    const transcript = new Transcript(hash);
    transcript.add(FIRST);
    equal(transcript.hash(SECOND), reference(hash, FIRST, SECOND));
    equal(transcript.hash(), reference(hash, FIRST));
  });

  Deno.test(`Transcript.replaceByMessageHash() gives RFC 8446 §4.4.1 (${hash})`, () => {
    const firstHash = reference(hash, FIRST);
    const synthetic = concat(Uint8Array.of(254, 0, 0, firstHash.length), firstHash);
    const transcript = new Transcript();
    transcript.add(FIRST);
    transcript.select(hash);
    transcript.replaceByMessageHash();
    const stateless = Transcript.fromClientHelloHash(hash, firstHash);
    for (const one of [transcript, stateless]) {
      one.add(RETRY);
      one.add(SECOND);
      equal(one.hash(), reference(hash, synthetic, RETRY, SECOND));
    }
  });
}

Deno.test("Transcript keeps a copy of what was added before its hash was chosen", () => {
  const transcript = new Transcript();
  const message = FIRST.slice();
  transcript.add(message);
  message.fill(0xa5);
  transcript.select("sha256");
  equal(transcript.hash(), reference("sha256", FIRST));
});

Deno.test("Transcript throws for a hash before it is chosen, for a second one, and for one of a wrong length", () => {
  const transcript = new Transcript();
  throws(() => transcript.hash(), /Defect/);
  throws(() => transcript.replaceByMessageHash(), /Defect/);
  transcript.select("sha256");
  transcript.select("sha256");
  throws(() => transcript.select("sha384"), /Defect/);
  throws(() => Transcript.fromClientHelloHash("sha384", new Uint8Array(32)), /Defect/);
});

Deno.test("Transcript bounds what it keeps without a hash", () => {
  const transcript = new Transcript();
  transcript.add(new Uint8Array(2 ** 17));
  throws(() => transcript.add(new Uint8Array(1)), /Defect/);
});
