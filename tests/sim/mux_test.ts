/** Two muxes over a seeded network: every byte of every stream arrives once and in order, whatever the network does;
 * nobody waits for another; memory is bounded, and all given back at the end. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { DEFAULT_LIMITS } from "../../src/mux/mux.ts";
import { RESET_REASON, SEND_CREDIT } from "../../src/ports/mod.ts";
import { type Job, type LocalStream, MuxWorld, type WorldOptions } from "./mux_world.ts";

const LOSSY = {
  lossRatio: 0.02,
  delayMeanNs: 20e6,
  delayJitterNs: 3e6,
  reorderRatio: 0.02,
  reorderDelayNs: 10e6,
};
const CARRIERS = ["ordered", "datagrams"] as const;
const RTT_MS = 40;

function openAll(world: MuxWorld): LocalStream[] {
  return [...world.jobs.keys()].map((key) => world.client.local.open(key));
}

const ended = (streams: readonly LocalStream[]) => () => streams.every(({ state }) => state === "finished");

/** Nothing is held by either mux any more. */
function checkEmpty(world: MuxWorld): void {
  world.runMs(2000);
  for (const { mux } of [world.client, world.server]) {
    const { streams, bufferLen, datagramsLen, sendLeft, receiveLeft, packetsInFlight } = mux.snapshot();
    equal(
      { streams, bufferLen, datagramsLen, sendLeft, receiveLeft, packetsInFlight },
      {
        ...{ streams: 0, bufferLen: 0, datagramsLen: 0, packetsInFlight: 0 },
        ...{ sendLeft: DEFAULT_LIMITS.sharedLen, receiveLeft: DEFAULT_LIMITS.sharedLen },
      },
    );
  }
}

for (const carrier of CARRIERS) {
  Deno.test(`one stream fills its slots: 95 % of the records' bytes and more, over ${carrier}`, () => {
    for (const recordLen of [500, 1350]) {
      const conditions = { delayMeanNs: RTT_MS / 2 * 1e6 };
      const world = new MuxWorld({
        seed: 1,
        carrier,
        recordLen,
        conditions,
        jobs: [{ up: 100, down: 20e6 }],
      });
      const [stream] = openAll(world);
      world.runMs(1000); // past the start
      const before = { received: stream.received, slots: world.server.slots };
      world.runMs(3000);
      const ratio = (stream.received - before.received) / ((world.server.slots - before.slots) * recordLen);
      ok(ratio >= 0.95, `${ratio} of records of ${recordLen}`);
      world.stop();
    }
  });

  Deno.test(`one stream fills its slots though its reader and writer look only now and then, over ${carrier}`, () => {
    for (const [localStepMs, intervalNs] of [[5, 1e6], [20, 0.2e6], [50, 0.2e6]]) {
      const conditions = { delayMeanNs: 0.5e6 };
      const jobs = [{ up: 100, down: 1e9 }];
      const localStepNs = localStepMs * 1e6;
      const world = new MuxWorld({ seed: 1, carrier, intervalNs, conditions, jobs, localStepNs });
      const [stream] = openAll(world);
      world.runMs(2000);
      const before = { received: stream.received, slots: world.server.slots };
      world.runMs(1000);
      const ratio = (stream.received - before.received) / ((world.server.slots - before.slots) * 1350);
      ok(ratio >= 0.95, `${ratio} with steps of ${localStepMs} ms`);
      world.stop();
    }
  });

  Deno.test(`the first byte of a new stream takes 2 slots and the round trip while bulk runs, over ${carrier}`, () => {
    const bulk: Job[] = Array.from({ length: 3 }, () => ({ up: 10e6, down: 10e6 }));
    const conditions = { delayMeanNs: RTT_MS / 2 * 1e6 };
    const world = new MuxWorld({ seed: 2, carrier, conditions, jobs: [...bulk, { up: 300, down: 1000 }] });
    for (let key = 0; key < bulk.length; key++) world.client.local.open(key);
    world.runMs(1000);
    for (let i = 0; i < 50; i++) {
      const stream = world.client.local.open(bulk.length);
      ok(world.until(ended([stream]), 500));
      const tookMs = (stream.firstByteNs - stream.openedNs) / 1e6;
      ok(tookMs <= RTT_MS + 2, `stream ${i}: ${tookMs} ms`);
      world.runMs(1 + i % 7);
    }
    world.stop();
  });

  Deno.test(`a connection or session that is replaced in the middle costs no byte, over ${carrier}`, () => {
    const jobs = Array.from({ length: 20 }, (_, i) => ({ up: 100_000 + i, down: 200_000 + 7 * i }));
    const world = new MuxWorld({ seed: 3, carrier, conditions: { delayMeanNs: 10e6 }, jobs });
    const streams = openAll(world);
    for (let i = 0; i < 10; i++) {
      world.runMs(150);
      world.newSession();
    }
    ok(world.until(ended(streams), 20_000));
    checkEmpty(world);
  });
}

