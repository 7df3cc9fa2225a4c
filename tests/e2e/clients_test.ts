/** Several clients of one server: each has its own addresses and key, none speaks for another. The second client runs
 * at the router, whose own address is its outer one. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Ends, INNER_CLIENT, INNER_SECOND, INNER_SERVER } from "./ends.ts";
import { i405Path, isRoot, Lab, type Place } from "./lab.ts";
import { must } from "./process.ts";

const ignore = !isRoot;

async function echoes(lab: Lab, place: Place, ...options: string[]): Promise<boolean> {
  return (await lab.run(place, ["ping", "-c", "3", "-i", "0.2", "-W", "1", ...options])).code === 0;
}

Deno.test({
  name: "two clients have a tunnel each, with their own keys, and do not reach each other",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab);
  await ends.configureSecond();
  await ends.startServer();
  ends.startClient();
  const second = lab.start("router", [i405Path(), "client", "second.toml"]);
  await ends.up();
  await second.waitFor(/tunnel up/);

  assert.ok(await echoes(lab, "client", INNER_SERVER));
  assert.ok(await echoes(lab, "router", INNER_SERVER));
  assert.ok(await echoes(lab, "server", INNER_SECOND));
  assert.ok(!await echoes(lab, "client", INNER_SECOND));
  const { counters, peers } = await ends.status("server");
  assert.ok(counters.inner_destination_refused >= 3);
  assert.deepEqual(peers.map(({ name, state }) => [name, state]), [["laptop", "up"], ["phone", "up"]]);
  for (const { deviation: { p50_ns, p90_ns, p99_ns, p999_ns, max_ns, min_ns } } of peers) {
    const ascending = [0, p50_ns, p90_ns, p99_ns, p999_ns, Math.max(max_ns, -min_ns)];
    assert.deepEqual(ascending, ascending.toSorted((a, b) => a - b), "no quantile lies beyond the largest");
  }

  await ends.client.stopCleanly();
  assert.ok(await echoes(lab, "router", INNER_SERVER), "the other's end changes nothing");
  await second.stopCleanly();
});

Deno.test({ name: "two clients reach each other where the server lets them", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab, { server: { server: { between_clients: true } } });
  await ends.configureSecond();
  await lab.shell("server", "echo 1 > /proc/sys/net/ipv4/ip_forward");
  await ends.startServer();
  ends.startClient();
  const second = lab.start("router", [i405Path(), "client", "second.toml"]);
  await ends.up();
  await second.waitFor(/tunnel up/);
  assert.ok(await echoes(lab, "client", INNER_SECOND));
  await second.stopCleanly();
});

Deno.test(
  { name: "an inner packet with another's source address is dropped and counted", ignore },
  async () => {
    await using lab = await Lab.create();
    const ends = await Ends.start(lab);
    await lab.must("client", ["ip", "address", "add", `${INNER_SECOND}/32`, "dev", "i405"]);
    assert.ok(!await echoes(lab, "client", "-I", INNER_SECOND, INNER_SERVER));
    assert.ok(await echoes(lab, "client", "-I", INNER_CLIENT, INNER_SERVER));
    const { counters } = await ends.status("server");
    assert.ok(counters.inner_source_refused >= 3);
  },
);

Deno.test(
  { name: "a stranger with a wrong key leaves the session of another alone", ignore },
  async () => {
    await using lab = await Lab.create();
    const ends = await Ends.start(lab);
    const client = await Deno.readTextFile(`${lab.dir}/client.toml`);
    await lab.file("wrong.key", await must([i405Path(), "keygen"]));
    await lab.file("wrong.toml", client.replace("client.key", "wrong.key").replaceAll("/client.", "/wrong."));
    const stranger = lab.start("router", [i405Path(), "client", "wrong.toml"]);
    await ends.server.waitFor(/handshake refused/);
    assert.ok(await echoes(lab, "client", INNER_SERVER));
    await stranger.stopCleanly();
    assert.ok(await echoes(lab, "client", INNER_SERVER));
    const { peers } = await ends.status("server");
    assert.deepEqual(peers.map(({ state }) => state), ["up"]);
  },
);
