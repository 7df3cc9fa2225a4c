/** Bad networks: a relay (tools/relay.c) at the router stands between client and server.
 * The client's peer is 10.61.1.1:1405, the relay sends on to 10.61.2.2:1405. */
import assert from "node:assert/strict";
import { downloadEquals, Ends, INNER_SERVER, noise } from "./ends.ts";
import { isRoot, Lab, ROUTER, SERVER, tool } from "./lab.ts";
import type { Program } from "./process.ts";

const ignore = !isRoot;

interface RelayCounters {
  readonly in: readonly [number, number];
  readonly lost: readonly [number, number];
  readonly duplicated: readonly [number, number];
  readonly corrupted: readonly [number, number];
  readonly overflow: number;
  readonly rebinds: number;
}

async function startRelay(lab: Lab, ...options: string[]): Promise<Program> {
  const relay = lab.start("router", [
    await tool("relay"),
    ROUTER,
    "1405",
    SERVER,
    "1405",
    "seed=7",
    ...options,
  ]);
  await relay.waitFor(/^ready$/);
  return relay;
}

async function stopRelay(relay: Program): Promise<RelayCounters> {
  await relay.stop();
  const counters = JSON.parse(relay.lines.at(-1)!);
  assert.equal(counters.overflow, 0, "the relay itself kept up");
  return counters;
}

const startEnds = (lab: Lab) => Ends.start(lab, { peer: `${ROUTER}:1405` });

for (const [percent, len] of [[0, 1_000_000], [1, 1_000_000], [5, 300_000], [20, 20_000]] as const) {
  Deno.test(
    { name: `with ${percent} % loss both ways the tunnel comes up and a download is whole`, ignore },
    async () => {
      await using lab = await Lab.create();
      const relay = await startRelay(lab, `loss=${percent / 100}`);
      const ends = await startEnds(lab);
      await ends.answers(INNER_SERVER);
      await downloadEquals(lab, noise(len), INNER_SERVER, 120_000);
      const counters = await stopRelay(relay);
      assert.equal(counters.lost[0] > 0, percent > 0);
    },
  );
}

Deno.test({ name: "with reordering a download is whole and no record is taken twice", ignore }, async () => {
  await using lab = await Lab.create();
  const relay = await startRelay(lab, "delay=2", "jitter=8");
  const ends = await startEnds(lab);
  await downloadEquals(lab, noise(300_000), INNER_SERVER);
  const { counters } = await ends.status("client");
  assert.equal(counters.records_replayed, 0);
  await stopRelay(relay);
});

Deno.test(
  { name: "duplicated and corrupted datagrams are dropped and counted, a download is whole", ignore },
  async () => {
    await using lab = await Lab.create();
    const relay = await startRelay(lab, "dup=0.2", "corrupt=0.02");
    const ends = await startEnds(lab);
    await downloadEquals(lab, noise(300_000), INNER_SERVER);
    for (const role of ["client", "server"] as const) {
      const { counters } = await ends.status(role);
      assert.ok(counters.records_replayed > 0, `${role}: replayed records are counted`);
      assert.ok(counters.records_failed > 0, `${role}: forged records are counted`);
    }
    const { duplicated, corrupted } = await stopRelay(relay);
    assert.ok(duplicated[0] > 0 && duplicated[1] > 0 && corrupted[0] > 0 && corrupted[1] > 0);
  },
);

Deno.test({ name: "the client's new source port is followed", ignore }, async () => {
  await using lab = await Lab.create();
  const relay = await startRelay(lab);
  const ends = await startEnds(lab);
  await ends.answers(INNER_SERVER);
  relay.signal("SIGUSR1");
  await ends.answers(INNER_SERVER);
  assert.equal((await stopRelay(relay)).rebinds, 1);
});
