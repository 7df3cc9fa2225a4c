/* Records as they come from the network, opened under the sessions that they may belong to. */

import assert from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { suiteById } from "../../../src/crypto/suites.ts";
import { plainAead } from "../../../src/crypto/aead.ts";
import { trafficKeys } from "../../../src/crypto/traffic_keys.ts";
import {
  emitUnifiedHeader,
  UNIFIED_HEADER_LEN_MAX,
  UnifiedHeader,
} from "../../../src/wire/dtls_unified_header.ts";
import { EpochKeys } from "../../../src/record/handshake_records.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PlainProtection } from "../../../src/record/plain_protection.ts";
import { Session } from "../../../src/session/session.ts";
import { COUNTERS_LEN, DataCounters } from "../../../src/tunnel/counters.ts";
import { Inbound, type InboundPeer } from "../../../src/tunnel/inbound.ts";

const SUITE = suiteById(0x1301);
const RECORDS_PER_NS = 1e-3;
const DATAGRAM_LEN_MAX = 512;
const ID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const OTHER_ID = ID.toReversed();

interface Taken {
  readonly session: Session;
  readonly number: number;
  readonly text: string;
}

class World {
  readonly memory = new HeapMemory(2 ** 18);
  readonly peer: InboundPeer = { index: 0, current: undefined, pending: undefined };
  readonly counters: DataCounters;
  readonly taken: Taken[] = [];
  readonly #protection = new PlainProtection(this.memory);
  readonly #inbound: Inbound;
  readonly #datagram: number;

  constructor() {
    this.counters = new DataCounters(this.memory, this.memory.alloc(COUNTERS_LEN));
    this.#inbound = new Inbound(this.memory, this.#protection, this.counters, 8);
    this.#datagram = this.memory.alloc(8 * DATAGRAM_LEN_MAX);
  }

  session(receive: Uint8Array, side?: number): Session {
    const secrets = {
      suite: SUITE.id,
      send: new Uint8Array(32),
      receive,
      sendMessageSeq: 0,
      receiveMessageSeq: 0,
      connectionIds: side === undefined ? undefined : { own: ID, peer: new Uint8Array(0), rrc: true },
    };
    const options = { rekeyRecords: 1000, rekeyBlock: 100, receiveRate: RECORDS_PER_NS, side };
    return new Session(this.memory, this.#protection, secrets, options, 0);
  }

  /** What `Inbound.add` says to each record of one datagram whose connection id names the session of this side. */
  add(side: number, ...records: readonly Uint8Array[]): number[] {
    this.#inbound.beginTurn();
    const end = this.#datagram + records.reduce((len, record) => len + record.length, 0);
    this.memory.u8.set(concat(...records), this.#datagram);
    let at = this.#datagram;
    const said = records.map((record) => {
      at += record.length;
      return this.#inbound.add(this.peer, at - record.length, end, { side, first: this.#datagram, rx: 0 });
    });
    this.#run(1);
    return said;
  }

  /** Takes datagrams of one record each, in one batch. */
  receive(nowNs: number, ...datagrams: readonly Uint8Array[]): void {
    this.#inbound.beginTurn();
    datagrams.forEach((datagram, index) => {
      const off = this.#datagram + index * DATAGRAM_LEN_MAX;
      this.memory.u8.set(datagram, off);
      const source = { side: -1, first: off, rx: 0 };
      assert.equal(this.#inbound.add(this.peer, off, off + datagram.length, source), datagram.length);
    });
    this.#run(nowNs);
  }

  #run(nowNs: number): void {
    this.#inbound.run(nowNs, {
      plaintext: ({ session, number, off, len }) => {
        const text = new TextDecoder().decode(this.memory.u8.slice(off, off + len - 1));
        this.taken.push({ session, number, text });
      },
    });
  }
}

const SECRET = new Uint8Array(32).fill(1);
const OTHER_SECRET = new Uint8Array(32).fill(2);
const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("Inbound.run() hands on each record once, in order, and counts replays", () => {
  const world = new World();
  world.peer.current = world.session(SECRET);
  const sealing = new EpochKeys(SUITE, SECRET, 3);
  const [one, two] = ["one", "two"].map((text) => sealing.seal(23, bytes(text)));
  world.receive(1, two, one, two);
  world.receive(2, one);
  assert.deepEqual(world.taken.map(({ text, number }) => [text, number]), [["two", 1], ["one", 0]]);
  assert.equal(world.counters.get("records_replayed"), 2);
  assert.equal(world.counters.get("records_failed"), 0);
});

Deno.test("Inbound.run() finds the session that is about to replace the current one", () => {
  const world = new World();
  world.peer.current = world.session(SECRET);
  world.peer.pending = world.session(OTHER_SECRET);
  const { current, pending } = world.peer;
  const [old, fresh] = [new EpochKeys(SUITE, SECRET, 3), new EpochKeys(SUITE, OTHER_SECRET, 3)];
  world.receive(1, fresh.seal(23, bytes("new")), old.seal(23, bytes("old")));
  assert.deepEqual(world.taken, [
    { session: pending, number: 0, text: "new" },
    { session: current, number: 0, text: "old" },
  ]);
});

Deno.test("Inbound.run() counts a record that opens under no key with each key that it was tried with", () => {
  const world = new World();
  world.peer.current = world.session(SECRET);
  world.peer.pending = world.session(OTHER_SECRET);
  const forged = new EpochKeys(SUITE, new Uint8Array(32).fill(3), 3).seal(23, bytes("forged"));
  world.receive(1, forged, forged);
  assert.equal(world.counters.get("records_failed"), 2);
  assert.equal(world.peer.current.receiveEpochFor(3)!.failedOpens, 2);
  assert.equal(world.peer.pending.receiveEpochFor(3)!.failedOpens, 2);
  assert.deepEqual(world.taken, []);
});

