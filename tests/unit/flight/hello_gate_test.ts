import assert from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { CookieJar } from "../../../src/flight/cookie.ts";
import { DtlsClient } from "../../../src/flight/dtls_client.ts";
import { DATAGRAM_LEN_MAX } from "../../../src/flight/filler.ts";
import { type GateVerdict, HelloGate } from "../../../src/flight/hello_gate.ts";
import { buildClientHello } from "../../../src/handshake/client_hello_builder.ts";
import { pskOffers } from "../../../src/handshake/psk_directory.ts";
import { plaintextRecord, splitDatagram } from "../../../src/record/handshake_records.ts";
import { emitClientHello, parseClientHello } from "../../../src/wire/client_hello.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";
import { emitHandshakeFragment, emitHandshakeMessage } from "../../../src/wire/handshake_header.ts";
import { isRetryRandom, parseServerHello } from "../../../src/wire/server_hello.ts";
import { ADDRESS, GROUPS, KEY, SUITES, testEntropy } from "./pipe.ts";

const SECOND = 1e9;
const SECRET = new Uint8Array(32).fill(3);
const newGate = () =>
  new HelloGate({ secret: SECRET, entropy: testEntropy(1), suites: SUITES, groups: GROUPS });

function newClient(datagramLen: number): DtlsClient {
  const client = new DtlsClient({
    key: { key: KEY },
    suites: [0x1301],
    groups: GROUPS,
    entropy: testEntropy(2),
    datagramLen,
  });
  client.start(0);
  return client;
}

function replyOf(verdict: GateVerdict): Uint8Array {
  assert.ok(verdict.kind === "reply", JSON.stringify(verdict));
  return verdict.datagram;
}

/** The second hello after the gate's answer at `nowNs`. */
function secondHello(gate: HelloGate, nowNs: number, datagramLen = 500): Uint8Array {
  const client = newClient(datagramLen);
  client.receive(replyOf(gate.respond(client.nextDatagram()!, ADDRESS, nowNs)), nowNs);
  return client.nextDatagram()!;
}

Deno.test("HelloGate.respond() answers a first hello with a HelloRetryRequest of the same length", () => {
  for (let len = 250; len < 420; len++) {
    const hello = newClient(len).nextDatagram()!;
    const reply = replyOf(newGate().respond(hello, ADDRESS, 0));
    assert.equal(reply.length, hello.length);
    const [first] = splitDatagram(reply);
    assert.ok(first.kind === "plaintext" && first.contentType === CONTENT_TYPE.handshake);
    assert.ok(isRetryRandom(parseServerHello(first.content.subarray(12))!.random));
  }
});

Deno.test("HelloGate.respond() keeps nothing: another gate with its secret lets the second hello pass", () => {
  const second = secondHello(newGate(), 0);
  assert.equal(newGate().respond(second, ADDRESS, 0).kind, "pass");
});

Deno.test("HelloGate.respond() lets a cookie pass for its address, in its period and the next", () => {
  const gate = newGate();
  const second = secondHello(gate, 29 * SECOND);
  assert.equal(gate.respond(second, ADDRESS, 59 * SECOND).kind, "pass");
  const isAlert = (verdict: GateVerdict) => replyOf(verdict)[0] === CONTENT_TYPE.alert;
  assert.ok(isAlert(gate.respond(second, ADDRESS, 61 * SECOND)));
  assert.ok(isAlert(gate.respond(second, Uint8Array.of(192, 0, 2, 7, 0x12, 0x35), 59 * SECOND)));
  const other = new HelloGate({
    secret: new Uint8Array(32),
    entropy: testEntropy(1),
    suites: SUITES,
    groups: GROUPS,
  });
  assert.ok(isAlert(other.respond(second, ADDRESS, 59 * SECOND)));
});

Deno.test("HelloGate.respond() refuses a cookie with any byte changed", () => {
  const gate = newGate();
  const second = secondHello(gate, 0);
  const cookieAt = 13 + 12 + 2 + 32 + 1 + 1 + 4 + 2 + 2 + 4 + 2;
  for (let at = cookieAt; at < cookieAt + 73; at++) {
    const forged = second.slice();
    forged[at] ^= 0x10;
    assert.equal(
      replyOf(gate.respond(forged, ADDRESS, at * SECOND / 10))[0],
      CONTENT_TYPE.alert,
      `byte ${at}`,
    );
  }
});

Deno.test("HelloGate.respond() sends few alerts and drops the rest", () => {
  const gate = newGate();
  const second = secondHello(gate, 0);
  second[100] ^= 1; // within the cookie
  const kinds = Array.from({ length: 100 }, () => gate.respond(second, ADDRESS, 0));
  assert.equal(kinds.filter(({ kind }) => kind === "reply").length, 10);
  assert.deepEqual(kinds[99], { kind: "drop", reason: "forged cookie" });
});

Deno.test("HelloGate.respond() never answers with more than three times what came", () => {
  const policy = { protocol: "dtls", suites: [0x1301], groups: [0x1d] } as const;
  const offers = [{
    ...pskOffers({ key: KEY }, "dtls", [0x1301], testEntropy(1))[0],
    identity: Uint8Array.of(1),
  }];
  const parts = { policy, random: new Uint8Array(32), shares: [], cookie: undefined, offers, unit: 0 };
  const hello = plaintextRecord(22, 0, emitHandshakeMessage(1, 0, buildClientHello(parts, undefined)));
  assert.ok(hello.length < 170);
  assert.ok(replyOf(newGate().respond(hello, ADDRESS, 0)).length <= 3 * hello.length);
});

