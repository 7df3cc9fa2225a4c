/** What the tests of the shim share: the opened library, keys, records, rings, a socket that receives. */

import { fileURLToPath } from "node:url";
import { type Shim, shimOf } from "../../ffi/mod.ts";
import { ARENA_LEN, openMemory } from "../../ffi/memory.ts";
import { SYMBOLS, type Symbols } from "../../ffi/symbols.ts";
import {
  BUF,
  BUF_KIND,
  BUF_WORD,
  type EndpointAddress,
  IO,
  KEY_MATERIAL,
  type Numbering,
  RECORD,
  RING,
  type RingConfig,
  RX,
} from "../../src/ports/mod.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Builds the shim (into build/, where the program looks for it, unless I405_SHIM names one). */
export function libraryPath(variant: "shipped" | "faults" = "shipped"): string {
  const given = Deno.env.get("I405_SHIM");
  if (given !== undefined && variant === "shipped") return given;
  const path = `${ROOT}build/libi405${variant === "faults" ? "-faults" : ""}.so`;
  if (variant === "shipped" && isNewer(path)) return path;
  const args = [`${ROOT}c/build.sh`, path, ...(variant === "faults" ? ["--faults"] : [])];
  const { success, stderr } = new Deno.Command("bash", { args }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return path;
}

function isNewer(path: string): boolean {
  try {
    const built = Deno.statSync(path).mtime!;
    return [...Deno.readDirSync(`${ROOT}c`)].every((entry) =>
      Deno.statSync(`${ROOT}c/${entry.name}`).mtime! <= built
    );
  } catch {
    return false;
  }
}

export const symbols: Symbols = Deno.dlopen(libraryPath(), SYMBOLS).symbols;
export const shim: Shim = shimOf(symbols, openMemory(symbols, ARENA_LEN));
export const memory = shim.memory;

export const SUITES = { aes128: 0x1301, aes256: 0x1302, chacha: 0x1303 } as const;
export const KEY_LEN: Readonly<Record<number, number>> = { 0x1301: 16, 0x1302: 32, 0x1303: 32 };
export const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
export const ANY_PORT: EndpointAddress = { ip: LOOPBACK, port: 0 };

export const EFAULT = -14;
export const EINVAL = -22;
export const EBADMSG = -74;

export interface KeyBytes {
  readonly suite: number;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
  readonly sn: Uint8Array;
}

export function randomBytes(len: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(len));
}

export function randomKey(suite: number): KeyBytes {
  return { suite, key: randomBytes(KEY_LEN[suite]), iv: randomBytes(12), sn: randomBytes(KEY_LEN[suite]) };
}

export function writeMaterial(at: number, key: KeyBytes): void {
  memory.u8.fill(0, at, at + KEY_MATERIAL.size);
  memory.u32[at >>> 2] = key.suite;
  memory.u8.set(key.key, at + KEY_MATERIAL.key);
  memory.u8.set(key.iv, at + KEY_MATERIAL.iv);
  memory.u8.set(key.sn, at + KEY_MATERIAL.sn);
}

export function newKey(key: KeyBytes): number {
  const at = memory.alloc(KEY_MATERIAL.size);
  writeMaterial(at, key);
  const id = shim.protection.newKey(at);
  memory.free(at, KEY_MATERIAL.size);
  return id;
}

export interface RecordFields {
  readonly src: number;
  readonly len: number;
  readonly hdrLen: number;
  readonly seqOff: number;
  readonly seqLen: number;
  readonly key: number;
  readonly seq: bigint;
  readonly dst: number;
}

export function writeRecord(at: number, fields: RecordFields): void {
  memory.u32[(at + RECORD.src) >>> 2] = fields.src;
  memory.u32[(at + RECORD.len) >>> 2] = fields.len;
  memory.u8[at + RECORD.hdrLen] = fields.hdrLen;
  memory.u8[at + RECORD.seqOff] = fields.seqOff;
  memory.u8[at + RECORD.seqLen] = fields.seqLen;
  memory.i32[(at + RECORD.key) >>> 2] = fields.key;
  memory.u32[(at + RECORD.seqLo) >>> 2] = Number(fields.seq & 0xffffffffn);
  memory.u32[(at + RECORD.seqHi) >>> 2] = Number(fields.seq >> 32n);
  memory.u32[(at + RECORD.dst) >>> 2] = fields.dst;
  memory.i32[(at + RECORD.result) >>> 2] = 0x5a5a5a5a;
}

export function resultOf(record: number): number {
  return memory.i32[(record + RECORD.result) >>> 2];
}

/** A block that starts as 0xa5. */
export function block(len: number): number {
  const at = memory.alloc(len);
  memory.u8.fill(0xa5, at, at + len);
  return at;
}

/** Socket that collects datagrams: { datagrams, port, until(count), close }. */
export class Receiver {
  readonly fd: number;
  readonly address: EndpointAddress;
  readonly datagrams: Uint8Array[] = [];
  readonly #io;

  constructor(address: EndpointAddress = ANY_PORT) {
    const opened = shim.udpOpen(address);
    this.fd = opened.fd;
    this.address = opened.address;
    this.#io = shim.newIo({ udpFds: [this.fd], rxCap: 256, tunCap: 0 });
  }

  /** Reads what comes within `ms`, or until there are `count` datagrams. */
  collect(ms: number, count = Infinity): void {
    const end = shim.clock.nowNs() + ms * 1e6;
    const { io } = this.#io;
    while (this.datagrams.length < count) {
      const left = end - shim.clock.nowNs();
      if (left <= 0) return;
      memory.f64[(io + IO.timeoutNs) >>> 3] = left;
      this.#io.poll();
      const descs = memory.u32[(io + IO.rxDescs) >>> 2];
      for (let i = 0; i < memory.u32[(io + IO.rxCount) >>> 2]; i++) {
        const rx = descs + i * RX.size;
        const off = memory.u32[(rx + RX.off) >>> 2];
        this.datagrams.push(memory.u8.slice(off, off + memory.u32[(rx + RX.len) >>> 2]));
      }
    }
  }

