/** Cutting what the kernel hands over in one piece into inner packets, and joining inner packets into it: nanoseconds per
 * packet of 1,440 bytes, copies and checksums included.
 *
 *   deno run -A bench/micro/offload.ts [rounds] */

import { deepStrictEqual } from "node:assert/strict";
import { SYMBOLS } from "../../ffi/symbols.ts";
import { openMemory } from "../../ffi/memory.ts";
import { shimPath } from "../../ffi/mod.ts";
import { TUN_DESC, TUN_STRIDE } from "../../src/ports/mod.ts";
import { summarize } from "../../src/base/statistics.ts";

const ROUNDS = Number(Deno.args[0] ?? 3000);
const PACKETS = 45;
const HEADER_LEN = 40;
const PAYLOAD_LEN = 1400;
const OUT_LEN = 1 << 20;

const { symbols } = Deno.dlopen(shimPath(), SYMBOLS);
const memory = openMemory(symbols, 16 << 20);
const { u8, u32 } = memory;

/** One TCP packet over IPv4 as the kernel hands it over, virtio header first; its checksum is the pseudo header's sum. */
function whole(): Uint8Array {
  const bytes = new Uint8Array(10 + HEADER_LEN + PACKETS * PAYLOAD_LEN);
  const view = new DataView(bytes.buffer);
  bytes.set([1, 1]);
  [HEADER_LEN, PAYLOAD_LEN, 20, 16].forEach((value, i) => view.setUint16(2 + 2 * i, value, true));
  bytes.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], 10);
  bytes.set([0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0], 30);
  const sum = 0x0a00 + 1 + 0x0a00 + 2 + 6 + 20 + PACKETS * PAYLOAD_LEN;
  view.setUint16(46, (sum & 0xffff) + (sum >>> 16));
  for (let i = 50; i < bytes.length; i++) bytes[i] = (i * 7919) >>> 8;
  return bytes;
}

const given = whole();
const input = memory.alloc(given.length);
const packets = memory.alloc(64 * TUN_STRIDE);
const descs = memory.alloc(64 * TUN_DESC.size);
const out = memory.alloc(OUT_LEN);
const split = () => symbols.i405_tun_split(input, given.length, packets, descs, 64);
const coalesce = () => symbols.i405_tun_coalesce(descs, PACKETS, 15, out, OUT_LEN);

// Equal bytes first: what is cut and joined again is what it was, but for lengths that only the kernel leaves out.
u8.set(given, input);
deepStrictEqual([split(), coalesce()], [PACKETS, 4 + given.length]);
deepStrictEqual(u8.slice(out + 4 + 10 + HEADER_LEN, out + 4 + given.length), given.slice(10 + HEADER_LEN));
deepStrictEqual(u32[(descs >>> 2) + 1], HEADER_LEN + PAYLOAD_LEN);

function nsPerPacket(work: () => number): number[] {
  const all: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    work();
    all.push((performance.now() - start) * 1e6 / PACKETS);
  }
  return all;
}

console.log(`ns per packet of ${HEADER_LEN + PAYLOAD_LEN} bytes, ${PACKETS} at a time, ${ROUNDS} rounds`);
for (const [name, work] of [["cut", split], ["join", coalesce]] as const) {
  const { p50, p99 } = summarize(nsPerPacket(work));
  console.log(`${name.padEnd(5)} p50 ${p50.toFixed(0).padStart(5)}  p99 ${p99.toFixed(0).padStart(5)}`);
}
