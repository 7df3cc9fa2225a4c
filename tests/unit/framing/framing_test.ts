/** Packer and Unpacker together: what goes in one end comes out at the other, whole or not at all. */

import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { toHex } from "../../../src/base/mod.ts";
import { SeededRandom, seedOf } from "../../../src/base/random.ts";
import { PACKED, Packer } from "../../../src/framing/packer.ts";
import { Reassembler } from "../../../src/framing/reassembler.ts";
import { Unpacker } from "../../../src/framing/unpacker.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";

const RECORD_MAX_LEN = 2048;

/** Bytes that tell packets and places apart. */
function packetBytes(index: number, len: number): Uint8Array {
  return Uint8Array.from({ length: len }, (_, i) => (index * 31 + i * 7 + (i >> 8)) & 0xff);
}

/** All records that `packets` make, each a copy of its plaintext of `recordLen` bytes. */
function packAll(packets: readonly Uint8Array[], recordLen: number): Uint8Array[] {
  const memory = new HeapMemory(64 + 2048 + RECORD_MAX_LEN + 64);
  const source = memory.alloc(2048);
  const plaintext = memory.alloc(RECORD_MAX_LEN);
  const packer = new Packer(memory.u8);
  const records: Uint8Array[] = [];
  let open = false;
  const close = () => {
    packer.finish();
    records.push(memory.u8.slice(plaintext, plaintext + recordLen));
    open = false;
  };
  for (const packet of packets) {
    memory.u8.set(packet, source);
    for (let result = -1; result !== PACKED.whole;) {
      if (!open) {
        memory.u8.fill(0xa5, plaintext, plaintext + RECORD_MAX_LEN);
        packer.begin(plaintext, recordLen);
        open = true;
      }
      result = packer.packet(source, packet.length);
      if (result !== PACKED.whole) close();
      ok(result === PACKED.whole || result === PACKED.split || result === PACKED.full);
    }
  }
  if (open) close();
  return records;
}

/** What a receiver makes of records, each with its number. */
function unpackAll(records: readonly (readonly [number, Uint8Array])[], places?: number) {
  const memory = new HeapMemory(64 + 64 * 2048 + RECORD_MAX_LEN);
  const reassembler = new Reassembler(memory, places);
  const plaintext = memory.alloc(RECORD_MAX_LEN);
  const unpacker = new Unpacker(memory.u8, reassembler);
  const packets: Uint8Array[] = [];
  let malformed = 0;
  const sink = {
    packet: (off: number, len: number) => void packets.push(memory.u8.slice(off, off + len)),
    control: () => {},
    malformed: () => void malformed++,
  };
  for (const [number, record] of records) {
    memory.u8.set(record, plaintext);
    unpacker.read(plaintext, record.length, sink, number);
  }
  return { packets, malformed, reassembler };
}

const inOrder = (records: readonly Uint8Array[]) => records.map((record, i) => [i, record] as const);

const lens = fc.array(fc.integer({ min: 1, max: 2000 }), { maxLength: 40 });
const recordLens = fc.integer({ min: 64, max: RECORD_MAX_LEN });

Deno.test("Packer and Unpacker bring every packet through in order, for any lengths", () => {
  fc.assert(fc.property(lens, recordLens, (packetLens, recordLen) => {
    const packets = packetLens.map((len, index) => packetBytes(index, len));
    const records = packAll(packets, recordLen);
    const found = unpackAll(inOrder(records));
    deepEqual(found.packets, packets);
    equal(found.malformed, 0);
    equal(found.reassembler.inFlight, 0);
    equal(found.reassembler.droppedCount, 0);
  }));
});

Deno.test("Packer and Unpacker bring through a part of the packets, all whole, whatever the network does", () => {
  const kinds = fc.record({
    loss: fc.nat(40),
    twice: fc.nat(20),
    displaced: fc.nat(60),
    seed: fc.nat(2 ** 31),
  });
  fc.assert(
    fc.property(lens, recordLens, kinds, (packetLens, recordLen, { loss, twice, displaced, seed }) => {
      const random = new SeededRandom(seedOf(seed));
      const packets = packetLens.map((len, index) => packetBytes(index, len));
      const arrivals: [number, readonly [number, Uint8Array]][] = [];
      for (const record of inOrder(packAll(packets, recordLen))) {
        if (random.below(100) < loss) continue;
        const copies = random.below(100) < twice ? 2 : 1;
        for (let i = 0; i < copies; i++) {
          const delay = random.below(100) < displaced ? random.below(20) : 0;
          arrivals.push([record[0] + delay, record]);
        }
      }
      arrivals.sort((a, b) => a[0] - b[0]);
      const found = unpackAll(arrivals.map(([, record]) => record));
      const sent = new Set(packets.map(toHex));
      for (const packet of found.packets) ok(sent.has(toHex(packet)), "a packet that was never sent");
      equal(found.malformed, 0);
    }),
  );
});

Deno.test("Packer and Unpacker bring every packet through reordering, as long as it is not far", () => {
  fc.assert(fc.property(lens, recordLens, fc.nat(2 ** 31), (packetLens, recordLen, seed) => {
    const random = new SeededRandom(seedOf(seed));
    const packets = packetLens.map((len, index) => packetBytes(index, len));
    const arrivals = inOrder(packAll(packets, recordLen)).map((record) =>
      [record[0] + random.below(6), record] as const
    );
    arrivals.sort((a, b) => a[0] - b[0]);
    const found = unpackAll(arrivals.map(([, record]) => record));
    deepEqual(found.packets.map(toHex).sort(), packets.map(toHex).sort());
  }));
});

