import assert from "node:assert/strict";
import fc from "fast-check";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PacketQueue, packetQueueLen } from "../../../src/tunnel/packet_queue.ts";

const MS = 1e6;
const LARGES = 16;
const LEN = packetQueueLen(LARGES);

class Bench {
  readonly memory = new HeapMemory(1 << 20);
  nowNs = 1e12;
  readonly queue = new PacketQueue(this.memory, LARGES, 0x1234_5678, () => this.nowNs);
  readonly #source = this.memory.alloc(2048);

  /** A packet of UDP of this flow, with `mark` in its last byte. */
  push(flow: number, len: number, mark = 0, ecn = 0): boolean {
    const bytes = this.memory.u8.subarray(this.#source, this.#source + len);
    bytes.fill(0);
    bytes.set([0x45, ecn, len >> 8, len & 255, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.set([flow >> 8, flow & 255], 20);
    bytes[len - 1] = mark;
    return this.queue.push(this.#source, len);
  }

  /** What leaves next. */
  pop(): { flow: number; len: number; mark: number; ecn: number } {
    const { queue, memory: { u8 } } = this;
    const [off, len] = [queue.frontOff(), queue.frontLen()];
    assert.deepEqual([queue.frontOff(), queue.frontLen()], [off, len], "the front stays");
    const packet = {
      flow: u8[off + 20] << 8 | u8[off + 21],
      len,
      mark: u8[off + len - 1],
      ecn: u8[off + 1] & 3,
    };
    queue.pop();
    return packet;
  }
}

Deno.test("PacketQueue keeps each flow in order, and loses nothing while there is room", () => {
  const step = fc.record({ flow: fc.nat(5), len: fc.integer({ min: 28, max: 1500 }), pops: fc.nat(3) });
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
    const bench = new Bench();
    const { queue } = bench;
    const model = new Map<number, { len: number; mark: number }[]>();
    let mark = 0;
    const held = () => [...model.values()].flat();
    const pop = () => {
      const { flow, len, mark } = bench.pop();
      assert.deepEqual({ len, mark }, model.get(flow)!.shift());
    };
    for (const { flow, len, pops } of steps) {
      if (queue.count < LARGES) {
        mark = (mark + 1) & 0xff;
        assert.ok(bench.push(flow, len, mark));
        model.set(flow, [...model.get(flow) ?? [], { len, mark }]);
      }
      for (let i = 0; i < pops && queue.count > 0; i++) pop();
      assert.equal(queue.count, held().length);
      assert.equal(queue.payloadLen, held().reduce((sum, packet) => sum + packet.len, 0));
    }
    while (queue.count > 0) pop();
    assert.deepEqual(queue.counters, { full: 0, late: 0, marked: 0 });
  }));
});

Deno.test("PacketQueue lets a packet of another flow leave before those of one with many", () => {
  const bench = new Bench();
  for (let i = 0; i < 12; i++) bench.push(1, 1400, i);
  assert.equal(bench.pop().flow, 1);
  bench.queue.frontOff(); // framing may have begun this one
  bench.push(2, 100);
  assert.deepEqual([bench.pop().flow, bench.pop().flow], [1, 2]);
});

Deno.test("PacketQueue shares bytes, not packets, among flows that have much", () => {
  const fair = new Bench();
  const sums = [0, 0, 0];
  let [ones, twos] = [0, 0];
  for (let i = 0; i < 2000; i++) {
    while (ones < 6) fair.push(1, 1400, ones++);
    while (twos < 8) fair.push(2, 350, twos++);
    const { flow, len } = fair.pop();
    sums[flow] += len;
    if (flow === 1) ones--;
    else twos--;
  }
  assert.ok(Math.abs(sums[1] - sums[2]) <= 2 * 1514, sums.join());
});

Deno.test("PacketQueue that is full drops from the flow with most bytes, and counts it", () => {
  const bench = new Bench();
  for (let i = 0; i < LARGES - 1; i++) bench.push(1, 1400, i);
  bench.push(2, 1400, 100);
  for (let i = 0; i < 5; i++) assert.ok(bench.push(3, 1400, 200 + i));
  assert.deepEqual(bench.queue.counters, { full: 5, late: 0, marked: 0 });
  assert.equal(bench.queue.count, LARGES);
  const left = Array.from({ length: LARGES }, () => bench.pop());
  assert.deepEqual(left.filter(({ flow }) => flow === 2).length, 1);
  assert.deepEqual(left.filter(({ flow }) => flow === 3).length, 5);
  assert.deepEqual(left.filter(({ flow }) => flow === 1).map(({ mark }) => mark), [
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
  ]);
});

Deno.test("PacketQueue never holds more bytes than its pace allows, nor the front only", () => {
  const bench = new Bench();
  bench.queue.pace(1 * MS, 5000);
  for (let i = 0; i < 50; i++) bench.push(1, 1400);
  assert.equal(bench.queue.payloadLen, 4200);
  assert.equal(bench.queue.counters.full, 47);
  bench.queue.pace(1 * MS, 1000);
  const small = new Bench();
  small.queue.pace(1 * MS, 1000);
  assert.equal(small.push(1, 1400), false);
  assert.equal(small.queue.count, 0);
});

Deno.test("PacketQueue has room for many short packets beside the long ones", () => {
  const bench = new Bench();
  for (let i = 0; i < 3 * LARGES; i++) assert.ok(bench.push(1, 60));
  assert.equal(bench.queue.count, 3 * LARGES);
  assert.equal(bench.queue.counters.full, 0);
  assert.ok(bench.push(2, 1400));
  assert.equal(bench.queue.counters.full, 2 * LARGES + 1, "the oldest give way, until there is a long cell");
});

for (const ecn of [0, 2]) {
  Deno.test(`PacketQueue ${ecn === 0 ? "drops" : "marks"} of a flow that waits too long, and spares the others`, () => {
    const bench = new Bench();
    let sent = 0;
    const left: ReturnType<Bench["pop"]>[] = [];
    for (let i = 0; i < 400; i++) { // 400 ms at a packet each ms, of a flow that comes twice as fast
      bench.nowNs += MS;
      for (let n = 0; n < 2 && bench.queue.count < LARGES - 2; n++, sent++) bench.push(1, 1400, 0, ecn);
      if (i % 10 === 0) bench.push(2, 100);
      left.push(bench.pop());
      if (i % 10 === 0) left.push(bench.pop());
    }
    const { full, late, marked } = bench.queue.counters;
    assert.equal(full, 0);
    assert.equal(left.filter(({ flow }) => flow === 2).length, 40, "none of the thin flow is lost");
    const hits = ecn === 0 ? late : marked;
    assert.ok(hits >= 3 && hits < 20, `${hits}`);
    assert.equal(ecn === 0 ? marked : late, 0);
    assert.equal(left.filter(({ ecn }) => ecn === 3).length, marked);
  });
}

Deno.test("PacketQueue takes its memory with the first packet, and rest() gives it back after a while without one", () => {
  const memory = new HeapMemory(LEN + 8192);
  const source = memory.alloc(2048);
  memory.u8[source] = 0x45;
  const queue = new PacketQueue(memory, LARGES, 1, () => 0);
  const isFree = () => {
    try {
      memory.free(memory.alloc(LEN), LEN);
      return true;
    } catch {
      return false;
    }
  };
  assert.ok(isFree());
  assert.ok(queue.push(source, 100));
  for (let i = 0; i < 3; i++) queue.rest();
  assert.ok(!isFree(), "a packet waits");
  queue.pop();
  assert.ok(queue.push(source, 200));
  queue.pop();
  queue.rest();
  assert.ok(!isFree(), "there was one a moment ago");
  queue.rest();
  assert.ok(isFree());
  assert.ok(queue.push(source, 300));
  assert.deepEqual([queue.frontLen(), queue.count, queue.payloadLen], [300, 1, 300]);
  queue.clear();
  assert.deepEqual([queue.count, queue.payloadLen], [0, 0]);
  queue.rest();
  queue.rest();
  memory.alloc(LEN);
  assert.equal(queue.push(source, 100), false);
  assert.equal(queue.counters.full, 1, "no memory: counted as well");
});
