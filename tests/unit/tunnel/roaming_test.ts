/** One probe at a time, and longer and longer without one when they fail. */

import assert from "node:assert/strict";
import { ADDR, type EndpointAddress, writeAddress } from "../../../src/ports/mod.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { Roaming } from "../../../src/tunnel/roaming.ts";

const SECOND = 1e9;
const COOKIE = new Uint8Array(8).fill(7);
const OTHER = new Uint8Array(8).fill(8);
const at = (n: number): EndpointAddress => ({ ip: Uint8Array.of(192, 0, 2, n), port: 1000 + n });
const placeOf = (n: number) => ({ fd: 3, address: at(n), local: undefined });

function setup() {
  const memory = new HeapMemory(1 << 12);
  const roaming = new Roaming(memory);
  roaming.settle(at(1));
  const block = memory.alloc(ADDR.size);
  const is = (n: number) => {
    writeAddress(memory, block, at(n));
    return { home: roaming.isHome(block), probed: roaming.isProbed(block) };
  };
  const isLate = (n: number, nowNs: number) => {
    writeAddress(memory, block, at(n));
    return roaming.isLate(block, nowNs);
  };
  return { roaming, is, isLate };
}

Deno.test("Roaming.prove() makes the probed place home, and nothing before that does", () => {
  const { roaming, is } = setup();
  assert.deepEqual([is(1), is(2)], [{ home: true, probed: false }, { home: false, probed: false }]);
  assert.ok(roaming.mayProbe(0));
  assert.deepEqual(roaming.begin(placeOf(2), COOKIE, 0, 0), COOKIE);
  assert.deepEqual([roaming.isAnswer(COOKIE), roaming.isAnswer(OTHER)], [true, false]);
  assert.deepEqual([is(1), is(2)], [{ home: true, probed: false }, { home: false, probed: true }]);
  assert.deepEqual(roaming.prove(), placeOf(2));
  assert.deepEqual([is(1), is(2)], [{ home: false, probed: false }, { home: true, probed: false }]);
  assert.deepEqual([roaming.isProbing, roaming.isAnswer(COOKIE)], [false, false]);
  assert.ok(roaming.mayProbe(0));
});

Deno.test("Roaming.begin() turns a probe to another place, which gives it no more time", () => {
  const { roaming, is } = setup();
  roaming.begin(placeOf(2), COOKIE, 0, 0);
  assert.ok(roaming.mayProbe(0.9 * SECOND));
  assert.deepEqual(roaming.begin(placeOf(3), OTHER, 0, 0.9 * SECOND), OTHER);
  assert.deepEqual([is(2).probed, is(3).probed], [false, true]);
  assert.deepEqual([roaming.isAnswer(COOKIE), roaming.isAnswer(OTHER)], [false, true]);
  assert.deepEqual([roaming.isOverdue(SECOND), roaming.mayProbe(SECOND)], [true, false]);
});

Deno.test("Roaming.isOverdue() gives a probe a second and four slots of both sides", () => {
  const { roaming } = setup();
  assert.equal(roaming.isOverdue(100 * SECOND), false, "there is none");
  roaming.begin(placeOf(2), COOKIE, 0.5 * SECOND, 10 * SECOND);
  assert.deepEqual([12.9, 13].map((s) => roaming.isOverdue(s * SECOND)), [false, true]);
});

Deno.test("Roaming.fail() keeps quiet for 1, 2, 4 … 30 s, until a probe succeeds", () => {
  const { roaming, is } = setup();
  let nowNs = 0;
  const failOnce = () => {
    roaming.begin(placeOf(2), COOKIE, 0, nowNs);
    roaming.fail(nowNs, true);
    const from = nowNs;
    while (!roaming.mayProbe(nowNs)) nowNs += 0.5 * SECOND;
    return (nowNs - from) / SECOND;
  };
  assert.deepEqual(Array.from({ length: 7 }, failOnce), [1, 2, 4, 8, 16, 30, 30]);
  assert.equal(is(1).home, true);
  roaming.begin(placeOf(3), COOKIE, 0, nowNs);
  roaming.prove();
  assert.equal(failOnce(), 1);
});

Deno.test("Roaming.fail() has a late answer count for ten seconds, unless something told where the client is", () => {
  const { roaming, is, isLate } = setup();
  roaming.begin(placeOf(2), COOKIE, 0, 0);
  assert.equal(isLate(2, 0), false, "it is not late yet");
  roaming.fail(SECOND, true);
  assert.deepEqual([is(2).probed, roaming.isProbing, roaming.isAnswer(COOKIE)], [false, false, true]);
  assert.deepEqual([2, 3].map((n) => isLate(n, 10.9 * SECOND)), [true, false]);
  assert.equal(isLate(2, 11 * SECOND), false);
  assert.deepEqual(roaming.prove(), placeOf(2));
  assert.deepEqual([is(2).home, isLate(2, SECOND), roaming.isAnswer(COOKIE)], [true, false, false]);
  roaming.begin(placeOf(3), COOKIE, 0, 2 * SECOND);
  roaming.fail(2 * SECOND, false);
  assert.deepEqual([isLate(3, 2 * SECOND), roaming.isAnswer(COOKIE)], [false, false]);
});

Deno.test("Roaming.begin() asks a place again by the cookie before, and another one or a later time by a new one", () => {
  const { roaming, isLate } = setup();
  roaming.begin(placeOf(2), COOKIE, 0, 0);
  roaming.fail(SECOND, true);
  assert.deepEqual(roaming.begin(placeOf(2), OTHER, 0, 2 * SECOND), COOKIE);
  assert.deepEqual([roaming.isAnswer(COOKIE), isLate(2, 2 * SECOND)], [true, false]);
  roaming.fail(3 * SECOND, true);
  assert.deepEqual(roaming.begin(placeOf(3), OTHER, 0, 5 * SECOND), OTHER);
  roaming.fail(6 * SECOND, true);
  assert.deepEqual(roaming.begin(placeOf(3), COOKIE, 0, 16 * SECOND), COOKIE, "ten seconds are over");
});
