/** TCP mode in simulated time: the central claim, KeyUpdates, connections that end, paths that stall. */

import assert from "node:assert/strict";
import { RING } from "../../src/ports/mod.ts";
import type { TcpFault } from "./tcp_pacer.ts";
import { TcpWorld, type TcpWorldOptions } from "./tcp_world.ts";

const SEED = Number(Deno.env.get("SIM_SEED") ?? 1);
const UP_NS = 2e9;
const RUN_NS = 3e9;

function isUp(world: TcpWorld): boolean {
  return world.client.events.some(({ type }) => type === "welcome");
}

function upWorld(options: TcpWorldOptions): TcpWorld {
  const world = new TcpWorld(options);
  world.run(UP_NS);
  assert.ok(isUp(world), world.client.log.concat(world.server.log).join("\n"));
  return world;
}

/** Opens `count` streams that carry so many bytes each way. */
function open(world: TcpWorld, count: number, up: number, down: number): void {
  for (let i = 0; i < count; i++) {
    const key = world.jobs.size + 1;
    world.jobs.set(key, { up, down });
    world.client.local.open(key);
  }
}

function assertDone(world: TcpWorld): void {
  for (const local of [world.client.local, world.server.local]) {
    for (const stream of local.streams.values()) {
      assert.equal(stream.state, "finished", `stream ${stream.id}: ${stream.received} of ${stream.expected}`);
      assert.equal(stream.received, stream.expected);
    }
  }
}

function simulate(options: TcpWorldOptions, load: "none" | "bulk", fault: TcpFault = "none"): TcpWorld {
  const world = upWorld(options);
  world.client.pacer.fault = world.server.pacer.fault = fault;
  if (load === "bulk") open(world, 5, 60_000, 120_000);
  world.net.stalledUntilNs = world.time.nowNs() + 0.3e9; // the same for both
  world.run(RUN_NS);
  return world;
}

/** The first write in which two traces differ. */
function difference(a: TcpWorld, b: TcpWorld): unknown {
  for (let i = 0; i < Math.max(a.net.trace.length, b.net.trace.length); i++) {
    const [x, y] = [a.net.trace[i], b.net.trace[i]];
    if (x?.timeNs !== y?.timeNs || x?.len !== y?.len || x?.side !== y?.side) return { i, x, y };
  }
  return undefined;
}

Deno.test(`over TCP, too, idle and busy give an observer equal traces (SIM_SEED=${SEED})`, () => {
  const idle = simulate({ seed: SEED }, "none");
  const busy = simulate({ seed: SEED }, "bulk");
  assert.equal(difference(busy, idle), undefined);
  assert.ok(idle.net.trace.length > 2000);
  const received = [...busy.client.local.streams.values()].reduce((sum, { received }) => sum + received, 0);
  assert.ok(received > 300_000, `${received} bytes came through`);
  assert.ok(
    busy.client.memory.f64[(ringOf(busy) + RING.socketFull) >> 3] > 100,
    "slots were skipped meanwhile",
  );
});

function ringOf(world: TcpWorld): number {
  const event = world.client.events.find(({ type }) => type === "ring");
  assert.ok(event?.type === "ring");
  return event.ring;
}

Deno.test("idle and busy are equal across KeyUpdates, which stand at their public number", () => {
  const options = { seed: SEED, rekeyRecords: 300 };
  const idle = simulate(options, "none");
  const busy = simulate(options, "bulk");
  assert.equal(difference(busy, idle), undefined);
  assert.ok(busy.ledger.count > 2000);
  const { memory } = busy.client;
  assert.ok(memory.u32[(ringOf(busy) + RING.switches) >> 2] >= 5, "keys have changed");
  assert.equal(busy.client.counters.get("records_failed") + busy.server.counters.get("records_failed"), 0);
});

for (const fault of ["delay", "shorten", "skip", "ask"] as const) {
  Deno.test(`the comparison of TCP traces finds a pacer that, when there is data, does: ${fault}`, () => {
    const idle = simulate({ seed: SEED }, "none", fault);
    const busy = simulate({ seed: SEED }, "bulk", fault);
    assert.notEqual(difference(busy, idle), undefined);
  });
}

Deno.test("streams come whole, each byte once, over connections that are reset again and again", () => {
  const world = upWorld({ seed: SEED, delayNs: 30e6 });
  open(world, 20, 40_000, 80_000);
  for (let round = 0; round < 6; round++) {
    world.run(1.7e9);
    world.net.resetAll();
  }
  world.run(30e9);
  assertDone(world);
  assert.ok(world.client.log.filter((line) => /handshake done/.test(line)).length >= 4);
  assert.ok(world.client.protection.keyCount <= 4, "keys of connections are freed");
  assert.ok(world.server.protection.keyCount <= 4);
});

