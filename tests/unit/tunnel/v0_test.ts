/* Version 0's own rules: lengths, schedules as its handshake tells them, and what each side says when. The lines are
 * doubles that keep what is put on them. */

import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { resolveDirection } from "../../../src/config/mod.ts";
import type { EndpointAddress } from "../../../src/ports/mod.ts";
import { type CiphertextRecord, EpochKeys, splitDatagram } from "../../../src/record/handshake_records.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PlainProtection } from "../../../src/record/plain_protection.ts";
import { classicSdRatio } from "../../../src/schedule/mod.ts";
import { Session } from "../../../src/session/session.ts";
import { suiteById } from "../../../src/crypto/suites.ts";
import { ClientInnerV0 } from "../../../src/tunnel/client_inner_v0.ts";
import type { ClientLine } from "../../../src/tunnel/client_inner.ts";
import { COUNTERS_LEN, DataCounters } from "../../../src/tunnel/counters.ts";
import { plaintextLenOf } from "../../../src/tunnel/emitter.ts";
import type { TrainParameters } from "../../../src/tunnel/messages.ts";
import { ServerInnerV0 } from "../../../src/tunnel/server_inner_v0.ts";
import type { ServerLine } from "../../../src/tunnel/server_inner.ts";
import {
  handshakeV0Of,
  lostAfter,
  recordPrefixV0,
  trainOfHandshakeV0,
  V0_UNUSED_LEN,
} from "../../../src/tunnel/v0.ts";
import {
  type ClientHandshakeV0,
  emitClientHandshakeV0,
  emitServerHandshakeV0,
  parseClientHandshakeV0,
} from "../../../src/wire/v0_message.ts";

const SECOND = 1e9;
const TRAIN: TrainParameters = {
  intervalNs: 10e6,
  jitterLaw: "classic",
  jitterSdNs: classicSdRatio(0.25) * 10e6,
  datagramLen: 600,
  burst: 1,
};
const HANDSHAKE = handshakeV0Of(TRAIN, TRAIN, 28, false);

for (const [family, overhead] of [["IPv4", 28], ["IPv6", 48]] as const) {
  Deno.test(`a record of version 0 over ${family} has the content that docs/protocol.md says`, () => {
    const { packetLength } = resolveDirection("up", {
      speedBitsPerS: 1e6,
      intervalNs: undefined,
      packetLength: 1400,
      jitter: undefined,
      burst: 1,
    }, 1500);
    const datagramLen = packetLength - overhead - V0_UNUSED_LEN;
    equal(plaintextLenOf(datagramLen, 0) - 1, 1400 - overhead - 34);
    const handshake = handshakeV0Of({ ...TRAIN, datagramLen }, { ...TRAIN, datagramLen }, overhead, false);
    equal(handshake.s2cPacketLen, 1400);
    equal(trainOfHandshakeV0(handshake, overhead).datagramLen, datagramLen);
  });
}

Deno.test("handshakeV0Of() and trainOfHandshakeV0() agree on a schedule, whose intervals stay in the range told", () => {
  fc.assert(fc.property(
    fc.integer({ min: 50_000, max: 1e9 }),
    fc.double({ min: 0, max: 0.9, noNaN: true }),
    (intervalNs, ratio) => {
      const jitterSdNs = classicSdRatio(ratio) * intervalNs;
      const down = {
        ...TRAIN,
        intervalNs,
        jitterSdNs,
        jitterLaw: ratio === 0 ? "none" as const : "classic" as const,
      };
      const handshake = handshakeV0Of(TRAIN, down, 28, false);
      const { s2cIntervalMinNs, s2cIntervalMaxNs, s2cFinalizeDeltaNs } = handshake;
      ok(s2cIntervalMinNs > 0 && s2cFinalizeDeltaNs < s2cIntervalMinNs, "or a deployed server fails");
      ok(Math.abs(s2cIntervalMaxNs - intervalNs * (1 + ratio)) <= 2);
      const train = trainOfHandshakeV0(handshake, 28);
      ok(Math.abs(train.intervalNs - intervalNs) <= 1);
      ok(Math.abs(train.jitterSdNs - jitterSdNs) <= 2);
    },
  ));
});

