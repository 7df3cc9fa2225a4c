/** Clients whose address changes on the way, and attackers who would have it so: RFC 9853 in the slots that leave anyway. */

import assert from "node:assert/strict";
import type { EndpointAddress } from "../../src/ports/mod.ts";
import { addressText, firstDifference } from "./network.ts";
import {
  CLIENT_AT,
  CLIENT_INNER,
  innerPacket,
  SERVER_AT,
  SERVER_INNER,
  TRAIN,
  World,
  type WorldOptions,
} from "./world.ts";

const SECOND = 1e9;
const DELAY_NS = 5e6;

function placeOf(n: number): EndpointAddress {
  return { ip: Uint8Array.of(198, 51, 100, n), port: 50_000 + n };
}
const PLACE = placeOf(7);

/** A world that is up at 3 s, with a watch on what goes to addresses that have not been proved. */
function up(options: Partial<WorldOptions> = {}) {
  const world = new World({ seed: 61, network: { delayMeanNs: DELAY_NS }, ...options });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.run(3 * SECOND - world.time.nowNs());
  return { world, watch: new Watch(world) };
}

/** Counts bytes by address, of what the server took and what it sent, until the address was proved. */
class Watch {
  readonly #world: World;
  readonly #came = new Map<string, number>();
  readonly #went = new Map<string, number>();
  readonly #proved = new Set([addressText(CLIENT_AT)]);

  constructor(world: World) {
    this.#world = world;
    const { io } = world.server;
    const deliver = io.deliver.bind(io);
    io.deliver = (datagram) => {
      add(this.#came, addressText(datagram.from), datagram.bytes.length);
      deliver(datagram);
    };
    const send = world.network.send.bind(world.network);
    world.network.send = (from, to, bytes) => {
      if (from.port === SERVER_AT.port) this.#sent(addressText(to), bytes.length);
      send(from, to, bytes);
    };
  }

  /** Slots that went to this address. */
  slotsTo(at: EndpointAddress): number {
    return (this.#went.get(addressText(at)) ?? 0) / TRAIN.datagramLen;
  }

  #sent(to: string, len: number): void {
    const { server } = this.#world;
    for (const text of server.moves) this.#proved.add(text);
    add(this.#went, to, len);
    if (this.#proved.has(to)) return;
    const [went, came] = [this.#went.get(to)!, this.#came.get(to) ?? 0];
    assert.ok(
      went <= came,
      `${went} bytes went to ${to}, which has not been proved, ${came} came from there`,
    );
  }
}

function add(map: Map<string, number>, key: string, amount: number): void {
  map.set(key, (map.get(key) ?? 0) + amount);
}

/** Packets both ways for `ns`, one each 5 ms; returns how many came. */
function exchange(world: World, ns: number): { up: number; down: number } {
  const before = [world.server.io.tunWritten.length, world.client.io.tunWritten.length];
  for (let at = 0, mark = 0; at < ns; at += 5e6) {
    world.client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, 200, mark));
    world.server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, 200, mark++));
    world.client.wake();
    world.server.wake();
    world.run(5e6);
  }
  return {
    up: world.server.io.tunWritten.length - before[0],
    down: world.client.io.tunWritten.length - before[1],
  };
}

/** Each slot of the server's train left, and nothing beside it. */
function assertOneTrain(world: World, fromNs: number): void {
  const train = world.network.traceOf("server").filter(({ timeNs }) => timeNs >= fromNs);
  const gaps = train.slice(1).map(({ timeNs }, i) => timeNs - train[i].timeNs);
  assert.ok(Math.max(...gaps) < 2 * TRAIN.intervalNs, "none is missing");
  const slots = Math.round((world.time.nowNs() - fromNs) / TRAIN.intervalNs);
  assert.ok(Math.abs(train.length - slots) <= 1, `${train.length} datagrams in ${slots} slots`);
  assert.deepEqual([...new Set(train.map(({ len }) => len))], [TRAIN.datagramLen]);
}

Deno.test("a client whose address changes goes on within slots: no handshake, no slot more or less", () => {
  const { world } = up();
  const fromNs = world.time.nowNs();
  world.network.move(CLIENT_AT, PLACE);
  const { up: arrived, down } = exchange(world, SECOND);
  assert.ok(arrived >= 198, `${arrived} of 200 packets up`);
  assert.ok(down >= 185, `${down} of 200 packets down`);
  assert.equal(world.client.client.reconnects, 0);
  assert.deepEqual(world.server.moves, [addressText(PLACE)]);
  assert.equal(world.server.counters.get("moves_failed"), 0);
  assertOneTrain(world, fromNs);
  // Client's next slot and way there, the server's next slot and way back, the answer's slot and way there.
  const limitNs = 3 * DELAY_NS + 3 * 1.5 * TRAIN.intervalNs;
  const first = world.network.traceOf("server").find(({ timeNs, path }) =>
    timeNs >= fromNs + limitNs && !path.endsWith(addressText(PLACE))
  );
  assert.equal(first, undefined, "every slot goes to the new address after one exchange");
});

