/* Two sessions that are each other's peer; records are sealed and opened by the plain protection. */

import assert from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { suiteById } from "../../../src/crypto/suites.ts";
import { RECORD } from "../../../src/ports/mod.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PlainProtection } from "../../../src/record/plain_protection.ts";
import { type CiphertextRecord, EpochKeys, splitDatagram } from "../../../src/record/handshake_records.ts";
import { ReceiveEpoch } from "../../../src/session/receive_epoch.ts";
import type { OwnIdSource } from "../../../src/session/id_exchange.ts";
import { type ControlContent, Session } from "../../../src/session/session.ts";
import { emitAlert } from "../../../src/wire/alert.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";
import { emitAck, parseAck } from "../../../src/wire/dtls_ack.ts";
import {
  emitHandshakeFragment,
  emitHandshakeMessage,
  HANDSHAKE_TYPE,
  parseHandshakeHeader,
} from "../../../src/wire/handshake_header.ts";
import { emitKeyUpdate } from "../../../src/wire/key_update.ts";

const SUITE = suiteById(0x1301);
const REKEY_RECORDS = 1000;
const REKEY_BLOCK = 100;
const HEADER_LEN = 5;

interface World {
  readonly memory: HeapMemory;
  readonly protection: PlainProtection;
  /** Sends with message_seq 2, receives with 5. */
  readonly a: Session;
  readonly b: Session;
}

function world(ownIds?: OwnIdSource): World {
  const memory = new HeapMemory(2 ** 16);
  const protection = new PlainProtection(memory);
  const [one, two] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const options = { rekeyRecords: REKEY_RECORDS, rekeyBlock: REKEY_BLOCK, receiveRate: 1e-6, ownIds };
  const session = (
    send: Uint8Array,
    receive: Uint8Array,
    sendMessageSeq: number,
    receiveMessageSeq: number,
  ) =>
    new Session(
      memory,
      protection,
      { suite: SUITE.id, send, receive, sendMessageSeq, receiveMessageSeq },
      options,
      0,
    );
  return { memory, protection, a: session(one, two, 2, 5), b: session(two, one, 5, 2) };
}

/** Whether a record sealed under one key opens under the other. */
function fits({ memory, protection }: World, sealKey: number, openKey: number): boolean {
  const len = HEADER_LEN + 32;
  const [at, src, dst] = [RECORD.size, len, 16].map((size) => memory.alloc(size));
  memory.u8.set([0x2c, 0, 0, 0, 32], src);
  memory.u32[(at + RECORD.src) >> 2] = src;
  memory.u32[(at + RECORD.len) >> 2] = len;
  memory.u32[(at + RECORD.dst) >> 2] = dst;
  memory.u8[at + RECORD.hdrLen] = HEADER_LEN;
  memory.u8[at + RECORD.seqOff] = 1;
  memory.u8[at + RECORD.seqLen] = 2;
  memory.i32[(at + RECORD.key) >> 2] = sealKey;
  protection.sealBatch(at, 1);
  memory.i32[(at + RECORD.key) >> 2] = openKey;
  protection.unmaskBatch(at, 1);
  const opened = protection.openBatch(at, 1) === 1;
  for (const [off, size] of [[at, RECORD.size], [src, len], [dst, 16]]) memory.free(off, size);
  return opened;
}

function controls(session: Session): ControlContent[] {
  const all: ControlContent[] = [];
  while (session.hasControl) all.push(session.takeControl()!);
  return all;
}

/** Hands all that `from` has to say to `to`, as records from `number` on. */
function deliver(from: Session, to: Session, number: number): string[] {
  return controls(from).map(({ contentType, bytes }, index) =>
    to.control(contentType, bytes, from.sendEpoch, number + index, 0)
  );
}

function keyUpdate(messageSeq: number, requested = false): Uint8Array {
  return emitHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, messageSeq, emitKeyUpdate(requested));
}

