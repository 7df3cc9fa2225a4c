/** The central claim: same seed, idle and busy, give the observer equal traces. And the same comparison fails for each
 * fault that it is meant to find. */

import assert from "node:assert/strict";
import { firstDifference } from "./network.ts";
import { PACER_FAULTS, type PacerFault } from "./sim_pacer.ts";
import { CLIENT_INNER, innerPacket, SERVER_INNER, World, type WorldOptions } from "./world.ts";

type Load = "none" | "bulk" | "bursts";

const UP_NS = 2e9;
const RUN_NS = 8e9;
const STEP_NS = 5e6;

interface Outcome {
  readonly world: World;
  readonly delivered: number;
}

/** Runs one world under a load of inner packets, both ways. `meanwhile` is called once a second. */
function simulate(
  options: WorldOptions,
  load: Load,
  fault: PacerFault = "none",
  meanwhile: (world: World, second: number) => void = () => {},
): Outcome {
  const world = new World(options);
  world.run(UP_NS);
  world.setFault(fault); // not before: the handshake of both runs is the same
  let mark = 0;
  for (let now = 0; now < RUN_NS; now += STEP_NS) {
    world.run(STEP_NS);
    if (now % 1e9 === 0) meanwhile(world, now / 1e9);
    const packets = load === "bulk" ? 3 : load === "bursts" && Math.floor(now / 1e9) % 2 === 0 ? 6 : 0;
    for (let i = 0; i < packets; i++) {
      const len = 40 + (mark * 97) % 1200;
      world.client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, len, mark));
      world.server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, len, mark++));
    }
    if (packets > 0) {
      world.client.wake();
      world.server.wake();
    }
  }
  return { world, delivered: world.server.io.tunWritten.length + world.client.io.tunWritten.length };
}

const SEED = Number(Deno.env.get("SIM_SEED") ?? 1);

for (const load of ["bulk", "bursts"] as const) {
  for (const lossRatio of [0, 0.05]) {
    Deno.test(`idle and ${load} give an observer equal traces at ${lossRatio * 100} % loss (SIM_SEED=${SEED})`, () => {
      const options = { seed: SEED, network: { delayMeanNs: 20e6, delayJitterNs: 4e6, lossRatio } };
      const idle = simulate(options, "none");
      const busy = simulate(options, load);
      assert.equal(firstDifference(busy.world.network.trace, idle.world.network.trace), undefined);
      assert.equal(idle.delivered, 0);
      assert.ok(busy.delivered > 300, `${busy.delivered} packets came through`);
      assert.ok(idle.world.network.trace.length > 1400);
    });
  }
}

Deno.test(`idle and busy are equal across key updates of both sides (SIM_SEED=${SEED})`, () => {
  const options = { seed: SEED, rekeyRecords: 400, network: { delayMeanNs: 20e6, lossRatio: 0.02 } };
  const idle = simulate(options, "none");
  const busy = simulate(options, "bulk");
  assert.equal(firstDifference(busy.world.network.trace, idle.world.network.trace), undefined);
  const heads = new Set(idle.world.network.traceOf("client").map(({ head }) => head.slice(0, 2)));
  assert.ok(heads.size >= 3, `epochs seen: ${[...heads].join(" ")}`);
  assert.ok(busy.delivered > 300, `${busy.delivered} packets came through`);
});

Deno.test(`idle and busy are equal when the server restarts and the client begins anew (SIM_SEED=${SEED})`, () => {
  for (let seed = SEED; seed < SEED + 2; seed++) {
    const options = { seed, network: { delayMeanNs: 20e6, lossRatio: 0.02 } };
    const restart = (world: World, second: number) => {
      if (second === 1) world.kill(world.server);
      if (second === 2) world.startServer();
    };
    const idle = simulate(options, "none", "none", restart);
    const busy = simulate(options, "bulk", "none", restart);
    // Its new hello may not stand behind data in the queue.
    assert.equal(
      firstDifference(busy.world.network.trace, idle.world.network.trace),
      undefined,
      `seed ${seed}`,
    );
    assert.ok(busy.world.client.welcomes.length >= 2 && busy.delivered > 100, `${busy.delivered} packets`);
  }
});

for (const fault of PACER_FAULTS) {
  Deno.test(`the comparison of traces finds a pacer that, when there is data, does: ${fault}`, () => {
    const options = { seed: SEED, network: { delayMeanNs: 20e6 } };
    const idle = simulate(options, "none", fault);
    const busy = simulate(options, "bulk", fault);
    assert.notEqual(firstDifference(busy.world.network.trace, idle.world.network.trace), undefined);
  });
}
