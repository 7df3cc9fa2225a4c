/** DtlsClient against HelloGate and DtlsServer, in memory. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { fromHex } from "../../../src/base/mod.ts";
import { datagramLenMin } from "../../../src/flight/dtls_client.ts";
import { PskDirectory } from "../../../src/handshake/psk_directory.ts";
import type { PskLookup } from "../../../src/handshake/types.ts";
import { ADDRESS, assertConnected, CLEAN, KEY, Pipe, testEntropy } from "./pipe.ts";

const SECOND = 1e9;

for (const suite of [0x1301, 0x1302, 0x1303]) {
  for (const group of [0x1d, 0x17]) {
    Deno.test(`DtlsClient and DtlsServer agree on suite ${suite.toString(16)}, group ${group}`, () => {
      const pipe = new Pipe(CLEAN, { suites: [suite], groups: [group] });
      pipe.run(SECOND);
      assertConnected(pipe);
      assert.equal(pipe.client.result!.suite.id, suite);
      assert.equal(pipe.client.result!.group, group);
      assert.equal(pipe.server!.result!.clientIndex, 1);
      assert.equal(pipe.trace.length, 6); // hello, retry, hello, flight, Finished, ACK
    });
  }
}

Deno.test("DtlsClient and DtlsServer send datagrams of one length, whatever that is", () => {
  for (const datagramLen of [320, 366, 367, 368, 400, 486, 487, 500, 599, 600, 1372, 1400]) {
    const pipe = new Pipe(CLEAN, { datagramLen });
    pipe.run(SECOND);
    assertConnected(pipe);
    assert.deepEqual([...new Set(pipe.trace.map(({ datagram }) => datagram.length))], [datagramLen]);
  }
});

Deno.test("DtlsClient.datagramLen may be any length from the first hello's on", () => {
  const offer = { suites: [0x1301], groups: [0x1d] };
  const lenMin = datagramLenMin({ ...offer, key: { key: KEY }, entropy: testEntropy(1) });
  assert.ok(lenMin < 230);
  assert.throws(() => new Pipe(CLEAN, { ...offer, datagramLen: lenMin - 1 }), RangeError);
  for (let datagramLen = lenMin; datagramLen < 500; datagramLen += 1) {
    const pipe = new Pipe(CLEAN, { ...offer, datagramLen });
    pipe.run(SECOND);
    assertConnected(pipe);
    assert.deepEqual([...new Set(pipe.trace.map(({ datagram }) => datagram.length))], [datagramLen]);
  }
});

Deno.test("DtlsClient begins each datagram of epoch 2 with the server's connection id, and DtlsServer takes no other", () => {
  const id = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const none = new Uint8Array(0);
  for (const own of [none, Uint8Array.of(9, 9, 9)]) {
    for (const datagramLen of [0, 340, 366, 600, 1372]) {
      const options = { datagramLen, connectionIds: { own, peerLen: 8 } };
      const pipe = new Pipe({ ...CLEAN, seed: datagramLen + own.length }, options, {
        newConnectionId: () => id,
      });
      pipe.run(SECOND);
      assertConnected(pipe);
      assert.deepEqual(pipe.client.result!.connectionIds, { own, peer: id, rrc: true });
      assert.deepEqual(pipe.server!.result!.connectionIds, { own: id, peer: own, rrc: true });
      const idsOf = (toServer: boolean) =>
        pipe.trace.filter((seen) => seen.toServer === toServer && (seen.datagram[0] & 0xe0) === 0x20)
          .map(({ datagram }) =>
            (datagram[0] & 0x10) === 0 ? none : datagram.slice(1, toServer ? 9 : 1 + own.length)
          );
      assert.ok(idsOf(true).length > 0 && idsOf(true).every((seen) => seen.join() === id.join()));
      assert.ok(idsOf(false).every((seen) => seen.join() === own.join()));
      if (datagramLen > 0) {
        assert.deepEqual([...new Set(pipe.trace.map(({ datagram }) => datagram.length))], [datagramLen]);
      }
      const before = { ...pipe.server!.drops };
      const finished = pipe.trace.findLast(({ toServer }) => toServer)!.datagram;
      pipe.toServer(finished.with(1, finished[1] ^ 1));
      assert.equal(pipe.server!.drops.unopened, before.unopened + 1, "another id is not authentic");
    }
  }
});

Deno.test("DtlsClient without padding and with a share at once connects too", () => {
  const pipe = new Pipe(CLEAN, { datagramLen: 0, shareGroups: [0x17] });
  pipe.run(SECOND);
  assertConnected(pipe);
  assert.equal(pipe.client.result!.group, 0x1d); // the server prefers it and asks for it
  const same = new Pipe(CLEAN, { datagramLen: 0, shareGroups: [0x1d] });
  same.run(SECOND);
  assertConnected(same);
});

Deno.test("DtlsClient and DtlsServer connect with a plain identity", () => {
  const key = { key: KEY, plainIdentity: new TextEncoder().encode("Client_identity") };
  const directory = new PskDirectory("dtls", [key]);
  const lookup: PskLookup = (identity, hash) => directory.lookup(identity, hash);
  const pipe = new Pipe(CLEAN, { key, datagramLen: 0 }, { lookup });
  pipe.run(SECOND);
  assertConnected(pipe);
  assert.equal(pipe.server!.result!.clientIndex, 0);
});

Deno.test("DtlsClient and DtlsServer always connect over a path that loses, delays and repeats", () => {
  const conditions = fc.record({
    seed: fc.nat(1_000_000),
    lossRatio: fc.double({ min: 0, max: 0.4, noNaN: true }),
    repeatRatio: fc.double({ min: 0, max: 0.5, noNaN: true }),
    damageRatio: fc.constant(0),
    delayMaxNs: fc.integer({ min: 1_000, max: 300_000_000 }),
  });
  const lengths = fc.constantFrom(0, 320, 600, 1372);
  fc.assert(
    fc.property(conditions, lengths, (condition, datagramLen) => {
      const pipe = new Pipe(condition, { datagramLen });
      pipe.run(600 * SECOND);
      assertConnected(pipe);
    }),
    { numRuns: 60, seed: 5 },
  );
});

Deno.test("DtlsClient and DtlsServer never agree on different secrets over a path that damages", () => {
  const seeds = fc.nat(1_000_000);
  let connectedCount = 0;
  fc.assert(
    fc.property(seeds, fc.constantFrom(0, 320, 600), (seed, datagramLen) => {
      const conditions = { ...CLEAN, seed, damageRatio: 0.3 };
      const pipe = new Pipe(conditions, { datagramLen });
      pipe.run(60 * SECOND);
      if (pipe.client.phase !== "connected") return;
      assertConnected(pipe);
      connectedCount++;
    }),
    { numRuns: 60, seed: 6 },
  );
  assert.ok(connectedCount >= 30, `${connectedCount} of 60 connected`);
});

Deno.test("DtlsClient never connects with a wrong key, hears nothing and says why", () => {
  const pipe = new Pipe(CLEAN, { key: { key: new Uint8Array(32).fill(8) } });
  pipe.run(60 * SECOND);
  assert.equal(pipe.client.phase, "cookie");
  assert.equal(pipe.client.result, undefined);
  assert.equal(pipe.client.hint, "cookie answered, key or name refused");
  assert.equal(pipe.server?.phase, "failed");
  assert.equal(pipe.server?.failure?.reason, "unknown name or key");
  // One HelloRetryRequest, and nothing else, came from the server.
  assert.equal(pipe.trace.filter(({ toServer }) => !toServer).length, 1);
});

Deno.test("DtlsClient with a known name and a wrong key hears nothing either", () => {
  const plainIdentity = new TextEncoder().encode("name");
  const directory = new PskDirectory("dtls", [{ key: KEY, plainIdentity }]);
  const lookup: PskLookup = (identity, hash) => directory.lookup(identity, hash);
  const pipe = new Pipe(CLEAN, { key: { key: new Uint8Array(32), plainIdentity } }, { lookup });
  pipe.run(60 * SECOND);
  assert.equal(pipe.client.phase, "cookie");
  assert.equal(pipe.server?.failure?.reason, "wrong key");
  assert.equal(pipe.trace.filter(({ toServer }) => !toServer).length, 1);
});

/** Clients of version 0: passwords as they are, one empty identity for all. */
const PASSWORDS = ["password of one", "another password", "x"].map((text) => ({
  key: new TextEncoder().encode(text),
  plainIdentity: new Uint8Array(0),
}));
const VERSION_0 = { suites: [0x1301], groups: [0x17, 0x1d], shareGroups: [0x17] };