Deno.test("Inbound.run() moves nothing for a record that does not open", () => {
  const world = new World();
  world.peer.current = world.session(SECRET);
  const sealing = new EpochKeys(SUITE, SECRET, 3);
  const records = Array.from({ length: 40 }, (_, index) => sealing.seal(23, bytes(`${index}`)));
  const damaged = records[39].slice();
  damaged[damaged.length - 1] ^= 1;
  world.receive(1, damaged);
  assert.equal(world.peer.current.receiveEpochFor(3)!.expected, 0);
  world.receive(2, records[0]);
  world.receive(3, records[39]);
  assert.deepEqual(world.taken.map(({ number }) => number), [0, 39]);
});

Deno.test("Inbound.add() takes a record for the session that its connection id names, and for no other", () => {
  const world = new World();
  world.peer.current = world.session(SECRET, 1);
  world.peer.pending = world.session(OTHER_SECRET, 0);
  const record = () => new EpochKeys(SUITE, OTHER_SECRET, 3, ID).seal(23, bytes("new"));
  const len = record().length;
  assert.deepEqual(world.add(0, record()), [len]);
  assert.deepEqual(world.taken.map(({ session, text }) => [session === world.peer.pending, text]), [[
    true,
    "new",
  ]]);
  assert.deepEqual(world.add(1, record()), [len]);
  assert.equal(world.counters.get("records_failed"), 1, "opened under no other session's key");
  assert.equal(world.peer.pending.receiveEpochFor(3)!.failedOpens, 0);
});

Deno.test("Inbound.add() passes over a record of an epoch without keys and takes what follows", () => {
  const world = new World();
  world.peer.current = world.session(SECRET);
  const records = [2, 3, 5, 3].map((epoch, number) => {
    const keys = new EpochKeys(SUITE, SECRET, epoch);
    for (let i = 0; i < number; i++) keys.seal(23, bytes(""));
    return keys.seal(23, bytes(`${number}`));
  });
  assert.deepEqual(world.add(-1, ...records), records.map(({ length }) => length));
  assert.deepEqual(world.taken.map(({ text }) => text), ["1", "3"]);
  assert.equal(world.counters.get("records_no_epoch"), 2);
});

/** A record with each legal form of header, RFC 9147 §4: 8 or 16 bits of number, a length or none, an id or none. */
function sealAs(number: number, sequenceLen: 1 | 2, hasLength: boolean, id: Uint8Array): Uint8Array {
  const aead = plainAead(SUITE, trafficKeys(SUITE, "dtls", SECRET));
  const inner = concat(bytes(`${number}`), Uint8Array.of(23));
  const fields = new UnifiedHeader();
  Object.assign(fields, { epochBits: 3, sequenceLen, sequenceBits: number % 256 ** sequenceLen, hasLength });
  fields.bodyLen = inner.length + 16;
  const header = new Uint8Array(UNIFIED_HEADER_LEN_MAX);
  const aad = header.slice(0, emitUnifiedHeader(fields, id, header));
  const sealed = aead.seal(number, aad, inner);
  const record = concat(aad, sealed);
  const mask = aead.mask(sealed.subarray(0, 16));
  for (let i = 0; i < sequenceLen; i++) record[1 + id.length + i] ^= mask[i];
  return record;
}

for (const id of [new Uint8Array(0), ID]) {
  Deno.test(`Inbound.add() takes every legal form of header, connection id of ${id.length} bytes`, () => {
    const world = new World();
    world.peer.current = world.session(SECRET, id.length > 0 ? 0 : undefined);
    let number = 70_000;
    for (const sequenceLen of [1, 2] as const) {
      for (const hasLength of [false, true]) {
        // Far ahead by 16 bits, so that 8 bits are enough for the rest.
        if (number === 70_000) world.peer.current.receiveEpochFor(3)!.accept(number - 1, 0);
        world.add(
          id.length > 0 ? 0 : -1,
          sealAs(number++, sequenceLen, true, id),
          sealAs(number++, sequenceLen, hasLength, id),
        );
      }
    }
    assert.deepEqual(
      world.taken.map(({ text }) => Number(text)),
      Array.from({ length: 8 }, (_, i) => 70_000 + i),
    );
  });
}

Deno.test("Inbound.add() takes no record without a connection id where ids are agreed on", () => {
  const world = new World();
  world.peer.current = world.session(SECRET, 0);
  const plain = new EpochKeys(SUITE, SECRET, 3);
  const record = plain.seal(23, bytes("from a known address"));
  assert.deepEqual(world.add(-1, record), [record.length]);
  assert.equal(world.counters.get("records_no_epoch"), 1);
  const withId = new EpochKeys(SUITE, SECRET, 3, ID);
  assert.deepEqual(world.add(-1, withId.seal(23, bytes("of an unknown id"))), [-1]);
  assert.deepEqual(world.taken, []);
});

Deno.test("Inbound.add() takes later records with the same connection id or none, and refuses another one's", () => {
  const world = new World();
  world.peer.current = world.session(SECRET, 0);
  const seal = (id: Uint8Array, number: number) => {
    const keys = new EpochKeys(SUITE, SECRET, 3, id);
    for (let i = 0; i < number; i++) keys.seal(23, bytes(""));
    return keys.seal(23, bytes(`${number}`));
  };
  const records = [seal(ID, 0), seal(new Uint8Array(0), 1), seal(ID, 2), seal(OTHER_ID, 3)];
  const lens = records.slice(0, 3).map(({ length }) => length);
  assert.deepEqual(world.add(0, ...records), [...lens, -1]);
  assert.deepEqual(world.taken.map(({ text }) => text), ["0", "1", "2"]);
});
