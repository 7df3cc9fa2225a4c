/* Records of two connections, sealed by the plain protection, with KeyUpdates and damage between. */

import assert from "node:assert/strict";
import { RECORD } from "../../../src/ports/mod.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PlainProtection } from "../../../src/record/plain_protection.ts";
import { TlsSession } from "../../../src/session/tls_session.ts";
import { TcpInbound, type TcpInboundSink, type TcpVerdict } from "../../../src/tunnel/tcp_inbound.ts";
import { CONTENT_TYPE } from "../../../src/wire/content_type.ts";
import { emitTlsHandshakeMessage, HANDSHAKE_TYPE } from "../../../src/wire/handshake_header.ts";
import { emitKeyUpdate } from "../../../src/wire/key_update.ts";
import { emitTlsRecordHeader } from "../../../src/wire/tls_record.ts";

const LEN = 80;
const UPDATE = emitTlsHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, emitKeyUpdate(false));

interface Owner {
  readonly name: string;
  session: TlsSession | undefined;
}

class World implements TcpInboundSink<Owner> {
  readonly memory = new HeapMemory(2 ** 17);
  readonly protection = new PlainProtection(this.memory);
  readonly inbound = new TcpInbound<Owner>(this.memory, this.protection, 4);
  readonly seen: string[] = [];
  readonly senders = new Map<string, { session: TlsSession; key: number; number: number }>();

  owner(name: string, fill: number): Owner {
    const [one, two] = [new Uint8Array(32).fill(fill), new Uint8Array(32).fill(fill + 1)];
    const { memory, protection } = this;
    const sender = new TlsSession(memory, protection, { suite: 0x1301, send: one, receive: two });
    this.senders.set(name, { session: sender, key: sender.firstSendKey(), number: 0 });
    return { name, session: new TlsSession(memory, protection, { suite: 0x1301, send: two, receive: one }) };
  }

  /** Seals `content` as the owner's next record and adds it. */
  add(owner: Owner, contentType: number, content: Uint8Array, damage?: (at: number) => void): void {
    const sender = this.senders.get(owner.name)!;
    const { memory, protection } = this;
    const [src, plain, job] = [LEN, LEN, RECORD.size].map((len) => memory.alloc(len));
    emitTlsRecordHeader(memory.u8, src, 23, LEN - 5);
    memory.u8.set(content, plain);
    memory.u8[plain + content.length] = contentType;
    memory.u32[(job + RECORD.src) >> 2] = src;
    memory.u32[(job + RECORD.len) >> 2] = LEN;
    memory.u8[job + RECORD.hdrLen] = 5;
    memory.i32[(job + RECORD.key) >> 2] = sender.key;
    memory.u32[(job + RECORD.seqLo) >> 2] = sender.number++;
    memory.u32[(job + RECORD.dst) >> 2] = plain;
    protection.sealBatch(job, 1);
    damage?.(src);
    this.inbound.add(owner, src, LEN, this);
  }

  text(owner: Owner, text: string): void {
    this.add(owner, CONTENT_TYPE.applicationData, new TextEncoder().encode(text));
  }

  update(owner: Owner): void {
    this.add(owner, CONTENT_TYPE.handshake, UPDATE);
    const sender = this.senders.get(owner.name)!;
    sender.key = sender.session.nextSendKey();
    sender.number = 0;
  }

  plaintext(owner: Owner, contentType: number, off: number, len: number): TcpVerdict {
    const bytes = this.memory.u8.slice(off, off + len);
    if (contentType === CONTENT_TYPE.applicationData) {
      this.seen.push(`${owner.name}:${new TextDecoder().decode(bytes)}`);
      return "go on";
    }
    const event = owner.session!.control(contentType, bytes);
    this.seen.push(`${owner.name} ${event}`);
    return event === "keys changed" ? event : "go on";
  }

  broken(owner: Owner): void {
    this.seen.push(`${owner.name} broken`);
    owner.session?.close();
    owner.session = undefined;
  }
}

Deno.test("TcpInbound opens records in order, of several connections in one turn", () => {
  const world = new World();
  const [a, b] = [world.owner("a", 1), world.owner("b", 5)];
  for (let i = 0; i < 6; i++) world.text(a, `${i}`);
  world.text(b, "x");
  world.text(a, "6");
  world.inbound.run(world);
  assert.deepEqual(world.seen, ["a:0", "a:1", "a:2", "a:3", "a:4", "a:5", "b:x", "a:6"]);
  assert.equal(a.session!.receiveNumber, 7);
});

Deno.test("TcpInbound opens what stands behind a KeyUpdate under the next key, in the same batch", () => {
  const world = new World();
  const a = world.owner("a", 1);
  world.text(a, "0");
  world.update(a);
  world.text(a, "1");
  world.update(a);
  world.text(a, "2");
  world.inbound.run(world);
  assert.deepEqual(world.seen, ["a:0", "a keys changed", "a:1", "a keys changed", "a:2"]);
  assert.equal(a.session!.receiveNumber, 1);
});

Deno.test("TcpInbound ends a connection at the first record that does not open, and touches no other", () => {
  const world = new World();
  const [a, b] = [world.owner("a", 1), world.owner("b", 5)];
  world.text(a, "0");
  world.add(a, 23, new Uint8Array(3), (at) => world.memory.u8[at + LEN - 1] ^= 1);
  world.text(a, "1");
  world.text(b, "0");
  world.text(a, "2");
  world.inbound.run(world);
  assert.deepEqual(world.seen, ["a:0", "a broken", "b:0"]);
});

Deno.test("TcpInbound ends a connection at a record in the clear, one too short, and one of zeros", () => {
  for (
    const change of [
      (world: World, at: number) => void (world.memory.u8[at] = CONTENT_TYPE.alert),
      undefined,
    ]
  ) {
    const world = new World();
    const a = world.owner("a", 1);
    world.text(a, "0");
    if (change === undefined) world.inbound.add(a, world.memory.alloc(64), 5 + 16, world);
    else world.add(a, 23, new Uint8Array(1), (at) => change(world, at));
    world.text(a, "1");
    world.inbound.run(world);
    assert.deepEqual(world.seen, ["a:0", "a broken"]);
  }
  const world = new World();
  const a = world.owner("a", 1);
  world.add(a, 0, new Uint8Array(0));
  world.inbound.run(world);
  assert.deepEqual(world.seen, ["a broken"]);
});
