import { deepStrictEqual as equal, notDeepStrictEqual as differ, throws } from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import fc from "fast-check";
import { generate, GROUP, isKnownGroup, respond, shareLenOf } from "../../../src/crypto/key_exchange.ts";

const entropy = { fill: (out: Uint8Array) => void randomFillSync(out) };
/** RFC 8446 §7.4.2; draft-ietf-tls-ecdhe-mlkem, "Shared secret". */
const SECRET_LENS: Readonly<Record<number, number>> = { 0x17: 32, 0x1d: 32, 0x11ec: 64 };

for (const [name, group] of Object.entries(GROUP)) {
  Deno.test(`generate() and respond() agree on a secret: ${name}`, () => {
    for (let i = 0; i < 8; i++) {
      const client = generate(group, entropy);
      const server = respond(group, client.share, entropy)!;
      equal(client.share.length, shareLenOf(group, "client"));
      equal(server.share.length, shareLenOf(group, "server"));
      equal(server.secret.length, SECRET_LENS[group]);
      equal(client.finish(server.share), server.secret);
    }
  });

  Deno.test(`KeyShare serves one exchange: a second finish() throws, so does one after wipe(): ${name}`, () => {
    const client = generate(group, entropy);
    const server = respond(group, client.share, entropy)!;
    client.finish(server.share);
    throws(() => client.finish(server.share), /Defect/);
    const wiped = generate(group, entropy);
    wiped.wipe();
    throws(() => wiped.finish(server.share), /Defect/);
  });

  Deno.test(`respond() takes no bytes of another length and never throws: ${name}`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (share) => {
        const response = respond(group, share, entropy);
        if (share.length !== shareLenOf(group, "client")) equal(response, undefined);
      }),
      { numRuns: 100 },
    );
  });

  Deno.test(`generate() takes a new private key each time: ${name}`, () => {
    differ(generate(group, entropy).share, generate(group, entropy).share);
  });
}

Deno.test("generate() and respond() throw for an unknown group", () => {
  equal(isKnownGroup(0x0018), false);
  throws(() => generate(0x0018, entropy), RangeError);
  throws(() => respond(0x0018, new Uint8Array(97), entropy), RangeError);
});