function ticket(messageSeq: number): Uint8Array {
  return emitHandshakeMessage(HANDSHAKE_TYPE.newSessionTicket, messageSeq, new Uint8Array(20));
}

Deno.test("Session.maintain() posts a KeyUpdate at its count, and again until its ACK comes", () => {
  const { a } = world();
  a.maintain(REKEY_RECORDS - 1);
  assert.equal(a.hasControl, false);
  for (let number = REKEY_RECORDS; number < REKEY_RECORDS + REKEY_BLOCK; number++) a.maintain(number);
  const posted = controls(a);
  assert.ok(posted.length >= 2, "once is not enough where records are lost");
  for (const { contentType, bytes } of posted) {
    assert.equal(contentType, CONTENT_TYPE.handshake);
    assert.deepEqual(bytes, keyUpdate(2), "a repeated message keeps its message_seq and its bytes");
  }
  assert.equal(
    a.control(CONTENT_TYPE.ack, emitAck([{ epoch: 3, sequenceNumber: 1001 }]), 3, 0, 0),
    "update acknowledged",
  );
  a.maintain(REKEY_RECORDS + REKEY_BLOCK);
  assert.equal(a.hasControl, false);
});

Deno.test("Session.switchNumber() is the end of the block, wherever in it the ACK came", () => {
  for (const ackedAt of [1000, 1001, 1050, 1099]) {
    const { a } = world();
    a.maintain(REKEY_RECORDS);
    assert.equal(a.switchNumber(ackedAt), undefined);
    a.control(CONTENT_TYPE.ack, emitAck([{ epoch: 3, sequenceNumber: 1000 }]), 3, 0, 0);
    assert.equal(a.switchNumber(ackedAt), REKEY_RECORDS + REKEY_BLOCK);
  }
});

Deno.test("Session.control() takes as a KeyUpdate's ACK no number from before it, and none of another epoch", () => {
  const { a } = world();
  a.maintain(REKEY_RECORDS);
  const ack = (epoch: number, sequenceNumber: number) =>
    a.control(CONTENT_TYPE.ack, emitAck([{ epoch, sequenceNumber }]), 3, 0, 0);
  assert.equal(ack(3, 999), "none");
  assert.equal(ack(2, 1000), "none");
  assert.equal(ack(4, 1000), "none");
  assert.equal(a.switchNumber(1001), undefined);
  assert.throws(() => a.nextSendEpoch(), /RFC 9147 §8/);
  assert.equal(ack(3, 1000), "update acknowledged");
});

Deno.test("Session changes its sending key with its peer's receiving key, epoch by epoch", () => {
  const all = world();
  const { a, b } = all;
  let key = a.newSendKey();
  assert.ok(fits(all, key, b.receiveEpochFor(3)!.key));
  for (let epoch = 4; epoch < 10; epoch++) {
    const before = b.receiveEpochFor(a.sendEpoch & 3)!;
    a.maintain(REKEY_RECORDS);
    deliver(a, b, REKEY_RECORDS);
    // RFC 9147 §8: both keys open until the new one has been used.
    assert.ok(fits(all, key, before.key));
    assert.equal(b.receiveEpochFor((epoch - 1) & 3), before);
    deliver(b, a, 0);
    key = a.nextSendEpoch();
    assert.equal(a.sendEpoch, epoch);
    const after = b.receiveEpochFor(epoch & 3)!;
    assert.equal(after.epoch, epoch);
    assert.ok(fits(all, key, after.key));
    assert.ok(!fits(all, key, before.key));
    assert.ok(b.receiveEpochs.length <= 2);
  }
});

