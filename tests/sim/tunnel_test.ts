/** The tunnel as a whole in virtual time: data, bad networks, restarts, moves, wrong keys. */

import assert from "node:assert/strict";
import { SimNetwork } from "./network.ts";
import {
  CLIENT_AT,
  CLIENT_INNER,
  innerPacket,
  OTHER_INNER,
  SERVER_AT,
  SERVER_INNER,
  TRAIN,
  World,
} from "./world.ts";

const SECOND = 1e9;

/** Sends `count` packets each way, one every 20 ms, and returns how many came, each checked byte for byte. */
function exchange(world: World, count: number, len = 300): { up: number; down: number } {
  const before = { up: world.server.io.tunWritten.length, down: world.client.io.tunWritten.length };
  for (let mark = 0; mark < count; mark++) {
    world.client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, len, mark));
    world.server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, len, mark));
    world.client.wake();
    world.server.wake();
    world.run(20e6);
  }
  world.run(SECOND / 2);
  const up = world.server.io.tunWritten.slice(before.up);
  const down = world.client.io.tunWritten.slice(before.down);
  for (
    const [packets, from, to] of [[up, CLIENT_INNER, SERVER_INNER], [
      down,
      SERVER_INNER,
      CLIENT_INNER,
    ]] as const
  ) {
    for (const packet of packets) {
      assert.deepEqual(packet, innerPacket(from, to, len, (packet[20] - 20 + 256) & 0xff));
    }
  }
  return { up: up.length, down: down.length };
}

Deno.test("a tunnel comes up and carries every packet both ways, byte for byte", () => {
  const world = new World({ seed: 11 });
  assert.ok(world.runUntilUp(3 * SECOND));
  assert.deepEqual(exchange(world, 100), { up: 100, down: 100 });
  assert.deepEqual(exchange(world, 50, 1300), { up: 50, down: 50 });
});

for (const suite of [0x1301, 0x1302, 0x1303]) {
  Deno.test(`suite 0x${suite.toString(16)} carries data`, () => {
    const world = new World({ seed: 12, suites: [suite] });
    assert.ok(world.runUntilUp(3 * SECOND));
    assert.deepEqual(exchange(world, 20), { up: 20, down: 20 });
  });
}

Deno.test("a change of keys loses no packet that is split across it, however many records were before", () => {
  const world = new World({ seed: 13, rekeyRecords: 1500 }); // more than the fragments of a packet may be apart
  assert.ok(world.runUntilUp(3 * SECOND));
  assert.deepEqual(exchange(world, 1800, 900), { up: 1800, down: 1800 });
  assert.equal(world.server.counters.get("inner_fragments_dropped"), 0);
  assert.equal(world.client.counters.get("inner_fragments_dropped"), 0);
});

Deno.test("records of epoch 6 and 10, which look like epoch 2's, are no handshake's", () => {
  const world = new World({ seed: 13, rekeyRecords: 200 });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.run(SECOND);
  const handedOn = () =>
    [world.client, world.server].map(({ counters }) => counters.get("datagrams_handshake"));
  const before = handedOn();
  const heads: string[] = [];
  for (let round = 0; round < 25; round++) {
    assert.deepEqual(exchange(world, 20), { up: 20, down: 20 });
    heads.push(...world.network.traceOf("server").slice(-1).map(({ head }) => head.slice(0, 2)));
  }
  assert.ok(heads.join("").match(/2e.*2f.*2c.*2d.*2e/), heads.join(" "));
  assert.deepEqual(handedOn(), before);
});

for (const lossRatio of [0.05, 0.2, 0.4]) {
  Deno.test(`a tunnel comes up and carries data at ${lossRatio * 100} % loss with disorder, copies and damage`, () => {
    for (let seed = 1; seed <= 5; seed++) {
      const world = new World({
        seed,
        network: {
          lossRatio,
          delayMeanNs: 30e6,
          delayJitterNs: 10e6,
          reorderRatio: 0.1,
          reorderDelayNs: 60e6,
          duplicateRatio: 0.05,
          corruptRatio: 0.02,
        },
      });
      assert.ok(world.runUntilUp(60 * SECOND), `seed ${seed}`);
      const { up, down } = exchange(world, 200);
      const least = 200 * (1 - lossRatio) * 0.8;
      assert.ok(up > least && down > least, `seed ${seed}: ${up} up, ${down} down`);
      assert.ok(up <= 200 && down <= 200, `seed ${seed}: a copy came through`);
    }
  });
}

