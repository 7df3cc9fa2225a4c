/* The emitter over the pacer's twin: what each slot carries, read back by an unpacker. */

import assert from "node:assert/strict";
import { SeededRandom, seedOf } from "../../../src/base/random.ts";
import { Reassembler } from "../../../src/framing/reassembler.ts";
import { type FrameDialect, Unpacker } from "../../../src/framing/unpacker.ts";
import { BUF, BUF_WORD, KEY_MATERIAL, RECORD, RING } from "../../../src/ports/mod.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PlainProtection } from "../../../src/record/plain_protection.ts";
import { Emitter, type EmitterOptions, HEADER_LEN, plaintextLenOf } from "../../../src/tunnel/emitter.ts";
import { PacketQueue } from "../../../src/tunnel/packet_queue.ts";
import { SendKeys } from "../../../src/tunnel/peer.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";
import { emitClose } from "../../../src/wire/inner_control.ts";
import { isV0Message, parseV0Frame } from "../../../src/wire/v0_message.ts";
import { innerPacket } from "../../sim/world.ts";
import { SimPacer } from "../../sim/sim_pacer.ts";
import { VirtualTime } from "../../sim/virtual_time.ts";

const INTERVAL_NS = 1e6;
const START_NS = 10e6;
const DATAGRAM_LEN = 600;
/** Slots that inner packets are bound ahead: 2 ms. */
const BOUND_AHEAD = 2;
const CID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const PLAINTEXT_LEN = plaintextLenOf(DATAGRAM_LEN, CID.length);
const TO = { ip: Uint8Array.of(192, 0, 2, 9), port: 9 };

class CountedMemory extends HeapMemory {
  blocks = 0;
  override alloc(len: number): number {
    const off = super.alloc(len);
    this.blocks++;
    return off;
  }
  override free(off: number, len: number): void {
    super.free(off, len);
    this.blocks--;
  }
}

function setup(
  changes: { intervalNs?: number; burst?: number; memoryLen?: number; more?: Partial<EmitterOptions> } = {},
) {
  const memory = new CountedMemory(changes.memoryLen ?? 4 << 20);
  const protection = new PlainProtection(memory);
  const time = new VirtualTime();
  const sent: Uint8Array[] = [];
  const sentFrom: number[] = [];
  const pacer = new SimPacer(memory, protection, time, {
    send: (fd, bytes) => sentFrom.push(fd) > 0 && sent.push(bytes.slice()) > 0,
  });
  const key = (fill: number) => {
    const material = memory.alloc(KEY_MATERIAL.size);
    memory.u8.fill(fill, material, material + KEY_MATERIAL.size);
    memory.u32[material >> 2] = 0x1301;
    const id = protection.newKey(material);
    memory.free(material, KEY_MATERIAL.size);
    return id;
  };
  const intervalNs = changes.intervalNs ?? INTERVAL_NS;
  const train = {
    intervalNs,
    jitterSdNs: 0,
    jitterLaw: "none" as const,
    datagramLen: DATAGRAM_LEN,
    burst: changes.burst ?? 1,
  };
  const make = () =>
    new Emitter(memory, pacer, {
      train,
      seed: seedOf(1),
      startNs: START_NS,
      fd: 3,
      to: TO,
      traceCount: 0,
      cid: CID,
      ...changes.more,
    });
  return { memory, protection, time, pacer, sent, sentFrom, key, make };
}

function started(changes: Parameters<typeof setup>[0] = {}) {
  const world = setup(changes);
  const { memory, protection, sent, key, make, time } = world;
  const emitter = make();
  const keys = new SendKeys(emitter, protection, { key: key(1), epoch: 3 });
  emitter.start();
  emitter.admit(true);
  const queue = new PacketQueue(memory, 64, 1, () => 0); // no packet is ever late
  const scratch = memory.alloc(2048);
  const push = (packet: Uint8Array) => {
    memory.u8.set(packet, scratch);
    assert.ok(queue.push(scratch, packet.length));
  };
  /** The inner plaintext of the `index`th datagram, sealed under the key of `fill`. */
  const readKeys = new Map<number, number>();
  const plaintext = (index: number, fill = 1, number = index) => {
    const bytes = sent[index];
    const [at, src, dst] = [memory.alloc(RECORD.size), memory.alloc(2048), memory.alloc(2048)];
    memory.u8.set(bytes, src);
    if (!readKeys.has(fill)) readKeys.set(fill, key(fill));
    memory.u32.set([src, bytes.length], at >> 2);
    memory.u8.set([HEADER_LEN + CID.length, 1 + CID.length, 2], at + RECORD.hdrLen);
    memory.i32[(at + RECORD.key) >> 2] = readKeys.get(fill)!;
    memory.u32[(at + RECORD.seqLo) >> 2] = number;
    memory.u32[(at + RECORD.dst) >> 2] = dst;
    protection.unmaskBatch(at, 1);
    assert.equal(protection.openBatch(at, 1), 1, `datagram ${index} opens`);
    const result = memory.u8.slice(dst, dst + PLAINTEXT_LEN);
    for (const [off, len] of [[at, RECORD.size], [src, 2048], [dst, 2048]]) memory.free(off, len);
    return result;
  };
  const runSlots = (count: number) =>
    time.runUntil(START_NS + (count - 0.5) * (changes.intervalNs ?? INTERVAL_NS));
  return { ...world, emitter, keys, queue, push, plaintext, runSlots };
}

