import { deepStrictEqual as equal, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { allSuites, type CipherSuite, suiteById } from "../../../src/crypto/suites.ts";
import { KEY_MATERIAL, RECORD } from "../../../src/ports/mod.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { installKey } from "../../../src/record/install_key.ts";
import { PlainProtection } from "../../../src/record/plain_protection.ts";

const SUITE = suiteById(0x1301);
const PLAINTEXT_LEN = 40;
const HDR_LEN = 5;
const LEN = HDR_LEN + PLAINTEXT_LEN + 16;

/** One descriptor of a sealed record with the number 0x1_0000_0007, and where its parts lie. */
function sealedRecord(suite: CipherSuite = SUITE) {
  const memory = new HeapMemory(4096);
  const protection = new PlainProtection(memory);
  const key = installKey(memory, protection, suite, new Uint8Array(suite.hashLen).fill(3), "dtls");
  const at = memory.alloc(RECORD.size);
  const src = memory.alloc(LEN);
  const dst = memory.alloc(PLAINTEXT_LEN);
  memory.u8.set([0x2f, 0, 7, 0, PLAINTEXT_LEN + 16], src);
  for (let i = 0; i < PLAINTEXT_LEN; i++) memory.u8[dst + i] = i;
  memory.u32[(at + RECORD.src) >> 2] = src;
  memory.u32[(at + RECORD.len) >> 2] = LEN;
  memory.u32[(at + RECORD.dst) >> 2] = dst;
  memory.u8[at + RECORD.hdrLen] = HDR_LEN;
  memory.u8[at + RECORD.seqOff] = 1;
  memory.u8[at + RECORD.seqLen] = 2;
  memory.u32[(at + RECORD.seqLo) >> 2] = 7;
  memory.u32[(at + RECORD.seqHi) >> 2] = 1;
  memory.i32[(at + RECORD.key) >> 2] = key;
  protection.sealBatch(at, 1);
  const result = () => memory.i32[(at + RECORD.result) >> 2];
  strictEqual(result(), LEN);
  memory.u8.fill(0xa5, dst, dst + PLAINTEXT_LEN);
  return { memory, protection, key, at, src, dst, result };
}

for (const suite of allSuites()) {
  Deno.test(`PlainProtection.openBatch() inverts sealBatch(): ${suite.name}`, () => {
    const { memory, protection, at, src, dst, result } = sealedRecord(suite);
    protection.unmaskBatch(at, 1);
    strictEqual(result(), 0);
    equal(memory.u8.slice(src, src + HDR_LEN), Uint8Array.of(0x2f, 0, 7, 0, PLAINTEXT_LEN + 16));
    strictEqual(protection.openBatch(at, 1), 1);
    strictEqual(result(), PLAINTEXT_LEN);
    equal(memory.u8.slice(dst, dst + PLAINTEXT_LEN), Uint8Array.from({ length: PLAINTEXT_LEN }, (_, i) => i));
  });

  Deno.test(`PlainProtection.openBatch() refuses a record with any byte changed, and wipes: ${suite.name}`, () => {
    fc.assert(
      fc.property(fc.nat(LEN - 1), fc.integer({ min: 1, max: 255 }), (index, by) => {
        const { memory, protection, at, src, dst, result } = sealedRecord(suite);
        memory.u8[src + index] ^= by;
        protection.unmaskBatch(at, 1);
        strictEqual(protection.openBatch(at, 1), 0);
        strictEqual(result(), -74);
        equal(memory.u8.slice(dst, dst + PLAINTEXT_LEN), new Uint8Array(PLAINTEXT_LEN));
      }),
      { numRuns: 60 },
    );
  });
}

Deno.test("PlainProtection.openBatch() refuses another number", () => {
  const { memory, protection, at, result } = sealedRecord();
  protection.unmaskBatch(at, 1);
  memory.u32[(at + RECORD.seqHi) >> 2] = 0;
  strictEqual(protection.openBatch(at, 1), 0);
  strictEqual(result(), -74);
});

Deno.test("PlainProtection.unmaskBatch() is its own inverse", () => {
  const { memory, protection, at, src } = sealedRecord();
  const before = memory.u8.slice(src, src + LEN);
  protection.unmaskBatch(at, 1);
  protection.unmaskBatch(at, 1);
  equal(memory.u8.slice(src, src + LEN), before);
});

Deno.test("PlainProtection.unmaskBatch() leaves a record of TLS over TCP, which shows no number", () => {
  const { memory, protection, at, src } = sealedRecord();
  const before = memory.u8.slice(src, src + LEN);
  memory.u8[at + RECORD.seqLen] = 0;
  protection.unmaskBatch(at, 1);
  equal(memory.u8.slice(src, src + LEN), before);
});

type Field = "src" | "len" | "dst" | "key";
const REFUSED: [string, Field, number, number][] = [
  ["an unknown key", "key", 99, -22],
  ["a record shorter than header and tag", "len", HDR_LEN + 15, -74],
  ["a record behind the memory's end", "src", 4090, -14],
  ["a record at offset 0", "src", 0, -14],
  ["a plaintext behind the memory's end", "dst", 4090, -14],
  ["a plaintext at offset 0", "dst", 0, -14],
];

for (const [what, field, value, errno] of REFUSED) {
  Deno.test(`PlainProtection.openBatch() and sealBatch() refuse ${what}`, () => {
    const { memory, protection, at, result } = sealedRecord();
    memory.u32[(at + RECORD[field]) >> 2] = value;
    strictEqual(protection.openBatch(at, 1), 0);
    strictEqual(result(), errno);
    protection.sealBatch(at, 1);
    strictEqual(result(), errno);
  });
}

Deno.test("PlainProtection refuses a plaintext that overlaps its record, and a number outside the header", () => {
  const { memory, protection, at, src, result } = sealedRecord();
  memory.u8[at + RECORD.seqLen] = 3;
  strictEqual(protection.openBatch(at, 1), 0);
  strictEqual(result(), -22);
  memory.u8[at + RECORD.seqLen] = 2;
  memory.u8[at + RECORD.seqOff] = 4;
  protection.unmaskBatch(at, 1);
  strictEqual(result(), -22);
  memory.u8[at + RECORD.seqOff] = 1;
  memory.u32[(at + RECORD.dst) >> 2] = src + 8;
  strictEqual(protection.openBatch(at, 1), 0);
  strictEqual(result(), -22);
});

Deno.test("PlainProtection.openBatch() opens the good ones of a batch", () => {
  const { memory, protection, at } = sealedRecord();
  protection.unmaskBatch(at, 1);
  const three = memory.alloc(3 * RECORD.size);
  for (let i = 0; i < 3; i++) memory.u8.copyWithin(three + i * RECORD.size, at, at + RECORD.size);
  memory.u32[(three + RECORD.size + RECORD.seqLo) >> 2] = 8;
  strictEqual(protection.openBatch(three, 3), 2);
  const results = [0, 1, 2].map((i) => memory.i32[(three + i * RECORD.size + RECORD.result) >> 2]);
  equal(results, [PLAINTEXT_LEN, -74, PLAINTEXT_LEN]);
});

Deno.test("PlainProtection.freeKey() makes a key unknown, throws for one that is, and never gives its id again", () => {
  const { memory, protection, key, at, result } = sealedRecord();
  protection.freeKey(key);
  throws(() => protection.freeKey(key), RangeError);
  strictEqual(protection.openBatch(at, 1), 0);
  strictEqual(result(), -22);
  strictEqual(installKey(memory, protection, SUITE, new Uint8Array(32), "dtls"), key + 1);
});

Deno.test("PlainProtection.newKey() wipes the material and throws for an unknown suite", () => {
  const memory = new HeapMemory(1024);
  const protection = new PlainProtection(memory);
  const material = memory.alloc(KEY_MATERIAL.size);
  memory.u8.fill(0xa5, material, material + KEY_MATERIAL.size);
  throws(() => protection.newKey(material), RangeError);
  memory.u32[(material + KEY_MATERIAL.suite) >> 2] = 0x1303;
  strictEqual(protection.newKey(material), 1);
  equal(memory.u8, new Uint8Array(1024));
});

Deno.test("installKey() leaves nothing in the memory and the traffic secret as it was", () => {
  const memory = new HeapMemory(1024);
  const secret = new Uint8Array(32).fill(9);
  installKey(memory, new PlainProtection(memory), SUITE, secret, "dtls");
  equal(memory.u8, new Uint8Array(1024));
  equal(secret, new Uint8Array(32).fill(9));
});
