import {
  deepStrictEqual as equal,
  notDeepStrictEqual as differ,
  ok,
  strictEqual,
  throws,
} from "node:assert/strict";
import fc from "fast-check";
import { concat } from "../../../src/base/mod.ts";
import { plainAead } from "../../../src/crypto/aead.ts";
import { allSuites, suiteById } from "../../../src/crypto/suites.ts";
import { trafficKeys } from "../../../src/crypto/traffic_keys.ts";
import {
  type CiphertextRecord,
  EpochKeys,
  plaintextRecord,
  SEAL_OVERHEAD,
  splitDatagram,
} from "../../../src/record/handshake_records.ts";
import { RECORDS_PER_DATAGRAM_MAX } from "../../../src/record/split_datagram.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";

const SUITE = suiteById(0x1301);
const SECRET = new Uint8Array(32).fill(4);
const HELLO = Uint8Array.of(1, 2, 3);

function ciphertext(record: Uint8Array): CiphertextRecord {
  const [found, ...rest] = splitDatagram(record);
  ok(found.kind === "ciphertext" && rest.length === 0);
  return found;
}

for (const suite of allSuites()) {
  const secret = new Uint8Array(suite.hashLen).fill(8);

  Deno.test(`EpochKeys.open() inverts seal(), padded or not: ${suite.name}`, () => {
    const sealing = new EpochKeys(suite, secret, 2);
    const opening = new EpochKeys(suite, secret, 2);
    const content = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 255 }), content, fc.nat(100), (contentType, content, padding) => {
        const sequenceNumber = sealing.nextSequenceNumber;
        const recordLen = content.length + SEAL_OVERHEAD + padding;
        const record = sealing.seal(contentType, content, padding === 0 ? 0 : recordLen);
        strictEqual(record.length, recordLen);
        strictEqual(record[0], 0x2e);
        equal(opening.open(ciphertext(record)), { contentType, content, epoch: 2, sequenceNumber });
      }),
    );
  });

  Deno.test(`EpochKeys.open() refuses a record with any byte changed, and still opens the true one: ${suite.name}`, () => {
    const record = new EpochKeys(suite, secret, 2).seal(CONTENT_TYPE.handshake, HELLO, 60);
    const opening = new EpochKeys(suite, secret, 2);
    for (let i = 0; i < record.length; i++) {
      const changed = record.slice();
      changed[i] ^= 0x80 >> i % 8;
      for (const found of splitDatagram(changed)) {
        if (found.kind === "ciphertext") strictEqual(typeof opening.open(found), "string", `byte ${i}`);
      }
    }
    ok(opening.failedOpens > 0);
    strictEqual(typeof opening.open(ciphertext(record)), "object");
  });
}

Deno.test("EpochKeys.seal() never makes the same bytes twice: each record has a number of its own", () => {
  const sealing = new EpochKeys(SUITE, SECRET, 2);
  const first = sealing.seal(CONTENT_TYPE.handshake, HELLO);
  differ(sealing.seal(CONTENT_TYPE.handshake, HELLO), first);
  strictEqual(sealing.nextSequenceNumber, 2);
});

Deno.test("EpochKeys.seal() throws for a content that the wanted length cannot hold, and uses no number", () => {
  const sealing = new EpochKeys(SUITE, SECRET, 2);
  throws(() => sealing.seal(22, new Uint8Array(100), 100 + SEAL_OVERHEAD - 1), RangeError);
  throws(() => sealing.seal(22, new Uint8Array(2 ** 14 + 1)), RangeError);
  throws(() => sealing.seal(22, new Uint8Array(1), 2 ** 14 + SEAL_OVERHEAD + 1), RangeError);
  strictEqual(sealing.nextSequenceNumber, 0);
  strictEqual(sealing.seal(22, new Uint8Array(2 ** 14)).length, 2 ** 14 + SEAL_OVERHEAD);
});

Deno.test("EpochKeys.open() tells replays and other epochs from what it opens", () => {
  const sealing = new EpochKeys(SUITE, SECRET, 2);
  const opening = new EpochKeys(SUITE, SECRET, 2);
  const first = ciphertext(sealing.seal(22, HELLO));
  strictEqual(typeof opening.open(first), "object");
  strictEqual(opening.open(first), "duplicate");
  strictEqual(opening.open(ciphertext(new EpochKeys(SUITE, SECRET, 3).seal(22, HELLO))), "other epoch");
  // The same low bits, another epoch: the key differs.
  strictEqual(
    opening.open(ciphertext(new EpochKeys(SUITE, new Uint8Array(32), 6).seal(22, HELLO))),
    "bad tag",
  );
  strictEqual(opening.failedOpens, 1);
});

Deno.test("EpochKeys.open() calls a forged record of a number seen before forged: it opens first", () => {
  const opening = new EpochKeys(SUITE, SECRET, 2);
  const record = new EpochKeys(SUITE, SECRET, 2).seal(22, HELLO);
  strictEqual(typeof opening.open(ciphertext(record)), "object");
  record[record.length - 1] ^= 1; // the tag; header and number are the same
  strictEqual(opening.open(ciphertext(record)), "bad tag");
  strictEqual(opening.failedOpens, 1);
});

Deno.test("EpochKeys.open() takes records in any order, each once", () => {
  const sealing = new EpochKeys(SUITE, SECRET, 2);
  const records = Array.from({ length: 20 }, (_, i) => ciphertext(sealing.seal(22, Uint8Array.of(i))));
  fc.assert(
    fc.property(fc.shuffledSubarray(records, { minLength: 20 }), (shuffled) => {
      const opening = new EpochKeys(SUITE, SECRET, 2);
      const opened = shuffled.map((record) => opening.open(record));
      ok(opened.every((one) => typeof one === "object"));
      ok(shuffled.every((record) => opening.open(record) === "duplicate"));
    }),
    { numRuns: 10 },
  );
});

