/** Streams over UDP through the program's own planes: every byte arrives, whatever happens to records and sessions, and
 * an observer sees nothing of it. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { RESET_REASON } from "../../src/ports/mod.ts";
import type { Job, LocalStream } from "./mux_world.ts";
import { firstDifference } from "./network.ts";
import { TRAIN, World, type WorldOptions } from "./world.ts";

const SEED = Number(Deno.env.get("SIM_SEED") ?? 1);
const FAST = { ...TRAIN, intervalNs: 1e6, jitterSdNs: 0.1e6, datagramLen: 1372 };
const LOSSY = { lossRatio: 0.02, delayMeanNs: 15e6, delayJitterNs: 3e6 };

function openAll(world: World): LocalStream[] {
  return (world.options.jobs ?? []).map((_, key) => world.client.local.open(key));
}

function until(world: World, condition: () => boolean, limitNs: number): boolean {
  const end = world.time.nowNs() + limitNs;
  while (!condition() && world.time.nowNs() < end) world.run(10e6);
  return condition();
}

const ended = (streams: readonly LocalStream[]) => () => streams.every(({ state }) => state === "finished");
const jobs: readonly Job[] = Array.from({ length: 10 }, (_, i) => ({ up: 30_000 + i, down: 60_000 + i }));

Deno.test(`streams over UDP lose no byte, though the network loses records (SIM_SEED=${SEED})`, () => {
  const world = new World({ seed: SEED, network: LOSSY, up: FAST, down: FAST, jobs });
  const streams = openAll(world); // before there is a session: they wait for it
  ok(until(world, ended(streams), 20e9));
  world.run(5e9);
  equal([world.client, world.server].map(({ counters }) => counters.get("streams_open")), [0, 0]);
  ok(world.client.counters.get("streams_packets_lost") > 0);
});

Deno.test(`streams go on over a new session after an outage (SIM_SEED=${SEED})`, () => {
  const world = new World({ seed: SEED, network: LOSSY, up: FAST, down: FAST, jobs });
  const streams = openAll(world);
  ok(world.runUntilUp(5e9));
  world.run(100e6);
  ok(streams.some(({ state }) => state === "accepted"), "in the middle");
  world.network.part(true);
  world.run(8e9);
  world.network.part(false);
  ok(until(world, ended(streams), 60e9));
  ok(world.client.client.reconnects > 0, "it was another session");
});

Deno.test(`a server that has lost its memory resets the streams, and new ones live (SIM_SEED=${SEED})`, () => {
  const world = new World({
    seed: SEED,
    network: LOSSY,
    up: FAST,
    down: FAST,
    jobs: [{ up: 5e6, down: 5e6 }],
  });
  const [old] = openAll(world);
  ok(world.runUntilUp(5e9));
  world.run(500e6);
  world.kill(world.server);
  world.startServer();
  ok(until(world, () => old.state === "reset", 60e9));
  equal(old.reason, RESET_REASON.sessionLost);
  const fresh = world.client.local.open(7);
  ok(until(world, ended([fresh]), 5e9));
});

Deno.test(`a client that says goodbye ends its streams at the server (SIM_SEED=${SEED})`, () => {
  const world = new World({
    seed: SEED,
    network: LOSSY,
    up: FAST,
    down: FAST,
    jobs: [{ up: 5e6, down: 5e6 }],
  });
  openAll(world);
  ok(world.runUntilUp(5e9));
  world.run(500e6);
  world.client.stop();
  world.run(3e9);
  equal([...world.server.local.streams.values()].map(({ state, reason }) => [state, reason]), [[
    "reset",
    20,
  ]]);
});

Deno.test(`a server that has no streams refuses their frames, and the client says so once (SIM_SEED=${SEED})`, () => {
  const world = new World({
    seed: SEED,
    network: LOSSY,
    up: FAST,
    down: FAST,
    jobs,
    serverHasNoStreams: true,
  });
  const streams = openAll(world);
  ok(world.runUntilUp(5e9));
  world.run(12e9);
  ok(world.server.counters.get("streams_refused") > 0);
  equal(streams.map(({ state }) => state), jobs.map(() => "open"));
  const told = world.client.log.filter((line) => line.includes("streams"));
  equal(told, ['warn the server answers no streams: is "udp" in its server.modes?']);
});

Deno.test(`over UDP, too, a new stream's first byte waits some slots, whatever is bound (SIM_SEED=${SEED})`, () => {
  const intervalNs = 0.25e6;
  const delayNs = 5e6;
  const train = { ...FAST, intervalNs, jitterSdNs: 0.02e6 };
  const bulk = { up: 5e6, down: 5e6 };
  const small = { up: 0, down: 200 };
  const world = new World({
    seed: SEED,
    network: { lossRatio: 0, delayMeanNs: delayNs, delayJitterNs: 0 },
    up: train,
    down: train,
    jobs: [bulk, ...Array.from({ length: 15 }, () => small)],
  });
  ok(world.runUntilUp(5e9));
  const first = world.client.local.open(0);
  world.run(0.3e9);
  const waits: number[] = [];
  for (let i = 1; i <= 15; i++) {
    const stream = world.client.local.open(i);
    world.run(20e6 + i * 17e3);
    waits.push((stream.firstByteNs - stream.openedNs - 2 * delayNs) / intervalNs);
  }
  waits.sort((a, b) => a - b);
  equal(first.state, "accepted", "bulk was under way all the time");
  ok(waits[waits.length >> 1] <= 3 && waits.at(-1)! <= 5, `slots: ${waits.map((wait) => wait.toFixed(2))}`);
  equal(world.client.counters.get("streams_packets_lost"), 0, "what overtakes makes nothing count as lost");
});

for (const lossRatio of [0, 0.05]) {
  Deno.test(`idle streams and busy ones give an observer equal traces at ${lossRatio * 100} % loss (SIM_SEED=${SEED})`, () => {
    const options: WorldOptions = {
      seed: SEED,
      network: { ...LOSSY, lossRatio },
      up: FAST,
      down: FAST,
      jobs: Array.from({ length: 20 }, () => ({ up: 200_000, down: 200_000 })),
    };
    const run = (busy: boolean) => {
      const world = new World(options);
      ok(world.runUntilUp(5e9));
      const streams = busy ? openAll(world) : [];
      world.run(4e9);
      return { world, received: streams.reduce((sum, { received }) => sum + received, 0) };
    };
    const [idle, busy] = [run(false), run(true)];
    equal(firstDifference(busy.world.network.trace, idle.world.network.trace), undefined);
    ok(busy.received > 1e6, `${busy.received} bytes came`);
    ok(idle.world.network.trace.length > 7000);
  });
}