Deno.test("a client whose server is away keeps its slots going and connects once it is there", () => {
  const world = new World({ seed: 21 });
  world.kill(world.server);
  world.run(30 * SECOND);
  assert.equal(world.client.welcomes.length, 0);
  const sent = world.network.traceOf("client");
  assert.ok(Math.abs(sent.length - 3000) <= 5, `${sent.length} datagrams in 30 s at 100 a second`);
  assert.deepEqual([...new Set(sent.map(({ len }) => len))], [TRAIN.datagramLen]);
  world.startServer();
  assert.ok(world.runUntilUp(15 * SECOND));
  assert.deepEqual(exchange(world, 20), { up: 20, down: 20 });
});

Deno.test("a restart of the server is survived without touching the client, and its slots go on", () => {
  const world = new World({ seed: 22 });
  assert.ok(world.runUntilUp(3 * SECOND));
  exchange(world, 20);
  world.kill(world.server);
  world.run(5 * SECOND);
  world.startServer();
  assert.ok(world.runUntilUp(20 * SECOND, 2));
  assert.deepEqual(exchange(world, 20), { up: 20, down: 20 });
  const gaps = world.network.traceOf("client").map(({ timeNs }, i, all) =>
    i === 0 ? 0 : timeNs - all[i - 1].timeNs
  );
  assert.ok(Math.max(...gaps) < 2 * TRAIN.intervalNs, "no slot is missing");
});

Deno.test("a restart of the client takes the train over at one slot: never two trains, never none", () => {
  const world = new World({ seed: 23 });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.kill(world.client);
  world.run(SECOND);
  const from = world.network.traceOf("server").length;
  world.startClient();
  assert.ok(world.runUntilUp(10 * SECOND));
  assert.deepEqual(exchange(world, 20), { up: 20, down: 20 });
  const train = world.network.traceOf("server").slice(from).filter(({ head }) => head.startsWith("2"));
  const gaps = train.map(({ timeNs }, i) => i === 0 ? TRAIN.intervalNs : timeNs - train[i - 1].timeNs);
  assert.ok(Math.max(...gaps) < 2 * TRAIN.intervalNs, "never none");
});

Deno.test("what comes for a client while one session takes the place of another waits for it", () => {
  const world = new World({ seed: 22, network: { delayMeanNs: 100e6, lossRatio: 0.4 } });
  assert.ok(world.runUntilUp(20 * SECOND));
  world.kill(world.client);
  world.startClient({});
  for (let mark = 0; world.client.client.state !== "up"; mark++) {
    assert.ok(mark < 2000, "up again within 20 s");
    world.server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, 300, mark & 0xff));
    world.server.wake();
    world.run(10e6);
  }
  assert.equal(world.server.counters.get("inner_dropped_no_session"), 0);
  assert.ok(world.client.io.tunWritten.length > 0, "and what had waited comes first");
});

Deno.test("a client that restarts with another schedule gets it, and no nonce is used twice", () => {
  for (let seed = 1; seed <= 10; seed++) {
    // With losses the parameters are often not in the first record that arrives.
    const world = new World({ seed, network: { delayMeanNs: 5e6, lossRatio: 0.4 } });
    assert.ok(world.runUntilUp(60 * SECOND));
    world.kill(world.client);
    world.run(SECOND);
    world.startClient({ down: { ...TRAIN, intervalNs: 7e6, jitterSdNs: 0.5e6, datagramLen: 700 } });
    assert.ok(world.runUntilUp(60 * SECOND), `seed ${seed}`);
    world.run(SECOND);
    assert.equal(world.network.traceOf("server").at(-1)!.len, 700);
    const { up, down } = exchange(world, 20);
    assert.ok(up > 4 && down > 4, `seed ${seed}: ${up} up, ${down} down`);
  }
});

Deno.test("an outage of an hour ends with the tunnel up again", () => {
  const world = new World({
    seed: 25,
    up: { ...TRAIN, intervalNs: 500e6, jitterSdNs: 0, jitterLaw: "none" },
    down: { ...TRAIN, intervalNs: 500e6, jitterSdNs: 0, jitterLaw: "none" },
  });
  assert.ok(world.runUntilUp(20 * SECOND));
  world.network.part(true);
  world.run(3600 * SECOND);
  world.network.part(false);
  assert.ok(world.runUntilUp(60 * SECOND, 2));
});

for (const delayMeanNs of [1.2e9, 2e9]) {
  Deno.test(`a tunnel comes up at once over a delay of ${delayMeanNs / 1e9} s each way, and lasts`, () => {
    const world = new World({ seed: 31, network: { delayMeanNs } });
    assert.ok(world.runUntilUp(4 * 2 * delayMeanNs), world.client.log.join("\n"));
    world.run(20 * SECOND);
    assert.equal(world.client.client.reconnects, 0);
  });
}