  close(): void {
    this.#io.free();
    shim.close(this.fd);
  }
}

export const HDR = Uint8Array.of(0x2f, 0, 0, 0, 0);
export const RECORD_LEN = 300;
export const PLAINTEXT_LEN = RECORD_LEN - HDR.length - 16;

export function ringConfig(fd: number, to: EndpointAddress, over: Partial<RingConfig> = {}): RingConfig {
  return {
    fd,
    datagramLen: RECORD_LEN,
    hdrLen: HDR.length,
    seqOff: 1,
    seqLen: 2,
    burst: 1,
    bufCount: 16,
    timesCount: 1024,
    traceCount: 1024,
    intervalNs: 1e6,
    to,
    ...over,
  };
}

/** A field of a RING: counters are f64, geometry u32. */
export function ringF64(ring: number, field: number): number {
  return memory.f64[(ring + field) >>> 3];
}
export function ringU32(ring: number, field: number): number {
  return Atomics.load(memory.u32, (ring + field) >>> 2);
}

/** Writes and publishes `count` times on an even grid after those already there. */
export function publishTimes(ring: number, startNs: number, intervalNs: number, count: number): void {
  const times = ringU32(ring, RING.times);
  const mask = ringU32(ring, RING.timesCount) - 1;
  const end = ringF64(ring, RING.timesEnd);
  for (let i = 0; i < count; i++) {
    memory.f64[(times >>> 3) + ((end + i) & mask)] = startNs + (end + i) * intervalNs;
  }
  shim.pacer.ringTimes(ring, count);
}

/** Installs `key` with a header template of `first` byte from `slot` on. */
export function installKey(
  ring: number,
  key: number,
  slot: number,
  first: number = HDR[0],
  numbering?: Numbering,
): void {
  const hdr = memory.alloc(HDR.length);
  memory.u8.set(HDR, hdr);
  memory.u8[hdr] = first;
  memory.u8[hdr + 3] = (RECORD_LEN - HDR.length) >>> 8;
  memory.u8[hdr + 4] = (RECORD_LEN - HDR.length) & 0xff;
  try {
    shim.pacer.ringKeys(ring, key, hdr, slot, numbering);
  } finally {
    memory.free(hdr, HDR.length);
  }
}

/** Puts `bytes` into plaintext buffer `number` (counted from 0 for ever) and makes it ready. Returns false when the
 * buffer is not free. */
export function submit(
  ring: number,
  number: number,
  bytes: Uint8Array,
  kind: keyof typeof BUF_KIND = "plaintext",
) {
  const count = ringU32(ring, RING.bufCount);
  const at = ringU32(ring, RING.bufs) + (number & (count - 1)) * ringU32(ring, RING.bufStride);
  if (Atomics.load(memory.i32, at >>> 2) !== BUF_WORD.free) return false;
  memory.u32[(at + BUF.kind) >>> 2] = BUF_KIND[kind];
  memory.u8.set(bytes, at + BUF.headLen);
  Atomics.store(memory.i32, at >>> 2, BUF_WORD.ready);
  return true;
}

/** Opens datagrams sealed with `key` in the order of their numbers from `firstSeq`; undefined where one fails. */
export function openAll(datagrams: readonly Uint8Array[], key: KeyBytes, firstSeq = 0) {
  return openEach(datagrams, key, (index) => firstSeq + index).map(({ plaintext }) => plaintext);
}

/** Opens datagrams sealed with `key` by the 16 bits of number that each shows. */
export function openShown(datagrams: readonly Uint8Array[], key: KeyBytes) {
  return openEach(datagrams, key, (_index, shown) => shown);
}

function openEach(
  datagrams: readonly Uint8Array[],
  key: KeyBytes,
  numberOf: (index: number, shown: number) => number,
): { readonly number: number; readonly plaintext: Uint8Array | undefined }[] {
  const id = newKey(key);
  const src = memory.alloc(2048);
  const dst = memory.alloc(2048);
  const record = memory.alloc(RECORD.size);
  const opened = datagrams.map((datagram, index) => {
    memory.u8.set(datagram, src);
    const fields = {
      hdrLen: HDR.length,
      seqOff: 1,
      seqLen: 2,
      key: id,
      src,
      dst,
      len: datagram.length,
    };
    writeRecord(record, { ...fields, seq: 0n });
    shim.protection.unmaskBatch(record, 1);
    const number = numberOf(index, memory.u8[src + 1] << 8 | memory.u8[src + 2]);
    writeRecord(record, { ...fields, seq: BigInt(number) });
    shim.protection.openBatch(record, 1);
    const len = resultOf(record);
    return { number, plaintext: len < 0 ? undefined : memory.u8.slice(dst, dst + len) };
  });
  memory.free(src, 2048);
  memory.free(dst, 2048);
  memory.free(record, RECORD.size);
  shim.protection.freeKey(id);
  return opened;
}

/** Waits (of the test, not of what is tested) until `done` or 5 s have passed. */
export function waitUntil(what: string, done: () => boolean): void {
  const end = shim.clock.nowNs() + 5e9;
  while (!done()) {
    if (shim.clock.nowNs() > end) throw new Error(`Waited 5 s for ${what}`);
    Atomics.wait(sleepWord, 0, 0, 1);
  }
}
const sleepWord = new Int32Array(new SharedArrayBuffer(4));

export const isRoot = Deno.uid() === 0;
