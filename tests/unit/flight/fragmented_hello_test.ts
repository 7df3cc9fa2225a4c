/** Handshakes whose hellos need several datagrams: X25519MLKEM768. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { EARLY_RECORDS_MAX, EarlyRecords } from "../../../src/flight/early_records.ts";
import { emitHandshakeFragment } from "../../../src/wire/handshake_header.ts";
import { plaintextRecord, splitDatagram } from "../../../src/record/handshake_records.ts";
import { ADDRESS, assertConnected, CLEAN, Pipe, testEntropy } from "./pipe.ts";
import { filler } from "../../../src/flight/filler.ts";

const SECOND = 1e9;
const HYBRID = 0x11ec;
const GROUPS = [HYBRID, 0x1d, 0x17];
const BOTH = [{ groups: GROUPS }, { groups: GROUPS }] as const;

function newPipe(conditions = CLEAN, datagramLen = 1372): Pipe {
  return new Pipe(conditions, { groups: GROUPS, datagramLen }, { groups: GROUPS });
}

/** A pipe up to the client's second hello, in its datagrams. */
function upToSecondHello(datagramLen = 1372): { pipe: Pipe; hello: Uint8Array[] } {
  const pipe = newPipe(CLEAN, datagramLen);
  pipe.client.start(0);
  pipe.toServer(pipe.client.nextDatagram()!);
  const [verdict] = pipe.verdicts;
  assert.ok(verdict.kind === "reply");
  pipe.client.receive(verdict.datagram, 0);
  return { pipe, hello: datagramsOf(pipe.client) };
}

function datagramsOf(endpoint: { nextDatagram(): Uint8Array | undefined }): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let next = endpoint.nextDatagram(); next !== undefined; next = endpoint.nextDatagram()) all.push(next);
  return all;
}

for (const suite of [0x1301, 0x1302, 0x1303]) {
  Deno.test(`DtlsClient and DtlsServer agree by X25519MLKEM768 on suite ${suite.toString(16)}`, () => {
    const pipe = new Pipe(CLEAN, { ...BOTH[0], suites: [suite], datagramLen: 1372 }, BOTH[1]);
    pipe.run(SECOND);
    assertConnected(pipe);
    assert.equal(pipe.client.result!.group, HYBRID);
    assert.equal(pipe.client.result!.groupName, "x25519mlkem768");
    // hello, retry, hello in two, flight, Finished, ACK: no timer was needed
    assert.deepEqual(pipe.trace.map(({ toServer }) => toServer), [
      true,
      false,
      true,
      true,
      false,
      true,
      false,
    ]);
  });
}

Deno.test("DtlsClient and DtlsServer send datagrams of one length, hellos in fragments as well", () => {
  for (let datagramLen = 548; datagramLen < 2000; datagramLen += datagramLen < 580 ? 1 : 41) {
    const pipe = newPipe(CLEAN, datagramLen);
    pipe.run(SECOND);
    assertConnected(pipe);
    assert.equal(pipe.client.result!.group, HYBRID);
    assert.deepEqual([...new Set(pipe.trace.map(({ datagram }) => datagram.length))], [datagramLen]);
    const sent = (toServer: boolean) => pipe.trace.filter((one) => one.toServer === toServer).length;
    assert.ok(sent(false) <= sent(true), `${datagramLen}: no more from the server than from the client`);
  }
});

Deno.test("DtlsClient and DtlsServer fragment hellos without padding, too", () => {
  const pipe = newPipe(CLEAN, 0);
  pipe.run(SECOND);
  assertConnected(pipe);
  assert.ok(pipe.trace.every(({ datagram }) => datagram.length <= 1200));
});

Deno.test("DtlsClient and DtlsServer fall back to a group that both have", () => {
  const old = new Pipe(CLEAN, { groups: [0x1d] }, BOTH[1]);
  old.run(SECOND);
  assertConnected(old);
  assert.equal(old.client.result!.group, 0x1d);
  const server = new Pipe(CLEAN, BOTH[0], { groups: [0x17] });
  server.run(SECOND);
  assertConnected(server);
  assert.equal(server.client.result!.group, 0x17);
});

