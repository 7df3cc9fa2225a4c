/** The tunnel with hellos that need several slots, in virtual time. */

import assert from "node:assert/strict";
import { CLIENT_INNER, innerPacket, SERVER_INNER, TRAIN, World } from "./world.ts";

const SECOND = 1e9;

for (const datagramLen of [548, 700, 1452]) {
  Deno.test(`a tunnel of ${datagramLen} bytes a datagram comes up with each group, all datagrams alike`, () => {
    for (
      const [group, name] of [[0x11ec, "x25519mlkem768"], [0x1d, "x25519"], [0x17, "secp256r1"]] as const
    ) {
      const train = { ...TRAIN, datagramLen };
      const world = new World({ seed: 40, groups: [group], up: train, down: train });
      assert.ok(world.runUntilUp(3 * SECOND), name);
      assert.equal(world.client.client.groupName, name);
      for (const end of ["client", "server"]) {
        const lens = world.network.traceOf(end).map(({ len }) => len);
        assert.deepEqual([...new Set(lens)], [datagramLen], `${end}, ${name}`);
      }
    }
  });
}

for (const lossRatio of [0.1, 0.4]) {
  Deno.test(`a tunnel of 548 bytes a datagram comes up at ${lossRatio * 100} % loss with disorder and damage`, () => {
    const train = { ...TRAIN, datagramLen: 548 };
    for (let seed = 1; seed <= 10; seed++) {
      const network = {
        ...{ lossRatio, delayMeanNs: 30e6, delayJitterNs: 10e6, duplicateRatio: 0.05, corruptRatio: 0.02 },
        ...{ reorderRatio: 0.2, reorderDelayNs: 60e6 },
      };
      const world = new World({ seed, up: train, down: train, network });
      assert.ok(world.runUntilUp(120 * SECOND), `seed ${seed}`);
      assert.equal(world.client.client.groupName, "x25519mlkem768");
    }
  });
}

Deno.test("slots of 10 s with 548 bytes are enough for a hello of three datagrams", () => {
  const train = { ...TRAIN, datagramLen: 548, intervalNs: 10e9, jitterSdNs: 0.5e9 };
  const world = new World({ seed: 41, up: train, down: train });
  assert.ok(world.runUntilUp(150 * SECOND), world.client.log.join("\n"));
  world.client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, 100, 1));
  world.client.wake();
  world.run(60 * SECOND);
  assert.equal(world.server.io.tunWritten.length, 1);
});

Deno.test("a client shows the same slots whichever group it uses", () => {
  const traceOf = (group: number) => {
    const world = new World({ seed: 42, groups: [group] });
    assert.ok(world.runUntilUp(3 * SECOND));
    world.run(SECOND);
    return world.network.traceOf("client").slice(0, 100).map(({ timeNs, len }) => `${timeNs} ${len}`);
  };
  const hybrid = traceOf(0x11ec);
  assert.equal(hybrid.length, 100);
  assert.deepEqual(traceOf(0x1d), hybrid);
});