for (const [count, len] of [[1, 1_000_000], [100, 20_000], [10_000, 300]]) {
  Deno.test(`${count} streams at once over a network that loses, delays, reorders and repeats`, () => {
    const jobs = Array.from({ length: count }, (_, i) => ({ up: len + i % 13, down: len + i % 17 }));
    const conditions = { ...LOSSY, duplicateRatio: 0.02 };
    const world = new MuxWorld({ seed: 4, conditions, jobs, intervalNs: 0.2e6 });
    const streams = openAll(world);
    ok(world.until(ended(streams), 60_000));
    ok(world.network.counters.lost > 10);
    checkEmpty(world);
  });
}

Deno.test("readers that stall stop nobody, and what they are sent is bounded", () => {
  const stalled: Job[] = Array.from({ length: 200 }, (_, i) => ({
    ...(i % 2 === 0 ? { up: 0, down: 1e6, stalled: "opener" } : { up: 1e6, down: 0, stalled: "acceptor" }),
  }));
  const jobs = [...stalled, { up: 500_000, down: 500_000 }];
  const limits = { streamsMax: 300, sharedLen: 1_000_000 };
  const world = new MuxWorld({ seed: 5, conditions: LOSSY, jobs, limits });
  for (let key = 0; key < stalled.length; key++) world.client.local.open(key);
  world.runMs(2000);
  const free = world.client.local.open(stalled.length);
  ok(world.until(ended([free]), 20_000), "a stream whose reader reads comes to its end");
  for (const { mux, local } of [world.client, world.server]) {
    const streams = [...local.streams.values()].filter((stream) => stream.stalled);
    const unread = streams.reduce((sum, stream) => sum + stream.received, 0);
    ok(unread <= limits.sharedLen + streams.length * SEND_CREDIT, `${unread} bytes unread`);
    // Rings are at most twice what they hold.
    ok(mux.snapshot().bufferLen <= 4 * (limits.sharedLen + 201 * SEND_CREDIT));
    ok(mux.snapshot().receiveLeft >= 0);
  }
  for (const { id } of world.client.local.streams.values()) world.client.mux.reset(id, RESET_REASON.timedOut);
  world.runMs(3000);
  equal(world.server.mux.snapshot().streams, 0);
});

Deno.test("an outage of a minute ends nothing: all goes on when the path is back", () => {
  const jobs = Array.from({ length: 5 }, () => ({ up: 300_000, down: 300_000 }));
  const world = new MuxWorld({ seed: 6, conditions: LOSSY, jobs });
  const streams = openAll(world);
  world.runMs(300);
  world.network.part(true);
  world.runMs(60_000);
  world.network.part(false);
  ok(world.until(ended(streams), 15_000));
  checkEmpty(world);
});

Deno.test("a server that has started anew: streams of before are reset, new ones live", () => {
  for (const carrier of CARRIERS) {
    const jobs = [{ up: 3e6, down: 3e6 }, { up: 20_000, down: 20_000 }];
    const world = new MuxWorld({ seed: 7, carrier, conditions: { delayMeanNs: 10e6 }, jobs });
    const old = world.client.local.open(0);
    world.runMs(500);
    world.server.restart();
    world.newSession();
    ok(world.until(() => old.state === "reset", 2000));
    equal([old.reason, world.client.local.lostCount], [RESET_REASON.sessionLost, 1]);
    const fresh = world.client.local.open(1);
    ok(world.until(ended([fresh]), 5000));
    checkEmpty(world);
  }
});

