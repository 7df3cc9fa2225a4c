import assert from "node:assert/strict";
import { SleepClock } from "../../../src/cli/sleep_clock.ts";

const SECOND = 1e9;

Deno.test("SleepClock.sleptNs() tells a sleep once, and neither time that passes nor a clock's steps", () => {
  const clock = new SleepClock(1000 * SECOND, 5 * SECOND);
  const look = (uptimeS: number, nowS: number) => clock.sleptNs(uptimeS * SECOND, nowS * SECOND) / SECOND;
  assert.equal(look(1100, 105), 0, "a hundred seconds awake");
  assert.equal(look(1100.01, 105), 0, "a step of the coarser clock");
  assert.equal(look(1100.5, 105), 0, "less than a second");
  assert.equal(look(4701, 106), 3600);
  assert.equal(look(4702, 107), 0, "told already");
  assert.equal(look(4712, 108), 9);
});
