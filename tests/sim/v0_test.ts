/** Inner protocol version 0 in virtual time, both sides of ours: data, losses, restarts, key changes; and idle and busy
 * look the same. A peer that shares no code with this program: tests/interop/v0_test.ts. */

import assert from "node:assert/strict";
import { firstDifference } from "./network.ts";
import {
  CLIENT_INNER,
  innerPacket,
  OTHER_INNER,
  SERVER_INNER,
  TRAIN,
  World,
  type WorldOptions,
} from "./world.ts";

const SECOND = 1e9;
const SEED = Number(Deno.env.get("SIM_SEED") ?? 1);
const CLASSIC = { ...TRAIN, jitterLaw: "classic" as const, jitterSdNs: 0.06 * TRAIN.intervalNs };

function worldOf(options: Partial<WorldOptions> = {}): World {
  return new World({ seed: SEED, version0: "plain", up: CLASSIC, down: CLASSIC, ...options });
}

/** Runs until the client is up for the `times`th time, and the server's train, which its first data record begins. */
function comesUp(world: World, limitNs: number, times = 1): boolean {
  const isUp = world.runUntilUp(limitNs, times);
  world.run(SECOND / 2);
  return isUp;
}

/** Sends `count` packets each way, and returns how many came, each checked byte for byte. */
function exchange(world: World, count: number, len = 300): [up: number, down: number] {
  const { client, server } = world;
  const before = [server.io.tunWritten.length, client.io.tunWritten.length];
  for (let mark = 0; mark < count; mark++) {
    client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, len, mark));
    server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, len, mark));
    client.wake();
    server.wake();
    world.run(20e6);
  }
  world.run(SECOND / 2);
  const came = [server.io.tunWritten.slice(before[0]), client.io.tunWritten.slice(before[1])];
  came.forEach((packets, index) => {
    const [from, to] = index === 0 ? [CLIENT_INNER, SERVER_INNER] : [SERVER_INNER, CLIENT_INNER];
    for (const packet of packets) {
      assert.deepEqual(packet, innerPacket(from, to, len, (packet[20] - 20 + 256) & 0xff));
    }
  });
  return [came[0].length, came[1].length];
}

for (const version0 of ["plain", "monitored"] as const) {
  Deno.test(`version 0, ${version0}, comes up and carries every packet both ways, whole and split`, () => {
    const world = worldOf({ version0 });
    assert.ok(comesUp(world, 3 * SECOND));
    assert.deepEqual(exchange(world, 50), [50, 50]);
    assert.deepEqual(exchange(world, 30, 1280), [30, 30]);
    assert.equal(
      world.client.counters.get("inner_malformed") + world.server.counters.get("inner_malformed"),
      0,
    );
    const lens = (from: "client" | "server") => new Set(world.network.traceOf(from).map(({ len }) => len));
    assert.deepEqual([...lens("client")], [TRAIN.datagramLen]);
    assert.deepEqual([...lens("server")], [TRAIN.datagramLen]);
  });
}

for (const lossRatio of [0.05, 0.3]) {
  Deno.test(`version 0 comes up and carries data at ${lossRatio * 100} % loss with disorder, copies and damage`, () => {
    for (let seed = 1; seed <= 4; seed++) {
      const network = {
        lossRatio,
        delayMeanNs: 30e6,
        delayJitterNs: 10e6,
        reorderRatio: 0.1,
        reorderDelayNs: 60e6,
        duplicateRatio: 0.05,
        corruptRatio: 0.02,
      };
      const world = worldOf({ seed, network, version0: seed % 2 === 0 ? "plain" : "monitored" });
      assert.ok(comesUp(world, 60 * SECOND), `seed ${seed}`);
      const [up, down] = exchange(world, 100);
      const least = 100 * (1 - lossRatio) * 0.7;
      assert.ok(up > least && down > least && up <= 100 && down <= 100, `seed ${seed}: ${up}, ${down}`);
    }
  });
}

Deno.test("version 0: a restarted server and a restarted client find each other again, the client's slots go on", () => {
  const world = worldOf();
  assert.ok(comesUp(world, 3 * SECOND));
  world.kill(world.server);
  world.run(8 * SECOND);
  world.startServer();
  assert.ok(comesUp(world, 20 * SECOND, 2), "after a restart of the server");
  assert.deepEqual(exchange(world, 20), [20, 20]);
  const slots = Math.floor(world.time.nowNs() / TRAIN.intervalNs);
  assert.ok(
    Math.abs(world.network.traceOf("client").length - slots) < 10,
    "no slot is missing, none is added",
  );
  world.kill(world.client);
  world.run(SECOND);
  world.startClient();
  assert.ok(comesUp(world, 10 * SECOND), "after a restart of the client");
  assert.deepEqual(exchange(world, 20), [20, 20]);
});