for (const [index, key] of PASSWORDS.entries()) {
  Deno.test(`DtlsServer finds client ${index + 1} of version 0 by its binder, the share of its hello is used`, () => {
    const directory = new PskDirectory("dtls", [{ key: KEY }, ...PASSWORDS]);
    const lookup: PskLookup = (identity, hash) => directory.lookup(identity, hash);
    const server = { lookup, version0: true, groups: [0x17, 0x1d] };
    const pipe = new Pipe(CLEAN, { ...VERSION_0, key }, server);
    pipe.run(SECOND);
    assertConnected(pipe);
    assert.equal(pipe.server!.result!.clientIndex, index + 1);
    assert.equal(pipe.client.result!.group, 0x17);
    assert.deepEqual([...new Set(pipe.trace.map(({ datagram }) => datagram.length))], [600]);
  });
}

Deno.test("DtlsServer is silent to a wrong password of version 0, after as many binders as for a right one", () => {
  const directory = new PskDirectory("dtls", PASSWORDS);
  const lookup: PskLookup = (identity, hash) => directory.lookup(identity, hash);
  const key = { ...PASSWORDS[0], key: new TextEncoder().encode("password of none") };
  const pipe = new Pipe(CLEAN, { ...VERSION_0, key }, { lookup, version0: true });
  pipe.run(20 * SECOND);
  assert.equal(pipe.server?.failure?.reason, "wrong key");
  assert.equal(pipe.trace.filter(({ toServer }) => !toServer).length, 1);
  assert.equal(lookup(key.plainIdentity, "sha256").length, PASSWORDS.length);
  assert.equal(lookup(key.plainIdentity, "sha384").length, 0, "such a key is for SHA-256");
});