for (const [upNs, downNs] of [[10e9, 10e9], [10e9, 10e6], [10e6, 10e9]]) {
  Deno.test(`slots of ${upNs / 1e9} s up and ${downNs / 1e9} s down are enough for a tunnel`, () => {
    const train = (intervalNs: number) => ({ ...TRAIN, intervalNs, jitterSdNs: 0.05 * intervalNs });
    const world = new World({ seed: 30, up: train(upNs), down: train(downNs) });
    assert.ok(world.runUntilUp(150 * SECOND), world.client.log.join("\n"));
    const { reconnects } = world.client.client;
    world.client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, 100, 1));
    world.server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, 100, 1));
    world.client.wake();
    world.server.wake();
    world.run(300 * SECOND);
    assert.equal(world.server.io.tunWritten.length, 1);
    assert.equal(world.client.io.tunWritten.length, 1);
    assert.equal(world.client.client.reconnects, reconnects, "a session lasts");
  });
}

Deno.test("a wrong key never connects; the server says why, the client what it knows", () => {
  const world = new World({ seed: 26, wrongKey: true });
  assert.equal(world.runUntilUp(30 * SECOND), false);
  assert.ok(world.server.log.some((line) => line.includes("handshake refused")), world.server.log.join("\n"));
  assert.ok(world.client.log.some((line) => line.includes("still connecting")), world.client.log.join("\n"));
  assert.equal(world.server.io.tunWritten.length, 0);
});

Deno.test("packets with a source address that is not the client's are refused and counted", () => {
  const world = new World({ seed: 27 });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.client.io.tunSubmit(innerPacket([10, 140, 5, 9], SERVER_INNER, 100, 1));
  world.client.io.tunSubmit(innerPacket(CLIENT_INNER, CLIENT_INNER, 100, 1));
  world.client.wake();
  world.run(SECOND);
  assert.equal(world.server.io.tunWritten.length, 0);
  assert.equal(world.server.counters.get("inner_source_refused"), 1);
  assert.equal(world.server.counters.get("inner_destination_refused"), 1);
});

Deno.test("clients reach one another where the server lets them, by their own addresses alone", () => {
  const world = new World({ seed: 27, betweenClients: true });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.client.io.tunSubmit(innerPacket(OTHER_INNER, OTHER_INNER, 100, 1));
  world.client.io.tunSubmit(innerPacket(CLIENT_INNER, OTHER_INNER, 100, 2));
  world.client.wake();
  world.run(SECOND);
  assert.equal(world.server.io.tunWritten.length, 1, "the system forwards it");
  assert.equal(world.server.counters.get("inner_source_refused"), 1);
  assert.equal(world.server.counters.get("inner_destination_refused"), 0);
});

Deno.test("a goodbye travels in slots: the server forgets the client at once", () => {
  const world = new World({ seed: 28 });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.client.stop();
  world.run(SECOND);
  assert.deepEqual(world.server.closed, ["the client closed the session"]);
});

Deno.test("hellos and Finished that come again once the session lives get no answer beside the train", () => {
  const sent: Uint8Array[] = [];
  const { send } = SimNetwork.prototype;
  SimNetwork.prototype.send = function (from, to, bytes) {
    if (from.port !== 1405) sent.push(bytes.slice());
    send.call(this, from, to, bytes);
  };
  try {
    const world = new World({ seed: 29 });
    assert.ok(world.runUntilUp(3 * SECOND));
    const handshake = sent.filter((bytes) => bytes[0] === 22 || (bytes[0] & 0xe3) === 0x22);
    assert.ok(handshake.length >= 3, `${handshake.length} handshake datagrams`);
    const answers = () => world.network.traceOf("server").filter(({ head }) => /^(1|2e)/.test(head)).length;
    const before = answers();
    const seen = world.network.traceOf("server").length;
    for (const bytes of handshake.filter((bytes) => bytes[0] !== 22)) {
      send.call(world.network, CLIENT_AT, SERVER_AT, bytes);
    }
    // A first hello, of message_seq 0, is answered by whoever is at home.
    for (const bytes of handshake.filter((bytes) => bytes[0] !== 22 || bytes[18] !== 0)) {
      send.call(world.network, CLIENT_AT, SERVER_AT, bytes);
    }
    world.run(SECOND);
    assert.equal(answers(), before);
    assert.ok(Math.abs(world.network.traceOf("server").length - seen - 100) <= 1, "the train alone");
  } finally {
    SimNetwork.prototype.send = send;
  }
});