Deno.test("DtlsClient and DtlsServer always connect with hellos in fragments over a path that loses, delays and repeats", () => {
  const conditions = fc.record({
    seed: fc.nat(1_000_000),
    lossRatio: fc.double({ min: 0, max: 0.4, noNaN: true }),
    repeatRatio: fc.double({ min: 0, max: 0.5, noNaN: true }),
    damageRatio: fc.constant(0),
    delayMaxNs: fc.integer({ min: 1_000, max: 300_000_000 }),
  });
  fc.assert(
    fc.property(conditions, fc.constantFrom(0, 548, 700, 1372), (condition, datagramLen) => {
      const pipe = newPipe(condition, datagramLen);
      pipe.run(600 * SECOND);
      assertConnected(pipe);
      assert.equal(pipe.client.result!.group, HYBRID);
    }),
    { numRuns: 60, seed: 7 },
  );
});

Deno.test("DtlsClient and DtlsServer never agree on different secrets when fragments are damaged", () => {
  let connectedCount = 0;
  fc.assert(
    fc.property(fc.nat(1_000_000), fc.constantFrom(0, 548, 1372), (seed, datagramLen) => {
      const pipe = newPipe({ ...CLEAN, seed, damageRatio: 0.2 }, datagramLen);
      pipe.run(60 * SECOND);
      if (pipe.client.phase !== "connected") return;
      assertConnected(pipe);
      connectedCount++;
    }),
    { numRuns: 60, seed: 8 },
  );
  assert.ok(connectedCount >= 30, `${connectedCount} of 60 connected`);
});

Deno.test("HelloGate.respond() makes no server of a continuation that comes before its first fragment", () => {
  const { pipe, hello } = upToSecondHello(548);
  assert.equal(hello.length, 3);
  for (const datagram of hello.slice(1).toReversed()) pipe.toServer(datagram);
  assert.equal(pipe.server, undefined);
  assert.ok(pipe.verdicts.slice(1).every(({ kind }) => kind === "continuation"));
  pipe.toServer(hello[0]);
  assert.equal(pipe.server!.phase, "hello");
  pipe.client.handleTimeout(SECOND);
  for (const datagram of datagramsOf(pipe.client)) pipe.toServer(datagram);
  assert.equal(pipe.server!.phase, "flight");
});

Deno.test("DtlsServer takes the fragments of a hello in any order behind the first", () => {
  const { pipe, hello } = upToSecondHello(548);
  assert.equal(hello.length, 3);
  for (const index of [0, 2, 1]) pipe.toServer(hello[index]);
  assert.equal(pipe.server!.phase, "flight");
});

Deno.test("DtlsClient repeats a fragmented hello with the same first datagram but for the record's number", () => {
  const { pipe, hello } = upToSecondHello(700);
  pipe.client.handleTimeout(SECOND);
  const again = datagramsOf(pipe.client);
  assert.equal(again.length, hello.length);
  again.forEach((datagram, index) => {
    assert.deepEqual(datagram.subarray(13), hello[index].subarray(13));
    assert.notDeepEqual(datagram, hello[index]);
  });
});

for (const datagramLen of [548, 700, 1240]) {
  Deno.test(`DtlsClient needs no timer when the server's flight comes in reverse: ${datagramLen}`, () => {
    const { pipe, hello } = upToSecondHello(datagramLen);
    for (const datagram of hello) pipe.toServer(datagram);
    const flight = datagramsOf(pipe.server!);
    assert.ok(flight.length >= 2);
    for (const datagram of flight.toReversed()) pipe.client.receive(datagram, 0);
    assert.equal(pipe.client.phase, "finished");
    for (const datagram of datagramsOf(pipe.client)) pipe.toServer(datagram);
    assert.equal(pipe.server!.phase, "connected");
    assert.deepEqual(pipe.client.result!.clientSecret, pipe.server!.result!.clientSecret);
  });
}

