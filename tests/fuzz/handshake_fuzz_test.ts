/** Sequences of damaged and invented handshake bytes into both state machines and both endpoints: nothing throws,
 * nothing grows without bound, nobody connects who should not. Runs are seeded: a failure names its seed.
 * FUZZ_SEQUENCES sets their count. */

import assert from "node:assert/strict";
import { SeededRandom, seedOf } from "../../src/base/random.ts";
import { DtlsClient } from "../../src/flight/dtls_client.ts";
import { DtlsServer } from "../../src/flight/dtls_server.ts";
import { MESSAGE_LEN_MAX, Reassembly } from "../../src/flight/reassembly.ts";
import { PskDirectory } from "../../src/handshake/psk_directory.ts";
import { EpochKeys, plaintextRecord } from "../../src/record/handshake_records.ts";
import { emitHandshakeMessage } from "../../src/wire/handshake_header.ts";
import { type Change, handshake } from "../unit/handshake/machines.ts";
import { ADDRESS, CLEAN, GROUPS, KEY, Pipe, SUITES, testEntropy } from "../unit/flight/pipe.ts";
import { recorded } from "./targets/samples.ts";

const RUNS = Number(Deno.env.get("FUZZ_SEQUENCES") ?? 300);
const SECRET = new Uint8Array(32).fill(3);

/** A copy with some damage: bytes changed, cut off, doubled, or added. */
function damaged(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  let out = Array.from(bytes);
  for (let count = 1 + random.below(3); count > 0; count--) {
    const at = random.below(out.length + 1);
    const kind = random.below(6);
    if (kind === 0) out = out.slice(0, at);
    else if (kind === 1) out.splice(at, 1 + random.below(4));
    else if (kind === 2) out.splice(at, 0, ...out.slice(at, at + random.below(40)));
    else if (kind === 3) out.splice(at, 0, random.below(256));
    else if (at < out.length) {
      out[at] = kind === 4 ? random.below(256) : [0, 0xff, 0x7f, 0x80][random.below(4)];
    }
  }
  return Uint8Array.from(out);
}

function noise(random: SeededRandom): Uint8Array {
  return Uint8Array.from({ length: random.below(80) }, () => random.below(256));
}

Deno.test("ClientHandshake and ServerHandshake never throw, and agree on the secrets if they end well", () => {
  let refusedCount = 0;
  for (let run = 0; run < RUNS; run++) {
    const random = new SeededRandom(seedOf(run + 0.5));
    const victim = random.below(6);
    let count = 0;
    const change: Change = (_from, _index, message) => {
      if (count++ !== victim) return message;
      const type = random.below(10) === 0 ? random.below(256) : message.type;
      return { ...message, type, body: damaged(message.body, random) };
    };
    const groups = [[0x1d, 0x17], [0x11ec]][random.below(2)];
    const shareGroups = random.below(2) === 0 ? [groups[0]] : [];
    const options = { client: { shareGroups, groups }, server: { groups }, change };
    const { client, server } = handshake(run % 2 === 0 ? "dtls" : "tls", options);
    if (client.result !== undefined && server.result !== undefined) {
      assert.deepEqual(client.result.clientSecret, server.result.clientSecret, `run ${run}`);
    } else {
      refusedCount++;
    }
  }
  assert.ok(refusedCount > RUNS / 2, `${refusedCount} of ${RUNS} refused`);
});