Deno.test("of two moves in a row each is followed, also back to where it began", () => {
  const { world } = up();
  for (const place of [PLACE, placeOf(8), CLIENT_AT]) {
    world.network.move(CLIENT_AT, place);
    const { down } = exchange(world, SECOND);
    assert.ok(down >= 185, `${down} packets down`);
  }
  assert.deepEqual(world.server.moves, [PLACE, placeOf(8), CLIENT_AT].map(addressText));
  assert.equal(world.client.client.reconnects, 0);
});

for (const [upNs, downNs] of [[100e6, 2e6], [2e6, 100e6]]) {
  Deno.test(`a move is proved with slots of ${upNs / 1e6} ms up and ${downNs / 1e6} ms down`, () => {
    const train = (intervalNs: number) => ({ ...TRAIN, intervalNs, jitterSdNs: intervalNs / 20 });
    const { world } = up({ up: train(upNs), down: train(downNs) });
    world.network.move(CLIENT_AT, PLACE);
    world.run(SECOND);
    assert.deepEqual(world.server.moves, [addressText(PLACE)]);
    assert.equal(world.client.client.reconnects, 0);
  });
}

for (const delayNs of [0.45e9, 0.8e9, 2e9]) {
  Deno.test(`a move is followed after one round trip where that takes ${2 * delayNs / SECOND} s`, () => {
    const world = new World({ seed: 61, network: { delayMeanNs: delayNs } });
    assert.ok(world.runUntilUp(20 * SECOND));
    world.run(5 * SECOND);
    world.network.move(CLIENT_AT, PLACE);
    world.run(3 * delayNs + 5 * TRAIN.intervalNs);
    assert.deepEqual(world.server.moves, [addressText(PLACE)]);
    world.run(2 * delayNs);
    const { up: arrived, down } = exchange(world, 5 * SECOND + delayNs);
    assert.ok(arrived >= 990 && down >= 990, `${arrived} up, ${down} down`);
    assert.equal(world.client.welcomes.length, 1, "no other session was needed");
  });
}

Deno.test("moves are followed at 40 % loss with disorder and damage", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { world } = up({ seed });
    world.network.conditions = {
      ...{ lossRatio: 0.4, delayMeanNs: 30e6, delayJitterNs: 10e6, duplicateRatio: 0.05, corruptRatio: 0.02 },
      ...{ reorderRatio: 0.2, reorderDelayNs: 60e6 },
    };
    world.network.move(CLIENT_AT, PLACE);
    const { down } = exchange(world, 5 * SECOND);
    assert.deepEqual(world.server.moves, [addressText(PLACE)], `seed ${seed}`);
    assert.ok(down > 200, `seed ${seed}: ${down}`);
    assert.equal(world.client.client.reconnects, 0, `seed ${seed}`);
  }
});

Deno.test("idle and busy give equal traces across moves", () => {
  const traceOf = (busy: boolean) => {
    const { world } = up();
    for (const place of [PLACE, placeOf(8), CLIENT_AT]) {
      world.network.move(CLIENT_AT, place);
      if (busy) exchange(world, SECOND);
      else world.run(SECOND);
    }
    assert.equal(world.server.moves.length, 3);
    return world.network.trace;
  };
  assert.equal(firstDifference(traceOf(true), traceOf(false)), undefined);
});

/** Somebody off the path who reads all that leaves the client and sends copies from elsewhere, `leadNs` before or after
 * the true ones arrive; what the server sends there is passed on to the client if `isForwarding`. */
function forwarder(world: World, leadNs: number, isForwarding: boolean): void {
  world.network.attach("attacker", PLACE, ({ bytes }) => {
    if (isForwarding) world.network.inject({ bytes, from: SERVER_AT, to: CLIENT_AT });
  });
  world.network.tap = ({ bytes, from, to }) => {
    if (addressText(from) !== addressText(CLIENT_AT)) return;
    world.time.after(DELAY_NS - leadNs, () => world.network.inject({ bytes, from: PLACE, to }));
  };
}

Deno.test("copies from elsewhere that come after the true ones change nothing", () => {
  const calm = up().world;
  const { world } = up();
  forwarder(world, -1e6, true);
  const want = exchange(calm, 2 * SECOND);
  assert.deepEqual(exchange(world, 2 * SECOND), want);
  assert.equal(world.server.counters.get("moves_probed"), 0);
  assert.equal(firstDifference(world.network.traceOf("server"), calm.network.traceOf("server")), undefined);
});

