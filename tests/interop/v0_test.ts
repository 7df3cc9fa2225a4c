/** ./i405 with a peer of version 0 that shares no code with it: v0_peer.py, which follows the protocol of the deployed
 * program byte for byte and ends where that would end. Topology: tests/e2e/lab.ts. */

import assert from "node:assert/strict";
import { downloadEquals, Ends, INNER_CLIENT, INNER_SERVER, noise, type Table } from "../e2e/ends.ts";
import { CLIENT, isRoot, Lab, SERVER } from "../e2e/lab.ts";
import { assertPacketsAreSlots, assertUniform, sentBy } from "../e2e/observer.ts";
import { readPcap } from "../e2e/pcap.ts";
import { type Program, sleep, until } from "../e2e/process.ts";

const ignore = !isRoot;
const PASSWORD = "seven-words-that-dice-chose-quartz-yodel-anvil";
/** As configured; on the wire 12 bytes less, since version 0 counts a longer header than there is. */
const PACKET_LEN = 1400;
const WIRE_LEN = PACKET_LEN - 12;
const DOWNLOAD_LEN = 300_000;
const PEER = new URL("v0_peer.py", import.meta.url).pathname;

const DIRECTION: Table = { interval: "4 ms", packet_length: PACKET_LEN };
const V0_CLIENT: Readonly<Record<string, Table>> = {
  tunnel: { protocol: "v0", password_file: "password", key_file: undefined },
  up: DIRECTION,
  down: DIRECTION,
  tun: { addresses: [`${INNER_CLIENT}/24`] },
};
const V0_SERVER: Readonly<Record<string, Table>> = {
  client: { protocol: "v0", password_file: "password", key_file: undefined },
};

async function configure(lab: Lab, client: Readonly<Record<string, Table>> = V0_CLIENT): Promise<Ends> {
  await lab.file("password", PASSWORD + "\n");
  return await Ends.configure(lab, { client, server: V0_SERVER });
}

function peer(
  lab: Lab,
  role: "client" | "server",
  options: readonly string[] = [],
  file = "password",
): Program {
  const [where, address] = role === "server"
    ? ["1405", `${INNER_SERVER}/24`]
    : [`${SERVER}:1405`, `${INNER_CLIENT}/24`];
  const command = ["python3", PEER, role, where, "--password-file", file, "--address", address, ...options];
  return lab.start(role, command);
}

/** The peer ends as it should, and nothing killed it before. */
async function stopAlive(program: Program): Promise<void> {
  assert.ok(program.running, program.lines.slice(-5).join("\n"));
  await program.stop("SIGINT");
  assert.equal(program.lines.at(-1), "goodbye", program.lines.slice(-5).join("\n"));
}

/** The newest count of this name that the peer has told. */
function statOf(program: Program, name: string): number {
  // A line that is said between two sessions has no such numbers.
  const line = program.lines.findLast((text) => text.startsWith("stats ") && text.includes(` ${name}=`)) ??
    "";
  return Number(new RegExp(`\\b${name}=(\\d+)`).exec(line)?.[1] ?? NaN);
}

