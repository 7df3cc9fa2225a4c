/** Transmit stamps: c/stamps.c. */
import assert from "node:assert/strict";

const MAIN = new URL("./stamps_main.ts", import.meta.url).pathname;

async function counted(intervalNs: number, burst: number) {
  const args = ["run", "-A", "--no-check", MAIN, String(intervalNs), String(burst)];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test("transmit stamps: one for each slot of 1 ms, held against its planned time", async () => {
  const found = await counted(1e6, 1);
  assert.ok(found.count >= 200);
  assert.equal(found.counted, found.count);
  assert.equal(found.errors, 0);
  // None of the other socket's slots: those would make it twice as many.
  assert.ok(found.count <= found.slots - found.skipped, JSON.stringify(found));
  // A packet leaves after its call, which is not before its time; the two clocks are compared to some 100 ns.
  assert.ok(found.minNs > found.callMinNs - 2000, JSON.stringify(found));
  assert.ok(found.minNs < 1e6, JSON.stringify(found));
  assert.equal(found.again, true);
});

Deno.test("transmit stamps: every fourth slot of 300 µs, one for a burst", async () => {
  const found = await counted(3e5, 4);
  assert.ok(found.count >= 200 && found.count <= found.slots / 4 + 1, JSON.stringify(found));
  assert.ok(found.minNs > found.callMinNs - 2000, JSON.stringify(found));
});