Deno.test("recordPrefixV0() is a sequence number, and with monitoring a send time", () => {
  deepEqual([...recordPrefixV0(false, 7).bytes], [4, 0, 0, 0, 0, 0, 0, 0, 0]);
  const { bytes, stamps } = recordPrefixV0(true, 7);
  deepEqual([bytes.length, bytes[0], bytes[9]], [18, 4, 5]);
  deepEqual(stamps, { countOff: 1, timeOff: 10, wallBaseNs: 7 });
});

Deno.test("lostAfter() is the records of a second, at least 64", () => {
  equal(lostAfter(1e6), 1000);
  equal(lostAfter(100e6), 64);
  equal(lostAfter(0), 1e9);
});

/** A session and a reader of what it seals early. */
function sessionPair() {
  const memory = new HeapMemory(1 << 18);
  const protection = new PlainProtection(memory);
  const send = new Uint8Array(32).fill(1);
  const secrets = {
    suite: 0x1301,
    send: send.slice(),
    receive: send.slice(),
    sendMessageSeq: 2,
    receiveMessageSeq: 2,
  };
  const session = () =>
    new Session(memory, protection, { ...secrets, send: send.slice(), receive: send.slice() }, {
      rekeyRecords: 2 ** 23,
      rekeyBlock: 100,
      receiveRate: 1e-6,
    }, 0);
  const reader = () => {
    const keys = new EpochKeys(suiteById(0x1301), send, 3);
    return (datagram: Uint8Array) => {
      const opened = keys.open(splitDatagram(datagram)[0] as CiphertextRecord);
      if (typeof opened === "string") throw new Error(opened);
      return opened;
    };
  };
  const counters = new DataCounters(memory, memory.alloc(COUNTERS_LEN));
  const body = memory.alloc(256);
  const put = (message: Uint8Array) => {
    memory.u8.set(message.subarray(1), body);
    return { type: message[0], off: body, len: message.length - 1 };
  };
  return { memory, counters, session, reader, put };
}

function client() {
  const pair = sessionPair();
  const raw: Uint8Array[] = [];
  const done: string[] = [];
  let nowNs = 0;
  const line = {
    memory: pair.memory,
    counters: pair.counters,
    peer: { open: false },
    emitter: { train: TRAIN, raw: (datagram: Uint8Array) => raw.push(datagram) > 0 },
    get nowNs() {
      return nowNs;
    },
    useSession: () => void done.push("use"),
    leaveSession: () => void done.push("leave"),
    welcomed: () => {},
    sayCloseNotify: () => void done.push("close_notify"),
    end: (reason: string) => void done.push(`end: ${reason}`),
    tell: ({ type }: { type: string }) => void done.push(`tell ${type}`),
  };
  const inner = new ClientInnerV0(HANDSHAKE, 0, line as unknown as ClientLine);
  const answer = (success: boolean, protocolVersion = 0) => {
    const { type, off, len } = pair.put(emitServerHandshakeV0({ success, protocolVersion }));
    inner.control(type, off, len);
  };
  const runTo = (seconds: number) => {
    for (; nowNs < seconds * SECOND; nowNs += 0.1 * SECOND) inner.keep();
  };
  return { ...pair, inner, raw, done, line, answer, runTo, at: () => Math.round(nowNs / SECOND) };
}

