import { deepStrictEqual as equal, throws } from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { IDENTITY_LEN, identityMatches, makeIdentity } from "../../../src/crypto/identity.ts";
import { identityKeyOf } from "../../../src/crypto/subkeys.ts";
import {
  emitImportedIdentity,
  importedIdentity,
  importPsk,
  parseImportedIdentity,
} from "../../../src/crypto/psk_import.ts";

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

Deno.test("makeIdentity() is base64url without padding, as Node encodes it", () => {
  fc.assert(
    fc.property(bytes32, bytes16, (key, nonce) => {
      const text = new TextDecoder().decode(makeIdentity(identityKeyOf(key), nonce));
      equal(text.length, IDENTITY_LEN);
      equal(text, Buffer.from(text, "base64url").toString("base64url"));
      equal(new Uint8Array(Buffer.from(text, "base64url").subarray(0, 16)), nonce);
    }),
    { numRuns: 50 },
  );
});

Deno.test("identityMatches() is true for its own key, and false once any character is another", () => {
  fc.assert(
    fc.property(
      bytes32,
      bytes16,
      fc.nat(IDENTITY_LEN - 1),
      fc.integer({ min: 1, max: 255 }),
      (key, nonce, at, by) => {
        const identityKey = identityKeyOf(key);
        const identity = makeIdentity(identityKey, nonce);
        equal(identityMatches(identityKey, identity), true);
        identity[at] ^= by;
        equal(identityMatches(identityKey, identity), false);
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("identityMatches() is false for another key, another length, and any bytes", () => {
  const identityKey = identityKeyOf(new Uint8Array(32).fill(1));
  const identity = makeIdentity(identityKey, new Uint8Array(16));
  equal(identityMatches(identityKeyOf(new Uint8Array(32).fill(2)), identity), false);
  equal(identityMatches(identityKey, identity.subarray(0, 42)), false);
  equal(identityMatches(identityKey, new Uint8Array(0)), false);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (any) => !identityMatches(identityKey, any)));
});

Deno.test("makeIdentity() throws for a nonce of another length", () => {
  throws(() => makeIdentity(new Uint8Array(32), new Uint8Array(15)), /Defect/);
});

const imported = fc.record({
  externalIdentity: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  context: fc.uint8Array({ maxLength: 300 }),
  targetProtocol: fc.nat(0xffff),
  targetKdf: fc.nat(0xffff),
}, { noNullPrototype: true });

Deno.test("parseImportedIdentity() inverts emitImportedIdentity(), and refuses a byte more or less", () => {
  fc.assert(fc.property(imported, (identity) => {
    const emitted = emitImportedIdentity(identity);
    equal(parseImportedIdentity(emitted), identity);
    equal(parseImportedIdentity(emitted.subarray(0, -1)), undefined);
    const longer = new Uint8Array(emitted.length + 1);
    longer.set(emitted);
    equal(parseImportedIdentity(longer), undefined);
  }));
});

Deno.test("parseImportedIdentity() re-emits what it takes, and never throws", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (any) => {
    const identity = parseImportedIdentity(any);
    if (identity !== undefined) equal(emitImportedIdentity(identity), any);
  }));
});

Deno.test("emitImportedIdentity() throws for an empty external identity and for more than 65,535 bytes", () => {
  const identity = importedIdentity(new Uint8Array(1), "dtls", "sha256");
  throws(() => emitImportedIdentity({ ...identity, externalIdentity: new Uint8Array(0) }), RangeError);
  throws(() => emitImportedIdentity({ ...identity, externalIdentity: new Uint8Array(65_528) }), RangeError);
  equal(emitImportedIdentity({ ...identity, externalIdentity: new Uint8Array(65_527) }).length, 65_535);
});

Deno.test("importPsk() gives another key for each protocol, hash, context and identity", () => {
  const psk = new Uint8Array(32).fill(5);
  const name = Uint8Array.of(1, 2, 3);
  const identities = [
    importedIdentity(name, "dtls", "sha256"),
    importedIdentity(name, "dtls", "sha384"),
    importedIdentity(name, "tls", "sha256"),
    importedIdentity(name.subarray(1), "dtls", "sha256"),
    { ...importedIdentity(name, "dtls", "sha256"), context: name },
  ];
  const keys = identities.map((identity) => importPsk(psk, identity)!.join());
  equal(new Set(keys).size, identities.length);
  equal(identities.map((identity) => importPsk(psk, identity)!.length), [32, 48, 32, 32, 32]);
});

Deno.test("importPsk() knows no other KDF and no other protocol", () => {
  const identity = importedIdentity(Uint8Array.of(1), "dtls", "sha256");
  equal(importPsk(new Uint8Array(32), { ...identity, targetKdf: 3 }), undefined);
  equal(importPsk(new Uint8Array(32), { ...identity, targetProtocol: 0xfefd }), undefined);
});