Deno.test("HelloGate.respond() answers datagrams that are too long for padding, and padding behind a short hello", () => {
  const policy = { protocol: "dtls", suites: [0x1301], groups: [0x1d] } as const;
  const offers = pskOffers({ key: KEY }, "dtls", [0x1301], testEntropy(1));
  for (
    const [unit, rest] of [[16_000, 0], [300, 40_000], [300, DATAGRAM_LEN_MAX], [190, 0], [1, 0], [1, 20], [
      1,
      21,
    ]]
  ) {
    const body = buildClientHello({
      policy,
      random: new Uint8Array(32),
      shares: [],
      cookie: undefined,
      offers,
      unit,
    }, undefined);
    const record = plaintextRecord(22, 0, emitHandshakeMessage(1, 0, body));
    const verdict = newGate().respond(concat(record, new Uint8Array(rest)), ADDRESS, 0);
    assert.ok(replyOf(verdict).length <= record.length + rest);
  }
});

Deno.test("HelloGate.respond() passes a first fragment with its cookie, and calls the others continuations", () => {
  const gate = newGate();
  const second = secondHello(gate, 0);
  const body = second.subarray(25);
  assert.ok(parseClientHello("dtls", body) !== undefined);
  const fragment = (start: number, end: number) =>
    plaintextRecord(22, 1, emitHandshakeFragment(1, 1, body, start, end));
  assert.equal(gate.respond(fragment(0, 200), ADDRESS, 0).kind, "pass");
  assert.equal(gate.respond(fragment(200, body.length), ADDRESS, 0).kind, "continuation");
  assert.deepEqual(gate.respond(fragment(0, 60), ADDRESS, 0), {
    kind: "drop",
    reason: "fragmented first hello",
  });
});

Deno.test("HelloGate.respond() drops what is no hello, with a reason", () => {
  const gate = newGate();
  const hello = newClient(500).nextDatagram()!;
  const changed = (at: number, to: number) => hello.map((byte, index) => index === at ? to : byte);
  const cases: readonly [Uint8Array, string][] = [
    [new Uint8Array(0), "not a record"],
    [hello.subarray(0, 300), "not a record"],
    [changed(0, 21), "not a hello"],
    [changed(4, 1), "not a hello"], // epoch
    [changed(13, 2), "not a hello"],
    [changed(18, 2), "malformed hello"], // message_seq
    [changed(18, 1), "malformed hello"], // a first hello, second number
    [changed(59, 0xff), "malformed hello"], // length of the session id
    [changed(62, 0), "malformed hello"], // length of the suites
  ];
  for (const [datagram, reason] of cases) {
    assert.deepEqual(gate.respond(datagram, ADDRESS, 0), { kind: "drop", reason });
  }
});

Deno.test("CookieJar.check() gives back what CookieJar.make() put in", () => {
  const jar = new CookieJar(SECRET);
  for (const [suite, hashLen] of [[0x1301, 32], [0x1302, 48]]) {
    for (const padLen of [0, 20]) {
      const state = {
        suite,
        group: 0x17,
        namedGroup: padLen === 0,
        helloDigest: new Uint8Array(16).fill(1),
        helloHash: new Uint8Array(hashLen).fill(2),
        sessionId: new Uint8Array(0),
      };
      const cookie = jar.make(state, ADDRESS, 7 * SECOND, padLen);
      const echo = Uint8Array.of(4, 5);
      assert.deepEqual(jar.check(cookie, ADDRESS, 8 * SECOND, echo), { ...state, cookie, sessionId: echo });
      assert.equal(jar.check(cookie.subarray(1), ADDRESS, 8 * SECOND), "old cookie");
      assert.equal(jar.check(cookie.subarray(0, 40), ADDRESS, 8 * SECOND), "malformed cookie");
      assert.equal(jar.check(cookie, ADDRESS, 95 * SECOND), "old cookie");
    }
  }
});

Deno.test("HelloGate.respond() echoes a session id to version 0 peers alone", () => {
  const policy = { protocol: "dtls", suites: [0x1301], groups: [0x17] } as const;
  const plain = (identity: Uint8Array) =>
    pskOffers({ key: KEY, plainIdentity: identity }, "dtls", [0x1301], testEntropy(1));
  const echoOf = (identity: Uint8Array, version0: boolean) => {
    const parts = { policy, random: new Uint8Array(32), shares: [], cookie: undefined, unit: 0 };
    const hello = parseClientHello(
      "dtls",
      buildClientHello({ ...parts, offers: plain(identity) }, undefined),
    )!;
    const body = emitClientHello("dtls", { ...hello, sessionId: new Uint8Array(32).fill(6) });
    const options = { secret: SECRET, entropy: testEntropy(1), suites: SUITES, groups: GROUPS, version0 };
    const datagram = plaintextRecord(22, 0, emitHandshakeMessage(1, 0, body));
    const [record] = splitDatagram(replyOf(new HelloGate(options).respond(datagram, ADDRESS, 0)));
    assert.ok(record.kind === "plaintext");
    return parseServerHello(record.content.subarray(12))!.sessionIdEcho.length;
  };
  const [empty, named] = [new Uint8Array(0), Uint8Array.of(1)];
  assert.equal(echoOf(empty, true), 32);
  assert.equal(echoOf(named, true), 0);
  assert.equal(echoOf(empty, false), 0);
});
