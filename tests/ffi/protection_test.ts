import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { ecb, gcm } from "@noble/ciphers/aes.js";
import { chacha20, chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { KEY_MATERIAL, RECORD } from "../../src/ports/mod.ts";
import {
  block,
  EBADMSG,
  EFAULT,
  EINVAL,
  type KeyBytes,
  memory,
  newKey,
  randomBytes,
  randomKey,
  resultOf,
  shim,
  SUITES,
  symbols,
  writeMaterial,
  writeRecord,
} from "./support.ts";

const HDR_LEN = 5;
const HEADER = Uint8Array.of(0x2f, 0, 0, 0, 0);

/** The slow twin: RFC 9147 §4 with @noble/ciphers. */
function sealPlainly(key: KeyBytes, seq: bigint, plaintext: Uint8Array): Uint8Array {
  const header = HEADER.slice();
  new DataView(header.buffer).setUint16(1, Number(seq & 0xffffn));
  new DataView(header.buffer).setUint16(3, plaintext.length + 16);
  const nonce = key.iv.slice();
  for (let i = 0; i < 8; i++) nonce[11 - i] ^= Number((seq >> BigInt(8 * i)) & 0xffn);
  const aead = key.suite === SUITES.chacha ? chacha20poly1305 : gcm;
  const sealed = aead(key.key, nonce, header).encrypt(plaintext);
  const mask = maskPlainly(key, sealed.subarray(0, 16));
  header[1] ^= mask[0];
  header[2] ^= mask[1];
  const record = new Uint8Array(HDR_LEN + sealed.length);
  record.set(header);
  record.set(sealed, HDR_LEN);
  return record;
}

function maskPlainly(key: KeyBytes, sample: Uint8Array): Uint8Array {
  if (key.suite !== SUITES.chacha) return ecb(key.sn, { disablePadding: true }).encrypt(sample);
  const counter = new DataView(sample.buffer, sample.byteOffset).getUint32(0, true);
  return chacha20(key.sn, sample.slice(4), new Uint8Array(16), undefined, counter);
}

interface Sealed {
  readonly record: number;
  readonly src: number;
  readonly dst: number;
  readonly len: number;
  free(): void;
}

function prepare(plaintextLen: number, key: number, seq: bigint): Sealed {
  const len = HDR_LEN + plaintextLen + 16;
  const src = block(len);
  const dst = block(plaintextLen + 1);
  const record = memory.alloc(RECORD.size);
  writeRecord(record, { src, len, hdrLen: HDR_LEN, seqOff: 1, seqLen: 2, key, seq, dst });
  const free = () => {
    memory.free(src, len);
    memory.free(dst, plaintextLen + 1);
    memory.free(record, RECORD.size);
  };
  return { record, src, dst, len, free };
}

function writeHeader(src: number, seq: bigint, len: number): void {
  memory.u8.set(HEADER, src);
  memory.u8[src + 1] = Number((seq >> 8n) & 0xffn);
  memory.u8[src + 2] = Number(seq & 0xffn);
  memory.u8[src + 3] = (len - HDR_LEN) >>> 8;
  memory.u8[src + 4] = (len - HDR_LEN) & 0xff;
}

const SEQUENCE_NUMBERS = [0n, 1n, 0xffffn, 0x10000n, 0xffff_ffffn, 0x1_0000_0000n, 0xffff_ffff_ffffn];
const LENGTHS = [0, 1, 15, 16, 17, 255, 1350, 2011];

for (const [name, suite] of Object.entries(SUITES)) {
  Deno.test(`RecordProtection.sealBatch() gives what noble gives: ${name}`, () => {
    const bytes = randomKey(suite);
    const key = newKey(bytes);
    for (const seq of SEQUENCE_NUMBERS) {
      for (const plaintextLen of LENGTHS) {
        const plaintext = randomBytes(plaintextLen);
        const sealed = prepare(plaintextLen, key, seq);
        writeHeader(sealed.src, seq, sealed.len);
        memory.u8.set(plaintext, sealed.dst);
        shim.protection.sealBatch(sealed.record, 1);
        strictEqual(resultOf(sealed.record), sealed.len);
        const actual = memory.u8.slice(sealed.src, sealed.src + sealed.len);
        deepStrictEqual(actual, sealPlainly(bytes, seq, plaintext), `number ${seq}, ${plaintextLen} bytes`);
        sealed.free();
      }
    }
    shim.protection.freeKey(key);
  });

  Deno.test(`RecordProtection.openBatch() opens what noble sealed, ciphertext untouched: ${name}`, () => {
    const bytes = randomKey(suite);
    const key = newKey(bytes);
    for (const seq of SEQUENCE_NUMBERS) {
      for (const plaintextLen of LENGTHS) {
        const plaintext = randomBytes(plaintextLen);
        const wire = sealPlainly(bytes, seq, plaintext);
        const sealed = prepare(plaintextLen, key, seq);
        memory.u8.set(wire, sealed.src);
        shim.protection.unmaskBatch(sealed.record, 1);
        strictEqual(resultOf(sealed.record), 0);
        strictEqual((memory.u8[sealed.src + 1] << 8) | memory.u8[sealed.src + 2], Number(seq & 0xffffn));
        strictEqual(shim.protection.openBatch(sealed.record, 1), 1);
        strictEqual(resultOf(sealed.record), plaintextLen);
        deepStrictEqual(memory.u8.slice(sealed.dst, sealed.dst + plaintextLen), plaintext);
        strictEqual(memory.u8[sealed.dst + plaintextLen], 0xa5, "nothing beyond the plaintext is written");
        deepStrictEqual(
          memory.u8.slice(sealed.src + HDR_LEN, sealed.src + sealed.len),
          wire.slice(HDR_LEN),
        );
        shim.protection.unmaskBatch(sealed.record, 1);
        deepStrictEqual(
          memory.u8.slice(sealed.src, sealed.src + sealed.len),
          wire,
          "unmasking is its own inverse",
        );
        sealed.free();
      }
    }
    shim.protection.freeKey(key);
  });

  Deno.test(`RecordProtection.openBatch() refuses every changed bit and leaves no plaintext: ${name}`, () => {
    const bytes = randomKey(suite);
    const key = newKey(bytes);
    const plaintext = new Uint8Array(40).fill(0x77);
    const sealed = prepare(plaintext.length, key, 9n);
    memory.u8.set(sealPlainly(bytes, 9n, plaintext), sealed.src);
    shim.protection.unmaskBatch(sealed.record, 1);
    for (let bit = 0; bit < 8 * sealed.len; bit++) {
      memory.u8[sealed.src + (bit >> 3)] ^= 1 << (bit & 7);
      strictEqual(shim.protection.openBatch(sealed.record, 1), 0);
      strictEqual(resultOf(sealed.record), EBADMSG);
      ok(!memory.u8.subarray(sealed.dst, sealed.dst + plaintext.length).some((byte) => byte === 0x77));
      memory.u8[sealed.src + (bit >> 3)] ^= 1 << (bit & 7);
    }
    memory.u32[(sealed.record + RECORD.seqLo) >>> 2] = 10;
    strictEqual(shim.protection.openBatch(sealed.record, 1), 0, "another number");
    memory.u32[(sealed.record + RECORD.seqLo) >>> 2] = 9;
    strictEqual(
      shim.protection.openBatch(sealed.record, 1),
      1,
      "and after all that the true one still opens",
    );
    sealed.free();
    shim.protection.freeKey(key);
  });
}

Deno.test("RecordProtection.openBatch() judges each descriptor by itself", () => {
  const key = newKey(randomKey(SUITES.aes128));
  const src = block(4096);
  const dst = block(4096);
  const base = { src, len: 100, hdrLen: 5, seqOff: 1, seqLen: 2, key, seq: 0n, dst };
  const end = memory.u8.length;
  const cases: [Partial<typeof base>, number][] = [
    [{}, EBADMSG],
    [{ len: 20 }, EBADMSG],
    [{ len: 0 }, EBADMSG],
    [{ hdrLen: 255 }, EBADMSG],
    [{ seqLen: 3 }, EINVAL],
    [{ seqOff: 4 }, EINVAL],
    [{ seqOff: 255 }, EINVAL],
    [{ src: 0 }, EFAULT],
    [{ src: end - 10 }, EFAULT],
    [{ len: 0xffff_ffff }, EFAULT],
    [{ dst: 0 }, EFAULT],
    [{ dst: end - 10 }, EFAULT],
    [{ dst: src }, EINVAL],
    [{ dst: src + 50 }, EINVAL],
    [{ key: 0 }, EINVAL],
    [{ key: -1 }, EINVAL],
    [{ key: key + 1 }, EINVAL],
    [{ key: 0x7fff_ffff }, EINVAL],
  ];
  const records = memory.alloc(cases.length * RECORD.size);
  cases.forEach(([over], i) => writeRecord(records + i * RECORD.size, { ...base, ...over }));
  strictEqual(shim.protection.openBatch(records, cases.length), 0);
  deepStrictEqual(
    cases.map((_, i) => resultOf(records + i * RECORD.size)),
    cases.map(([, result]) => result),
  );
  cases.forEach(([over], i) => writeRecord(records + i * RECORD.size, { ...base, ...over }));
  shim.protection.sealBatch(records, cases.length);
  cases.forEach(([, result], i) => {
    const sound = i === 0 ? 100 : result;
    strictEqual(resultOf(records + i * RECORD.size), sound, `seal, case ${i}`);
  });
  memory.free(records, cases.length * RECORD.size);
  memory.free(src, 4096);
  memory.free(dst, 4096);
  shim.protection.freeKey(key);
});

Deno.test("RecordProtection.openBatch() without a sequence number in the header serves TLS", () => {
  const bytes = randomKey(SUITES.aes256);
  const key = newKey(bytes);
  const sealed = prepare(50, key, 3n);
  memory.u8.set([23, 3, 3, 0, 66], sealed.src);
  memory.u8[sealed.record + RECORD.seqLen] = 0;
  shim.protection.sealBatch(sealed.record, 1);
  const expected = gcm(bytes.key, bytes.iv.with(11, bytes.iv[11] ^ 3), Uint8Array.of(23, 3, 3, 0, 66))
    .encrypt(
      memory.u8.slice(sealed.dst, sealed.dst + 50),
    );
  deepStrictEqual(memory.u8.slice(sealed.src, sealed.src + 5), Uint8Array.of(23, 3, 3, 0, 66));
  deepStrictEqual(memory.u8.slice(sealed.src + 5, sealed.src + sealed.len), expected);
  sealed.free();
  shim.protection.freeKey(key);
});

Deno.test("RecordProtection.newKey() wipes the material, also when it refuses it", () => {
  const at = memory.alloc(KEY_MATERIAL.size);
  for (const suite of [SUITES.aes128, 0x1304, 0]) {
    writeMaterial(at, { ...randomKey(SUITES.chacha), suite });
    if (suite === SUITES.aes128) shim.protection.freeKey(shim.protection.newKey(at));
    else throws(() => shim.protection.newKey(at), RangeError);
    ok(memory.u8.subarray(at, at + KEY_MATERIAL.size).every((byte) => byte === 0));
  }
  memory.free(at, KEY_MATERIAL.size);
});

Deno.test("RecordProtection.freeKey() refuses a key that is not there", () => {
  const key = newKey(randomKey(SUITES.chacha));
  shim.protection.freeKey(key);
  throws(() => shim.protection.freeKey(key), { errnoName: "EINVAL" });
  throws(() => shim.protection.freeKey(0), { errnoName: "EINVAL" });
});

Deno.test("RecordProtection.newKey() gives no id twice while it is alive, and does not grow without end", () => {
  const alive = Array.from({ length: 300 }, () => newKey(randomKey(SUITES.chacha)));
  strictEqual(new Set(alive).size, alive.length);
  alive.forEach((key) => shim.protection.freeKey(key));
  for (let i = 0; i < 40_000; i++) shim.protection.freeKey(newKey(randomKey(SUITES.aes128)));
});

Deno.test("Sealing and opening allocate nothing", () => {
  for (const suite of Object.values(SUITES)) {
    const key = newKey(randomKey(suite));
    const sealed = prepare(1000, key, 0n);
    const before = symbols.i405_secret_blocks();
    for (let i = 0; i < 1000; i++) {
      shim.protection.sealBatch(sealed.record, 1);
      shim.protection.unmaskBatch(sealed.record, 1);
      shim.protection.openBatch(sealed.record, 1);
    }
    strictEqual(symbols.i405_secret_blocks(), before);
    sealed.free();
    shim.protection.freeKey(key);
  }
});

/** Sealed by a key of gcm.c, or of the library. */
function sealedBy(wide: boolean, bytes: KeyBytes, headerLen: number, plaintext: Uint8Array): Uint8Array {
  symbols.i405_aead_wide(wide ? 1 : 0);
  const key = newKey(bytes);
  const len = headerLen + plaintext.length + 16;
  const src = block(len);
  const dst = block(plaintext.length + 1);
  const record = memory.alloc(RECORD.size);
  memory.u8.set(plaintext, dst);
  const seqLen = Math.min(2, headerLen);
  writeRecord(record, { src, len, hdrLen: headerLen, seqOff: 0, seqLen, key, seq: 0x1_2345_6789n, dst });
  shim.protection.sealBatch(record, 1);
  strictEqual(resultOf(record), len);
  const sealed = memory.u8.slice(src, src + len);
  // The other way opens it.
  symbols.i405_aead_wide(wide ? 0 : 1);
  const other = newKey(bytes);
  memory.u8.fill(0xa5, dst, dst + plaintext.length + 1);
  memory.i32[(record + RECORD.key) >>> 2] = other;
  shim.protection.unmaskBatch(record, 1);
  shim.protection.openBatch(record, 1);
  strictEqual(resultOf(record), plaintext.length);
  deepStrictEqual(memory.u8.slice(dst, dst + plaintext.length), plaintext);
  strictEqual(memory.u8[dst + plaintext.length], 0xa5, "not a byte beyond");
  // And sees one wrong bit anywhere; the header's among them.
  const wrong = Math.floor(Math.random() * (len - seqLen)) + seqLen;
  memory.u8[src + wrong] ^= 1 << Math.floor(8 * Math.random());
  shim.protection.openBatch(record, 1);
  strictEqual(resultOf(record), EBADMSG, `byte ${wrong} of ${len}`);
  ok(memory.u8.subarray(dst, dst + plaintext.length).every((byte) => byte === 0));
  for (const id of [key, other]) shim.protection.freeKey(id);
  memory.free(src, len);
  memory.free(dst, plaintext.length + 1);
  memory.free(record, RECORD.size);
  return sealed;
}

Deno.test("AES-GCM of wide processors gives and takes what the library does, at every length", () => {
  const isWide = symbols.i405_aead_wide(-1);
  try {
    for (const suite of [SUITES.aes128, SUITES.aes256]) {
      for (let len = 0; len < 800; len++) {
        const bytes = randomKey(suite);
        const plaintext = randomBytes(len);
        const headerLen = [0, 1, 5, 13, 15, 16, 17, 32, 255][len % 9];
        const [wide, library] = [true, false].map((wide) => sealedBy(wide, bytes, headerLen, plaintext));
        deepStrictEqual(wide, library, `${len} bytes, header of ${headerLen}`);
      }
    }
  } finally {
    symbols.i405_aead_wide(isWide);
  }
  strictEqual(symbols.i405_aead_wide(-1), isWide);
});