Deno.test("DtlsClient goes on for ever without an answer, more and more slowly", () => {
  const pipe = new Pipe({ ...CLEAN, lossRatio: 1 });
  pipe.run(100 * SECOND);
  assert.equal(pipe.client.phase, "hello");
  assert.equal(pipe.client.hint, undefined);
  // 0, 0.4, 1.2, 2.8, 6, 12, 18, ...
  assert.equal(pipe.trace.length, 5 + 15);
  assert.deepEqual(new Set(pipe.trace.map(({ datagram }) => datagram.length)), new Set([600]));
});

Deno.test("DtlsClient.restart() makes a fresh hello that is answered", () => {
  const pipe = new Pipe(CLEAN);
  pipe.client.start(0);
  const first = pipe.client.nextDatagram()!;
  pipe.client.restart(1);
  const second = pipe.client.nextDatagram()!;
  assert.notDeepEqual(first.subarray(27, 59), second.subarray(27, 59)); // random
  pipe.toServer(second);
  assert.equal(pipe.verdicts[0].kind, "reply");
});

Deno.test("DtlsClient takes an alert in the clear as a hint only", () => {
  const pipe = new Pipe(CLEAN);
  const alert = fromHex("15 fefd 0000 000000000001 0002 02 28");
  pipe.client.start(0);
  pipe.client.receive(alert, 0);
  assert.equal(pipe.client.phase, "hello");
  assert.match(pipe.client.hint ?? "", /handshake_failure/);
  assert.equal(pipe.client.drops.unauthenticated, 1);
});

