/* Random and mutated bytes into every reader of records: none throws, and what one takes it reads within its bounds.
 * A failure prints its seed; FUZZ_SEED and FUZZ_RUNS set seed and runs. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { concat } from "../../src/base/mod.ts";
import { identityMatches } from "../../src/crypto/identity.ts";
import { parseImportedIdentity } from "../../src/crypto/psk_import.ts";
import { allSuites, suiteById } from "../../src/crypto/suites.ts";
import { EpochKeys, plaintextRecord, splitDatagram } from "../../src/record/handshake_records.ts";
import { RECORDS_PER_DATAGRAM_MAX } from "../../src/record/split_datagram.ts";
import { alertName, parseAlert } from "../../src/wire/alert.ts";
import { emitAck, parseAck } from "../../src/wire/dtls_ack.ts";
import { parsePlaintextHeader, PlaintextHeader } from "../../src/wire/dtls_plaintext_header.ts";
import { parseUnifiedHeader, UnifiedHeader } from "../../src/wire/dtls_unified_header.ts";

const seed = Number(Deno.env.get("FUZZ_SEED") ?? Math.floor(Math.random() * 2 ** 31));
const runs = Number(Deno.env.get("FUZZ_RUNS") ?? 3000);
const options = (share = 1) => ({ seed, numRuns: Math.ceil(runs / share) });

const SECRET = new Uint8Array(48).fill(6);
const secretOf = (hashLen: number) => SECRET.subarray(0, hashLen);

/** Real datagrams, to be mutated. */
const REAL = allSuites().flatMap((suite) => {
  const keys = new EpochKeys(suite, secretOf(suite.hashLen), 2);
  const hello = plaintextRecord(22, 0, new Uint8Array(60).fill(1));
  return [
    concat(
      hello,
      keys.seal(22, new Uint8Array(40), 100),
      keys.seal(26, emitAck([{ epoch: 2, sequenceNumber: 0 }])),
    ),
    keys.seal(21, Uint8Array.of(2, 40), 300),
    concat(hello, plaintextRecord(21, 1, Uint8Array.of(2, 40))),
  ];
});

const change = fc.tuple(fc.constantFrom("set", "cut", "double", "insert"), fc.nat(400), fc.nat(255));
const mutated = fc.tuple(fc.constantFrom(...REAL), fc.array(change, { minLength: 1, maxLength: 5 })).map(
  ([real, changes]) => {
    let bytes: Uint8Array = real.slice();
    for (const [kind, where, value] of changes) {
      const at = where % (bytes.length + 1);
      if (kind === "set" && at < bytes.length) bytes[at] = value;
      if (kind === "cut") bytes = bytes.slice(0, at);
      if (kind === "double") bytes = concat(bytes, bytes.subarray(at));
      if (kind === "insert") bytes = concat(bytes.subarray(0, at), Uint8Array.of(value), bytes.subarray(at));
      bytes = bytes.slice(0, 2048);
    }
    return bytes;
  },
);
const random = fc.uint8Array({ maxLength: 200 });
const likely = fc.tuple(fc.constantFrom(21, 22, 26, 32, 0x2e, 0x2f, 0x3f, 0x23), random).map(
  ([first, rest]) => concat(Uint8Array.of(first), rest),
);
const datagrams = fc.oneof(mutated, likely, random);

Deno.test("splitDatagram() takes any bytes apart without a rest, a gap or an exception", () => {
  fc.assert(
    fc.property(datagrams, fc.constantFrom(0, 1, 8, 255), (datagram, cidLen) => {
      const records = splitDatagram(datagram, cidLen);
      ok(records.length <= RECORDS_PER_DATAGRAM_MAX + 1);
      let len = 0;
      records.forEach((record, index) => {
        if (record.kind === "malformed") {
          equal(index, records.length - 1);
          len += record.len;
        } else if (record.kind === "plaintext") len += 13 + record.content.length;
        else len += record.record.length;
      });
      equal(len, datagram.length);
    }),
    options(),
  );
});

for (const suite of allSuites()) {
  Deno.test(`EpochKeys.open() opens nothing that was not sealed, and never throws: ${suite.name}`, () => {
    const sealed = new Set(
      REAL.flatMap((real) => splitDatagram(real)).flatMap((record) =>
        record.kind === "ciphertext" ? [record.record.join()] : []
      ),
    );
    const keys = new EpochKeys(suite, secretOf(suite.hashLen), 2);
    fc.assert(
      fc.property(datagrams, (datagram) => {
        for (const record of splitDatagram(datagram)) {
          if (record.kind !== "ciphertext") continue;
          const opened = keys.open(record);
          if (typeof opened === "object") ok(sealed.has(record.record.join()), "a forged record was opened");
        }
      }),
      options(4),
    );
  });
}

Deno.test("EpochKeys.open() never throws for a ciphertext of one byte's repetition, the last counter of ChaCha20 included", () => {
  const suite = suiteById(0x1303);
  const keys = new EpochKeys(suite, secretOf(32), 2);
  for (let byte = 0; byte < 256; byte++) {
    const record = new Uint8Array(60).fill(byte);
    record.set([0x2e, 0, 0, 0, 55]);
    const [found] = splitDatagram(record);
    ok(found.kind === "ciphertext");
    equal(keys.open(found), "bad tag");
  }
});

Deno.test("parseUnifiedHeader() and parsePlaintextHeader() stay within off..end", () => {
  const unified = new UnifiedHeader();
  const plaintext = new PlaintextHeader();
  fc.assert(
    fc.property(
      datagrams,
      fc.nat(300),
      fc.nat(3000),
      fc.constantFrom(0, 8, 255),
      (bytes, off, end, cidLen) => {
        if (parseUnifiedHeader(bytes, off, end, cidLen, unified)) {
          ok(off + unified.headerLen + unified.bodyLen <= Math.min(end, bytes.length));
          ok(unified.sequenceOff + unified.sequenceLen <= unified.headerLen);
        }
        if (parsePlaintextHeader(bytes, off, end, plaintext)) {
          ok(off + 13 + plaintext.bodyLen <= Math.min(end, bytes.length));
        }
      },
    ),
    options(),
  );
});

Deno.test("parseAck(), parseAlert(), parseImportedIdentity() and identityMatches() take any bytes", () => {
  const identityKey = new Uint8Array(32).fill(2);
  fc.assert(
    fc.property(datagrams, (bytes) => {
      const ack = parseAck(bytes);
      ok(ack === undefined || ack.length <= bytes.length / 16);
      const alert = parseAlert(bytes);
      if (alert !== undefined) ok(alertName(alert.description).length > 0);
      const imported = parseImportedIdentity(bytes);
      if (imported !== undefined) ok(imported.externalIdentity.length >= 1);
      equal(identityMatches(identityKey, bytes.subarray(0, 43)), false);
    }),
    options(),
  );
});
