/** Stream rings: the pacer over real TCP connections of the loopback. */

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { RING, TRACE_FLAG } from "../../src/ports/mod.ts";
import { CONFIG, message, traceAt, waitForSlots } from "./pacer_support.ts";
import { PLAINTEXT_LEN, RECORD_LEN, ringF64, ringU32, shim, submit, waitUntil } from "./support.ts";
import {
  connectPair,
  link,
  linkKey,
  openStream,
  type Pair,
  Poller,
  startStreamRing,
  streams,
  UPDATE,
} from "./stream_support.ts";

function withPair(body: (pair: Pair, poller: Poller) => void): void {
  shim.pacer.start(CONFIG);
  const poller = new Poller();
  const pair = connectPair(poller);
  try {
    body(pair, poller);
  } finally {
    shim.pacer.stop();
    pair.close();
    poller.close();
  }
}

/** The pacer's invariant: no slot without an account. */
function assertAccounted(ring: number): void {
  const f64 = (field: number) => ringF64(ring, field);
  strictEqual(
    f64(RING.records) + f64(RING.sendErrors) + f64(RING.skipped) + f64(RING.keyless) + f64(RING.socketFull),
    f64(RING.slots),
  );
}

const chaff = new Uint8Array(PLAINTEXT_LEN).with(PLAINTEXT_LEN - 1, 23);

Deno.test("a stream ring writes one record a slot, numbers consecutive, data and chaff alike", () => {
  withPair((pair, poller) => {
    const ring = startStreamRing(200);
    const key = linkKey();
    strictEqual(link(ring, pair.client, key), false);
    for (let i = 0; i < 10; i++) ok(submit(ring, i, message(i + 1)));
    streams.mode(pair.server, "flow");
    poller.until(() => poller.records(2).length >= 60);
    shim.pacer.ringFree(ring);
    const records = poller.records(2);
    ok(records.every((record) => record.length === RECORD_LEN));
    const opened = openStream(records, key.bytes);
    deepStrictEqual(opened.slice(0, 10), Array.from({ length: 10 }, (_, i) => message(i + 1)));
    ok(opened.slice(10).every((plain) => plain!.every((byte, i) => byte === chaff[i])));
    shim.protection.freeKey(key.id);
  });
});

Deno.test("a slot that the socket has no room for takes no number and no plaintext, and is not made up for", () => {
  withPair((pair, poller) => {
    const ring = startStreamRing(4000, 200e3, { traceCount: 4096, timesCount: 4096 });
    const key = linkKey();
    link(ring, pair.client, key);
    const given: Uint8Array[] = [];
    const feed = () => {
      const next = message(1 + given.length % 250);
      if (submit(ring, given.length, next)) given.push(next);
    };
    // Nobody reads: what both kernels hold fills up, and slots are skipped from then on.
    waitUntil("a full socket", () => (feed(), ringF64(ring, RING.socketFull) > 50));
    const full = ringF64(ring, RING.slotNext);
    // Not each of them: the kernel may find room for one yet, and a busy machine be late for another.
    const isFull = (slot: number) => (traceAt(ring, slot).flags & TRACE_FLAG.socketFull) !== 0;
    ok(Array.from({ length: 100 }, (_, back) => full - 1 - back).some(isFull));
    streams.mode(pair.server, "flow");
    poller.until(() => ringF64(ring, RING.slotNext) > full + 400);
    shim.pacer.stop();
    const sent = ringF64(ring, RING.records);
    poller.until(() => poller.records(2).length === sent);
    assertAccounted(ring);
    strictEqual(ringF64(ring, RING.shortWrites), 0);
    strictEqual(ringF64(ring, RING.seqNext), sent);
    const opened = openStream(poller.records(2), key.bytes);
    const data = opened.filter((plain) => plain![0] !== 0);
    deepStrictEqual(data, given.slice(0, data.length));
    strictEqual(data.length, ringF64(ring, RING.dataRecords));
    ok(given.length - data.length <= 16, "what was not sent still lies in the queue");
    shim.pacer.start(CONFIG);
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(key.id);
  });
});