Deno.test("ClientInnerV0 says nothing before Finished is acknowledged, then its handshake, and again after 1, 2, 4, 8, 16 s", () => {
  const it = client();
  it.inner.begin(it.session());
  it.runTo(5);
  equal(it.raw.length, 0);
  it.inner.acknowledged();
  it.inner.acknowledged();
  const times: number[] = [];
  for (let second = 5.1; second < 60; second += 0.1) {
    const before = it.raw.length;
    it.runTo(second);
    if (it.raw.length > before) times.push(Math.round(second - 5));
    if (it.done.length > 0) break;
  }
  equal(it.raw.length, 6);
  deepEqual(times, [1, 3, 7, 15, 31]);
  deepEqual(it.done, ["end: the server does not answer the handshake of version 0"]);
  equal(it.at(), 52, "16 s after the last");
  const open = it.reader();
  for (const [index, datagram] of it.raw.entries()) {
    equal(datagram.length, TRAIN.datagramLen);
    const { contentType, content, sequenceNumber } = open(datagram);
    deepEqual([contentType, sequenceNumber, content.length], [23, index, 600 - 22]);
    deepEqual(parseClientHandshakeV0(content.subarray(1, 63)), HANDSHAKE);
    ok(content.subarray(63).every((byte) => byte === 0));
  }
});

Deno.test("ClientInnerV0 opens at the server's handshake, once, and a late answer changes nothing", () => {
  const it = client();
  it.answer(true);
  it.inner.begin(it.session());
  it.answer(true);
  deepEqual(it.done, [], "nobody has asked");
  it.inner.acknowledged();
  it.answer(true);
  deepEqual([it.done, it.line.peer.open], [["use", "tell welcome"], true]);
  it.answer(false);
  equal(it.done.length, 2);
  ok(it.inner.isSilenceBad);
  it.inner.lost();
  deepEqual(it.done.slice(2), ["close_notify", "close_notify", "close_notify", "leave"]);
  ok(!it.inner.isSilenceBad);
});

for (const [what, success, version] of [["refusal", false, 0], ["another version", true, 1]] as const) {
  Deno.test(`ClientInnerV0 tells of ${what} and waits before it tries again`, () => {
    const it = client();
    it.inner.begin(it.session());
    it.inner.acknowledged();
    it.answer(success, version);
    deepEqual(it.done, ["tell notice"]);
    it.runTo(15);
    equal(it.done.length, 1);
    it.runTo(17);
    equal(it.done[1], "end: the server refused");
  });
}

Deno.test("ClientInnerV0 gives up a server that does not acknowledge, and says close_notify in what it can seal", () => {
  const it = client();
  it.inner.begin(it.session());
  it.runTo(17);
  equal(it.done[0], "end: the server does not acknowledge Finished");
  it.inner.lost();
  const { contentType, content } = it.reader()(it.raw[0]);
  deepEqual([contentType, ...content], [21, 1, 0]);
  deepEqual(
    it.done.slice(1).filter((line) => !line.startsWith("end")),
    [],
    "no key of the session is in use",
  );
});

function server(maxSpeedBitsPerS = 1e10) {
  const pair = sessionPair();
  const sent: Uint8Array[] = [];
  const done: string[] = [];
  const trains: TrainParameters[] = [];
  const peer = { index: 0, open: false, keyed: undefined as Session | undefined, train: undefined };
  const address: EndpointAddress = { ip: new Uint8Array(4), port: 5 };
  const line = {
    memory: pair.memory,
    counters: pair.counters,
    config: { datagramMaxLen: 1472 },
    client: { maxSpeedBitsPerS },
    peer: Object.assign(peer, { address }),
    nowNs: 0,
    useTrain: (session: Session, train: TrainParameters) => {
      trains.push(train);
      session.newSendKey();
      peer.keyed = session;
      return undefined;
    },
    sendNow: (datagram: Uint8Array) => void sent.push(datagram),
    sayCloseNotify: () => void done.push("close_notify"),
    setReceiveRate: (_: Session, rate: number) => void done.push(`rate ${1 / rate}`),
    end: (reason: string) => void done.push(`end: ${reason}`),
    tell: ({ type }: { type: string }) => void done.push(`tell ${type}`),
  };
  const inner = new ServerInnerV0(line as unknown as ServerLine, 0);
  const say = (session: Session, changes: Partial<ClientHandshakeV0> = {}) => {
    const { type, off, len } = pair.put(emitClientHandshakeV0({ ...HANDSHAKE, ...changes }));
    inner.control(session, type, off, len);
  };
  const data = (session: Session) => {
    const { type, off, len } = pair.put(Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0, 0));
    inner.control(session, type, off, len);
  };
  return { ...pair, inner, sent, done, trains, peer, say, data };
}

