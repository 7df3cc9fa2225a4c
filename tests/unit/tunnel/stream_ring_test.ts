import { deepEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { StreamRing } from "../../../src/tunnel/stream_ring.ts";

/** Writes a message; false when there is no room. */
function put(ring: StreamRing, message: Uint8Array): boolean {
  const at = ring.begin(message.length);
  if (at < 0) return false;
  ring.u8.set(message, at);
  ring.commit();
  return true;
}

function takeAll(ring: StreamRing): Uint8Array[] {
  const taken: Uint8Array[] = [];
  while (ring.read((off, len) => taken.push(ring.u8.slice(off, off + len))) > 0);
  return taken;
}

Deno.test("StreamRing gives messages of any length in order, whole, over its end, and refuses what has no room", () => {
  const steps = fc.array(fc.oneof(fc.nat(252), fc.constant("read" as const)), { maxLength: 60 });
  fc.assert(fc.property(steps, fc.nat(2 ** 32 - 1), (steps, fill) => {
    const writer = StreamRing.create(512);
    const reader = new StreamRing(writer.buffer);
    const waiting: Uint8Array[] = [];
    for (const step of steps) {
      if (step === "read") deepEqual(takeAll(reader), waiting.splice(0));
      else {
        const message = Uint8Array.from({ length: step }, (_, i) => fill + i);
        if (put(writer, message)) waiting.push(message);
        else ok(waiting.length > 0, "an empty ring has room for half its length");
      }
    }
    deepEqual(takeAll(reader), waiting);
    equal(reader.pending, 0);
  }));
});

Deno.test("StreamRing asks for one wake-up until the reader has begun", () => {
  const ring = StreamRing.create(64);
  put(ring, Uint8Array.of(1));
  deepEqual([ring.needsWake(), ring.needsWake()], [true, false]);
  ring.beginReading();
  deepEqual([ring.needsWake(), ring.needsWake()], [true, false]);
});

Deno.test("StreamRing tells the reader once that the writer waits, and the writer when room has come meanwhile", () => {
  const ring = StreamRing.create(64);
  const message = new Uint8Array(20);
  while (put(ring, message));
  equal(ring.wasStalled(), false);
  equal(ring.stall(20), false);
  deepEqual([ring.wasStalled(), ring.wasStalled()], [true, false]);
  takeAll(ring);
  equal(ring.stall(20), true);
  throws(() => ring.begin(ring.messageLenMax + 1), /Defect/);
});
