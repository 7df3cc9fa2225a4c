import { deepStrictEqual as equal, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { HeapMemory } from "../../../src/record/heap_memory.ts";

Deno.test("HeapMemory.alloc() gives zeroed, aligned blocks that do not overlap, and all of it again after free()", () => {
  const command = fc.oneof(
    fc.integer({ min: 0, max: 700 }).map((len) => ({ len, index: -1 })),
    fc.nat(9).map((index) => ({ len: 0, index })),
  );
  fc.assert(fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
    const memory = new HeapMemory(8192);
    const held: { off: number; len: number }[] = [];
    for (const { len, index } of commands) {
      if (index >= 0) {
        const [block] = held.splice(index, 1);
        if (block !== undefined) memory.free(block.off, block.len);
        continue;
      }
      let off: number;
      try {
        off = memory.alloc(len);
      } catch (error) {
        ok(error instanceof RangeError);
        continue;
      }
      ok(off >= 64 && off % 64 === 0 && off + len <= 8192);
      ok(memory.u8.subarray(off, off + len).every((byte) => byte === 0));
      ok(held.every((block) => off + len <= block.off || block.off + block.len <= off));
      memory.u8.fill(0xa5, off, off + len);
      held.push({ off, len });
    }
    for (const block of held) memory.free(block.off, block.len);
    strictEqual(memory.alloc(8192 - 64), 64);
  }));
});

Deno.test("HeapMemory.free() wipes", () => {
  const memory = new HeapMemory(256);
  const off = memory.alloc(10);
  memory.u8.fill(0xa5, off, off + 10);
  memory.free(off, 10);
  equal(memory.u8, new Uint8Array(256));
});

Deno.test("HeapMemory throws for a full memory, a second free() and another length", () => {
  const memory = new HeapMemory(256);
  const off = memory.alloc(192);
  throws(() => memory.alloc(1), RangeError);
  throws(() => memory.free(off, 191), /Defect/);
  memory.free(off, 192);
  throws(() => memory.free(off, 192), /Defect/);
});

Deno.test("HeapMemory's views show the same bytes", () => {
  const memory = new HeapMemory(256);
  memory.u32[16] = 0xfffffffe;
  strictEqual(memory.i32[16], -2);
  memory.f64[8] = 0;
  equal(memory.u8.subarray(64, 68), new Uint8Array(4));
});