Deno.test("Session.noteAuthentic() gives an old epoch up once reordering is over, never before the new one is used", () => {
  const { a, b } = world();
  a.maintain(REKEY_RECORDS);
  deliver(a, b, REKEY_RECORDS);
  const [old, fresh] = b.receiveEpochs;
  for (let number = 0; number < 5000; number++) {
    assert.ok(old.accept(number, 0));
    b.noteAuthentic(old);
  }
  assert.equal(b.receiveEpochs.length, 2);
  for (let number = 0; number < 4096; number++) {
    assert.equal(b.receiveEpochs[0], old);
    assert.ok(fresh.accept(number, 0));
    b.noteAuthentic(fresh);
  }
  assert.deepEqual(b.receiveEpochs, [fresh]);
});

Deno.test("Session.control() acknowledges a repeated KeyUpdate again, and moves once", () => {
  const { b } = world();
  for (const number of [7, 8, 9]) {
    assert.equal(b.control(CONTENT_TYPE.handshake, keyUpdate(2), 3, number, 0), "none");
    const [ack, ...rest] = controls(b);
    assert.equal(rest.length, 0);
    assert.equal(ack.contentType, CONTENT_TYPE.ack);
    assert.deepEqual(parseAck(ack.bytes), [{ epoch: 3, sequenceNumber: number }]);
    assert.deepEqual(b.receiveEpochs.map(({ epoch }) => epoch), [3, 4]);
  }
});

Deno.test("Session.control() answers a KeyUpdate that asks for one with its own, once, at the end of a block", () => {
  const all = world();
  const { a, b } = all;
  a.control(CONTENT_TYPE.handshake, keyUpdate(5, true), 3, 40, 0);
  a.control(CONTENT_TYPE.handshake, keyUpdate(5, true), 3, 41, 0); // the same one again
  a.maintain(42);
  const posted = controls(a).filter(({ contentType }) => contentType === CONTENT_TYPE.handshake);
  assert.deepEqual(posted.map(({ bytes }) => bytes), [keyUpdate(2)]);
  assert.equal(b.control(CONTENT_TYPE.handshake, posted[0].bytes, 3, 42, 0), "none");
  deliver(b, a, 0);
  assert.equal(a.switchNumber(45), REKEY_BLOCK);
  const key = a.nextSendEpoch();
  assert.ok(fits(all, key, b.receiveEpochFor(0)!.key));
  a.maintain(1);
  assert.equal(a.hasControl, false, "the request is answered");
});

Deno.test("Session.control() takes its own KeyUpdate under way as the answer to a request", () => {
  const { a } = world();
  a.maintain(REKEY_RECORDS);
  a.control(CONTENT_TYPE.handshake, keyUpdate(5, true), 3, 40, 0);
  a.control(CONTENT_TYPE.ack, emitAck([{ epoch: 3, sequenceNumber: REKEY_RECORDS }]), 3, 41, 0);
  a.nextSendEpoch();
  controls(a);
  a.maintain(1);
  assert.equal(a.hasControl, false);
});

Deno.test("Session.maintain() posts one message at a time: ids first, the KeyUpdate when they are acknowledged", () => {
  const { a } = world({ issue: () => new Uint8Array(8).fill(9), used: () => {}, close: () => {} });
  const typesOf = () => controls(a).map(({ bytes }) => parseHandshakeHeader(bytes)!);
  const ackOf = (sequenceNumber: number) =>
    a.control(CONTENT_TYPE.ack, emitAck([{ epoch: 3, sequenceNumber }]), 3, 0, 0);
  const last = REKEY_RECORDS - REKEY_BLOCK - 1;
  a.idExchange.offer(4);
  a.maintain(last, 3);
  a.idExchange.offer(1);
  a.maintain(last, 3);
  const [{ type, messageSeq }, ...more] = typesOf();
  assert.deepEqual([type, messageSeq, more.length], [HANDSHAKE_TYPE.newConnectionId, 2, 0]);
  for (let number = last; number < REKEY_RECORDS + 20; number++) a.maintain(number, 3);
  const repeats = typesOf();
  assert.ok(repeats.length >= 2 && repeats.length <= 8);
  for (const header of repeats) {
    assert.deepEqual([header.type, header.messageSeq], [type, 2], "the KeyUpdate waits");
  }
  assert.equal(ackOf(last - 1), "none", "a record from before it");
  a.maintain(REKEY_RECORDS + 20, 3);
  assert.equal(ackOf(REKEY_RECORDS), "none");
  // Repetitions that wait for a record of their own may be acknowledged as well: not as the KeyUpdate.
  typesOf();
  a.maintain(REKEY_RECORDS + 21, 0);
  assert.equal(a.hasControl, false);
  a.maintain(REKEY_RECORDS + 99, 0);
  const [update] = typesOf();
  assert.deepEqual([update.type, update.messageSeq], [HANDSHAKE_TYPE.keyUpdate, 3]);
  assert.equal(ackOf(REKEY_RECORDS + 98), "none");
  assert.equal(ackOf(REKEY_RECORDS + 99), "update acknowledged");
  a.nextSendEpoch();
  a.maintain(0, 0);
  const [later] = typesOf();
  assert.deepEqual([later.type, later.messageSeq], [HANDSHAKE_TYPE.newConnectionId, 4], "in the new epoch");
});

