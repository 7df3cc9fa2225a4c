/** A peer that has the keys and keeps to no other rule. It may harm itself and nobody else: nothing throws, nothing grows,
 * no schedule changes but by a new session, another client notices nothing. */

import assert from "node:assert/strict";
import { SeededRandom, seedOf } from "../../src/base/random.ts";
import type { EndpointAddress } from "../../src/ports/mod.ts";
import type { CounterName } from "../../src/tunnel/counters.ts";
import { emitAlert } from "../../src/wire/alert.ts";
import { CONTENT_TYPE } from "../../src/wire/content_type.ts";
import { emitAck } from "../../src/wire/dtls_ack.ts";
import { emitHandshakeMessage, HANDSHAKE_TYPE } from "../../src/wire/handshake_header.ts";
import { emitClientParameters, emitServerWelcome, type JitterLawName } from "../../src/wire/inner_control.ts";
import { emitPathMessage } from "../../src/wire/path_check.ts";
import { emitControl, INNER_TYPE } from "../../src/wire/inner_frame.ts";
import { addressText, firstDifference } from "./network.ts";
import { RecordForge } from "./record_forge.ts";
import {
  CLIENT_AT,
  CLIENT_INNER,
  innerPacket,
  OTHER_AT,
  OTHER_INNER,
  SERVER_AT,
  SERVER_INNER,
  TRAIN,
  World,
} from "./world.ts";

const SECOND = 1e9;
const AHEAD = 5000; // beyond what the honest side has numbered, nearer than 2^15
const NONCE = new Uint8Array(8).fill(0xa5);
const MAXIMUM = Number.MAX_SAFE_INTEGER;

/** A world with two clients in which the first one's process is gone and a forge speaks for it. */
function setup() {
  const world = new World({ seed: 41, twoClients: true });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.run(3 * SECOND - world.time.nowNs());
  assert.equal(world.other!.welcomes.length, 1);
  world.kill(world.client);
  const { suite, clientSecret, serverSecret, clientMessageSeq, cid } = world.client.taken!;
  const forge = new RecordForge(suite, clientSecret, AHEAD, cid);
  const toServer = (bytes: Uint8Array) => world.network.inject({ bytes, from: CLIENT_AT, to: SERVER_AT });
  return { world, forge, toServer, serverSecret, clientMessageSeq };
}

function frames(...bodies: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(bodies.flatMap((body) => [...body]));
}

function fragment(type: number, id: number, offset: number, len: number): Uint8Array {
  const head = type === INNER_TYPE.fragmentFirst ? [] : [offset >> 8, offset & 0xff];
  return Uint8Array.of(
    type,
    id >> 8,
    id & 0xff,
    ...head,
    len >> 8,
    len & 0xff,
    ...new Uint8Array(Math.min(len, 300)),
  );
}

/** Parameters in range and far out of it. */
function parameters(random: SeededRandom): Uint8Array {
  const pick = <T>(...values: T[]) => values[random.below(values.length)];
  return emitClientParameters({
    protocolVersion: pick(1, 2, 0xffffffff),
    oldestVersion: 1,
    flags: random.u32(),
    s2cDatagramLen: pick(0, 21, 100, 499, 500, 600, 1472, 1473, 65_535),
    s2cIntervalNs: pick(1, 1000, 20_000, 1e6, 10e6, 60e9, 61e9, MAXIMUM),
    s2cJitterSdNs: pick(0, 1, 1e6, MAXIMUM),
    s2cJitterLaw: pick<JitterLawName>("none", "gaussian", "cosine", "classic"),
    s2cBurst: pick(1, 2, 44, 45, 65_535),
    c2sIntervalNs: pick(1, 10e6, MAXIMUM),
    c2sDatagramLen: random.below(65_536),
    c2sBurst: pick(1, 65_535),
    nonce: NONCE,
  });
}

