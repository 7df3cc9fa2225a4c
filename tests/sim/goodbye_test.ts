/** The end of a session, in slots: the inner goodbye, and DTLS's own close_notify behind it. */

import assert from "node:assert/strict";
import { World } from "./world.ts";

const SECOND = 1e9;

/** All that the other side said of the end, when the first datagrams of who says goodbye are lost: 0, 1, 2 … of them. */
function heardOf(from: "client" | "server"): string {
  const heard: string[] = [];
  for (let lostCount = 0; lostCount < 12; lostCount++) {
    const world = new World({ seed: 28 });
    assert.ok(world.runUntilUp(3 * SECOND));
    const { client } = world.client;
    const handle = client.handle.bind(client);
    client.handle = (event, nowNs) => {
      if (event.type === "closed") heard.push(event.reason);
      handle(event, nowNs);
    };
    (from === "client" ? world.client : world.server).stop();
    let count = 0;
    const before = world.network.traceOf(from).length;
    world.network.tap = () => {
      count = world.network.traceOf(from).length - before;
      world.network.conditions = { lossRatio: count <= lostCount ? 1 : 0 };
    };
    world.run(SECOND);
    assert.ok(count > lostCount);
    heard.push(...world.server.closed);
  }
  return heard.join("\n");
}

Deno.test("a client says close_notify behind its goodbye: the server hears whichever comes first", () => {
  const heard = heardOf("client");
  assert.match(heard, /the client closed the session/);
  assert.match(heard, /peer closed/);
});

Deno.test("a server says close_notify behind its goodbye: the client hears whichever comes first", () => {
  const heard = heardOf("server");
  assert.match(heard, /the server closed the session/);
  assert.match(heard, /peer closed/);
});