Deno.test("DtlsClient connects although anybody's records of epoch 2 displace the early ones", () => {
  const { pipe, hello } = upToSecondHello(700);
  for (const datagram of hello) pipe.toServer(datagram);
  const [first, last] = datagramsOf(pipe.server!);
  pipe.client.receive(last, 0);
  for (let i = 0; i < 100; i++) pipe.client.receive(filler(60, testEntropy(i)), 0);
  assert.ok(pipe.client.drops.unopened >= 100 - EARLY_RECORDS_MAX);
  pipe.client.receive(first, 0);
  assert.equal(pipe.client.phase, "flight");
  pipe.server!.handleTimeout(SECOND);
  for (const datagram of datagramsOf(pipe.server!)) pipe.client.receive(datagram, SECOND);
  assert.equal(pipe.client.phase, "finished");
});

Deno.test("DtlsServer repeats nothing of its hello once an ACK in epoch 2 shows that it came", () => {
  const { pipe, hello } = upToSecondHello(700);
  for (const datagram of hello) pipe.toServer(datagram);
  const flight = datagramsOf(pipe.server!);
  const kindsOf = (datagram: Uint8Array) => splitDatagram(datagram).map(({ kind }) => kind);
  assert.deepEqual(flight.map((datagram) => kindsOf(datagram)[0]), ["plaintext", "plaintext"]);
  // The rest of the flight is lost, but for what shares a datagram's start: the end of the hello.
  const [head, tail] = flight;
  const [record] = splitDatagram(tail);
  assert.ok(record.kind === "plaintext");
  pipe.client.receive(head, 0);
  pipe.client.receive(tail.subarray(0, 13 + record.content.length), 0);
  assert.equal(pipe.client.phase, "flight");
  pipe.client.handleTimeout(SECOND / 10);
  const acks = datagramsOf(pipe.client);
  assert.equal(acks.length, 1);
  pipe.server!.receive(acks[0], SECOND / 10);
  const again = datagramsOf(pipe.server!);
  assert.equal(again.length, 1);
  assert.equal(again[0].length, 700);
  assert.ok(kindsOf(again[0]).every((kind) => kind === "ciphertext"));
  pipe.client.receive(again[0], SECOND / 10);
  assert.equal(pipe.client.phase, "finished");
});

Deno.test("DtlsServer gets over a false continuation", () => {
  const { pipe, hello } = upToSecondHello();
  assert.equal(hello.length, 2);
  const [record] = splitDatagram(hello[1]);
  assert.ok(record.kind === "plaintext");
  const len = record.content[1] << 16 | record.content[2] << 8 | record.content[3];
  const body = new Uint8Array(len).fill(0xee);
  const forged = plaintextRecord(22, 9, emitHandshakeFragment(1, 1, body, len - 40, len));
  pipe.toServer(hello[0]);
  pipe.toServer(forged);
  assert.equal(pipe.gate.respond(forged, ADDRESS, 0).kind, "continuation");
  pipe.toServer(hello[1]); // overwrites what was forged
  assert.equal(pipe.server!.phase, "flight");
});

Deno.test("EarlyRecords.keep() keeps copies of the newest, EarlyRecords.take() leaves none", () => {
  const early = new EarlyRecords();
  for (let i = 0; i < EARLY_RECORDS_MAX + 3; i++) {
    const datagram = filler(40 + i, testEntropy(i));
    const [record] = splitDatagram(datagram);
    assert.ok(record.kind === "ciphertext");
    assert.equal(early.keep(record, datagram.length), i < EARLY_RECORDS_MAX);
    datagram.fill(0xa5);
  }
  const kept = early.take();
  assert.deepEqual(kept.map(({ datagramLen }) => datagramLen), Array.from({ length: 8 }, (_, i) => 43 + i));
  assert.ok(kept.every(({ record, datagramLen }) => record.record.length === datagramLen));
  assert.ok(kept.every(({ record }) => record.record.some((byte) => byte !== 0xa5)));
  assert.deepEqual(early.take(), []);
});
