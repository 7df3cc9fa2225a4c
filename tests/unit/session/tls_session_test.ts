/* Two TLS sessions that are each other's peer. */

import assert from "node:assert/strict";
import { RECORD } from "../../../src/ports/mod.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PlainProtection } from "../../../src/record/plain_protection.ts";
import { TlsSession } from "../../../src/session/tls_session.ts";
import { emitAlert } from "../../../src/wire/alert.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";
import { emitTlsHandshakeMessage, HANDSHAKE_TYPE } from "../../../src/wire/handshake_header.ts";
import { emitKeyUpdate } from "../../../src/wire/key_update.ts";

const SECRETS = [1, 2].map((n) => new Uint8Array(32).fill(n));
const KEY_UPDATE = emitTlsHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, emitKeyUpdate(false));
const TICKET = emitTlsHandshakeMessage(HANDSHAKE_TYPE.newSessionTicket, new Uint8Array(40));

function world() {
  const memory = new HeapMemory(2 ** 16);
  const protection = new PlainProtection(memory);
  const session = (send: number, receive: number) =>
    new TlsSession(memory, protection, { suite: 0x1301, send: SECRETS[send], receive: SECRETS[receive] });
  return { memory, protection, a: session(0, 1), b: session(1, 0) };
}

/** Whether a record sealed under one key opens under the other. */
function fits({ memory, protection }: ReturnType<typeof world>, sealKey: number, openKey: number): boolean {
  const [at, src, dst] = [RECORD.size, 64, 64].map((size) => memory.alloc(size));
  memory.u8.set([23, 3, 3, 0, 32], src);
  memory.u32[(at + RECORD.src) >> 2] = src;
  memory.u32[(at + RECORD.len) >> 2] = 37;
  memory.u8[at + RECORD.hdrLen] = 5;
  memory.u32[(at + RECORD.dst) >> 2] = dst;
  memory.i32[(at + RECORD.key) >> 2] = sealKey;
  protection.sealBatch(at, 1);
  memory.i32[(at + RECORD.key) >> 2] = openKey;
  return protection.openBatch(at, 1) === 1;
}

Deno.test("TlsSession seals with a key that the peer opens with, and makes it once", () => {
  const both = world();
  assert.ok(fits(both, both.a.firstSendKey(), both.b.receiveKey));
  assert.ok(fits(both, both.b.firstSendKey(), both.a.receiveKey));
  assert.throws(() => both.a.firstSendKey(), /once|second/);
});

Deno.test("TlsSession follows a KeyUpdate: the next key, numbers from 0", () => {
  const both = world();
  const before = both.a.firstSendKey();
  both.b.noteOpened();
  assert.equal(both.b.receiveNumber, 1);
  const old = both.b.receiveKey;
  assert.equal(both.b.control(CONTENT_TYPE.handshake, KEY_UPDATE), "keys changed");
  assert.equal(both.b.receiveNumber, 0);
  const next = both.a.nextSendKey();
  assert.ok(fits(both, next, both.b.receiveKey));
  assert.ok(!fits(both, before, both.b.receiveKey));
  assert.notEqual(old, both.b.receiveKey);
  assert.equal(both.b.updateRequested, false);
});

Deno.test("TlsSession remembers that the peer asks for a KeyUpdate until one is made", () => {
  const { a } = world();
  a.firstSendKey();
  const request = emitTlsHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, emitKeyUpdate(true));
  assert.equal(a.control(CONTENT_TYPE.handshake, request), "keys changed");
  assert.equal(a.updateRequested, true);
  a.nextSendKey();
  assert.equal(a.updateRequested, false);
});

Deno.test("TlsSession.control() tells apart what ends a connection and what does not", () => {
  const { handshake, alert, ack } = CONTENT_TYPE;
  const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
  const cases = [
    [handshake, TICKET, "none"],
    [handshake, join(TICKET, TICKET), "none"],
    [handshake, join(TICKET, KEY_UPDATE), "keys changed"],
    [handshake, join(KEY_UPDATE, TICKET), "malformed"],
    [handshake, new Uint8Array(0), "malformed"],
    [handshake, TICKET.subarray(0, 3), "malformed"],
    [handshake, TICKET.subarray(0, 20), "malformed"],
    [handshake, emitTlsHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, Uint8Array.of(2)), "malformed"],
    [handshake, emitTlsHandshakeMessage(HANDSHAKE_TYPE.finished, new Uint8Array(32)), "malformed"],
    [alert, emitAlert(0), "peer closed"],
    [alert, emitAlert(20), "peer failed"],
    [alert, new Uint8Array(3), "malformed"],
    [ack, new Uint8Array(2), "malformed"],
  ] as const;
  for (const [type, bytes, event] of cases) {
    const { a } = world();
    a.firstSendKey();
    assert.equal(a.control(type, bytes), event, `${type}: ${bytes}`);
  }
});

Deno.test("TlsSession takes no more KeyUpdates than a peer has a reason for", () => {
  const { a } = world();
  for (let i = 0; i < 4; i++) assert.equal(a.control(CONTENT_TYPE.handshake, KEY_UPDATE), "keys changed");
  assert.equal(a.control(CONTENT_TYPE.handshake, KEY_UPDATE), "malformed");
});