Deno.test("Packer.packet() packs back to back, splits the last, and the rest opens the next record", () => {
  const [a, b] = packAll([packetBytes(1, 30), packetBytes(2, 60)], 80);
  const first = packetBytes(1, 30), second = packetBytes(2, 60);
  equal(toHex(a), "10001e" + toHex(first) + "110001002a" + toHex(second.subarray(0, 42)));
  equal(toHex(b), "210001002a0012" + toHex(second.subarray(42)) + "00".repeat(80 - 7 - 18));
});

Deno.test("Packer.packet() leaves a packet to the next record when too little room is left to split it", () => {
  const records = packAll([packetBytes(1, 41), packetBytes(2, 40)], 80); // 44 used, 36 left: a fragment needs 37
  equal(records.length, 2);
  equal(toHex(records[0].subarray(44)), "00".repeat(36));
  equal(toHex(records[1].subarray(0, 43)), "100028" + toHex(packetBytes(2, 40)));
});

Deno.test("Packer.packet() fills a record exactly", () => {
  const records = packAll([packetBytes(1, 77), packetBytes(2, 78), packetBytes(3, 79)], 80);
  deepEqual(unpackAll(inOrder(records)).packets, [
    packetBytes(1, 77),
    packetBytes(2, 78),
    packetBytes(3, 79),
  ]);
  equal(toHex(records[0]), "10004d" + toHex(packetBytes(1, 77)));
});

Deno.test("Packer.resume() appends behind what was finished, Packer.finish() pads the rest with zeros", () => {
  const memory = new HeapMemory(64 + 4096);
  const plaintext = memory.alloc(256);
  const source = memory.alloc(64);
  memory.u8.set(packetBytes(1, 20), source);
  const packer = new Packer(memory.u8);
  memory.u8.fill(0xa5, plaintext, plaintext + 256);
  packer.begin(plaintext, 100);
  equal(packer.packet(source, 20), PACKED.whole);
  equal(packer.finish(), 23);
  ok(packer.appendable(23));
  ok(!packer.appendable(64), "36 bytes left hold no fragment");
  packer.resume(plaintext, 100, 23);
  ok(packer.control(Uint8Array.from([0x42, 0, 1, 9])));
  ok(!packer.control(new Uint8Array(74)), "74 bytes do not fit in 73");
  equal(packer.finish(), 27);
  const expected = "100014" + toHex(packetBytes(1, 20)) + "42000109" + "00".repeat(73) + "a5";
  equal(toHex(memory.u8.subarray(plaintext, plaintext + 101)), expected);
});

Deno.test("Packer.appendable() says no while a packet's rest must open the next record", () => {
  const memory = new HeapMemory(64 + 4096);
  const plaintext = memory.alloc(256);
  const packer = new Packer(memory.u8);
  packer.begin(plaintext, 100);
  equal(packer.packet(memory.alloc(256), 200), PACKED.split);
  ok(!packer.appendable(0));
  packer.abandon();
  ok(packer.appendable(0));
});

Deno.test("Packer.abandon() makes the same bytes a new packet", () => {
  const memory = new HeapMemory(64 + 4096);
  const plaintext = memory.alloc(256);
  const source = memory.alloc(256);
  const packer = new Packer(memory.u8);
  packer.begin(plaintext, 100);
  equal(packer.packet(source, 200), PACKED.split);
  packer.abandon();
  packer.begin(plaintext, 100);
  equal(packer.packet(source, 200), PACKED.split);
  equal(
    toHex(memory.u8.subarray(plaintext, plaintext + 5)),
    "110002005f",
    "a first fragment with an id of its own",
  );
  packer.begin(plaintext, 100);
  equal(packer.packet(source + 1, 20), PACKED.whole, "another packet abandons the split one by itself");
  equal(packer.packet(source, 200), PACKED.split);
  equal(toHex(memory.u8.subarray(plaintext + 23, plaintext + 26)), "110003");
});

Deno.test("Unpacker.read() hands on control frames and skips those of unknown types", () => {
  const memory = new HeapMemory(64 + 64 * 2048);
  const unpacker = new Unpacker(memory.u8, new Reassembler(memory));
  const off = memory.alloc(64);
  const record = Uint8Array.from([0x77, 0, 2, 1, 2, 0x42, 0, 1, 7, 0x10, 0, 1, 0xee, 0, 0x42, 0, 1, 8]);
  memory.u8.set(record, off);
  const seen: string[] = [];
  unpacker.read(off, record.length, {
    packet: (at, len) => void seen.push(`packet ${toHex(memory.u8.subarray(at, at + len))}`),
    control: (type, at, len) => void seen.push(`control ${type} ${toHex(memory.u8.subarray(at, at + len))}`),
    malformed: (reason) => void seen.push(`malformed ${reason}`),
  });
  deepEqual(seen, ["control 66 07", "packet ee"], "padding hides what follows it");
  equal(unpacker.unknownControls, 1);
});

Deno.test("Unpacker.read() keeps what came before nonsense and drops the rest of that record only", () => {
  const packet = [0x10, 0, 1, 0xee];
  const records = [[...packet, 0x3f, ...packet], [...packet, 0x10, 0, 9, 1], packet].map((r) =>
    Uint8Array.from(r)
  );
  const found = unpackAll(inOrder(records));
  equal(found.packets.length, 3);
  equal(found.malformed, 2);
});
