/** The small parts of a mux, against slow and obviously right ones. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Allowance } from "../../../src/mux/allowance.ts";
import { BufferPool, ByteRing } from "../../../src/mux/byte_ring.ts";
import { DatagramBudget, DatagramParts, DatagramQueue } from "../../../src/mux/datagrams.ts";
import { FairQueue, Turn } from "../../../src/mux/fair_queue.ts";
import { Fifo } from "../../../src/mux/fifo.ts";
import { Greeting } from "../../../src/mux/greeting.ts";
import { Ranges } from "../../../src/mux/ranges.ts";
import { ReceivedPackets } from "../../../src/mux/received_packets.ts";
import { SEND_CREDIT } from "../../../src/ports/mod.ts";

Deno.test("Ranges is a set of numbers in sorted, disjoint, not touching ranges", () => {
  const step = fc.record({ add: fc.boolean(), start: fc.nat(60), len: fc.nat(12) });
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const ranges = new Ranges();
    const set = new Set<number>();
    for (const { add, start, len } of steps) {
      for (let n = start; n < start + len; n++) add ? set.add(n) : set.delete(n);
      add ? ranges.add(start, start + len) : ranges.remove(start, start + len);
      for (let n = 0; n < 80; n++) equal(ranges.has(n), set.has(n));
      equal(ranges.bounds, [...ranges.bounds].sort((a, b) => a - b));
      equal(new Set(ranges.bounds).size, ranges.bounds.length);
    }
  }));
});

Deno.test("Ranges.keepNewest() and closeLowestGap() bound the count from below", () => {
  const ranges = new Ranges();
  for (const start of [1, 5, 9, 13]) ranges.add(start, start + 2);
  ranges.closeLowestGap();
  equal(ranges.bounds, [1, 7, 9, 11, 13, 15]);
  ranges.keepNewest(1);
  equal(ranges.bounds, [13, 15]);
});

Deno.test("Fifo keeps order while it grows and turns", () => {
  fc.assert(fc.property(fc.array(fc.option(fc.nat())), (steps) => {
    const fifo = new Fifo<number>();
    const list: number[] = [];
    for (const value of steps) {
      if (value === null) equal(fifo.shift(), list.shift());
      else fifo.push(value), list.push(value);
      equal([fifo.count, fifo.peek()], [list.length, list[0]]);
    }
  }));
});

Deno.test("ByteRing keeps bytes by offset while it grows and wraps", () => {
  const ring = new ByteRing(new BufferPool(0));
  const base = 2 ** 40 + 200;
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);
  ring.reserve(base, base, base + 100);
  ring.write(base, bytes, 0, 100);
  ring.reserve(base + 50, base + 100, base + 50 + 900);
  ring.write(base + 100, bytes, 100, 850);
  const out = new Uint8Array(902).fill(0xa5);
  ring.read(base + 50, out, 1, 900);
  equal(out.subarray(1, 901), bytes.subarray(50, 950));
  equal([out[0], out[901]], [0xa5, 0xa5]);
});

Deno.test("BufferPool counts what is out and keeps no more than it should", () => {
  const pool = new BufferPool(1024);
  const buffers = [pool.take(1), pool.take(257), pool.take(1024)];
  equal(buffers.map((buffer) => buffer.length), [256, 512, 1024]);
  equal(pool.used, 1792);
  for (const buffer of buffers) pool.give(buffer);
  equal(pool.used, 0);
  equal([pool.take(300) === buffers[1], pool.take(1000) === buffers[2]], [true, false]);
});

Deno.test("Allowance never promises more than all, leaves each stream the least, and gets everything back", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(4), fc.nat(30), fc.nat(200_000)), { maxLength: 200 }), (steps) => {
      const shared = 300_000;
      const allowance = new Allowance(shared);
      const credits: number[] = [];
      for (const [what, pick, most] of steps) {
        const at = pick % Math.max(1, credits.length);
        if (what === 0 || credits.length === 0) credits.push(allowance.first());
        else if (what === 1) allowance.end(credits.splice(at, 1)[0]);
        else if (what === 2) credits[at] = allowance.lowered(credits[at], most);
        else credits[at] = allowance.grown(credits[at]);
        ok(credits.every((credit) => credit >= SEND_CREDIT));
        const promised = credits.reduce((sum, credit) => sum + credit, 0);
        equal(promised + allowance.left, shared + credits.length * SEND_CREDIT);
      }
    }),
  );
});

Deno.test("Allowance asks nothing back while more than half of all is left", () => {
  const allowance = new Allowance(1_000_000);
  const first = allowance.first();
  equal(allowance.lowered(first, 0), first);
  const credits = Array.from({ length: 10 }, () => allowance.first());
  ok(allowance.left < 500_000);
  equal(allowance.lowered(credits[0], 10_000), 10_000);
});

Deno.test("FairQueue gives a head start only to who has something to send", () => {
  const queue = new FairQueue<{ turn: Turn; sendable: boolean }>();
  const blocked = { turn: new Turn(), sendable: false };
  queue.activate(blocked);
  equal([queue.hasFresh, queue.head()], [false, undefined]);
  const ready = { turn: new Turn(), sendable: true };
  queue.activate(ready);
  equal([queue.hasFresh, queue.head()], [true, ready]);
});

Deno.test("DatagramQueue drops the oldest when one association has too many, itself when all have", () => {
  const budget = new DatagramBudget();
  const queue = new DatagramQueue(budget);
  for (let i = 0; i < 300; i++) queue.push(Uint8Array.of(i, i >> 8));
  equal(budget.dropped, 44);
  equal(queue.front, Uint8Array.of(44, 0));
  for (let i = 0; i < 10; i++) queue.push(new Uint8Array(60_000));
  equal(budget.waitingLen, 120_000);
  queue.clear();
  equal(budget.waitingLen, 0);
  const others = Array.from({ length: 40 }, () => new DatagramQueue(budget));
  for (const other of others) other.push(new Uint8Array(65_000)), other.push(new Uint8Array(60_000));
  ok(budget.waitingLen <= 4 * 1024 * 1024);
  equal(others[39].front, undefined);
});

Deno.test("DatagramParts puts parts together in order, and keeps few that are not whole", () => {
  const parts = new DatagramParts();
  equal(parts.add(1, 0, 5, 0, Uint8Array.of(1, 2)), undefined);
  equal(parts.add(3, 0, 4, 0, Uint8Array.of(9, 9)), undefined);
  equal(parts.add(1, 0, 5, 2, Uint8Array.of(3, 4, 5)), Uint8Array.of(1, 2, 3, 4, 5));
  equal(parts.dropped, 0);
  equal(parts.add(3, 0, 4, 3, Uint8Array.of(9)), undefined, "a gap");
  equal(parts.add(3, 1, 4, 2, Uint8Array.of(9, 9)), undefined, "of another datagram");
  equal(parts.add(3, 0, 9, 2, Uint8Array.of(9, 9)), undefined, "of another length");
  equal(parts.add(5, 0, 4, 2, Uint8Array.of(9, 9)), undefined, "no beginning");
  equal(parts.dropped, 4);
  for (let id = 11; id < 111; id++) parts.add(id, 0, 4, 0, Uint8Array.of(1));
  equal(parts.dropped, 4 + 100 + 1 - 16);
});

Deno.test("ReceivedPackets asks for an ack after a while, after a few, or at once after a gap", () => {
  const received = new ReceivedPackets();
  equal([received.ackDue(0), received.deadlineNs], [false, Infinity]);
  received.mark(0, false, 100);
  ok(!received.ackDue(1e12), "nobody asks for an ack of an ack");
  received.mark(1, true, 200);
  equal([received.ackDue(300), received.deadlineNs], [false, 2_000_200]);
  ok(received.ackDue(2_000_200));
  const out = new Uint8Array(300);
  ok(received.emit(out, 0, 300, 400) > 0);
  ok(!received.ackDue(1e12));
  for (let number = 2; number < 10; number++) received.mark(number, true, 500);
  ok(received.ackDue(500));
  received.emit(out, 0, 300, 500);
  received.mark(12, true, 600);
  ok(received.ackDue(600), "a gap");
  equal(received.emit(out, 0, 13, 600), 0, "no room");
});

Deno.test("ReceivedPackets knows what has come, and takes what is too old to tell for known", () => {
  const received = new ReceivedPackets();
  for (let number = 1000; number < 1200; number += 2) received.mark(number, true, 0);
  equal([received.isNew(1198), received.isNew(1199), received.isNew(1197)], [false, true, true]);
  equal([received.isNew(1001), received.isNew(0)], [false, false]);
  received.clear();
  ok(received.isNew(0));
});

Deno.test("Greeting: who restarted is seen, and only what is meant for this instance counts", () => {
  const instance = (n: number) => new Uint8Array(8).fill(n);
  const hello = (from: Greeting) => Uint8Array.of(...from.own, ...from.known);
  const client = new Greeting(instance(1));
  const server = new Greeting(instance(2));
  for (const side of [client, server]) side.renew();
  equal([server.heard(hello(client), 0), server.open], [false, true]);
  equal([client.heard(hello(server), 0), client.open], [false, true]);
  // A new session of the same two.
  for (const side of [client, server]) side.renew();
  equal([client.open, client.due, client.acked], [false, true, false]);
  equal([server.heard(hello(client), 0), server.open], [false, true]);
  // The server starts anew: what the client says to the old one does not count, until it knows the new one.
  const restarted = new Greeting(instance(3));
  for (const side of [client, restarted]) side.renew();
  const late = hello(client);
  equal([restarted.heard(late, 0), restarted.open], [false, false]);
  equal([client.heard(hello(restarted), 0), client.open], [true, true]);
  equal([restarted.heard(hello(client), 0), restarted.open, restarted.counts], [false, true, true]);
  equal([restarted.heard(late, 0), restarted.open, restarted.counts], [false, true, false]);
});

Deno.test("Greeting: an ack counts for what the hello says now only", () => {
  const greeting = new Greeting(new Uint8Array(8).fill(1));
  greeting.renew();
  const before = greeting.version;
  greeting.renew();
  greeting.hasAcked(before);
  ok(!greeting.acked);
  greeting.due = false;
  greeting.hasLost(before);
  ok(!greeting.due);
  greeting.hasLost(greeting.version);
  ok(greeting.due);
  greeting.hasAcked(greeting.version);
  ok(greeting.acked);
});
