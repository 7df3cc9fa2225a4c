/** A machine that sleeps misses as much of the world's time as it sleeps, and no more. */

import assert from "node:assert/strict";
import { EndClock } from "./end_clock.ts";
import { VirtualTime } from "./virtual_time.ts";

Deno.test("EndClock.suspend() stops the clock once for sleeps that overlap, EndClock.stall() does not stop it", () => {
  const world = new VirtualTime();
  const clock = new EndClock(world);
  const ran: number[] = [];
  clock.at(1000, () => void ran.push(world.nowNs()));
  world.runUntil(100);
  clock.suspend(500);
  world.runUntil(300);
  clock.suspend(500); // till 800, 700 in all
  clock.suspend(10);
  assert.deepEqual([clock.asleepNs, clock.isSuspended], [500, true]);
  world.runUntil(900);
  assert.deepEqual([clock.nowNs(), clock.asleepNs, clock.isSuspended], [200, 0, false]);
  clock.stall(900);
  world.runUntil(1100);
  assert.deepEqual([clock.nowNs(), clock.isSuspended], [400, false]);
  clock.suspend(100); // within the stall
  world.runUntil(5000);
  assert.deepEqual([clock.nowNs(), ran], [4200, [1800]]);
});