Deno.test("a path that is silent for long makes another connection; the grid of slots stays", () => {
  const world = upWorld({ seed: SEED });
  open(world, 3, 20_000, 20_000);
  world.net.stalledUntilNs = world.time.nowNs() + 6e9;
  world.run(20e9);
  assertDone(world);
  assert.ok(world.client.log.some((line) => /nothing heard/.test(line)));
  const rings = world.client.events.filter(({ type }) => type === "ring");
  assert.equal(rings.length, 1, "the same train went on");
  const { f64 } = world.client.memory;
  const at = (field: number) => f64[(ringOf(world) + field) >> 3];
  assert.equal(
    at(RING.records) + at(RING.sendErrors) + at(RING.keyless) + at(RING.socketFull),
    at(RING.slots),
  );
});

Deno.test("records of all lengths are one, from the first application record on", () => {
  const world = simulate({ seed: SEED }, "bulk");
  const lens = new Map<number, number>();
  const records = world.net.trace.filter(({ timeNs }) => timeNs > UP_NS);
  for (const { len } of records) lens.set(len, (lens.get(len) ?? 0) + 1);
  assert.deepEqual([...lens.keys()], [700 - 52]);
});

Deno.test("the first byte of a new stream waits two slots beside the round trip, whatever bulk is under way", () => {
  const intervalNs = 2e6;
  const delayNs = 10e6;
  const world = upWorld({ seed: SEED, intervalNs, delayNs });
  open(world, 1, 3_000_000, 3_000_000);
  world.run(0.5e9);
  const waits: number[] = [];
  for (let i = 0; i < 30; i++) {
    open(world, 1, 0, 200);
    const stream = [...world.client.local.streams.values()].at(-1)!;
    world.run(0.1e9 + i * 137e3);
    waits.push((stream.firstByteNs - stream.openedNs - 2 * delayNs) / intervalNs);
  }
  waits.sort((a, b) => a - b);
  // One slot each way, and the most that the jitter of a slot can add to that.
  assert.ok(waits.at(-1)! <= 2.5, `slots: ${waits.map((wait) => wait.toFixed(2))}`);
  assert.ok(waits[waits.length >> 1] <= 1.5);
  world.run(20e9);
  assertDone(world);
  assert.equal(
    world.client.counters.get("streams_packets_lost"),
    0,
    "what overtakes makes nothing count as lost",
  );
});

Deno.test("a path whose segments have become shorter: close_notify, another connection, shorter records, no byte lost", () => {
  const world = upWorld({ seed: SEED });
  open(world, 3, 20_000, 20_000);
  world.net.mss = 600;
  world.run(34e9);
  assertDone(world);
  open(world, 3, 20_000, 20_000);
  world.run(4e9);
  assertDone(world);
  const reasons = [world.client, world.server].flatMap(({ events }) =>
    events.flatMap((event) => event.type === "closed" || event.type === "tls gone" ? [event.reason] : [])
  );
  assert.deepEqual(reasons.toSorted(), [
    "peer closed",
    "the path's segments have become shorter than the records",
  ]);
  const shorter = world.net.trace.slice(-1000).map(({ len }) => len);
  assert.deepEqual([...new Set(shorter)], [600 - 28]);
});

Deno.test("a server that was away for long is found again within the longest pause between two tries", () => {
  const world = upWorld({ seed: SEED });
  const { listener } = world.net;
  for (const awayNs of [3e9, 60e9, 600e9]) {
    world.net.listener = undefined;
    world.net.resetAll();
    world.run(awayNs);
    const handshakes = () => world.client.log.filter((line) => /handshake done/.test(line)).length;
    const before = handshakes();
    world.net.listener = listener;
    world.run(8.5e9);
    assert.equal(handshakes(), before + 1, `away for ${awayNs / 1e9} s`);
  }
});

Deno.test("a server that is told to stop says goodbye and takes nobody in meanwhile", () => {
  const world = upWorld({ seed: SEED });
  world.server.mailbox.post({ type: "stop" });
  world.server.wake();
  world.run(5e9);
  assert.ok(world.client.log.some((line) => /the server closed the session/.test(line)));
  assert.equal(world.server.events.filter(({ type }) => type === "tls open").length, 1);
});
