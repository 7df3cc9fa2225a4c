/** Congestion that the network marks on outer packets reaches the inner ones of their records: RFC 6040 §4.2. */
import assert from "node:assert/strict";
import { ECN, ecnOf, setEcn } from "../../src/wire/ecn.ts";
import { CLIENT_INNER, innerPacket, SERVER_INNER, World } from "./world.ts";

const SEED = Number(Deno.env.get("SIM_SEED") ?? 1);
const SECOND = 1e9;

function marked(ecn: number, len: number, mark: number): Uint8Array {
  const packet = innerPacket(CLIENT_INNER, SERVER_INNER, len, mark);
  setEcn(packet, 0, ecn);
  return packet;
}

/** What arrives at the server of one packet of each kind, while the outer packets say `outer`. */
function carried(outer: (bytes: Uint8Array) => number, len = 100) {
  const world = new World({ seed: SEED });
  assert.ok(world.runUntilUp(3 * SECOND));
  world.run(SECOND);
  world.server.io.ecnOf = outer;
  for (const ecn of [ECN.notEct, ECN.ect1, ECN.ect0, ECN.ce]) {
    world.client.io.tunSubmit(marked(ecn, len, ecn));
    world.client.wake();
    world.run(0.2 * SECOND);
  }
  const { counters, io } = world.server;
  return {
    arrived: io.tunWritten.map((packet) => ecnOf(packet, 0)),
    dropped: counters.get("inner_dropped_congested"),
    markedCount: counters.get("inner_marked_congested"),
  };
}

Deno.test("a mark of the network reaches the inner packets that take one, and others are dropped", () => {
  const { notEct, ect0, ect1, ce } = ECN;
  const as = (arrived: number[], dropped: number, markedCount: number) => ({ arrived, dropped, markedCount });
  assert.deepEqual(carried(() => notEct), as([notEct, ect1, ect0, ce], 0, 0));
  assert.deepEqual(carried(() => ect0), as([notEct, ect1, ect0, ce], 0, 0));
  assert.deepEqual(carried(() => ect1), as([notEct, ect1, ect1, ce], 0, 0));
  assert.deepEqual(carried(() => ce), as([ce, ce, ce], 1, 2));
});

Deno.test("a packet in several records is marked with any of them (RFC 3168)", () => {
  const { notEct, ect0, ce } = ECN;
  const world = new World({ seed: SEED });
  assert.ok(world.runUntilUp(3 * SECOND));
  for (const which of [-1, 0, 1, 2]) { // 1,500 bytes take three records, so one of three in a row is marked
    let count = 0;
    world.server.io.ecnOf = () => count++ % 3 === which ? ce : notEct;
    world.client.io.tunSubmit(marked(ect0, 1500, 1));
    world.client.wake();
    world.run(0.5 * SECOND);
    assert.equal(ecnOf(world.server.io.tunWritten.at(-1)!, 0), which < 0 ? ect0 : ce, `record ${which}`);
  }
  assert.equal(world.server.io.tunWritten.length, 4);
  assert.equal(world.server.counters.get("inner_marked_congested"), 3);
});