/** The inner packets in plaintexts, put together. */
function packetsIn(plaintexts: readonly Uint8Array[], frames?: FrameDialect): Uint8Array[] {
  const memory = new HeapMemory(1 << 17);
  const unpacker = new Unpacker(memory.u8, new Reassembler(memory), frames);
  const at = memory.alloc(2048);
  const packets: Uint8Array[] = [];
  for (const bytes of plaintexts) {
    memory.u8.set(bytes, at);
    assert.equal(bytes.at(-1), CONTENT_TYPE.applicationData);
    unpacker.read(at, bytes.length - 1, {
      packet: (off, len) => packets.push(memory.u8.slice(off, off + len)),
      control: () => {},
      malformed: () => assert.fail("an emitter writes no nonsense"),
    });
  }
  return packets;
}

/** All of one flow: what has no ports is told apart by addresses alone. */
function packet(len: number, mark: number): Uint8Array {
  const bytes = innerPacket([10, 0, 0, 1], [10, 0, 0, 2], len, mark);
  bytes[9] = 1;
  return bytes;
}

Deno.test("Emitter.pump() carries packets of any length, in order, filled and split", () => {
  const { emitter, queue, push, plaintext, runSlots, time, sent } = started();
  const random = new SeededRandom(seedOf(3));
  const packets = Array.from({ length: 40 }, (_, mark) => packet(20 + random.below(1400), mark));
  packets.forEach(push);
  for (let slot = 1; slot < 80; slot++) {
    emitter.pump(queue);
    runSlots(slot);
  }
  assert.equal(queue.count, 0);
  time.runUntil(time.nowNs());
  assert.deepEqual(packetsIn(sent.map((_, index) => plaintext(index))), packets);
  const bytes = packets.reduce((sum, { length }) => sum + length, 0);
  const carrying = sent.filter((_, index) => plaintext(index)[0] !== 0).length;
  assert.ok(carrying <= Math.ceil(bytes * 1.03 / (PLAINTEXT_LEN - 1)), `${carrying} records`);
});

Deno.test("Emitter.pump() appends to a plaintext that has not been taken, and not to one that has", () => {
  const { emitter, queue, push, plaintext, runSlots } = started();
  push(packet(100, 1));
  emitter.pump(queue);
  push(packet(100, 2));
  emitter.pump(queue);
  assert.equal(emitter.waiting, 1);
  runSlots(1);
  assert.equal(emitter.waiting, 0);
  push(packet(100, 3));
  emitter.pump(queue);
  assert.equal(emitter.waiting, 1);
  runSlots(3);
  const plaintexts = [0, 1, 2].map((index) => plaintext(index));
  assert.deepEqual(packetsIn(plaintexts.slice(0, 1)), [packet(100, 1), packet(100, 2)]);
  assert.deepEqual(packetsIn(plaintexts.slice(1)), [packet(100, 3)]);
});

Deno.test("Emitter.pump() writes a fresh plaintext when the pacer takes the newest one first", () => {
  const { emitter, memory, queue, push, plaintext, runSlots } = started();
  push(packet(100, 1));
  emitter.pump(queue);
  // The pacer is between taking and counting.
  const word = memory.u32[(emitter.ring + RING.bufs) >> 2] + BUF.word;
  memory.i32[word >> 2] = BUF_WORD.taken;
  push(packet(100, 2));
  emitter.pump(queue);
  memory.i32[word >> 2] = BUF_WORD.ready;
  runSlots(2);
  assert.deepEqual(packetsIn([plaintext(0)]), [packet(100, 1)]);
  assert.deepEqual(packetsIn([plaintext(1)]), [packet(100, 2)]);
});