Deno.test("Session.control() neither takes nor acknowledges what is no KeyUpdate, or not the next one", () => {
  const bad: readonly [string, Uint8Array, number][] = [
    ["ahead", keyUpdate(3), 3],
    ["a request without meaning", emitHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, 2, Uint8Array.of(2)), 3],
    ["empty", emitHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, 2, new Uint8Array(0)), 3],
    ["too long", emitHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, 2, new Uint8Array(2)), 3],
    ["cut", keyUpdate(2).subarray(0, 12), 3],
    ["with bytes behind it", Uint8Array.of(...ticket(2), 0), 3],
    [
      "a part of a ticket",
      emitHandshakeFragment(HANDSHAKE_TYPE.newSessionTicket, 2, new Uint8Array(20), 0, 9),
      3,
    ],
    ["a Finished", emitHandshakeMessage(HANDSHAKE_TYPE.finished, 2, new Uint8Array(32)), 3],
    ["unknown", emitHandshakeMessage(99, 2, new Uint8Array(3)), 3],
    ["a ticket ahead", ticket(3), 3],
    ["connection ids", emitHandshakeMessage(HANDSHAKE_TYPE.newConnectionId, 2, new Uint8Array(3)), 3],
  ];
  for (const [name, bytes, epoch] of bad) {
    const { b } = world();
    assert.equal(b.control(CONTENT_TYPE.handshake, bytes, epoch, 1, 0), "malformed", name);
    assert.equal(b.hasControl, false, name);
    assert.equal(b.receiveEpochs.length, 1, name);
  }
});

Deno.test("Session.control() acknowledges a ticket, repeated ones too, and takes the KeyUpdate behind it", () => {
  const { b } = world();
  const messages = [ticket(2), ticket(2), keyUpdate(3), ticket(2)];
  messages.forEach((bytes, number) => {
    assert.equal(b.control(CONTENT_TYPE.handshake, bytes, 3, number, 0), "none");
    assert.deepEqual(controls(b).map((ack) => parseAck(ack.bytes)), [[{ epoch: 3, sequenceNumber: number }]]);
    assert.equal(b.receiveEpochs.length, number < 2 ? 1 : 2);
  });
});

Deno.test("Session.control() takes several messages in one record, and acknowledges it once", () => {
  const { b } = world();
  assert.equal(
    b.control(CONTENT_TYPE.handshake, concat(ticket(2), ticket(3), keyUpdate(4)), 3, 7, 0),
    "none",
  );
  assert.deepEqual(controls(b).map((ack) => parseAck(ack.bytes)), [[{ epoch: 3, sequenceNumber: 7 }]]);
  assert.equal(b.receiveEpochs.length, 2);
  // What is wrong behind a good one leaves the record unacknowledged, so that its sender repeats it.
  assert.equal(b.control(CONTENT_TYPE.handshake, concat(ticket(5), ticket(7)), 4, 0, 0), "malformed");
  assert.equal(b.hasControl, false);
  assert.equal(b.control(CONTENT_TYPE.handshake, concat(ticket(5), keyUpdate(6)), 4, 1, 0), "none");
  assert.deepEqual(b.receiveEpochs.map(({ epoch }) => epoch), [4, 5]);
});