Deno.test("EpochKeys.open() leaves the datagram as it came", () => {
  const record = new EpochKeys(SUITE, SECRET, 2).seal(22, HELLO);
  const before = record.slice();
  new EpochKeys(SUITE, SECRET, 2).open(ciphertext(record));
  equal(record, before);
});

Deno.test("EpochKeys.open() drops an authentic record of zeros alone: it has no content type", () => {
  const aead = plainAead(SUITE, trafficKeys(SUITE, "dtls", SECRET));
  const header = Uint8Array.of(0x2e, 0, 0, 0, 24);
  const sealed = aead.seal(0, header, new Uint8Array(8));
  const mask = aead.mask(sealed.subarray(0, 16));
  header[1] ^= mask[0];
  header[2] ^= mask[1];
  const opening = new EpochKeys(SUITE, SECRET, 2);
  strictEqual(opening.open(ciphertext(concat(header, sealed))), "no content");
  strictEqual(opening.open(ciphertext(concat(header, sealed))), "duplicate");
});

Deno.test("EpochKeys.open() opens nothing once the AEAD's limit of failed opens is reached", () => {
  const suite = { ...SUITE, integrityLimit: 2 };
  const opening = new EpochKeys(suite, SECRET, 2);
  const forged = ciphertext(new EpochKeys(SUITE, new Uint8Array(32), 2).seal(22, HELLO));
  equal([1, 2, 3].map(() => opening.open(forged)), ["bad tag", "bad tag", "key exhausted"]);
  strictEqual(opening.open(ciphertext(new EpochKeys(SUITE, SECRET, 2).seal(22, HELLO))), "key exhausted");
});

Deno.test("EpochKeys.seal() throws at the AEAD's limit of records, and after wipe()", () => {
  const limited = new EpochKeys({ ...SUITE, confidentialityLimit: 1 }, SECRET, 2);
  limited.seal(22, HELLO);
  throws(() => limited.seal(22, HELLO), /Defect/);
  const wiped = new EpochKeys(SUITE, SECRET, 2);
  wiped.wipe();
  throws(() => wiped.seal(22, HELLO), /Defect/);
});

Deno.test("splitDatagram() finds plaintext and protected records in one datagram, and what follows them", () => {
  const hello = plaintextRecord(CONTENT_TYPE.handshake, 5, HELLO);
  const sealed = new EpochKeys(SUITE, SECRET, 2).seal(CONTENT_TYPE.handshake, HELLO, 70);
  const found = splitDatagram(concat(hello, sealed, hello, Uint8Array.of(0, 1, 2)));
  equal(found.map((record) => record.kind), ["plaintext", "ciphertext", "plaintext", "malformed"]);
  equal(found[0], { kind: "plaintext", contentType: 22, epoch: 0, sequenceNumber: 5, content: HELLO });
  ok(found[1].kind === "ciphertext");
  equal(found[1].record, sealed);
  equal(found[3], { kind: "malformed", len: 3 });
});

Deno.test("splitDatagram() takes a record without length to the datagram's end", () => {
  const record = new Uint8Array(50);
  record[0] = 0x2a;
  const [found, ...rest] = splitDatagram(record);
  ok(found.kind === "ciphertext" && rest.length === 0);
  equal([found.header.hasLength, found.header.bodyLen], [false, 47]);
});

Deno.test("splitDatagram() wants a negotiated connection id in the first record, not in the others", () => {
  const record = (first: number, len: number) => {
    const bytes = new Uint8Array(len + 16).fill(0xa5);
    bytes.set([first], 0);
    bytes.set([0, 16], len - 2);
    return bytes;
  };
  const withCid = record(0x3e, 1 + 8 + 2 + 2);
  const without = record(0x2e, 1 + 2 + 2);
  const kinds = (...records: Uint8Array[]) => splitDatagram(concat(...records), 8).map((found) => found.kind);
  equal(kinds(withCid, without), ["ciphertext", "ciphertext"]);
  equal(kinds(without), ["malformed"]);
  equal(splitDatagram(withCid).map((found) => found.kind), ["malformed"]);
});

Deno.test("splitDatagram() bounds the records of a datagram", () => {
  const many = concat(...new Array(RECORDS_PER_DATAGRAM_MAX + 5).fill(plaintextRecord(22, 0, HELLO)));
  const found = splitDatagram(many);
  strictEqual(found.length, RECORDS_PER_DATAGRAM_MAX + 1);
  equal(found.at(-1), { kind: "malformed", len: 5 * 16 });
});

Deno.test("splitDatagram() refuses every first byte but 21, 22, 26 and 32 to 63", () => {
  const accepted = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => {
    const datagram = new Uint8Array(300);
    datagram[0] = byte;
    datagram.fill(1, 2, 5); // a length of 257, wherever a unified header has it
    return splitDatagram(datagram)[0].kind !== "malformed";
  });
  equal(accepted, [
    21,
    22,
    26,
    ...Array.from({ length: 32 }, (_, i) => 32 + i).filter((byte) => (byte & 0x10) === 0),
  ]);
});

Deno.test("EpochKeys.open() never throws for a ciphertext of one byte's repetition, the last counter of ChaCha20 included", () => {
  const keys = new EpochKeys(suiteById(0x1303), SECRET, 2);
  for (let byte = 0; byte < 256; byte++) {
    const record = new Uint8Array(60).fill(byte);
    record.set([0x2e, 0, 0, 0, 55]);
    strictEqual(keys.open(ciphertext(record)), "bad tag");
  }
});
