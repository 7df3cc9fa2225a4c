/** A client that looks for the length of its datagrams: found before the first slot, and anew when nothing passes. */
import assert from "node:assert/strict";
import { firstDifference } from "./network.ts";
import { CLIENT_INNER, innerPacket, SERVER_INNER, World } from "./world.ts";

const SEED = Number(Deno.env.get("SIM_SEED") ?? 1);
const SECOND = 1e9;
const LENGTHS = [1472, 1400, 1252, 1000, 600];

/** The lengths that more than 50 datagrams of one sender have, the longest first. */
function trains(world: World, sender: string): number[] {
  const counts = new Map<number, number>();
  for (const { len } of world.network.traceOf(sender)) counts.set(len, (counts.get(len) ?? 0) + 1);
  return [...counts].filter(([, count]) => count > 50).map(([len]) => len).sort((a, b) => b - a);
}

/** A path of 1,300 bytes that becomes one of 700; data flows, or not. */
function narrowed(isBusy: boolean): World {
  const network = { delayMeanNs: 10e6, delayJitterNs: 2e6, lossRatio: 0.02, lenMax: 1300 };
  const world = new World({ seed: SEED, lengths: LENGTHS, network });
  for (let now = 0; now < 40 * SECOND; now += 10e6) {
    if (now === 8 * SECOND) world.network.conditions = { ...network, lenMax: 700 };
    world.run(10e6);
    if (!isBusy || now < 5 * SECOND) continue;
    const mark = now / 10e6;
    world.client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, 1200, mark));
    world.server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, 1200, mark));
    world.client.wake();
    world.server.wake();
  }
  return world;
}

Deno.test(`the length is found at the start and in a black hole, whatever is carried (SIM_SEED=${SEED})`, () => {
  const [idle, busy] = [narrowed(false), narrowed(true)];
  for (const world of [idle, busy]) {
    assert.equal(world.client.client.state, "up");
    assert.deepEqual(trains(world, "client"), [1252, 600]);
    assert.deepEqual(trains(world, "server"), [1252, 600]);
  }
  assert.ok(busy.server.io.tunWritten.length > 500, `${busy.server.io.tunWritten.length} packets`);
  assert.equal(firstDifference(busy.network.trace, idle.network.trace), undefined);
});

Deno.test("while nobody answers, a client starts with the longest, and asks again ever more seldom", () => {
  const world = new World({ seed: SEED, lengths: LENGTHS });
  world.network.part(true);
  world.run(40 * SECOND);
  const probes = world.network.traceOf("client").filter(({ len }) => len === 600);
  assert.equal(probes.length, 3 * 3, "at 0, and after 10 and 20 s of slots");
  world.network.part(false);
  world.run(20 * SECOND);
  assert.equal(world.client.client.state, "up");
  assert.deepEqual(trains(world, "client"), [1472]);
});

Deno.test("a client at rest can be stopped, and moves", () => {
  const world = new World({ seed: SEED, lengths: LENGTHS });
  world.network.part(true);
  world.run(1.5 * SECOND);
  world.client.moveTo({ ...world.client.at, port: 40_001 });
  world.network.part(false);
  world.run(5 * SECOND);
  assert.equal(world.client.client.state, "up");
  const other = new World({ seed: SEED, lengths: LENGTHS });
  other.network.part(true);
  other.run(1.5 * SECOND);
  other.client.stop();
  other.run(SECOND);
  assert.equal(other.client.plane.turn(), false);
});

/** A SYN that announces an MSS of 1,460. */
function syn(from: number[], to: number[]): Uint8Array {
  const packet = innerPacket(from, to, 44, 0);
  packet[9] = 6;
  packet.set([0x60, 0x02], 32);
  packet.set([2, 4, 1460 >> 8, 1460 & 255], 40);
  return packet;
}

for (const version0 of [undefined, "plain"] as const) {
  Deno.test(`both ends hold TCP to segments that fill a record, both ways (version ${version0 ? 0 : 1})`, () => {
    const world = new World({ seed: SEED, version0 });
    world.run(5 * SECOND);
    world.client.io.tunSubmit(syn(CLIENT_INNER, SERVER_INNER));
    world.server.io.tunSubmit(syn(SERVER_INNER, CLIENT_INNER));
    world.client.wake();
    world.server.wake();
    world.run(SECOND);
    for (const { io } of [world.client, world.server]) {
      assert.deepEqual(io.tunWritten.map((packet) => packet[42] << 8 | packet[43]), [1280 - 40]);
    }
  });
}