Deno.test("ServerInnerV0 answers each copy of the handshake at once, and begins its train at the first data record", () => {
  const it = server();
  const session = it.session();
  for (let copy = 0; copy < 3; copy++) it.say(session);
  deepEqual([it.sent.length, it.trains.length, it.done], [3, 0, ["tell parameters"]]);
  const open = it.reader();
  for (const [index, datagram] of it.sent.entries()) {
    equal(datagram.length, TRAIN.datagramLen);
    const { content, sequenceNumber } = open(datagram);
    equal(sequenceNumber, index);
    deepEqual([...content.subarray(0, 10)], [2, 0x14, 0x05, 0x14, 0x05, 0, 0, 0, 0, 1]);
    ok(content.subarray(10).every((byte) => byte === 0), "alone");
  }
  it.data(session);
  it.data(session);
  equal(it.trains.length, 1);
  ok(Math.abs(it.trains[0].intervalNs - 10e6) <= 1 && it.trains[0].jitterLaw === "classic");
  equal(session.firstNumber, 3, "the train's numbers follow");
  ok(it.peer.open);
  it.say(session); // a copy that was late: the answer came through, or there would be no data
  equal(it.sent.length, 3);
  equal(it.inner.timeoutNs, 10e9);
});

Deno.test("ServerInnerV0 takes no data before the handshake", () => {
  const it = server();
  it.data(it.session());
  deepEqual([it.trains, it.sent, it.peer.open], [[], [], false]);
  equal(it.counters.get("control_malformed"), 1);
});

Deno.test("ServerInnerV0 refuses what it cannot serve, with success 0, and ends the session", () => {
  const wrong: [Partial<ClientHandshakeV0>, RegExp][] = [
    [{ oldestVersion: 1, protocolVersion: 1 }, /needs inner protocol 1/],
    [{ s2cPacketLen: 60 }, /datagrams of 20 bytes/],
    [{ s2cPacketLen: 9000 }, /datagrams of 8960 bytes/],
    [{ s2cIntervalMinNs: 1e12, s2cIntervalMaxNs: 1e12 }, /interval/],
  ];
  for (const [changes, reason] of wrong) {
    const it = server();
    it.say(it.session(), changes);
    equal(it.sent.length, 1);
    equal(it.reader()(it.sent[0]).content[9], 0);
    ok(it.done.some((line) => line.startsWith("end: refused") && reason.test(line)), it.done.join());
  }
  const two = server();
  const session = two.session();
  two.say(session);
  two.say(session, { serverTimeoutNs: 11e9 });
  deepEqual(two.done.slice(1), ["end: refused: two handshakes that differ"]);
});

Deno.test("ServerInnerV0 serves a rate above what it allows more slowly, never faster than a train can go", () => {
  for (
    const [maxSpeed, wishNs, expectedNs] of [[640 * 8 * 50, 10e6, 628 * 8e9 / (640 * 8 * 50)], [
      1e12,
      1,
      14_250,
    ]]
  ) {
    const it = server(maxSpeed);
    const session = it.session();
    it.say(session, { s2cIntervalMinNs: wishNs, s2cIntervalMaxNs: wishNs });
    it.data(session);
    ok(Math.abs(it.trains[0].intervalNs - expectedNs) < 1, String(it.trains[0].intervalNs));
  }
});

Deno.test("ServerInnerV0 answers one session 64 times at most, and keeps the timeout within bounds", () => {
  const it = server();
  const session = it.session();
  for (let copy = 0; copy < 100; copy++) it.say(session, { serverTimeoutNs: Number.MAX_SAFE_INTEGER });
  equal(it.sent.length, 64);
  equal(it.inner.timeoutNs, 3600e9);
  const hasty = server();
  hasty.say(hasty.session(), { serverTimeoutNs: 1 });
  equal(hasty.inner.timeoutNs, 2e9);
});
