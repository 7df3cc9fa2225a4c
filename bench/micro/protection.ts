/** Sealing and opening a record with each suite: through the shim (batches of 1 and 64), in plain C, and in TypeScript.
 * ns per record, number encryption included, medians of 7 runs.
 *
 *   deno run -A bench/micro/protection.ts [--count 20000] [--record-len 1350] [--json FILE] */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { openShim, shimPath } from "../../ffi/mod.ts";
import { plainAead } from "../../src/crypto/aead.ts";
import { allSuites, type CipherSuite } from "../../src/crypto/suites.ts";
import { KEY_MATERIAL, RECORD } from "../../src/ports/mod.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    count: { type: "string", default: "20000" },
    "record-len": { type: "string", default: "1350" },
    json: { type: "string" },
  },
});
const COUNT = Number(values.count);
const RECORD_LEN = Number(values["record-len"]);
const RUNS = 7;
const HDR_LEN = 5;
const PLAIN_LEN = RECORD_LEN - HDR_LEN - 16;
const BATCH_MAX = 64;
const STRIDE = 2048;

const { memory, protection } = openShim(shimPath());
const iv = new Uint8Array(12).fill(2);

function newKey({ id, keyLen }: CipherSuite): number {
  const { key, sn } = keysOf(keyLen);
  const at = memory.alloc(KEY_MATERIAL.size);
  memory.u32[at >>> 2] = id;
  memory.u8.set(key, at + KEY_MATERIAL.key);
  memory.u8.set(iv, at + KEY_MATERIAL.iv);
  memory.u8.set(sn, at + KEY_MATERIAL.sn);
  return protection.newKey(at);
}

function keysOf(len: number) {
  return { key: new Uint8Array(len).fill(1), iv, sn: new Uint8Array(len).fill(3) };
}

let id = 0;
const records = memory.alloc(BATCH_MAX * RECORD.size);
const bytes = memory.alloc(BATCH_MAX * STRIDE);
const plain = memory.alloc(BATCH_MAX * STRIDE);
const header = Uint8Array.of(0x2f, 0, 0, (RECORD_LEN - HDR_LEN) >>> 8, (RECORD_LEN - HDR_LEN) & 0xff);

function describe(index: number, seq: number): void {
  const at = records + index * RECORD.size;
  memory.u32[(at + RECORD.src) >>> 2] = bytes + index * STRIDE;
  memory.u32[(at + RECORD.len) >>> 2] = RECORD_LEN;
  memory.u8[at + RECORD.hdrLen] = HDR_LEN;
  memory.u8[at + RECORD.seqOff] = 1;
  memory.u8[at + RECORD.seqLen] = 2;
  memory.i32[(at + RECORD.key) >>> 2] = id;
  memory.u32[(at + RECORD.seqLo) >>> 2] = seq;
  memory.u32[(at + RECORD.seqHi) >>> 2] = 0;
  memory.u32[(at + RECORD.dst) >>> 2] = plain + index * STRIDE;
}

function writeHeader(index: number, seq: number): void {
  const at = bytes + index * STRIDE;
  memory.u8.set(header, at);
  memory.u8[at + 1] = (seq >>> 8) & 0xff;
  memory.u8[at + 2] = seq & 0xff;
}

function sealShim(batch: number, seq: number): void {
  for (let i = 0; i < batch; i++) {
    describe(i, seq + i);
    writeHeader(i, seq + i);
  }
  protection.sealBatch(records, batch);
}

function openShimBatch(batch: number): void {
  protection.unmaskBatch(records, batch);
  if (protection.openBatch(records, batch) !== batch) throw new Error("a record failed");
  protection.unmaskBatch(records, batch); // as it was, for the next turn
}

type Aead = ReturnType<typeof plainAead>;

function sealPlain(aead: Aead, seq: number, plaintext: Uint8Array): Uint8Array {
  const record = new Uint8Array(RECORD_LEN);
  record.set(header);
  record[1] = seq >>> 8;
  record[2] = seq;
  record.set(aead.seal(seq, record.subarray(0, HDR_LEN), plaintext), HDR_LEN);
  const [a, b] = aead.mask(record.subarray(HDR_LEN, HDR_LEN + 16));
  record[1] ^= a;
  record[2] ^= b;
  return record;
}