Deno.test("copies from elsewhere that win each race get challenges, few of them, and lose no data", () => {
  const { world, watch } = up();
  forwarder(world, 1e6, false);
  const fromNs = world.time.nowNs();
  const { up: arrived, down } = exchange(world, 60 * SECOND);
  assert.ok(arrived >= 11_990, `${arrived}`);
  assert.deepEqual(world.server.moves, []);
  assertOneTrain(world, fromNs);
  const probes = world.server.counters.get("moves_probed");
  assert.ok(probes >= 4 && probes <= 7, `${probes} probes in a minute`);
  assert.ok(watch.slotsTo(PLACE) < 0.15 * 6000, `${watch.slotsTo(PLACE)} slots of 6,000`);
  assert.ok(down > 0.85 * 12_000, `${down} of 12,000 packets down`);
  assert.equal(world.client.client.reconnects, 0);
});

Deno.test("who forwards both ways is on the path as long as it forwards, and no longer", () => {
  const { world } = up();
  forwarder(world, 1e6, true);
  exchange(world, 2 * SECOND);
  assert.deepEqual(world.server.moves, [addressText(PLACE)], "what an answer proves is a way, not whose");
  world.network.tap = undefined;
  const { up: arrived, down } = exchange(world, SECOND);
  assert.deepEqual(world.server.moves, [addressText(PLACE), addressText(CLIENT_AT)]);
  assert.ok(arrived >= 198 && down >= 185, `${arrived} up, ${down} down`);
  assert.equal(world.client.client.reconnects, 0);
});

Deno.test("a record held back and sent from elsewhere moves nothing once newer ones have come", () => {
  const { world } = up();
  const held: Uint8Array[] = [];
  world.network.tap = ({ bytes, from }) => {
    if (addressText(from) === addressText(CLIENT_AT)) held.push(bytes);
  };
  world.network.conditions = { lossRatio: 1 };
  world.run(100e6);
  world.network.tap = undefined;
  world.network.conditions = { delayMeanNs: DELAY_NS };
  world.run(100e6);
  assert.ok(held.length >= 9);
  const opened = world.server.counters.get("records_opened");
  for (const bytes of held) world.network.inject({ bytes, from: PLACE, to: SERVER_AT });
  world.run(100e6);
  assert.ok(
    world.server.counters.get("records_opened") >= opened + held.length,
    "they are authentic, and taken",
  );
  assert.equal(world.server.counters.get("moves_probed"), 0);
});

Deno.test("a challenge without an answer ends in a second, and the old address has the train again", () => {
  const { world, watch } = up();
  // One record reaches the server from elsewhere first, and nothing else ever does.
  let isFirst = true;
  world.network.tap = ({ bytes, from, to }) => {
    if (isFirst && addressText(from) === addressText(CLIENT_AT)) {
      world.time.after(DELAY_NS - 1e6, () => world.network.inject({ bytes, from: PLACE, to }));
      isFirst = false;
    }
  };
  const { down } = exchange(world, 3 * SECOND);
  assert.equal(watch.slotsTo(PLACE), 1, "one datagram came, one went");
  assert.equal(world.server.counters.get("moves_failed"), 1);
  assert.ok(down >= 590, `${down}`);
});

Deno.test("a probe that is under way ends with the session, and a new session's address is its handshake's", () => {
  const { world } = up();
  forwarder(world, 1e6, false);
  world.run(200e6);
  world.network.tap = undefined;
  world.kill(world.client);
  world.startClient();
  assert.ok(world.runUntilUp(10 * SECOND));
  const { down } = exchange(world, SECOND);
  assert.ok(down >= 195, `${down}`);
});

/** Connection ids in the client's records, in the order in which they were first seen, with the path of each. */
function idsOf(world: World, fromNs: number): Map<string, Set<string>> {
  const ids = new Map<string, Set<string>>();
  for (const { timeNs, head, path } of world.network.traceOf("client")) {
    if (timeNs < fromNs || !/^3/.test(head)) continue;
    const id = head.slice(2, 18);
    ids.set(id, (ids.get(id) ?? new Set()).add(path));
  }
  return ids;
}

Deno.test("a client that takes another socket takes another connection id in the same slot, seven times in a row", () => {
  const { world, watch } = up();
  const fromNs = world.time.nowNs();
  for (let n = 0; n < 7; n++) {
    world.client.moveTo(placeOf(n));
    const { up: arrived, down } = exchange(world, 3 * SECOND);
    assert.ok(arrived >= 598 && down >= 580, `${arrived} up, ${down} down`);
  }
  assert.deepEqual(world.server.moves, [0, 1, 2, 3, 4, 5, 6].map((n) => addressText(placeOf(n))));
  assert.equal(world.client.counters.get("moves_without_id"), 0);
  assert.equal(world.client.client.reconnects, 0);
  assert.equal(world.server.counters.get("moves_failed"), 0);
  const ids = idsOf(world, fromNs);
  assert.equal(ids.size, 7, "each id was seen at one place");
  for (const [id, paths] of ids) assert.equal(paths.size, 1, `${id}: ${[...paths]}`);
  assert.deepEqual(
    world.client.closedSockets,
    [0, 1, 2, 3, 4, 5, 6],
    "each socket is closed once it is left",
  );
  assert.ok(watch.slotsTo(placeOf(6)) > 290);
  const gaps = world.network.traceOf("client").map(({ timeNs }, i, all) =>
    i === 0 ? 0 : timeNs - all[i - 1].timeNs
  );
  assert.ok(Math.max(...gaps) < 2 * TRAIN.intervalNs, "no slot is missing");
});

