import assert from "node:assert/strict";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { withReserved } from "../../../src/tunnel/reserved_blocks.ts";

Deno.test("withReserved() keeps blocks that nobody else can take, wipes them, and goes on with the memory itself", () => {
  const memory = new HeapMemory(64 + 8 * 1024);
  const reserved = withReserved(memory, [1024, 2048], 2);
  const others: number[] = [];
  assert.throws(() => {
    for (;;) others.push(memory.alloc(512));
  }, RangeError);
  const blocks = [reserved.alloc(2048), reserved.alloc(2048)];
  assert.throws(() => reserved.alloc(2048), RangeError, "both are in use, and the memory is full");
  memory.u8.fill(0xa5, blocks[0], blocks[0] + 2048);
  reserved.free(blocks[0], 2048);
  assert.equal(reserved.alloc(2048), blocks[0]);
  assert.ok(memory.u8.subarray(blocks[0], blocks[0] + 2048).every((byte) => byte === 0));
  for (const off of others) memory.free(off, 512);
  const third = reserved.alloc(2048);
  assert.ok(!blocks.includes(third));
  for (const off of [...blocks, third]) reserved.free(off, 2048);
  assert.equal(memory.alloc(2048) > 0, true, "what is more than the reserve went back");
});
