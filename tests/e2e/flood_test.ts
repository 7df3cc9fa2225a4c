/** Floods of 40,000 datagrams a second from invented sources, sent by the router: they cost the established client no
 * datagram, keep no new one out, and make nothing grow. The second client runs at the router. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Ends, INNER_SERVER } from "./ends.ts";
import { CLIENT, i405Path, isRoot, Lab, SERVER, tool } from "./lab.ts";
import { readPcap } from "./pcap.ts";
import { sleep, until } from "./process.ts";

const ignore = !isRoot;
const RATE = 20_000;
const SECONDS = 5;
const ECHOES = 700;
/** What the engine's own memory may differ by; a flood holds 300 MB. */
const GROWTH_MAX_KIB = 60_000;

interface Flood {
  readonly kind: string;
  /** As the tool takes it; "own": the established client's address and port. */
  readonly source: string;
  readonly file?: string;
}

/** A lab with an established client, and its hellos in files for the flooder. */
async function established(lab: Lab): Promise<{ ends: Ends; own: string }> {
  const ends = await Ends.configure(lab);
  await ends.configureSecond();
  // Answers to invented addresses end at the router, without an ICMP error for each.
  await lab.shell("router", "ip route add blackhole default");
  const finish = await lab.capture("s", `udp and src host ${CLIENT}`, 1600);
  await ends.startServer();
  ends.startClient();
  await ends.up();
  await ends.answers(INNER_SERVER);
  const seen = readPcap(await finish());
  const hellos = seen.filter(({ payload }) => payload[0] === 22);
  await lab.file("first", hellos.find(({ payload }) => payload[18] === 0)!.payload);
  await lab.file("second", hellos.find(({ payload }) => payload[18] === 1)!.payload);
  return { ends, own: `${CLIENT}:${seen[0].fromPort}` };
}

/** Of a log line, ms. */
function timeOf(line: string): number {
  return Date.parse(line.split(" ")[0]);
}

async function residentKiB(pid: number): Promise<number> {
  return Number(/^VmRSS:\s+(\d+)/m.exec(await Deno.readTextFile(`/proc/${pid}/status`))![1]);
}

async function withstands(floods: readonly Flood[]): Promise<Readonly<Record<string, number>>> {
  await using lab = await Lab.create();
  const program = await tool("flood");
  const { ends, own } = await established(lab);
  const beforeKiB = await residentKiB(ends.server.pid);
  const [before, beforeClient] = await Promise.all(
    (["server", "client"] as const).map(async (role) => (await ends.status(role)).counters),
  );
  const running = floods.map(({ kind, source, file }, seed) => {
    const from = source === "own" ? own : source;
    const numbers = [String(RATE), String(RATE * SECONDS), String(seed)];
    const files = file === undefined ? [] : [file];
    return lab.must("router", [program, kind, SERVER, "1405", from, ...numbers, ...files]);
  });
  await sleep(300);
  const echoes = lab.run("client", [
    "ping",
    "-q",
    "-i",
    "0.005",
    "-c",
    String(ECHOES),
    "-W",
    "2",
    INNER_SERVER,
  ]);
  const second = lab.start("router", [i405Path(), "client", "second.toml"]);
  const done = await second.waitFor(/handshake done/);
  for (const count of await Promise.all(running)) assert.equal(Number(count), RATE * SECONDS);
  await echoes;
  const { counters } = await ends.status("server");
  const { counters: ofClient } = await ends.status("client");
  const told = [counters, ofClient, second.lines].map((part) => JSON.stringify(part));
  // Not what ping counts: on a busy machine its own socket overflows.
  const asked = counters.inner_packets_in - before.inner_packets_in;
  const answered = ofClient.inner_packets_in - beforeClient.inner_packets_in;
  assert.deepEqual([asked, answered], [ECHOES, ECHOES], told.join("\n"));
  // Its first slot is when its pacer has started: how long a machine under load takes to start a program is not asked.
  const afterMs = timeOf(done) - timeOf(await second.waitFor(/pacer started/));
  assert.ok(afterMs < 3000, `a new client got in after ${afterMs} ms\n${told.join("\n")}`);
  await until(
    async () => (await ends.status("server")).peers.every(({ state }) => state === "up") || undefined,
    () => "a client lost its session",
  );
  assert.deepEqual(ends.client.lines.filter((line) => /reconnecting/.test(line)), []);
  const grownKiB = await residentKiB(ends.server.pid) - beforeKiB;
  assert.ok(grownKiB < GROWTH_MAX_KIB, `memory grew by ${grownKiB} KiB`);
  await ends.client.stopCleanly();
  const lost = (await ends.trace("client")).filter(({ sent }) => !sent).length;
  assert.ok(lost < 100, `${lost} slots of thousands were lost`); // a busy machine loses some without any flood
  return Object.fromEntries(
    Object.entries(counters).map(([name, value]) => [name, value - (before[name] ?? 0)]),
  );
}

Deno.test(
  { name: "20,000 first hellos and 20,000 datagrams of junk a second from anywhere", ignore },
  async () => {
    const counts = await withstands([
      { kind: "hellos", source: "any", file: "first" },
      { kind: "junk", source: "any" },
    ]);
    assert.equal(counts.socket_dropped, 0);
    assert.ok(counts.hello_replied + counts.hello_limited > 0.99 * RATE * SECONDS, "all hellos are counted");
    assert.ok(counts.datagrams_unknown_sender > 0.98 * RATE * SECONDS, "all junk is counted");
  },
);

Deno.test({
  name:
    "20,000 forged cookies from anywhere and 20,000 shaped datagrams a second from the client's own address",
  ignore,
}, async () => {
  const counts = await withstands([
    { kind: "cookies", source: "any", file: "second" },
    { kind: "shaped", source: "own" },
  ]);
  assert.equal(counts.socket_dropped, 0);
  assert.ok(counts.hello_dropped + counts.hello_limited > 0.99 * RATE * SECONDS, "all cookies are counted");
});