Deno.test("DtlsClient starts again when its cookie is refused as too old", () => {
  const pipe = new Pipe(CLEAN);
  pipe.client.start(0);
  pipe.toServer(pipe.client.nextDatagram()!);
  const verdict = pipe.verdicts[0];
  assert.ok(verdict.kind === "reply");
  pipe.client.receive(verdict.datagram, 0);
  assert.equal(pipe.client.phase, "cookie");
  const second = pipe.client.nextDatagram()!;
  const late = pipe.gate.respond(second, ADDRESS, 61 * SECOND);
  assert.ok(late.kind === "reply");
  assert.equal(late.datagram.length, second.length);
  pipe.client.receive(late.datagram, 61 * SECOND);
  pipe.client.handleTimeout(62 * SECOND);
  assert.equal(pipe.client.phase, "hello");
  const again = pipe.client.nextDatagram()!;
  assert.equal(pipe.gate.respond(again, ADDRESS, 62 * SECOND).kind, "reply");
});

Deno.test("DtlsClient.noteAuthenticRecord() stands for a lost ACK", () => {
  const pipe = new Pipe(CLEAN);
  let finished: Uint8Array | undefined;
  pipe.client.start(0);
  for (let step = 0; step < 3; step++) {
    const out = pipe.client.nextDatagram()!;
    if (step === 2) finished = out;
    else pipe.toServer(out);
    const verdict = pipe.verdicts[step];
    if (step === 0 && verdict.kind === "reply") pipe.client.receive(verdict.datagram, 0);
    if (step === 1) pipe.client.receive(pipe.server!.nextDatagram()!, 0);
  }
  assert.equal(pipe.client.phase, "finished");
  assert.equal(pipe.client.result!.peerFinishedAcked, false);
  pipe.server!.receive(finished!, 0);
  assert.equal(pipe.server!.phase, "connected");
  assert.ok(pipe.server!.nextDatagram() !== undefined); // the ACK, lost
  pipe.client.noteAuthenticRecord();
  assert.equal(pipe.client.phase, "connected");
  assert.equal(pipe.client.result!.peerFinishedAcked, true);
  assert.equal(pipe.client.nextTimeoutNs(), Infinity);
});

Deno.test("DtlsServer acknowledges a repeated Finished again, and only that", () => {
  const pipe = new Pipe(CLEAN);
  pipe.run(SECOND);
  assertConnected(pipe);
  const finished = pipe.trace.filter(({ toServer }) => toServer)[2].datagram;
  pipe.server!.receive(finished, SECOND); // the same record: a replay
  assert.equal(pipe.server!.nextDatagram(), undefined);
  assert.equal(pipe.server!.drops.unopened, 1);

  const lossy = new Pipe(CLEAN);
  lossy.client.start(0);
  lossy.toServer(lossy.client.nextDatagram()!);
  const verdict = lossy.verdicts[0];
  assert.ok(verdict.kind === "reply");
  lossy.client.receive(verdict.datagram, 0);
  lossy.toServer(lossy.client.nextDatagram()!);
  lossy.client.receive(lossy.server!.nextDatagram()!, 0);
  lossy.server!.receive(lossy.client.nextDatagram()!, 0);
  assert.ok(lossy.server!.nextDatagram() !== undefined); // lost on its way
  lossy.client.handleTimeout(SECOND);
  lossy.server!.receive(lossy.client.nextDatagram()!, SECOND);
  lossy.client.receive(lossy.server!.nextDatagram()!, SECOND);
  assert.equal(lossy.client.phase, "connected");
});