/** Contents that no honest peer sends, with the type that they come under. */
function hostileContents(random: SeededRandom, messageSeq: number): [number, Uint8Array][] {
  const bytes = (len: number) => Uint8Array.from({ length: len }, () => random.u32());
  const data = CONTENT_TYPE.applicationData;
  const list: [number, Uint8Array][] = [];
  for (let i = 0; i < 40; i++) {
    const id = random.below(65_536);
    list.push(
      [data, bytes(random.below(1400))],
      [data, Uint8Array.of(0x01 + random.below(15), 1, 2, 3)], // a type without meaning
      [data, emitControl(0x43 + random.below(0xbc), bytes(5))], // a control type of the future
      [data, Uint8Array.of(INNER_TYPE.packet, 0xff, 0xff, 1, 2)], // past the end
      [data, Uint8Array.of(INNER_TYPE.packet, 0, 0)],
      [data, frames(Uint8Array.of(INNER_TYPE.packet, 0, 30), bytes(30))], // no IP packet
      [data, frames(fragment(0x11, id, 0, 100), fragment(0x20, id, 50, 100))], // overlap
      [data, fragment(0x20, id, 65_535, 200)],
      [data, fragment(0x21, id, 0, 10)],
      [data, fragment(0x11, id, 0, 300)], // one of a flood that never ends
      [data, parameters(random)],
      [data, emitControl(INNER_TYPE.clientParameters, bytes(random.below(80)))],
      [data, emitControl(INNER_TYPE.serverWelcome, bytes(random.below(80)))],
      [CONTENT_TYPE.handshake, bytes(random.below(200))],
      [CONTENT_TYPE.handshake, emitHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, messageSeq, bytes(2))],
      [CONTENT_TYPE.handshake, emitHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, 0xffff, Uint8Array.of(0))],
      [CONTENT_TYPE.handshake, emitHandshakeMessage(HANDSHAKE_TYPE.finished, messageSeq, bytes(32))],
      [CONTENT_TYPE.handshake, emitHandshakeMessage(HANDSHAKE_TYPE.clientHello, messageSeq, bytes(100))],
      [CONTENT_TYPE.ack, emitAck([{ epoch: random.below(9), sequenceNumber: random.below(1e6) }])],
      [CONTENT_TYPE.ack, bytes(random.below(40))],
      [CONTENT_TYPE.returnRoutabilityCheck, emitPathMessage(random.below(4), bytes(8))],
      [CONTENT_TYPE.returnRoutabilityCheck, bytes(random.below(20))],
      [
        CONTENT_TYPE.handshake,
        emitHandshakeMessage(HANDSHAKE_TYPE.requestConnectionId, messageSeq, Uint8Array.of(1)),
      ],
      [
        CONTENT_TYPE.handshake,
        emitHandshakeMessage(HANDSHAKE_TYPE.newConnectionId, messageSeq, bytes(40)),
      ],
      [CONTENT_TYPE.alert, bytes(3)],
      [random.below(20), bytes(10)],
    );
  }
  list.push([data, new Uint8Array(0)], [0, new Uint8Array(50)]); // nothing but zeros
  return list;
}

/** Runs the other client's traffic and the attack side by side. */
function runBeside(world: World, attack: (step: number) => void, steps: number): void {
  for (let step = 0; step < steps; step++) {
    attack(step);
    world.other!.io.tunSubmit(innerPacket(OTHER_INNER, SERVER_INNER, 300, step));
    world.server.io.tunSubmit(innerPacket(SERVER_INNER, OTHER_INNER, 300, step));
    world.other!.wake();
    world.server.wake();
    world.run(10e6);
  }
  world.run(SECOND);
}

function trainTo(world: World, at: EndpointAddress) {
  return world.network.traceOf("server").filter(({ path }) => path.endsWith(`>${addressText(at)}`));
}

Deno.test("a client that says nonsense under its keys changes no schedule, costs no memory, disturbs no other", () => {
  const calm = setup();
  const { world, forge, toServer, clientMessageSeq } = setup();
  const contents = hostileContents(new SeededRandom(seedOf(5)), clientMessageSeq);
  const steps = Math.ceil(contents.length / 2);
  const { memory, protection, counters } = world.server;
  const before = [memory.usedLen, protection.keyCount];
  const startedAt = { ...counters.snapshot() };
  runBeside(calm.world, () => {}, steps);
  runBeside(world, () => {
    for (const [type, bytes] of contents.splice(0, 2)) toServer(forge.seal(type, bytes));
  }, steps);
  assert.deepEqual([memory.usedLen, protection.keyCount], before);
  for (const at of [CLIENT_AT, OTHER_AT]) {
    assert.equal(firstDifference(trainTo(world, at), trainTo(calm.world, at)), undefined);
  }
  assert.deepEqual(world.other!.io.tunWritten, calm.world.other!.io.tunWritten);
  assert.equal(world.other!.io.tunWritten.length, steps);
  assert.deepEqual(world.server.closed, []);
  const kinds: CounterName[] = [
    "inner_malformed",
    "inner_unknown_type",
    "inner_fragments_dropped",
    "control_malformed",
  ];
  for (const name of kinds) assert.ok(counters.get(name) - startedAt[name] >= 40, `${name}`);
});