Deno.test("version 0: a client that has heard nothing for a while leaves its old keys, and comes back after the outage", () => {
  const world = worldOf();
  assert.ok(comesUp(world, 3 * SECOND));
  world.network.conditions = { ...world.network.conditions, lossRatio: 1 };
  world.run(30 * SECOND);
  assert.deepEqual(
    world.server.closed,
    ["nothing heard for too long"],
    "the server timeout of its handshake: 10 s",
  );
  world.network.conditions = { ...world.network.conditions, lossRatio: 0 };
  assert.ok(comesUp(world, 20 * SECOND, 2));
  assert.deepEqual(exchange(world, 20), [20, 20]);
});

Deno.test("version 0: keys change on both sides, numbers inside the encryption go on", () => {
  const world = worldOf({ rekeyRecords: 300 });
  assert.ok(comesUp(world, 3 * SECOND));
  for (let i = 0; i < 6; i++) assert.deepEqual(exchange(world, 50), [50, 50]);
  const heads = new Set(world.network.traceOf("client").map(({ head }) => head.slice(0, 2)));
  assert.ok(heads.size >= 3, [...heads].join(" "));
});

Deno.test("version 0: either side's goodbye ends the session at once", () => {
  const one = worldOf();
  assert.ok(comesUp(one, 3 * SECOND));
  one.client.stop();
  one.run(SECOND);
  assert.deepEqual(one.server.closed, ["peer closed"]);
  const other = worldOf();
  assert.ok(comesUp(other, 3 * SECOND));
  other.server.stop();
  other.run(SECOND / 2);
  assert.ok(other.client.client.reconnects > 0);
});

Deno.test("version 0: a wrong password is silence", () => {
  const world = worldOf({ wrongKey: true });
  assert.ok(!comesUp(world, 20 * SECOND));
  assert.equal(world.server.events.length, 0);
});

Deno.test("version 0: two clients with one identity have each their own session", () => {
  const world = worldOf({ twoClients: true });
  assert.ok(comesUp(world, 3 * SECOND));
  world.run(SECOND);
  assert.deepEqual(exchange(world, 20), [20, 20]);
  world.other!.io.tunSubmit(innerPacket(OTHER_INNER, SERVER_INNER, 200, 1));
  world.other!.wake();
  world.run(SECOND / 2);
  assert.deepEqual(world.server.io.tunWritten.at(-1), innerPacket(OTHER_INNER, SERVER_INNER, 200, 1));
});

Deno.test("version 0, monitored: the client learns what became of nearly every packet, both ways, and nothing wrong", () => {
  const world = worldOf({ version0: "monitored", network: { delayMeanNs: 20e6, lossRatio: 0.1 } });
  assert.ok(comesUp(world, 10 * SECOND));
  world.run(20 * SECOND);
  const seen = [new Map<number, bigint>(), new Map<number, bigint>()];
  for (const rows of world.client.packetRows) {
    for (let at = 0; at < rows.length; at += 25) {
      const view = new DataView(rows.buffer, at, 25);
      const [number, sent, received] = [1, 9, 17].map((off) => view.getBigUint64(off));
      const fates = seen[view.getUint8(0)];
      assert.ok(!fates.has(Number(number)), `${number} is told once`);
      fates.set(Number(number), sent);
      if (sent !== 0n) assert.ok(received - sent >= 20_000_000n && received - sent < 40_000_000n);
    }
  }
  for (const fates of seen) {
    const lost = [...fates.values()].filter((sent) => sent === 0n).length;
    assert.ok(fates.size > 1700, `${fates.size} packets of 2000`);
    assert.ok(lost > 0.06 * fates.size && lost < 0.14 * fates.size, `${lost} lost`);
    const planned = [...fates].filter(([, sent]) => sent !== 0n).sort(([a], [b]) => a - b);
    for (let i = 1; i < planned.length; i++) {
      assert.ok(planned[i][1] > planned[i - 1][1], "in the order of sending");
    }
  }
});

for (const version0 of ["plain", "monitored"] as const) {
  for (
    const [what, more, restarts] of [
      ["", {}, false],
      [", across key changes", { rekeyRecords: 300 }, false],
      [", across key changes and a restart of the server", { rekeyRecords: 300 }, true],
    ] as const
  ) {
    Deno.test(`version 0, ${version0}: idle and busy give an observer equal traces${what} (SIM_SEED=${SEED})`, () => {
      const network = { delayMeanNs: 20e6, delayJitterNs: 4e6, lossRatio: 0.03 };
      const [idle, busy] = [false, true].map((isBusy) => {
        const world = worldOf({ version0, network, ...more });
        world.run(3 * SECOND);
        for (let step = 0; step < (restarts ? 1600 : 800); step++) {
          world.run(10e6);
          if (restarts && step === 350) world.kill(world.server);
          if (restarts && step === 600) world.startServer();
          for (let i = 0; isBusy && i < 3; i++) {
            const len = 40 + (step * 97 + i) % 1200;
            world.client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, len, step));
            world.server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, len, step));
            world.client.wake();
            world.server.wake();
          }
        }
        return world;
      });
      assert.equal(firstDifference(busy.network.trace, idle.network.trace), undefined);
      const carried = busy.server.io.tunWritten.length;
      assert.ok(carried > 300 && idle.server.io.tunWritten.length === 0, String(carried));
    });
  }
}