function openPlain(aead: Aead, seq: number, record: Uint8Array): Uint8Array {
  const [a, b] = aead.mask(record.subarray(HDR_LEN, HDR_LEN + 16));
  const clear = record.slice(0, HDR_LEN);
  clear[1] ^= a;
  clear[2] ^= b;
  const plaintext = aead.open(seq, clear, record.slice(HDR_LEN));
  if (plaintext === undefined) throw new Error("a record failed");
  return plaintext;
}

/** Median over RUNS of ns per record of `count` records done `batch` at a time. */
function median(count: number, batch: number, body: (from: number) => void): number {
  const runs = Array.from({ length: RUNS }, () => {
    const start = performance.now();
    for (let i = 0; i < count; i += batch) body(i);
    return (performance.now() - start) * 1e6 / (Math.ceil(count / batch) * batch);
  });
  return runs.sort((a, b) => a - b)[RUNS >> 1];
}

/** A benchmark of unequal things says nothing: shim and TypeScript must give the same bytes. */
function proveEqual(aead: Aead): void {
  sealShim(1, 7);
  const native = memory.u8.slice(bytes, bytes + RECORD_LEN);
  const plaintext = memory.u8.slice(plain, plain + PLAIN_LEN);
  const twin = sealPlain(aead, 7, plaintext);
  if (native.some((byte, i) => byte !== twin[i])) throw new Error("the shim and TypeScript seal differently");
  if (openPlain(aead, 7, native).some((byte, i) => byte !== plaintext[i])) {
    throw new Error("TypeScript opens differently");
  }
}

async function buildPlainC(): Promise<string> {
  const source = fileURLToPath(new URL("aead.c", import.meta.url));
  const path = fileURLToPath(new URL("../../build/bench-aead", import.meta.url));
  const cc = Deno.env.get("CC") ?? "cc";
  const archive = (await new Deno.Command(cc, { args: ["-print-file-name=libcrypto.a"] }).output()).stdout;
  const args = ["-O2", "-o", path, source, new TextDecoder().decode(archive).trim(), "-ldl", "-pthread"];
  const { success, stderr } = await new Deno.Command(cc, { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return path;
}

async function runPlainC(program: string, suite: CipherSuite): Promise<Cost> {
  const args = [String(RECORD_LEN), String(COUNT), suite.id.toString(16)];
  const { success, stdout } = await new Deno.Command(program, { args }).output();
  if (!success) throw new Error("plain C failed");
  return JSON.parse(new TextDecoder().decode(stdout));
}

interface Cost {
  readonly seal: number;
  readonly open: number;
}

async function costsOf(suite: CipherSuite, program: string): Promise<Record<string, Cost>> {
  const aead = plainAead(suite, keysOf(suite.keyLen));
  id = newKey(suite);
  proveEqual(aead);
  const slow = Math.max(1, Math.ceil(COUNT / 50));
  const plaintext = new Uint8Array(PLAIN_LEN);
  const costs: Record<string, Cost> = { "plain C": await runPlainC(program, suite) };
  for (const batch of [1, BATCH_MAX]) {
    const seal = median(COUNT, batch, (from) => sealShim(batch, from));
    sealShim(batch, 7);
    costs[`shim, batches of ${batch}`] = { seal, open: median(COUNT, batch, () => openShimBatch(batch)) };
  }
  const sealed = sealPlain(aead, 7, plaintext);
  costs["TypeScript"] = {
    seal: median(slow, 1, (from) => void sealPlain(aead, from, plaintext)),
    open: median(slow, 1, () => void openPlain(aead, 7, sealed)),
  };
  return costs;
}

const program = await buildPlainC();
const suites: Record<string, Record<string, Cost>> = {};
for (const suite of allSuites()) suites[suite.name] = await costsOf(suite, program);
console.log(
  `ns per record of ${RECORD_LEN} bytes, median of ${RUNS} runs`.padEnd(44) + "seal".padStart(8) +
    "open".padStart(8),
);
for (const [suite, costs] of Object.entries(suites)) {
  console.log(suite);
  for (const [name, { seal, open }] of Object.entries(costs)) {
    console.log(`  ${name}`.padEnd(44) + seal.toFixed(0).padStart(8) + open.toFixed(0).padStart(8));
  }
}
if (values.json !== undefined) {
  const machine = { cpus: navigator.hardwareConcurrency, kernel: Deno.osRelease() };
  Deno.writeTextFileSync(
    values.json,
    JSON.stringify({ machine, recordLen: RECORD_LEN, runs: RUNS, suites }, null, 2) + "\n",
  );
}