Deno.test("the record at the public number carries the KeyUpdate and no data; the next is number 0 of the new key", () => {
  withPair((pair, poller) => {
    const ring = startStreamRing(300);
    const [first, second] = [linkKey(), linkKey()];
    link(ring, pair.client, first);
    streams.mode(pair.server, "flow");
    waitForSlots(ring, 1);
    shim.pacer.ringUpdate(ring, second.id, 40);
    throws(() => shim.pacer.ringUpdate(ring, second.id, 40), { errnoName: "EBUSY" });
    let given = 0;
    poller.until(() => {
      if (submit(ring, given, message(1 + given % 250))) given++;
      return poller.records(2).length >= 90;
    });
    strictEqual(ringU32(ring, RING.switches), 2);
    shim.pacer.ringFree(ring);
    const records = poller.records(2);
    const before = openStream(records.slice(0, 41), first.bytes);
    deepStrictEqual(before[40]!.subarray(0, UPDATE.length), UPDATE);
    ok(before[40]!.subarray(UPDATE.length).every((byte) => byte === 0));
    const after = openStream(records.slice(41), second.bytes);
    const data = [...before.slice(0, 40), ...after].filter((plain) => plain![0] !== 0);
    deepStrictEqual(data, data.map((_, i) => message(1 + i % 250)));
    for (const key of [first, second]) shim.protection.freeKey(key.id);
  });
});

Deno.test("a ring goes over to another connection between two slots; without one its slots are keyless", () => {
  withPair((pair, poller) => {
    const ring = startStreamRing(600);
    waitForSlots(ring, 20);
    ok(ringF64(ring, RING.keyless) >= 20);
    const keys = [linkKey(), linkKey(), linkKey()];
    link(ring, pair.client, keys[0]);
    streams.mode(pair.server, "flow");
    poller.until(() => poller.records(2).length >= 10);
    strictEqual(streams.close(pair.client), false, "a ring has it");
    link(ring, -1);
    waitUntil("the pacer has let go", () => ringU32(ring, RING.switches) === 2);
    const more = new Poller();
    const other = connectPair(more);
    // A link that the pacer never reached is replaced: nothing is ever sealed under its key.
    const replaced = link(ring, other.client, keys[1]);
    strictEqual(replaced, false);
    strictEqual(link(ring, other.client, keys[2]), true);
    shim.protection.freeKey(keys[1].id);
    streams.mode(other.server, "flow");
    more.until(() => more.records(2).length >= 10);
    shim.pacer.ringFree(ring);
    poller.poll(0);
    const opened = [
      ...openStream(poller.records(2).slice(0, 10), keys[0].bytes),
      ...openStream(more.records(2), keys[2].bytes),
    ];
    ok(opened.every((plain) => plain !== undefined));
    other.close();
    more.close();
    for (const key of [keys[0], keys[2]]) shim.protection.freeKey(key.id);
  });
});

Deno.test("a connection that the peer resets is given up after one send, and says so", () => {
  withPair((pair, poller) => {
    const ring = startStreamRing(600);
    const key = linkKey();
    link(ring, pair.client, key);
    waitForSlots(ring, 20);
    streams.mode(pair.client, "flow");
    streams.remove(pair.server);
    streams.close(pair.server); // with bytes unread: a reset
    waitUntil("a broken link", () => ringU32(ring, RING.broken) === 1);
    poller.until(() => poller.told.some(({ id, event }) => id === 1 && event === "ended"));
    waitForSlots(ring, ringF64(ring, RING.slots) + 10);
    shim.pacer.stop();
    assertAccounted(ring);
    ok(ringF64(ring, RING.keyless) >= 9);
    strictEqual(ringF64(ring, RING.sendErrors), 1);
    shim.pacer.start(CONFIG);
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(key.id);
  });
});

Deno.test("a stream ring takes no addresses, bursts or numbers, and a datagram ring no connection", () => {
  withPair((pair) => {
    for (const over of [{ fd: 1 }, { seqLen: 2 }, { burst: 2 }]) {
      throws(() => startStreamRing(10, 1e6, over), { errnoName: "EINVAL" });
    }
    const ring = startStreamRing(10);
    const key = linkKey();
    throws(() => shim.pacer.ringUpdate(ring, key.id, 1), { errnoName: "EBUSY" });
    throws(() => shim.pacer.ringKeys(ring, key.id, 64, 0), { errnoName: "EINVAL" });
    throws(() => shim.pacer.ringDest(ring, pair.client, { ip: new Uint8Array(4), port: 1 }), {
      errnoName: "EINVAL",
    });
    throws(() => link(ring, pair.client, { ...key, id: 12345 }), { errnoName: "EINVAL" });
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(key.id);
  });
});