Deno.test("moves faster than ids can be handed out go on with the id that is there", () => {
  const { world } = up();
  for (let n = 0; n < 12; n++) {
    world.client.moveTo(placeOf(n));
    world.run(0.02 * SECOND);
  }
  const { up: arrived, down } = exchange(world, 3 * SECOND);
  assert.ok(world.client.counters.get("moves_without_id") > 0);
  assert.equal(world.server.moves.at(-1), addressText(placeOf(11)));
  assert.ok(arrived >= 595 && down >= 150, `${arrived} up, ${down} down`);
  assert.equal(world.client.client.reconnects, 0);
});

Deno.test("a client that moves before a spare id has come keeps the one that it has, however long", () => {
  const world = new World({ seed: 61, network: { delayMeanNs: 100e6 } });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.client.moveTo(PLACE); // it asks for four ids while the first four are on their way
  const { up: arrived, down } = exchange(world, 5 * SECOND);
  assert.equal(world.client.counters.get("moves_without_id"), 1);
  assert.deepEqual(world.server.moves, [addressText(PLACE)]);
  assert.ok(arrived >= 970 && down >= 900, `${arrived} up, ${down} down`);
  assert.equal(world.client.client.reconnects, 0);
});

Deno.test("with rotation port and id change at public slots, and idle and busy give equal traces", () => {
  const traceOf = (busy: boolean) => {
    const { world } = up({ rotateSlots: 400, rekeyRecords: 500 });
    if (busy) exchange(world, 20 * SECOND);
    else world.run(20 * SECOND);
    assert.equal(world.client.client.reconnects, 0);
    return world;
  };
  const idle = traceOf(false);
  assert.equal(firstDifference(traceOf(true).network.trace, idle.network.trace), undefined);
  const sent = idle.network.traceOf("client");
  const changes = sent.flatMap(({ path }, slot) => slot > 0 && path !== sent[slot - 1].path ? [slot] : []);
  assert.deepEqual(changes, [400, 800, 1200, 1600, 2000, 2400].filter((slot) => slot < sent.length));
  assert.equal(idsOf(idle, 3 * SECOND).size, 1 + changes.length);
});

Deno.test("a client that moves while it connects begins again from there at once", () => {
  const world = new World({ seed: 62, network: { delayMeanNs: DELAY_NS } });
  world.run(25e6); // the first answer is on its way
  world.client.moveTo(PLACE);
  assert.ok(world.runUntilUp(SECOND));
});

Deno.test("a challenge to a socket that was left is answered by path_drop: the probe ends, the new place stays", () => {
  const { world } = up();
  world.client.moveTo(PLACE);
  world.run(SECOND);
  // Somebody sends a record that the client has just sent from where it was before, sooner than it arrives.
  let isFirst = true;
  world.network.tap = ({ bytes, from, to }) => {
    if (!isFirst || addressText(from) !== addressText(PLACE)) return;
    isFirst = false;
    world.time.after(DELAY_NS - 1e6, () => world.network.inject({ bytes, from: CLIENT_AT, to }));
  };
  const { down } = exchange(world, 0.5 * SECOND);
  assert.equal(world.server.counters.get("moves_failed"), 1);
  assert.deepEqual(world.server.moves, [addressText(PLACE)]);
  assert.ok(down >= 90, `${down}`);
});

Deno.test("a challenge that comes while a change of sockets waits for its slot is answered from where the client still is", () => {
  const { world } = up();
  world.network.move(CLIENT_AT, PLACE); // the server will probe this place
  world.client.moveTo(placeOf(8), 400); // a second from now
  exchange(world, 0.5 * SECOND);
  assert.deepEqual(world.server.moves, [addressText(PLACE)]);
  const early = world.network.traceOf("client").slice(300, 399);
  assert.equal(new Set(early.map(({ path }) => path.split(">")[0])).size, 1);
  const { down } = exchange(world, 2 * SECOND);
  assert.deepEqual(world.server.moves, [addressText(PLACE), addressText(placeOf(8))]);
  assert.ok(down > 380, `${down}`);
});