Deno.test("frames that should not wait overtake others, and no content of the session's own moves by it", () => {
  /** Which slots carry what, with frames and without. */
  const run = (busy: boolean) => {
    const { emitter, memory, plaintext, runSlots, sent } = started({ intervalNs: 250e3 });
    let [bulk, urgent] = [busy ? 1000 : 0, 0];
    const source = {
      wants: () => bulk + urgent > 0,
      urgent: () => urgent > 0,
      fill(off: number, len: number): number {
        if (len < 100 || bulk + urgent === 0) return 0;
        memory.u8.fill(urgent > 0 ? 0xee : 0xbb, off, off + len);
        if (urgent > 0) urgent--;
        else bulk--;
        return len;
      },
    };
    const pump = (urgentCount: number) => {
      urgent = busy ? urgentCount : 0;
      emitter.pumpFrames(source, 0);
    };
    pump(0);
    runSlots(2);
    pump(1);
    emitter.content(CONTENT_TYPE.alert, Uint8Array.of(1, 2));
    runSlots(6);
    pump(1);
    runSlots(30);
    return sent.map((_, i) => {
      const bytes = plaintext(i);
      const type = bytes.findLast((byte) => byte !== 0);
      return type === CONTENT_TYPE.alert ? "alert" : bytes[0] === 0xee ? "urgent" : "other";
    });
  };
  const [idle, busy] = [run(false), run(true)];
  const places = (list: string[], what: string) => list.flatMap((name, i) => name === what ? [i] : []);
  const [alert] = places(idle, "alert");
  assert.deepEqual(places(busy, "alert"), [alert]);
  const [first, second] = places(busy, "urgent");
  assert.equal(first, 2, "the next slot's, though others were bound to that");
  assert.equal(second, alert + 1, "nothing overtakes what the session says");
});

Deno.test("Emitter binds inner packets late; contents of the session's own go behind them all the same", () => {
  const { emitter, queue, push, runSlots } = started();
  for (let mark = 0; mark < 30; mark++) push(packet(1000, mark));
  emitter.pump(queue);
  assert.equal(emitter.waiting, 2, "two slots' worth at slots of 1 ms");
  assert.equal(emitter.room, 0);
  assert.ok(emitter.nextRoomNs(0) <= START_NS);
  let contents = 0;
  while (emitter.content(CONTENT_TYPE.ack, new Uint8Array(18))) contents++;
  assert.ok(contents >= 10 && !emitter.hasFree);
  assert.equal(emitter.control(emitClose(0)), false, "full: the caller counts");
  runSlots(1);
  assert.ok(emitter.hasFree);
  assert.equal(emitter.control(emitClose(0)), true);
});

Deno.test("Emitter.content() is content, its type, zeros", () => {
  const { emitter, plaintext, runSlots } = started();
  emitter.content(CONTENT_TYPE.alert, Uint8Array.of(1, 2));
  runSlots(BOUND_AHEAD + 1);
  const want = new Uint8Array(PLAINTEXT_LEN);
  want.set([1, 2, CONTENT_TYPE.alert]);
  assert.deepEqual(plaintext(BOUND_AHEAD), want);
});

Deno.test("Emitter puts what the session has to say into the same slot, whatever is bound before it", () => {
  const datagram = new Uint8Array(DATAGRAM_LEN).fill(9);
  for (const packets of [0, 1, 2, 50]) {
    const { emitter, queue, push, sent, plaintext, runSlots } = started();
    runSlots(7);
    for (let i = 0; i < packets; i++) push(innerPacket([1], [2], 500, i));
    emitter.pump(queue);
    emitter.raw(datagram);
    emitter.content(CONTENT_TYPE.alert, Uint8Array.of(1, 2));
    emitter.pump(queue);
    runSlots(7 + BOUND_AHEAD + 3);
    assert.deepEqual(sent[7 + BOUND_AHEAD], datagram, `${packets} packets before`);
    // The pacer has sealed something for the slot of the datagram, too: numbers are those of slots.
    assert.equal(plaintext(7 + BOUND_AHEAD + 1)[2], CONTENT_TYPE.alert);
  }
});

Deno.test("Emitter puts it into the next slot when no inner packet can be bound", () => {
  const datagram = new Uint8Array(DATAGRAM_LEN).fill(9);
  const { emitter, sent, runSlots } = started();
  emitter.admit(false);
  runSlots(1);
  emitter.raw(datagram); // one may be left
  runSlots(20);
  emitter.raw(datagram);
  runSlots(21);
  assert.deepEqual(sent.flatMap((bytes, slot) => bytes[0] === 9 ? [slot] : []), [1 + BOUND_AHEAD, 20]);
});