Deno.test("DtlsServer.receive() never throws, whatever length its client's datagrams have", () => {
  const directory = new PskDirectory("dtls", [{ key: new Uint8Array(32).fill(9) }, { key: KEY }]);
  const { toServer } = recorded(600);
  for (let run = 0; run < RUNS; run++) {
    const random = new SeededRandom(seedOf(run + 0.125));
    const server = new DtlsServer({
      secret: SECRET,
      suites: SUITES,
      groups: GROUPS,
      entropy: testEntropy(run),
      lookup: (identity, hash) => directory.lookup(identity, hash),
    }, ADDRESS);
    server.start(0);
    const hello = toServer[1];
    if (run % 3 === 0) {
      // A good hello in a datagram of any length, and in fragments of any lengths.
      const cut = 25 + 1 + random.below(hello.length - 26);
      const body = hello.subarray(25);
      const fragment = (start: number, end: number) => {
        const message = emitHandshakeMessage(1, 1, body).slice(0, 12 + end - start);
        message.set([0, start >> 8, start, 0, (end - start) >> 8, end - start], 6);
        message.set(body.subarray(start, end), 12);
        return plaintextRecord(22, 1, message);
      };
      server.receive(fragment(0, cut - 25), 0);
      server.receive(fragment(cut - 25, body.length), 0);
      assert.equal(server.phase, "flight");
    } else {
      for (const datagram of toServer) server.receive(damaged(datagram, random), 0);
    }
    for (let step = 1; step < 5; step++) {
      server.handleTimeout(step * 1e9);
      server.receive(damaged(toServer[random.below(3)], random), step * 1e9);
    }
    while (server.nextDatagram() !== undefined);
    assert.notEqual(server.phase, "connected");
    server.close();
  }
});

Deno.test("DtlsServer.receive() and DtlsClient.receive() never throw for damaged fragments of large hellos", () => {
  const groups = [0x11ec];
  const directory = new PskDirectory("dtls", [{ key: KEY }]);
  const { toServer, toClient } = recorded(600, groups);
  const hello = toServer.slice(1, 4);
  let wholeCount = 0;
  for (let run = 0; run < RUNS; run++) {
    const random = new SeededRandom(seedOf(run + 0.75));
    const server = new DtlsServer({
      ...{ secret: SECRET, suites: SUITES, groups, entropy: testEntropy(run) },
      lookup: (identity, hash) => directory.lookup(identity, hash),
    }, ADDRESS);
    server.start(0);
    const client = new Pipe({ ...CLEAN, seed: CLEAN.seed + 1 + run }, { groups }).client;
    client.start(0);
    for (let step = 0; step < 12; step++) {
      const fragment = hello[random.below(hello.length)];
      server.receive(random.below(4) === 0 ? damaged(fragment, random) : fragment, step * 1e9);
      server.handleTimeout(step * 1e9);
      const answer = toClient[random.below(toClient.length)];
      client.receive(random.below(2) === 0 ? damaged(answer, random) : answer, step * 1e6);
    }
    if (server.phase === "flight") wholeCount++;
    assert.notEqual(server.phase, "connected", `run ${run}`);
    assert.equal(client.result, undefined, `run ${run}`);
    while (server.nextDatagram() !== undefined);
    server.close();
    client.close();
  }
  assert.ok(wholeCount > RUNS / 4, `${wholeCount} of ${RUNS} hellos were whole all the same`);
});

Deno.test("DtlsClient.receive() never throws, never ends by what comes in the clear, and connects in the end", () => {
  const { toClient } = recorded(600);
  for (let run = 0; run < RUNS / 3; run++) {
    const random = new SeededRandom(seedOf(run + 0.0625));
    const pipe = new Pipe({ ...CLEAN, seed: CLEAN.seed + 1 + run }); // not the recorded client itself
    const { client } = pipe;
    client.start(0);
    for (let step = 0; step < 20; step++) client.receive(damaged(toClient[random.below(3)], random), 0);
    assert.notEqual(client.phase, "failed", client.failure?.reason);
    assert.equal(client.result, undefined, `run ${run}`);
    client.restart(0);
    pipe.toServer(client.nextDatagram()!);
    const verdict = pipe.verdicts[0];
    assert.ok(verdict.kind === "reply");
    client.receive(verdict.datagram, 0);
    pipe.toServer(client.nextDatagram()!);
    client.receive(pipe.server!.nextDatagram()!, 0);
    assert.equal(client.phase, "finished");
  }
});