async function pings(lab: Lab, place: "client" | "server", address: string, count = 10): Promise<number> {
  const { stdout } = await lab.run(place, ["ping", "-i", "0.1", "-W", "2", "-c", String(count), address]);
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

async function answers(lab: Lab, place: "client" | "server", address: string, told: Program): Promise<void> {
  await until(
    async () => await pings(lab, place, address, 1) === 1 || undefined,
    () => told.lines.slice(-30).join("\n"),
  );
}

async function dropSome(lab: Lab, percent: number): Promise<void> {
  const rule = `add rule inet loss forward meta l4proto udp numgen random mod 100 < ${percent} drop`;
  const script = [
    "add table inet loss",
    "add chain inet loss forward { type filter hook forward priority 0; }",
    rule,
  ];
  for (const line of script) await lab.must("router", ["nft", line]);
}

for (
  const options of [["--retry", "none", "--ack-epoch", "2"], ["--retry", "cookie"], ["--retry", "x25519"]]
) {
  Deno.test(
    { name: `our client of version 0 with a deployed server: ${options.join(" ")}`, ignore },
    async () => {
      await using lab = await Lab.create();
      const ends = await configure(lab);
      const finish = await lab.capture("c", `udp and src host ${CLIENT}`);
      const server = peer(lab, "server", options);
      await server.waitFor(/listening/);
      ends.startClient();
      await ends.client.waitFor(/tunnel up/);
      await server.waitFor(/^open/);
      assert.ok(server.lines.includes("dtls connected identity=empty"));
      await answers(lab, "client", INNER_SERVER, server);
      assert.equal(await pings(lab, "client", INNER_SERVER), 10);
      assert.equal(await pings(lab, "server", INNER_CLIENT), 10);
      await downloadEquals(lab, noise(DOWNLOAD_LEN), INNER_SERVER);
      await ends.client.stopCleanly();
      await server.waitFor(/closed by the peer/);
      assert.equal(statOf(server, "replayed"), 0);
      await stopAlive(server);
      const up = readPcap(await finish());
      assertUniform(up, WIRE_LEN);
      assertPacketsAreSlots(up, await ends.trace("client"));
    },
  );
}

Deno.test(
  { name: "our server of version 0 with a deployed client: one length, packets are slots", ignore },
  async () => {
    await using lab = await Lab.create();
    const ends = await configure(lab);
    const finish = await lab.capture("s", `udp and src host ${SERVER} and src port 1405`);
    await ends.startServer();
    const client = peer(lab, "client", ["--once"]);
    await client.waitFor(/^open/);
    await ends.server.waitFor(/client up/);
    await answers(lab, "client", INNER_SERVER, client);
    assert.equal(await pings(lab, "client", INNER_SERVER), 10);
    assert.equal(await pings(lab, "server", INNER_CLIENT), 10);
    await downloadEquals(lab, noise(DOWNLOAD_LEN), INNER_SERVER);
    await ends.server.stopCleanly();
    assert.equal((await client.ended()).code, 0, client.lines.slice(-3).join("\n"));
    assert.ok(client.lines.includes("closed by the peer"));
    const down = sentBy(readPcap(await finish()), SERVER);
    // HelloRetryRequest, the flight, ACKs and the answer to the client's handshake stand before the train.
    const trace = await ends.trace("server");
    const slots = trace.filter(({ sent }) => sent).length;
    const train = down.slice(down.length - slots);
    assertUniform(train, WIRE_LEN);
    assertPacketsAreSlots(train, trace);
    assert.ok(down.length - slots <= 12, `${down.length - slots} datagrams beside the train`);
  },
);

for (const role of ["client", "server"] as const) {
  Deno.test(
    { name: `our ${role} of version 0 and a deployed peer at 5 % loss each way`, ignore },
    async () => {
      await using lab = await Lab.create();
      const ends = await configure(lab);
      await dropSome(lab, 5);
      let other: Program;
      if (role === "client") {
        other = peer(lab, "server");
        await other.waitFor(/listening/);
        ends.startClient();
      } else {
        await ends.startServer();
        other = peer(lab, "client");
      }
      await answers(lab, "client", INNER_SERVER, other);
      assert.ok(await pings(lab, "client", INNER_SERVER, 40) >= 25);
      await downloadEquals(lab, noise(100_000), INNER_SERVER);
      assert.ok(other.running, other.lines.slice(-5).join("\n"));
    },
  );

  Deno.test({
    name: `our ${role} of version 0 and a deployed peer: either is ended and started again`,
    ignore,
  }, async () => {
    await using lab = await Lab.create();
    const ends = await configure(lab);
    const startOther = async () => {
      const other = peer(lab, role === "client" ? "server" : "client");
      if (role === "client") await other.waitFor(/listening/);
      return other;
    };
    const startOurs = async () => {
      if (role === "client") ends.startClient();
      else await ends.startServer();
    };
    if (role === "server") await startOurs();
    let other = await startOther();
    if (role === "client") await startOurs();
    await answers(lab, "client", INNER_SERVER, other);
    await other.stop("SIGKILL");
    other = await startOther();
    await answers(lab, "client", INNER_SERVER, other);
    await (role === "client" ? ends.client : ends.server).stop("SIGKILL");
    await sleep(500);
    await startOurs();
    await answers(lab, "client", INNER_SERVER, other);
    assert.ok(other.running, other.lines.slice(-5).join("\n"));
  });

  Deno.test({
    name: `our ${role} of version 0 follows and acknowledges the KeyUpdates of a deployed peer`,
    ignore,
  }, async () => {
    await using lab = await Lab.create();
    const ends = await configure(lab);
    if (role === "server") await ends.startServer();
    const other = peer(lab, role === "client" ? "server" : "client", ["--key-update", "250"]);
    if (role === "client") {
      await other.waitFor(/listening/);
      ends.startClient();
    }
    await answers(lab, "client", INNER_SERVER, other);
    await until(() => statOf(other, "updates") >= 3 || undefined, () => other.lines.slice(-10).join("\n"));
    assert.equal(await pings(lab, "client", INNER_SERVER), 10);
    assert.ok(other.running);
  });
}

for (const role of ["client", "server"] as const) {
  Deno.test(
    { name: `a deployed peer follows and acknowledges the KeyUpdates of our ${role} of version 0`, ignore },
    async () => {
      await using lab = await Lab.create();
      await configure(lab);
      const main = new URL("v0_rekey_main.ts", import.meta.url).pathname;
      const command = [Deno.execPath(), "run", "-A", "--no-check", main, role, `${role}.toml`, "400"];
      let other: Program;
      if (role === "client") {
        other = peer(lab, "server");
        await other.waitFor(/listening/);
        await lab.start("client", command).waitFor(/tunnel up/);
      } else {
        await lab.start("server", command).waitFor(/server started/);
        other = peer(lab, "client");
      }
      await answers(lab, "client", INNER_SERVER, other);
      await until(() => statOf(other, "updated") >= 3 || undefined, () => other.lines.slice(-10).join("\n"));
      assert.equal(await pings(lab, "client", INNER_SERVER), 10);
      await stopAlive(other);
    },
  );
}

/** Lines of the client's file of packets, by direction: sequence number to "lost" or the time on the way, ns. */
async function fatesIn(path: string): Promise<Record<"c2s" | "s2c", Map<number, "lost" | bigint>>> {
  const [heading, ...lines] = (await Deno.readTextFile(path)).trim().split("\n");
  assert.equal(heading, "direction,sequence,sent_ns,received_ns,lost");
  const fates = { c2s: new Map(), s2c: new Map() };
  for (const line of lines) {
    const [direction, sequence, sent, received, lost] = line.split(",");
    const map = fates[direction as "c2s" | "s2c"];
    assert.ok(!map.has(Number(sequence)), `${line}: told twice`);
    map.set(Number(sequence), lost === "1" ? "lost" : BigInt(received) - BigInt(sent));
  }
  return fates;
}

Deno.test({
  name: "our client of version 0 watches its packets to a deployed server, at 5 % loss each way",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  const client = { ...V0_CLIENT, tunnel: { ...V0_CLIENT.tunnel, monitor_packets: "packets.csv" } };
  const ends = await configure(lab, client);
  await dropSome(lab, 5);
  const server = peer(lab, "server");
  await server.waitFor(/listening/);
  ends.startClient();
  await answers(lab, "client", INNER_SERVER, server);
  await pings(lab, "client", INNER_SERVER, 30);
  await sleep(4000);
  await ends.client.stopCleanly();
  await stopAlive(server);
  const fates = await fatesIn(`${lab.dir}/packets.csv`);
  for (const direction of ["c2s", "s2c"] as const) {
    const all = [...fates[direction].values()];
    const times = all.filter((fate) => fate !== "lost");
    assert.ok(
      times.length > 500 && all.length > times.length,
      `${direction}: ${times.length} of ${all.length}`,
    );
    // Both ends have one clock here: none came before its slot, and few long after.
    const early = times.filter((time) => time < -100_000n).length;
    assert.equal(early, 0, `${early} early`);
  }
});

Deno.test(
  { name: "our server of version 0 reports to a deployed client that watches its packets", ignore },
  async () => {
    await using lab = await Lab.create();
    const ends = await configure(lab);
    await dropSome(lab, 5);
    await ends.startServer();
    const client = peer(lab, "client", ["--monitor"]);
    await answers(lab, "client", INNER_SERVER, client);
    await pings(lab, "client", INNER_SERVER, 30);
    await until(
      () => statOf(client, "statuses") > 1000 || undefined,
      () => client.lines.slice(-5).join("\n"),
    );
    assert.ok(statOf(client, "lost") > 10);
    await stopAlive(client);
  },
);

Deno.test({ name: "version 0 with a wrong password: silence, and our client says why", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await configure(lab);
  await lab.file("wrong", "nobody-knows-this-one-velvet-cobalt-harp\n");
  await ends.startServer();
  const other = peer(lab, "client", [], "wrong");
  await sleep(4000);
  assert.ok(!other.lines.includes("dtls connected"));
  await other.stop("SIGINT");
  const limited = ends.server.lines.filter((line) => /handshake refused/.test(line));
  assert.ok(limited.length > 0 && /wrong key/.test(limited[0]), limited.join("\n"));
});
