import assert from "node:assert/strict";
import fc from "fast-check";
import { MESSAGE_LEN_MAX, Reassembly } from "../../../src/flight/reassembly.ts";

const body = Uint8Array.from({ length: 100 }, (_, index) => index);
const header = (messageSeq: number, start: number, end: number, len = 100, type = 1) => ({
  type,
  len,
  messageSeq,
  fragmentOffset: start,
  fragmentLen: end - start,
});

Deno.test("Reassembly.add() takes fragments in any order, overlapping and repeated", () => {
  const cuts = fc.array(fc.tuple(fc.nat(99), fc.integer({ min: 1, max: 100 })), { maxLength: 30 });
  fc.assert(fc.property(cuts, fc.constantFrom(0, 2), (pieces, epoch) => {
    const reassembly = new Reassembly(0);
    const have = new Set<number>();
    for (const [start, wanted] of [...pieces, [50, 50], [0, 50]]) {
      const end = Math.min(100, start + wanted);
      if (epoch === 0 && end - start === 100) continue; // a whole one begins anew
      assert.equal(reassembly.add(header(0, start, end), body.subarray(start, end), epoch), "kept");
      for (let at = start; at < end; at++) have.add(at);
      assert.equal(reassembly.peek() !== undefined, have.size === 100);
    }
    assert.deepEqual(reassembly.peek()?.body, body);
  }));
});

Deno.test("Reassembly.add() keeps authentic messages ahead, four of them, and gives them in order", () => {
  const reassembly = new Reassembly(2);
  for (const seq of [6, 4, 3]) assert.equal(reassembly.add(header(seq, 0, 100), body, 2), "kept");
  assert.equal(reassembly.add(header(7, 0, 100), body, 2), "dropped");
  assert.equal(reassembly.peek(), undefined);
  assert.equal(reassembly.add(header(2, 0, 100), body, 2), "kept");
  for (const seq of [2, 3, 4]) {
    assert.equal(reassembly.next, seq);
    assert.ok(reassembly.peek() !== undefined);
    reassembly.advance();
  }
  assert.equal(reassembly.peek(), undefined);
  assert.equal(reassembly.add(header(4, 0, 100), body, 2), "old");
});

Deno.test("Reassembly.add() keeps of what comes in the clear the next message alone", () => {
  const reassembly = new Reassembly(0);
  assert.equal(reassembly.add(header(1, 0, 100), body, 0), "dropped");
  assert.equal(reassembly.add(header(0, 0, 10), body.subarray(0, 10), 0), "kept");
  reassembly.protect();
  assert.equal(reassembly.heldLen, 0);
  assert.equal(reassembly.add(header(0, 0, 100), body, 0), "dropped");
});

Deno.test("Reassembly.add() lets a whole message in the clear replace false fragments", () => {
  const reassembly = new Reassembly(0);
  reassembly.add(header(0, 0, 10), new Uint8Array(10).fill(0xee), 0);
  reassembly.add(header(0, 0, 100), body, 0);
  assert.deepEqual(reassembly.peek()?.body, body);
  reassembly.discard();
  assert.equal(reassembly.peek(), undefined);
  assert.equal(reassembly.next, 0);
});

Deno.test("Reassembly.add() refuses what contradicts an authentic fragment, and long messages", () => {
  const reassembly = new Reassembly(0);
  reassembly.add(header(0, 0, 10), body.subarray(0, 10), 2);
  assert.equal(reassembly.add(header(0, 0, 10, 99), body.subarray(0, 10), 2), "dropped");
  assert.equal(reassembly.add(header(0, 0, 10, 100, 2), body.subarray(0, 10), 2), "dropped");
  assert.equal(reassembly.add(header(1, 0, 10, MESSAGE_LEN_MAX + 1), body.subarray(0, 10), 2), "dropped");
  assert.equal(reassembly.add(header(0, 10, 20), body.subarray(10, 20), 3), "dropped", "another epoch");
  assert.equal(reassembly.heldLen, 200);
});
