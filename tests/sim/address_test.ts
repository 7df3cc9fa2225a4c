/** Outer addresses change hands. */

import assert from "node:assert/strict";
import { CLIENT_AT, innerPacket, OTHER_INNER, SERVER_INNER, World } from "./world.ts";

const SECOND = 1e9;

Deno.test("a client at an address that was another client's keeps it when that one is forgotten", () => {
  const world = new World({ seed: 51 });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.kill(world.client);
  world.startOther(CLIENT_AT);
  world.client = world.other!; // who lives at that address now
  assert.ok(world.runUntilUp(5 * SECOND));
  world.run(40 * SECOND);
  assert.deepEqual(world.server.closed, ["nothing heard for too long"], "the first one");
  for (let mark = 0; mark < 10; mark++) {
    world.client.io.tunSubmit(innerPacket(OTHER_INNER, SERVER_INNER, 100, mark));
    world.server.io.tunSubmit(innerPacket(SERVER_INNER, OTHER_INNER, 100, mark));
    world.client.wake();
    world.server.wake();
    world.run(0.1 * SECOND);
  }
  assert.equal(world.server.io.tunWritten.length, 10);
  assert.equal(world.client.io.tunWritten.length, 10);
  assert.equal(world.client.client.reconnects, 0);
});
