/** A peer with a valid key may write anything into a record. Nothing it writes throws, and what is handed on lies
 * within the record or the reassembler's storage. Seeded: FUZZ_SEED repeats a failure, FUZZ_RECORDS sets the length. */

import { equal, ok } from "node:assert/strict";
import { SeededRandom, seedOf } from "../../src/base/random.ts";
import { PACKED, Packer } from "../../src/framing/packer.ts";
import { PACKET_MAX_LEN, Reassembler } from "../../src/framing/reassembler.ts";
import { Unpacker } from "../../src/framing/unpacker.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";
import { parseClientParameters, parseClose, parseServerWelcome } from "../../src/wire/inner_control.ts";
import { parseVersion } from "../../src/wire/ip_header.ts";

const SEED = Number(Deno.env.get("FUZZ_SEED") ?? 1405);
const RECORDS = Number(Deno.env.get("FUZZ_RECORDS") ?? 20_000);
const PLACES = 8;
const CANARY_LEN = 64;

type Maker = (random: SeededRandom, out: Uint8Array) => number;

/** Any bytes. */
const noise: Maker = (random, out) => {
  const len = random.below(out.length + 1);
  for (let i = 0; i < len; i++) out[i] = random.u32();
  return len;
};

/** Frames with heads that make sense and fields that may not. */
const frames: Maker = (random, out) => {
  const types = [0x10, 0x11, 0x20, 0x21, 0x20, 0x21, 0x40, 0x41, 0x42, 0x50, 0x00, 0x12, random.below(256)];
  const lens = [0, 1, 5, 40, 300, 2000, 65535];
  let at = 0;
  while (at + 8 < out.length && random.below(20) > 0) {
    const type = types[random.below(types.length)];
    out[at++] = type;
    if (type >= 0x11 && type < 0x40) {
      out[at++] = 0;
      out[at++] = random.below(12); // few ids, so that packets meet
    }
    if (type >= 0x20 && type < 0x40) {
      out[at++] = random.below(10);
      out[at++] = random.below(256);
    }
    const len = random.below(4) === 0 ? lens[random.below(lens.length)] : random.below(200);
    out[at++] = len >> 8;
    out[at++] = len;
    at += len;
  }
  return Math.min(at, out.length);
};

/** What a Packer writes, with a few bytes changed. */
function mutated(): Maker {
  const memory = new HeapMemory(64 + 8192);
  const source = memory.alloc(4096);
  const plaintext = memory.alloc(2048);
  const packer = new Packer(memory.u8);
  let len = 1;
  return (random, out) => {
    packer.begin(plaintext, out.length);
    while (packer.packet(source, len) === PACKED.whole) len = 1 + random.below(2000);
    packer.finish();
    out.set(memory.u8.subarray(plaintext, plaintext + out.length));
    for (let i = random.below(3); i > 0; i--) out[random.below(Math.min(out.length, 64))] = random.u32();
    return out.length;
  };
}

function fuzz(seed: number, make: Maker): { packets: number; controls: number; malformed: number } {
  const random = new SeededRandom(seedOf(seed));
  const memory = new HeapMemory(64 + (PLACES + 2) * 2048);
  const reassembler = new Reassembler(memory, PLACES);
  const canary = memory.alloc(CANARY_LEN);
  const off = memory.alloc(1400);
  memory.u8.fill(0xa5, canary, canary + CANARY_LEN);
  const unpacker = new Unpacker(memory.u8, reassembler);
  const seen = { packets: 0, controls: 0, malformed: 0 };
  let len = 0;
  const within = (at: number, bodyLen: number) => at >= off && at + bodyLen <= off + len;
  const sink = {
    packet(at: number, packetLen: number) {
      ok(packetLen > 0 && packetLen <= Math.max(PACKET_MAX_LEN, len));
      ok(within(at, packetLen) || reassembler.holds(at));
      ok([0, 4, 6].includes(parseVersion(memory.u8, at, packetLen)));
      seen.packets++;
    },
    control(_type: number, at: number, bodyLen: number) {
      ok(within(at, bodyLen));
      const body = memory.u8.slice(at, at + bodyLen);
      parseClientParameters(body);
      parseServerWelcome(body);
      parseClose(body);
      seen.controls++;
    },
    malformed: () => void seen.malformed++,
  };
  for (let record = 0; record < RECORDS; record++) {
    len = make(random, memory.u8.subarray(off, off + 64 + random.below(1337)));
    unpacker.read(off, len, sink, record + random.below(5));
    ok(reassembler.inFlight <= PLACES);
  }
  equal(memory.u8.subarray(canary, canary + CANARY_LEN).every((byte) => byte === 0xa5), true);
  return seen;
}

for (const [name, make] of [["noise", noise], ["frames", frames], ["mutated records", mutated()]] as const) {
  Deno.test(`Unpacker.read() survives ${name} (seed ${SEED})`, () => {
    const seen = fuzz(SEED, make);
    ok(seen.malformed > 0 && (name === "noise" || seen.packets > 0), JSON.stringify(seen));
  });
}