Deno.test("Session.control() takes no new message of an older epoch, and acknowledges a repeated one", () => {
  const { b } = world();
  b.control(CONTENT_TYPE.handshake, keyUpdate(2), 3, 0, 0);
  controls(b);
  assert.equal(b.control(CONTENT_TYPE.handshake, keyUpdate(3), 3, 1, 0), "malformed");
  assert.equal(b.hasControl, false);
  assert.equal(b.control(CONTENT_TYPE.handshake, keyUpdate(2), 3, 2, 0), "none");
  assert.equal(controls(b).length, 1);
  assert.deepEqual(b.receiveEpochs.map(({ epoch }) => epoch), [3, 4]);
});

Deno.test("Session.control() takes no KeyUpdate before its ACK of the one before has gone: a flood costs no more than slots", () => {
  const { b } = world();
  assert.equal(b.control(CONTENT_TYPE.handshake, keyUpdate(2), 3, 0, 0), "none");
  assert.equal(b.control(CONTENT_TYPE.handshake, keyUpdate(3), 4, 0, 0), "malformed");
  assert.deepEqual(b.receiveEpochs.map(({ epoch }) => epoch), [3, 4]);
  assert.equal(controls(b).length, 1);
  assert.equal(b.control(CONTENT_TYPE.handshake, keyUpdate(3), 4, 1, 0), "none");
  assert.deepEqual(b.receiveEpochs.map(({ epoch }) => epoch), [4, 5]);
});

Deno.test("two Sessions that change keys at the same time follow each other, whatever order things come in", () => {
  const all = world();
  const { a, b } = all;
  const keys = { a: a.newSendKey(), b: b.newSendKey() };
  for (let epoch = 4; epoch < 12; epoch++) {
    a.maintain(REKEY_RECORDS);
    b.maintain(REKEY_RECORDS);
    const [fromA, fromB] = [controls(a), controls(b)];
    const take = (to: Session, from: Session, contents: readonly ControlContent[], number: number) =>
      contents.map(({ contentType, bytes }) => to.control(contentType, bytes, from.sendEpoch, number, 0));
    take(b, a, fromA, REKEY_RECORDS);
    take(a, b, fromB, REKEY_RECORDS);
    take(b, a, fromA, REKEY_RECORDS + 1); // the KeyUpdates once more, in new records
    take(a, b, controls(b), REKEY_RECORDS + 2); // ACKs
    take(b, a, controls(a), REKEY_RECORDS + 2);
    [keys.a, keys.b] = [a.nextSendEpoch(), b.nextSendEpoch()];
    assert.deepEqual([a.sendEpoch, b.sendEpoch], [epoch, epoch]);
    assert.ok(fits(all, keys.a, b.receiveEpochFor(epoch & 3)!.key));
    assert.ok(fits(all, keys.b, a.receiveEpochFor(epoch & 3)!.key));
  }
});

Deno.test("Session.maintain() posts no KeyUpdate when message_seq is used up", () => {
  const { memory, protection } = world();
  const secret = new Uint8Array(32).fill(1);
  const secrets = {
    suite: SUITE.id,
    send: secret,
    receive: secret,
    sendMessageSeq: 0xffff,
    receiveMessageSeq: 0,
  };
  const options = { rekeyRecords: REKEY_RECORDS, rekeyBlock: REKEY_BLOCK, receiveRate: 1e-6 };
  const session = new Session(memory, protection, secrets, options, 0);
  session.maintain(REKEY_RECORDS);
  assert.deepEqual(controls(session).map(({ bytes }) => bytes), [keyUpdate(0xffff)]);
  session.control(CONTENT_TYPE.ack, emitAck([{ epoch: 3, sequenceNumber: REKEY_RECORDS }]), 3, 0, 0);
  session.nextSendEpoch();
  session.maintain(REKEY_RECORDS);
  assert.equal(session.hasControl, false);
});

