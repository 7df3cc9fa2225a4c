/** What stands still, goes away or sleeps, and what an observer sees of it: the train goes on, on its grid, nothing is
 * caught up, and data flows again by itself. */

import assert from "node:assert/strict";
import { CLIENT_INNER, innerPacket, SERVER_INNER, TRAIN, World, type WorldOptions } from "./world.ts";

const SECOND = 1e9;

function up(seed = 71, options: Partial<WorldOptions> = {}): World {
  const world = new World({ seed, network: { delayMeanNs: 5e6 }, ...options });
  assert.ok(world.runUntilUp(20 * SECOND));
  world.run(Math.max(0, 3 * SECOND - world.time.nowNs()));
  return world;
}

/** Sends both ways until something has come through both ways; returns how long that took. */
function untilData(world: World, limitNs: number): number {
  const { client, server } = world;
  const before = [client.io.tunWritten.length, server.io.tunWritten.length];
  const fromNs = world.time.nowNs();
  for (let mark = 0; world.time.nowNs() < fromNs + limitNs; mark++) {
    client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, 100, mark));
    server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, 100, mark));
    client.wake();
    server.wake();
    world.run(10e6);
    const isThrough = client.io.tunWritten.length > before[0] && server.io.tunWritten.length > before[1];
    if (isThrough) return world.time.nowNs() - fromNs;
  }
  return Infinity;
}

/** Slots of the client since `fromNs`: on the grid, no two within half an interval. */
function assertNoBurst(world: World, fromNs: number, slots: number): void {
  const times = world.network.traceOf("client").filter(({ timeNs }) => timeNs >= fromNs).map(({ timeNs }) =>
    timeNs
  );
  const gaps = times.slice(1).map((timeNs, i) => timeNs - times[i]);
  // A slot whose time has just passed leaves at once; the next one keeps its own time.
  assert.ok(gaps.slice(1).every((gap) => gap > 0.2 * TRAIN.intervalNs), `${Math.min(...gaps)} ns`);
  assert.ok(Math.abs(times.length - slots) <= 2, `${times.length} datagrams in ${slots} slots`);
  assert.deepEqual([...new Set(world.network.traceOf("client").map(({ len }) => len))], [TRAIN.datagramLen]);
}

for (const [stoodS, isForgotten] of [[1, false], [5, false], [40, true], [3600, true]] as const) {
  Deno.test(`a client that stood still for ${stoodS} s sends no burst and has data again by itself`, () => {
    const world = up();
    world.client.stand(stoodS * SECOND);
    world.run(stoodS * SECOND);
    const fromNs = world.time.nowNs();
    const tookNs = untilData(world, 10 * SECOND);
    assert.ok(tookNs < (isForgotten ? 5 : 0.5) * SECOND, `${tookNs / SECOND} s`);
    world.run(fromNs + 5 * SECOND - world.time.nowNs());
    assertNoBurst(world, fromNs, Math.round(5 * SECOND / TRAIN.intervalNs));
    assert.equal(world.client.client.reconnects, isForgotten ? 1 : 0);
  });
}

Deno.test("a client whose machine has slept longer than a server remembers begins a handshake at once", () => {
  const world = up();
  world.kill(world.server); // what the sleep of an hour comes to: the server has forgotten the client
  world.startServer();
  const fromNs = world.time.nowNs();
  world.client.tell((client) => client.woke(3600 * SECOND, fromNs));
  const tookNs = untilData(world, 10 * SECOND);
  assert.ok(tookNs < 0.3 * SECOND, `${tookNs / SECOND} s`);
  assert.equal(world.client.client.reconnects, 1, "and is not begun again for the silence");
  world.run(5 * SECOND);
  assert.equal(world.client.client.reconnects, 1);
});

Deno.test("a client whose machine has slept shortly goes on with its session", () => {
  const world = up();
  world.client.tell((client) => client.woke(20 * SECOND, world.time.nowNs()));
  assert.ok(untilData(world, SECOND) < 0.1 * SECOND);
  assert.equal(world.client.client.reconnects, 0);
});

Deno.test("a server that is killed and started again has data again within seconds, the client's slots go on", () => {
  for (let seed = 71; seed < 76; seed++) {
    const world = up(seed);
    const fromNs = world.time.nowNs();
    world.kill(world.server);
    world.startServer();
    const tookNs = untilData(world, 20 * SECOND);
    assert.ok(tookNs < 5 * SECOND, `${tookNs / SECOND} s`);
    assertNoBurst(world, fromNs, Math.round((world.time.nowNs() - fromNs) / TRAIN.intervalNs));
  }
});

Deno.test("after a short outage the session goes on at the first record, and the handshake that was begun is left", () => {
  for (const outageS of [1, 3, 10, 25]) {
    const world = up();
    world.network.part(true);
    world.run(outageS * SECOND);
    world.network.part(false);
    const tookNs = untilData(world, 10 * SECOND);
    assert.ok(tookNs <= 5 * TRAIN.intervalNs, `${tookNs / SECOND} s after ${outageS} s`);
    world.run(20 * SECOND);
    assert.equal(world.client.welcomes.length, 1, "one session");
    assert.equal(world.client.client.state, "up");
    assert.equal(world.client.client.reconnects, outageS > 2 ? 1 : 0);
    const answers = world.network.traceOf("client").slice(-1500).filter(({ head }) => !/^3/.test(head));
    assert.deepEqual(answers, [], "no hello any more");
    assert.ok(untilData(world, SECOND) < 0.1 * SECOND);
  }
});

Deno.test("a session that goes on after an outage is given up at the next one like any other", () => {
  const world = up();
  for (const outageS of [5, 5]) {
    world.network.part(true);
    world.run(outageS * SECOND);
    world.network.part(false);
    assert.ok(untilData(world, SECOND) <= 5 * TRAIN.intervalNs);
    world.run(3 * SECOND);
  }
  world.network.part(true);
  world.run(60 * SECOND); // the server forgets
  world.network.part(false);
  assert.ok(untilData(world, 10 * SECOND) < 8 * SECOND);
  assert.equal(world.client.welcomes.length, 2);
  assert.equal(world.client.client.reconnects, 3);
});

Deno.test("after an hour without network data flows again soon after that is back, whether the client is told or not", () => {
  const train = { ...TRAIN, intervalNs: 0.5 * SECOND, jitterSdNs: 0, jitterLaw: "none" as const };
  for (const isTold of [false, true]) {
    const world = up(71, { up: train, down: train });
    world.network.part(true);
    world.run(3600 * SECOND);
    world.network.part(false);
    if (isTold) world.client.tell((client) => client.moved(world.time.nowNs()));
    const tookNs = untilData(world, 60 * SECOND);
    assert.ok(tookNs < 20 * train.intervalNs, `${tookNs / SECOND} s`);
    assert.equal(world.client.client.state, "up");
  }
});