Deno.test("Emitter.raw() sends datagrams in order as they are, four wait, more are refused", () => {
  const { emitter, sent, runSlots } = started();
  while (emitter.content(CONTENT_TYPE.ack, new Uint8Array(18))) { /* no plaintext is free */ }
  const before = emitter.waiting;
  const datagram = (fill: number) => new Uint8Array(DATAGRAM_LEN).fill(fill);
  const taken = [1, 2, 3, 4, 5].map((fill) => emitter.raw(datagram(fill)));
  assert.deepEqual(taken, [true, true, true, true, false]);
  assert.throws(() => emitter.raw(new Uint8Array(DATAGRAM_LEN - 1)), /length of every slot/);
  const queue = { count: 0 } as PacketQueue;
  for (let slot = 1; slot < before + 6; slot++) {
    runSlots(slot);
    emitter.pump(queue);
  }
  runSlots(before + 8);
  assert.deepEqual(sent.slice(before, before + 4), [1, 2, 3, 4].map(datagram));
});

Deno.test("Emitter.refill() goes on where the pacer is after it was not called for long", () => {
  const { emitter, memory, sent, time } = started({ intervalNs: 10e6 });
  const dry = () => memory.f64[(emitter.ring + RING.dry) >> 3];
  for (let at = 0; at < 20e9; at += 100e6) {
    time.runUntil(at);
    while (emitter.refill()) { /* go on */ }
  }
  assert.equal(dry(), 0);
  time.runUntil(40e9);
  assert.ok(dry() > 1000);
  while (emitter.refill()) { /* go on */ }
  time.runUntil(40.1e9); // the next slot's time was settled before
  const before = dry();
  time.runUntil(42e9);
  assert.equal(dry(), before);
  assert.equal(sent.length, Math.floor((42e9 - START_NS) / 10e6) + 1, "no slot is missing");
});

Deno.test("Emitter.close() and SendKeys.close() give everything back, a change under way included", () => {
  const { emitter, keys, memory, protection, key, queue } = started();
  keys.change({ key: key(2), epoch: 3 }, 1000);
  keys.change({ key: key(3), epoch: 3 }, 0);
  keys.change({ key: key(4), epoch: 3 }, 0);
  assert.ok(keys.changing);
  emitter.close();
  keys.close();
  for (let i = 0; i < 2; i++) queue.rest();
  assert.equal(memory.blocks, 1, "the test's own scratch");
  for (const id of [1, 2, 3, 4]) {
    assert.throws(() => protection.freeKey(id), RangeError, "each is freed already");
  }
});

Deno.test("Emitter leaves nothing behind when there is no memory for its ring", () => {
  const { memory, make } = setup({ memoryLen: 1 << 14 });
  assert.throws(make, RangeError);
  assert.equal(memory.blocks, 0);
});

Deno.test("SendKeys.change() makes one change at a time and frees each key when the pacer has left it", () => {
  const { emitter, keys, protection, key, sent, plaintext, runSlots } = started();
  const [second, third] = [key(2), key(3)];
  keys.change({ key: second, epoch: 4 }, 5);
  keys.change({ key: third, epoch: 5 }, 0);
  runSlots(8);
  assert.ok(keys.changing);
  keys.maintain();
  runSlots(12);
  keys.maintain();
  assert.ok(!keys.changing);
  assert.deepEqual(sent.map(([first]) => first & 3).slice(0, 12), [3, 3, 3, 3, 3, 0, 0, 0, 1, 1, 1, 1]);
  assert.equal(plaintext(5, 2, 0)[0], 0, "numbers start at 0 under each key");
  assert.equal(plaintext(8, 3, 0)[0], 0);
  assert.throws(() => protection.freeKey(second), RangeError);
  emitter.close();
  keys.close();
});