Deno.test("Session.control() tells a closing alert from a failing one, and refuses what is none", () => {
  const { a } = world();
  const alert = (bytes: Uint8Array) => a.control(CONTENT_TYPE.alert, bytes, 3, 0, 0);
  assert.equal(alert(emitAlert(0)), "peer closed");
  assert.equal(alert(emitAlert(80)), "peer failed");
  assert.equal(alert(Uint8Array.of(1)), "malformed");
  assert.equal(a.control(99, Uint8Array.of(1), 3, 0, 0), "malformed");
});

Deno.test("Session keeps few contents for slots, whatever its peer sends", () => {
  const { b } = world();
  for (let number = 0; number < 1000; number++) b.control(CONTENT_TYPE.handshake, keyUpdate(2), 3, number, 0);
  assert.ok(controls(b).length <= 8);
});

Deno.test("Session.close() frees its keys and wipes", () => {
  const { b, protection } = world();
  const [{ key }] = b.receiveEpochs;
  b.close();
  assert.equal(b.receiveEpochFor(3), undefined);
  assert.throws(() => protection.freeKey(key), RangeError);
});

Deno.test("ReceiveEpoch.accept() takes each number once, and moves by what it is given alone", () => {
  const epoch = new ReceiveEpoch(3, 1, 64, 0);
  assert.equal(epoch.accept(10, 5), true);
  assert.equal(epoch.accept(10, 6), false);
  assert.equal(epoch.accept(9, 7), true);
  assert.equal(epoch.expected, 11);
  assert.equal(epoch.lastAuthenticNs, 7);
  assert.equal(epoch.authenticated, 2);
});

Deno.test("Session.receiveEpochFor() gives a key up when 2^36 records have failed under it", () => {
  const { a } = world();
  const epoch = a.receiveEpochFor(3)!;
  epoch.failedOpens = 2 ** 36 - 1;
  assert.equal(a.receiveEpochFor(3), epoch);
  epoch.failedOpens++;
  assert.equal(a.receiveEpochFor(3), undefined);
});

Deno.test("Session's messages have headers that name the whole message", () => {
  const { a } = world();
  a.maintain(REKEY_RECORDS);
  const header = parseHandshakeHeader(a.takeControl()!.bytes)!;
  assert.deepEqual(header, { type: 24, len: 1, messageSeq: 2, fragmentOffset: 0, fragmentLen: 1 });
});

Deno.test("Session.sealEarly() seals records of one length with numbers from 0; the key of epoch 3 begins behind them", () => {
  const pair = world();
  const early = [1, 2, 3].map((n) => pair.a.sealEarly(CONTENT_TYPE.applicationData, Uint8Array.of(n), 200));
  const reader = new EpochKeys(SUITE, new Uint8Array(32).fill(1), 3);
  for (const [index, datagram] of early.entries()) {
    assert.equal(datagram.length, 200);
    const [record] = splitDatagram(datagram);
    assert.equal(record.kind, "ciphertext");
    const opened = reader.open(record as CiphertextRecord);
    assert.ok(typeof opened !== "string");
    assert.deepEqual([opened.sequenceNumber, ...opened.content], [index, index + 1]);
  }
  pair.a.newSendKey();
  assert.equal(pair.a.firstNumber, 3);
  assert.throws(() => pair.a.sealEarly(CONTENT_TYPE.applicationData, new Uint8Array(1), 200), /one owner/);
  pair.b.newSendKey();
  assert.equal(pair.b.firstNumber, 0);
});