Deno.test("DtlsClient heals by itself from a forged ServerHello", () => {
  // Anybody may say it first: it fits every hello that asks for nothing in particular.
  const stranger = new Pipe({ ...CLEAN, seed: 77 }, { datagramLen: 0, shareGroups: [0x1d] });
  stranger.run(1e9);
  const hello = stranger.trace.filter(({ toServer }) => !toServer)[1].datagram;
  const serverHello = hello.slice(0, 13 + (hello[11] << 8 | hello[12]));
  serverHello[13 + 5] = 0; // message_seq of a server that asks for nothing
  const pipe = new Pipe(CLEAN, { datagramLen: 0, shareGroups: [0x1d] });
  pipe.client.receive(serverHello, 0); // before anything was said
  assert.equal(pipe.client.phase, "hello");
  const original = pipe.client.start.bind(pipe.client);
  pipe.client.start = (nowNs) => {
    original(nowNs);
    pipe.client.start = original;
    pipe.client.receive(serverHello, nowNs);
    assert.equal(pipe.client.phase, "flight");
  };
  pipe.run(60e9);
  assert.equal(pipe.client.phase, "connected");
  assert.deepEqual(pipe.client.result!.clientSecret, pipe.server!.result!.clientSecret);
});

Deno.test("DtlsClient and DtlsServer survive an authentic peer that sends anything in epoch 2", () => {
  for (let run = 0; run < RUNS / 3; run++) {
    const random = new SeededRandom(seedOf(run + 0.03125));
    const directory = new PskDirectory("dtls", [{ key: new Uint8Array(32).fill(9) }, { key: KEY }]);
    const { toServer } = recorded(600);
    const server = new DtlsServer({
      secret: SECRET,
      suites: SUITES,
      groups: GROUPS,
      entropy: testEntropy(CLEAN.seed + 0.25),
      lookup: (identity, hash) => directory.lookup(identity, hash),
    }, ADDRESS);
    server.start(0);
    server.receive(toServer[1], 0);
    assert.equal(server.phase, "flight");
    const keys = peerKeys(server);
    for (let step = 0; step < 10; step++) {
      const type = [20, 21, 22, 22, 22, 23, 26, 0xff][random.below(8)];
      const message = emitHandshakeMessage(random.below(25), random.below(9), noise(random));
      server.receive(keys.seal(type, random.below(3) === 0 ? noise(random) : damaged(message, random)), step);
    }
    assert.notEqual(server.phase, "connected");
  }
});

/** Sealing keys of a client that knows the secrets of epoch 2, as each one with the key does. */
function peerKeys(server: DtlsServer): EpochKeys {
  const machine =
    (server as unknown as { machine: { suite: never; handshakeSecrets: { client: Uint8Array } } }).machine;
  return new EpochKeys(machine.suite, machine.handshakeSecrets.client, 2);
}

Deno.test("Reassembly.heldLen stays bounded under a flood of fragments", () => {
  const random = new SeededRandom(seedOf(1));
  for (const epoch of [0, 2]) {
    const reassembly = new Reassembly(0);
    for (let step = 0; step < 5000; step++) {
      const len = 1 + random.below(2 * MESSAGE_LEN_MAX);
      const fragmentOffset = random.below(len);
      const fragmentLen = 1 + random.below(Math.min(20, len - fragmentOffset));
      const messageSeq = random.below(200);
      reassembly.add(
        { type: 1, len, messageSeq, fragmentOffset, fragmentLen },
        new Uint8Array(fragmentLen),
        epoch,
      );
      assert.ok(reassembly.heldLen <= (epoch === 0 ? 1 : 5) * 2 * MESSAGE_LEN_MAX);
    }
  }
});

Deno.test("DtlsClient reads a record full of fragments in bounded time", () => {
  const client = new DtlsClient({
    key: { key: KEY },
    suites: SUITES,
    groups: GROUPS,
    entropy: testEntropy(1),
    datagramLen: 0,
  });
  client.start(0);
  const fragments = new Uint8Array(13 * 1200);
  for (let at = 0; at < fragments.length; at += 13) {
    fragments.set([2, 0, 0x20 - at % 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9], at);
  }
  client.receive(plaintextRecord(22, 0, fragments), 0);
  assert.equal(client.drops.malformed, 1); // all behind the eighth
  assert.equal(client.phase, "hello");
});