Deno.test("a client's endless requests for connection ids cost a bounded number of them, and never the one in use", () => {
  const { world, forge, toServer, clientMessageSeq } = setup();
  const { memory, protection } = world.server;
  const before = [memory.usedLen, protection.keyCount];
  const unknown = world.server.counters.get("datagrams_unknown_sender");
  runBeside(world, (step) => {
    const request = emitHandshakeMessage(
      HANDSHAKE_TYPE.requestConnectionId,
      clientMessageSeq + step,
      Uint8Array.of(255),
    );
    toServer(forge.seal(CONTENT_TYPE.handshake, request));
  }, 200);
  assert.deepEqual([memory.usedLen, protection.keyCount], before);
  assert.ok(world.server.io.idCount <= 16, `${world.server.io.idCount} ids of two clients`);
  assert.equal(world.server.counters.get("datagrams_unknown_sender"), unknown);
  assert.equal(world.other!.io.tunWritten.length, 200);
});

Deno.test("a client's flood of parameters changes its schedule not once within a session", () => {
  const calm = setup();
  const { world, forge, toServer } = setup();
  const random = new SeededRandom(seedOf(6));
  const { memory, protection } = world.server;
  const before = [memory.usedLen, protection.keyCount];
  const events = world.server.events.length;
  runBeside(calm.world, () => {}, 100);
  runBeside(world, () => {
    for (let i = 0; i < 5; i++) {
      const many = Array.from({ length: 8 }, () => parameters(random));
      toServer(forge.seal(CONTENT_TYPE.applicationData, frames(...many)));
    }
  }, 100);
  assert.equal(firstDifference(trainTo(world, CLIENT_AT), trainTo(calm.world, CLIENT_AT)), undefined);
  assert.deepEqual(world.other!.io.tunWritten, calm.world.other!.io.tunWritten);
  assert.deepEqual([memory.usedLen, protection.keyCount], before);
  assert.ok(
    world.server.counters.get("control_dropped") > 100,
    "welcomes that found no plaintext are counted",
  );
  assert.equal(world.server.events.length, events, "main is not told 4,000 times");
});

Deno.test("the first parameters of a session, whatever they ask for, end nothing", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const { world, forge, toServer } = setup();
    // A session of its own, whose real parameters the path has swallowed: the forge's are the first.
    const random = new SeededRandom(seedOf(seed));
    world.startClient();
    const { taken } = world.client;
    while (world.client.taken === taken) world.run(1e6);
    const sent = world.network.traceOf("client").length;
    while (world.network.traceOf("client").length === sent) world.run(0.1e6); // Finished, and nothing behind it
    world.kill(world.client);
    world.run(10e6);
    const { suite, clientSecret, cid } = world.client.taken!;
    const next = new RecordForge(suite, clientSecret, 100, cid);
    toServer(next.seal(CONTENT_TYPE.applicationData, parameters(random)));
    toServer(forge.seal(CONTENT_TYPE.applicationData, parameters(random))); // of the session before
    world.server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, 300, seed));
    world.server.io.tunSubmit(innerPacket(SERVER_INNER, OTHER_INNER, 300, seed));
    world.server.wake();
    world.run(70e6); // a fast train is on its way by then; much of it is much work
    assert.equal(world.other!.io.tunWritten.length, 1, `seed ${seed}`);
    assert.ok(
      world.server.events.filter((type) => type === "parameters").length === 3,
      "told once a session",
    );
    toServer(next.seal(CONTENT_TYPE.applicationData, emitControl(INNER_TYPE.close, Uint8Array.of(0))));
    world.run(70e6);
    assert.deepEqual(world.server.closed, ["the client closed the session"]);
  }
});

Deno.test("a schedule that there is no memory for is refused, and begins when there is", () => {
  const { world } = setup();
  const { memory } = world.server;
  const blocks: number[] = [];
  assert.throws(() => {
    for (;;) blocks.push(memory.alloc(1 << 16));
  }, RangeError);
  world.startClient({ down: { ...TRAIN, intervalNs: 50e3, jitterSdNs: 1e3 } });
  runBeside(world, () => {}, 100);
  assert.equal(world.client.welcomes.length, 0);
  assert.equal(world.other!.io.tunWritten.length, 100);
  for (const block of blocks) memory.free(block, 1 << 16);
  assert.ok(world.runUntilUp(SECOND));
});

Deno.test("a client's endless key updates cost two receiving keys", () => {
  const { world, forge, toServer, clientMessageSeq } = setup();
  const { memory, protection, counters } = world.server;
  const failed = counters.get("records_failed");
  const used = new Set<number>();
  runBeside(world, (step) => {
    const message = emitHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, clientMessageSeq + step, Uint8Array.of(0));
    toServer(forge.seal(CONTENT_TYPE.handshake, message));
    forge.nextEpoch();
    used.add(protection.keyCount);
    used.add(memory.usedLen);
  }, 300);
  assert.equal(counters.get("records_failed"), failed);
  assert.ok(used.size <= 4, [...used].join(" "));
  assert.equal(world.other!.io.tunWritten.length, 300);
});