Deno.test("a client that has started anew reuses ids; the server mixes nothing up", () => {
  const jobs = [{ up: 3e6, down: 3e6 }, { up: 20_000, down: 20_000 }];
  const world = new MuxWorld({ seed: 8, conditions: LOSSY, jobs });
  world.client.local.open(0);
  world.runMs(500);
  world.client.restart();
  world.newSession();
  const fresh = world.client.local.open(1);
  ok(world.until(ended([fresh]), 5000));
  equal(world.server.local.lostCount, 1);
  checkEmpty(world);
});

Deno.test("datagrams arrive whole or not at all, and do not stop when streams have much to send", () => {
  const world = new MuxWorld({ seed: 9, conditions: LOSSY, jobs: [{ up: 5e6, down: 0 }] });
  openAll(world);
  const association = world.client.local.open(77, "datagrams");
  ok(world.until(() => association.state === "accepted", 1000));
  const lens = [1, 50, 1200, 3000, 20_000];
  for (let i = 0; i < 300; i++) {
    const len = lens[i % lens.length];
    const address = { host: Uint8Array.of(192, 0, 2, i & 0xff), port: len };
    world.client.mux.datagram(association.id, address, new Uint8Array(len).fill(i), 0, len);
    world.runMs(10);
  }
  const got = world.server.local.datagrams;
  for (const { address, bytes } of got) {
    equal(bytes.length, address.port);
    ok(bytes.every((byte) => byte === bytes[0]) && (address.host as Uint8Array)[3] === bytes[0]);
  }
  const whole = got.filter(({ bytes }) => bytes.length <= 1200).length;
  ok(whole > 150 && got.some(({ bytes }) => bytes.length === 3000), `${got.length} of 300 arrive`);
  world.client.mux.reset(association.id, RESET_REASON.peerReset);
  world.stop();
});

const conditionsArbitrary = fc.record({
  lossRatio: fc.double({ min: 0, max: 0.3, noNaN: true }),
  delayMeanNs: fc.integer({ min: 0, max: 50e6 }),
  delayJitterNs: fc.integer({ min: 0, max: 20e6 }),
  reorderRatio: fc.double({ min: 0, max: 0.3, noNaN: true }),
  reorderDelayNs: fc.integer({ min: 0, max: 50e6 }),
  duplicateRatio: fc.double({ min: 0, max: 0.3, noNaN: true }),
});
const worldArbitrary: fc.Arbitrary<WorldOptions> = fc.record({
  seed: fc.nat(1e6),
  carrier: fc.constantFrom(...CARRIERS),
  conditions: conditionsArbitrary,
  recordLen: fc.integer({ min: 506, max: 4000 }),
  limits: fc.record({ streamsMax: fc.constant(100), sharedLen: fc.constantFrom(0, 10_000, 1e6) }),
  jobs: fc.array(fc.record({ up: fc.nat(60_000), down: fc.nat(60_000) }), { minLength: 1, maxLength: 20 }),
});

Deno.test("whatever the network does and however often sessions change, all streams end with all bytes", () => {
  const sessions = fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 5 });
  fc.assert(
    fc.property(worldArbitrary, sessions, (options, pausesMs) => {
      const world = new MuxWorld(options);
      const streams = openAll(world);
      for (const pauseMs of pausesMs) {
        world.runMs(pauseMs);
        world.newSession();
      }
      ok(world.until(ended(streams), 60_000), "all come to their end");
      const ends = [world.client, world.server];
      ok(
        world.until(() => ends.every(({ mux }) => mux.snapshot().streams === 0), 60_000),
        "all are forgotten",
      );
      for (const { mux } of ends) {
        const { streams, bufferLen, sendLeft, receiveLeft, counters } = mux.snapshot();
        const { sharedLen } = options.limits!;
        equal([streams, bufferLen, sendLeft, receiveLeft], [0, 0, sharedLen, sharedLen]);
        equal([counters.violations, counters.malformed, counters.pastWindow, counters.overCredit], [
          0,
          0,
          0,
          0,
        ]);
      }
    }),
    { numRuns: 60, endOnFailure: true },
  );
});