Deno.test("SendKeys.move() changes socket and connection id at its slot, under the same key, in turn with keys", () => {
  const { emitter, keys, key, sent, sentFrom, plaintext, runSlots } = started();
  const cid = CID.toReversed();
  const idOf = (index: number) => sent[index].slice(1, 1 + CID.length);
  keys.move({ fd: 7, to: TO, cid }, 3);
  keys.change({ key: key(2), epoch: 4 }, 5);
  keys.move({ fd: 8, to: TO, cid: CID }, 8);
  for (let slot = 1; slot <= 10; slot++) {
    runSlots(slot);
    keys.maintain();
  }
  assert.ok(!keys.changing);
  assert.deepEqual(sentFrom, [3, 3, 3, 7, 7, 7, 7, 7, 8, 8]);
  assert.deepEqual([2, 3, 7, 8].map(idOf), [CID, cid, cid, CID]);
  assert.deepEqual(sent.map(([first]) => first & 3), [3, 3, 3, 3, 3, 0, 0, 0, 0, 0]);
  for (let index = 0; index < 10; index++) {
    assert.equal(plaintext(index, index < 5 ? 1 : 2, index < 5 ? index : index - 5)[0], 0, "numbers go on");
  }
  emitter.close();
  keys.close();
});

Deno.test("SendKeys.change() to a new session's key takes back a connection id of the session before that waits", () => {
  const { emitter, keys, key, sent, sentFrom, runSlots } = started();
  const [old, other] = [CID.map((byte) => byte + 100), CID.map((byte) => byte + 200)];
  keys.change({ key: key(2), epoch: 4 }, 2);
  keys.move({ fd: 7, to: TO, cid: old }, 0);
  keys.change({ key: key(3), epoch: 3, cid: other }, 0);
  for (let slot = 1; slot <= 6; slot++) {
    runSlots(slot);
    keys.maintain();
  }
  assert.equal(sentFrom.at(-1), 7);
  assert.ok(sent.every((bytes) => bytes.slice(1, 9).join() !== old.join()));
  assert.deepEqual(sent.at(-1)!.slice(1, 9), other);
  emitter.close();
  keys.close();
});

/** Version 0 with its count and time in front. */
const PREFIX = {
  bytes: Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0),
  stamps: { countOff: 1, timeOff: 10, wallBaseNs: 2 ** 40 },
};

Deno.test("Emitter with a prefix begins each record with it, chaff too: counts in a row, planned times, packets behind", () => {
  const { emitter, queue, push, plaintext, runSlots } = started({ more: { prefix: PREFIX } });
  const packets = Array.from({ length: 20 }, (_, mark) => packet(20 + 61 * mark, mark));
  packets.forEach(push);
  for (let slot = 1; slot <= 40; slot++) {
    if (slot > 5) emitter.pump(queue);
    runSlots(slot);
  }
  const plaintexts = Array.from({ length: 39 }, (_, index) => plaintext(index));
  plaintexts.forEach((bytes, index) => {
    const view = new DataView(bytes.buffer);
    assert.deepEqual([bytes[0], bytes[9], bytes.at(-1)], [4, 5, 23]);
    assert.equal(view.getBigUint64(1), BigInt(index));
    assert.equal(view.getBigUint64(10), BigInt(2 ** 40 + START_NS + index * INTERVAL_NS));
  });
  assert.deepEqual(packetsIn(plaintexts, { parse: parseV0Frame, isKnownControl: isV0Message }), packets);
});

Deno.test("Emitter tells the count that a control frame's record got, whatever lies before it and however late one asks", () => {
  const told: [number, number][] = [];
  const counted = (token: number, count: number) => void told.push([token, count]);
  const { emitter, runSlots } = started({ more: { prefix: PREFIX, counted } });
  runSlots(5);
  emitter.control(Uint8Array.of(3, ...new Uint8Array(16)), 77);
  emitter.content(CONTENT_TYPE.ack, Uint8Array.of(0, 0));
  emitter.control(Uint8Array.of(3, ...new Uint8Array(16)), 78);
  emitter.collect();
  assert.deepEqual(told, []);
  runSlots(20);
  for (let i = 0; i < 40; i++) { // more than there are buffers: none of the two is overwritten before it is asked
    emitter.control(Uint8Array.of(3, ...new Uint8Array(16)));
    runSlots(21 + i);
  }
  emitter.collect();
  const first = 5 + BOUND_AHEAD;
  assert.deepEqual(told, [[77, first], [78, first + 1]], "the ACK between them has no count");
});

Deno.test("Emitter.setKey() begins numbers and counts where it is told to", () => {
  const { emitter, keys, key, plaintext, runSlots } = started({ more: { prefix: PREFIX } });
  runSlots(3);
  keys.change({ key: key(2), epoch: 3, numbering: { first: 6, firstCount: 0 } }, 0);
  runSlots(8);
  const first = plaintext(4, 2, 7);
  assert.equal(new DataView(first.buffer).getBigUint64(1), 1n);
  assert.equal(emitter.numberNext, 11);
});