for (
  const [name, type, bytes] of [
    ["close", CONTENT_TYPE.applicationData, emitControl(INNER_TYPE.close, Uint8Array.of(0))],
    ["alert", CONTENT_TYPE.alert, emitAlert(40)],
  ] as const
) {
  Deno.test(`a client's ${name} ends its own session, gives everything back, and the rest of the batch is counted`, () => {
    const { world, forge, toServer } = setup();
    const { memory, protection, counters } = world.server;
    const before = [memory.usedLen, protection.keyCount];
    const noEpoch = counters.get("records_no_epoch");
    const packets = frames(bytes, bytes, parameters(new SeededRandom(seedOf(1))));
    for (let i = 0; i < 10; i++) toServer(forge.seal(type, name === "close" ? packets : bytes));
    world.run(SECOND);
    assert.equal(world.server.closed.length, 1);
    assert.equal(counters.get("records_no_epoch") - noEpoch, 9);
    assert.ok(memory.usedLen < before[0] && protection.keyCount <= before[1] - 2, "train and keys are gone");
    world.startClient();
    assert.ok(world.runUntilUp(5 * SECOND));
    world.run(SECOND);
    assert.deepEqual(
      [memory.usedLen, protection.keyCount],
      before,
      "and the next session costs the same again",
    );
  });
}

Deno.test("a server that floods its client with welcomes and nonsense changes nothing of what the client sends", () => {
  const run = (isHostile: boolean) => {
    const world = new World({ seed: 42 });
    assert.ok(world.runUntilUp(3 * SECOND));
    world.run(3 * SECOND - world.time.nowNs());
    const { suite, serverSecret, serverMessageSeq } = world.client.taken!;
    const forge = new RecordForge(suite, serverSecret, AHEAD, new Uint8Array(0));
    const contents = hostileContents(new SeededRandom(seedOf(7)), serverMessageSeq);
    const { memory, protection } = world.client;
    const before = [memory.usedLen, protection.keyCount];
    for (let step = 0; step < contents.length; step++) {
      const welcome = emitServerWelcome({
        protocolVersion: 1,
        status: step % 4,
        nonce: world.client.welcomes[0].nonce,
        addresses: [],
        serverAddresses: [],
        routes: [],
        dns: [],
        mtu: step,
        maxSpeedBitsPerS: 1,
        message: "\x1b[2J",
      });
      for (const [type, bytes] of [contents[step], [CONTENT_TYPE.applicationData, welcome] as const]) {
        const record = forge.seal(type, bytes);
        if (isHostile) world.network.inject({ bytes: record, from: SERVER_AT, to: CLIENT_AT });
      }
      world.run(5e6);
    }
    assert.deepEqual([memory.usedLen, protection.keyCount], before);
    return world;
  };
  const [calm, hostile] = [run(false), run(true)];
  assert.equal(firstDifference(hostile.network.traceOf("client"), calm.network.traceOf("client")), undefined);
  assert.equal(hostile.client.welcomes.length, 1);
  assert.equal(hostile.client.client.state, "up");
});

Deno.test("a server's close has its client connect again, at the same slots", () => {
  const run = (isClosed: boolean) => {
    const world = new World({ seed: 43 });
    assert.ok(world.runUntilUp(3 * SECOND));
    world.run(3 * SECOND - world.time.nowNs());
    const { suite, serverSecret } = world.client.taken!;
    const forge = new RecordForge(suite, serverSecret, AHEAD, new Uint8Array(0));
    const close = emitControl(INNER_TYPE.close, Uint8Array.of(0));
    for (let i = 0; isClosed && i < 50; i++) {
      const bytes = forge.seal(CONTENT_TYPE.applicationData, frames(close, close));
      world.network.inject({ bytes, from: SERVER_AT, to: CLIENT_AT });
    }
    world.run(5 * SECOND);
    return world;
  };
  const [calm, closed] = [run(false), run(true)];
  const slots = (world: World) =>
    world.network.traceOf("client").map(({ timeNs, len }) => `${timeNs} ${len}`);
  assert.deepEqual(slots(closed), slots(calm));
  assert.equal(closed.client.client.reconnects, 1);
  assert.equal(closed.client.welcomes.length, 2);
  closed.client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, 100, 1));
  closed.client.wake();
  closed.run(SECOND);
  assert.equal(closed.server.io.tunWritten.length, 1);
});
