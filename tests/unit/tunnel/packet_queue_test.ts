import assert from "node:assert/strict";
import fc from "fast-check";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PacketQueue } from "../../../src/tunnel/packet_queue.ts";

function fresh(len: number) {
  const memory = new HeapMemory(1 << 20);
  const source = memory.alloc(2048);
  return { memory, source, queue: new PacketQueue(memory, len) };
}

Deno.test("PacketQueue behaves like a bounded list of packets, around its end as well", () => {
  fc.assert(fc.property(
    fc.array(fc.oneof(fc.integer({ min: 1, max: 1500 }), fc.constant(0)), { maxLength: 200 }),
    (steps) => {
      const { memory, source, queue } = fresh(8192);
      const model: { len: number; mark: number }[] = [];
      let mark = 0;
      for (const len of steps) {
        if (len === 0) {
          if (model.length === 0) continue;
          const expected = model.shift()!;
          assert.equal(queue.frontLen(), expected.len);
          const off = queue.frontOff();
          assert.ok(memory.u8.subarray(off, off + expected.len).every((byte) => byte === expected.mark));
          queue.pop();
        } else {
          mark = (mark + 1) & 0xff;
          memory.u8.fill(mark, source, source + len);
          if (queue.push(source, len)) model.push({ len, mark });
          else assert.ok(queue.payloadLen + len > 8192 - 2 * 1600 - 16 * model.length);
        }
        assert.equal(queue.count, model.length);
        assert.equal(queue.payloadLen, model.reduce((sum, packet) => sum + packet.len, 0));
      }
    },
  ));
});

Deno.test("PacketQueue.push() refuses a packet when full and takes it again after pop()", () => {
  const { source, queue } = fresh(4096);
  assert.equal(queue.push(source, 1500), true);
  assert.equal(queue.push(source, 1500), true);
  assert.equal(queue.push(source, 1500), false);
  queue.pop();
  assert.equal(queue.push(source, 1500), true);
  queue.clear();
  assert.equal(queue.count, 0);
  assert.equal(queue.payloadLen, 0);
});

Deno.test("PacketQueue takes its memory with the first packet, and rest() gives it back after a while without one", () => {
  const memory = new HeapMemory((1 << 16) + 4096);
  const source = memory.alloc(2048);
  const queue = new PacketQueue(memory, 1 << 16);
  const isFree = () => {
    try {
      memory.free(memory.alloc(1 << 16), 1 << 16);
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
  queue.pop();
  queue.rest();
  queue.rest();
  memory.alloc(1 << 16);
  assert.equal(queue.push(source, 100), false, "no memory: the caller counts the drop");
});
