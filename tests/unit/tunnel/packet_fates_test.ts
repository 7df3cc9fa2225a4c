import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import {
  Arrivals,
  FateRows,
  ROW_DIRECTION,
  ROW_LEN,
  StatusReports,
  wallTime,
} from "../../../src/tunnel/packet_fates.ts";
import { PACKET_STATUS_LEN, readU64 } from "../../../src/wire/v0_message.ts";

function lostOf(arrivals: Arrivals): number[] {
  const lost = [];
  for (let number = arrivals.nextLost(); number >= 0; number = arrivals.nextLost()) lost.push(number);
  return lost;
}

Deno.test("Arrivals settles each number once, as come or as lost, in any order within its patience", () => {
  fc.assert(fc.property(
    fc.array(fc.boolean(), { minLength: 200, maxLength: 400 }),
    fc.integer({ min: 1, max: 40 }),
    fc.nat(1000),
    (drops, lostAfter, seed) => {
      const arrivals = new Arrivals(lostAfter);
      const numbers = drops.flatMap((isDropped, number) => isDropped ? [] : [number]);
      // Neighbours change places: nothing is later than `lostAfter` allows.
      for (let i = seed % 2; i + 1 < numbers.length; i += 2) {
        if (numbers[i + 1] - numbers[i] >= lostAfter) continue;
        [numbers[i], numbers[i + 1]] = [numbers[i + 1], numbers[i]];
      }
      const came: number[] = [];
      const lost: number[] = [];
      for (const number of numbers) {
        if (arrivals.receive(number)) came.push(number);
        equal(arrivals.receive(number), false, "a copy");
        lost.push(...lostOf(arrivals));
      }
      const both = new Set([...came, ...lost]);
      equal(both.size, came.length + lost.length);
      const end = Math.max(-1, ...numbers) - lostAfter;
      for (let number = 0; number < end; number++) ok(both.has(number), `${number} has no fate`);
      for (const number of lost) ok(drops[number], `${number} came`);
    },
  ));
});

Deno.test("Arrivals passes over what a peer's count leaves out, at once and for ever", () => {
  const arrivals = new Arrivals(64);
  for (const number of [0, 2 ** 40, 2 ** 40 + 1, 2 ** 52]) equal(arrivals.receive(number), true);
  deepEqual(lostOf(arrivals), []);
  equal(arrivals.receive(5), false);
});

Deno.test("wallTime() adds without losing a nanosecond", () => {
  fc.assert(fc.property(
    fc.integer({ min: 2 ** 43, max: 2 ** 44 }),
    fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    (base256, nowNs) => {
      const out = new Uint8Array(10).fill(0xa5);
      wallTime(base256 * 2 ** 17, nowNs, out, 1);
      equal(new DataView(out.buffer).getBigUint64(1), BigInt(base256) * 2n ** 17n + BigInt(nowNs));
      deepEqual([out[0], out[9]], [0xa5, 0xa5]);
    },
  ));
});

Deno.test("FateRows holds rows until they are taken, and counts what finds no room", () => {
  const rows = new FateRows();
  equal(rows.take(), undefined);
  const times = Uint8Array.from({ length: 16 }, (_, i) => i);
  rows.addReported(ROW_DIRECTION.c2s, 7, times, 0);
  rows.addLost(ROW_DIRECTION.s2c, 8);
  rows.add(ROW_DIRECTION.s2c, 9, times, 8, 0, 2 ** 33 + 5);
  const taken = rows.take()!;
  equal(taken.length, 3 * ROW_LEN);
  deepEqual([...taken.subarray(0, ROW_LEN)], [0, 0, 0, 0, 0, 0, 0, 0, 7, ...times]);
  deepEqual([...taken.subarray(ROW_LEN, 2 * ROW_LEN)], [1, 0, 0, 0, 0, 0, 0, 0, 8, ...new Uint8Array(16)]);
  deepEqual([...taken.subarray(2 * ROW_LEN + 9)], [8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 2, 0, 0, 0, 5]);
  for (let i = 0; i < 3000; i++) rows.addLost(ROW_DIRECTION.c2s, i);
  ok(rows.isHalfFull && rows.dropped === 3000 - 2048);
});

function numbersIn(statuses: Uint8Array): number[] {
  const numbers = [];
  for (let at = 0; at < statuses.length; at += PACKET_STATUS_LEN) {
    equal(statuses[at], 6);
    numbers.push(readU64(statuses, at + 1));
  }
  return numbers;
}

Deno.test("StatusReports says each status again until a record that carried it is acknowledged", () => {
  const reports = new StatusReports();
  for (let number = 0; number < 100; number++) reports.add(number);
  const sent: { numbers: number[]; token: number }[] = [];
  const put = (statuses: Uint8Array, token: number) => sent.push({ numbers: numbersIn(statuses), token }) > 0;
  reports.send(52 * PACKET_STATUS_LEN + 3, 0, put);
  deepEqual(sent.map(({ numbers }) => numbers.length), [52, 48]);
  deepEqual(sent.flatMap(({ numbers }) => numbers), Array.from({ length: 100 }, (_, number) => number));
  sent.forEach(({ token }, index) => reports.counted(token, 10 + index));
  reports.acked(11, 11);
  reports.send(2000, 0.9e9, put);
  equal(sent.length, 2, "not yet");
  reports.send(2000, 1.1e9, put);
  deepEqual(sent[2].numbers, sent[0].numbers);
  reports.acked(10, 10); // of the first copy, which is not waited for any more
  reports.counted(sent[2].token, 20);
  reports.acked(15, 25);
  reports.send(2000, 9e9, put);
  equal(sent.length, 3);
  equal(reports.dropped, 0);
});

Deno.test("StatusReports keeps what is refused, gives up in the end, and has a bound", () => {
  const reports = new StatusReports();
  reports.add(1);
  reports.send(1000, 0, () => false);
  let copies = 0;
  for (let second = 0; second < 20; second++) {
    const tokens: number[] = [];
    reports.send(1000, second * 2e9, (statuses, token) => {
      deepEqual(numbersIn(statuses), [1]);
      return tokens.push(token) > 0;
    });
    for (const token of tokens) reports.counted(token, second);
    copies += tokens.length;
  }
  equal(copies, 9);
  equal(reports.dropped, 1);
  for (let number = 0; number < 10_000; number++) reports.add(number);
  equal(reports.dropped, 1 + 10_000 - 8192);
});
