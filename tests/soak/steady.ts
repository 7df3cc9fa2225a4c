/** One minute and more at 1 ms slots each way: idle, then iperf3 in both directions, then both beside two CPU hogs.
 * After each, a bare C pacer runs as long on the client's CPU beside the same load without a tunnel: what the machine
 * itself does. Writes bench/results/steady.md and ends with 1 when a promise is broken. Needs root and ./i405.
 *
 *   deno run -A tests/soak/steady.ts [--seconds 60] [--out FILE] */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { Ends, INNER_SERVER, PACKET_LEN } from "../e2e/ends.ts";
import { CLIENT, Lab, listening, SERVER } from "../e2e/lab.ts";
import { assertPacketsAreSlots, assertUniform, dataRecords, sentBy } from "../e2e/observer.ts";
import { readPcap } from "../e2e/pcap.ts";
import { must, run } from "../e2e/process.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: { seconds: { type: "string", default: "60" }, out: { type: "string" } },
});
const SECONDS = Number(values.seconds);
const INTERVAL_US = 1000;
const HOGS = 2;
/** Lead of the pacer and of the bare one; ours calibrates up to it. */
const LEAD_US = 300;
/** What ours may have more than the bare pacer, skipped and late together (issue: + 10). */
const SLACK = 10;

interface Load {
  readonly name: string;
  readonly traffic: boolean;
  readonly hogs: boolean;
}

const LOADS: readonly Load[] = [
  { name: "idle", traffic: false, hogs: false },
  { name: "iperf3 both ways", traffic: true, hogs: false },
  { name: "idle beside two hogs", traffic: false, hogs: true },
  { name: "iperf3 beside two hogs", traffic: true, hogs: true },
];

interface Counts {
  readonly slots: number;
  readonly skipped: number;
  readonly late: number;
}

interface Row {
  readonly load: string;
  readonly who: string;
  readonly counts: Counts;
  readonly p50Ns: number | undefined;
  readonly p99Ns: number | undefined;
  readonly mbits: string;
}

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

async function withHogs<T>(count: number, work: () => Promise<T>): Promise<T> {
  const hogs = Array.from(
    { length: count },
    () => new Deno.Command("sh", { args: ["-c", "while :; do :; done"] }).spawn(),
  );
  try {
    return await work();
  } finally {
    for (const hog of hogs) hog.kill("SIGKILL");
    await Promise.all(hogs.map((hog) => hog.status));
  }
}

/** iperf3 both ways through `address` for the whole time; Mbit/s up and down, as text. */
async function traffic(lab: Lab, address: string, limit: string[]): Promise<string> {
  const server = lab.start("server", ["iperf3", "-s", "-1"]);
  await listening(lab, "server", 5201);
  const args = ["iperf3", "-J", "-c", address, "-t", String(SECONDS), "--bidir", ...limit];
  const { stdout } = await lab.run("client", args, { timeoutMs: (SECONDS + 20) * 1000 });
  await server.stop();
  const end = JSON.parse(stdout).end;
  const mbits = (sum: { bits_per_second: number }) => (sum.bits_per_second / 1e6).toFixed(2);
  return `${mbits(end.sum_received)} / ${mbits(end.sum_received_bidir_reverse)}`;
}

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

interface PeerCounts {
  readonly slots: Readonly<Record<string, number>>;
}

function difference(a: PeerCounts, b: PeerCounts): Counts {
  const of = (name: string) => b.slots[name] - a.slots[name];
  return { slots: of("slots"), skipped: of("skipped"), late: of("late") };
}

async function ours(lab: Lab, ends: Ends, load: Load): Promise<Row[]> {
  const before = [(await ends.status("client")).peers[0], (await ends.status("server")).peers[0]];
  const work = () => load.traffic ? traffic(lab, INNER_SERVER, []) : sleep(SECONDS).then(() => "–");
  const mbits = await withHogs(load.hogs ? HOGS : 0, work);
  const after = [(await ends.status("client")).peers[0], (await ends.status("server")).peers[0]];
  const deviation = deviationOf(await ends.trace("client"), difference(before[0], after[0]).slots);
  return ["client", "server"].map((who, i) => ({
    load: load.name,
    who: `i405 ${who}`,
    counts: difference(before[i], after[i]),
    p50Ns: i === 0 ? deviation.p50 : undefined,
    p99Ns: i === 0 ? deviation.p99 : undefined,
    mbits: i === 0 ? mbits : "",
  }));
}

/** |actual − planned| over the last `count` slots of the trace that were sent. */
function deviationOf(trace: Awaited<ReturnType<Ends["trace"]>>, count: number) {
  const sorted = trace.slice(-count).filter(({ sent }) => sent)
    .map(({ actualNs, plannedNs }) => Math.abs(actualNs - plannedNs)).sort((a, b) => a - b);
  const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  return { p50: at(0.5), p99: at(0.99) };
}

async function bare(lab: Lab, program: string, load: Load): Promise<Row> {
  const args = [INTERVAL_US, LEAD_US, SECONDS, PACKET_LEN - 28, 1, 0].map(String);
  const work = async () => {
    const pacer = run([program, ...args], { timeoutMs: (SECONDS + 20) * 1000 });
    const mbits = load.traffic ? await traffic(lab, SERVER, ["-b", "10M"]) : "–";
    return { mbits, line: JSON.parse((await pacer).stdout) };
  };
  const { mbits, line } = await withHogs(load.hogs ? HOGS : 0, work);
  const { slots, skipped, late, p50, p99 } = line;
  return {
    load: load.name,
    who: "bare C pacer",
    counts: { slots, skipped, late },
    p50Ns: p50,
    p99Ns: p99,
    mbits,
  };
}

function table(rows: readonly Row[]): string {
  const us = (ns: number | undefined) => ns === undefined ? "" : (ns / 1000).toFixed(2);
  return [
    "| load | who | slots | skipped | late > 100 µs | P50 µs | P99 µs | Mbit/s up / down |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map(({ load, who, counts, p50Ns, p99Ns, mbits }) =>
      `| ${load} | ${who} | ${counts.slots} | ${counts.skipped} | ${counts.late} | ${us(p50Ns)} | ${
        us(p99Ns)
      } | ${mbits} |`
    ),
  ].join("\n");
}

/** What does not hold, a line each. */
function broken(rows: readonly Row[]): string[] {
  const lines: string[] = [];
  for (const row of rows) {
    if (row.who === "bare C pacer") continue;
    const reference = rows.find(({ load, who }) => load === row.load && who === "bare C pacer")!;
    const more = row.counts.skipped + row.counts.late - reference.counts.skipped - reference.counts.late;
    if (more > SLACK) {
      lines.push(`${row.who}, ${row.load}: ${more} skipped and late slots more than the bare pacer`);
    }
    if (row.p50Ns !== undefined && row.p50Ns > 1000) {
      lines.push(`${row.who}, ${row.load}: P50 is ${row.p50Ns} ns`);
    }
  }
  return lines;
}

async function measure(): Promise<{ rows: Row[]; wire: string[] }> {
  const program = here("../../build/bench-bare-pacer");
  await must([Deno.env.get("CC") ?? "cc", "-O2", "-o", program, here("../../bench/pacing/bare_pacer.c")]);
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab, {
    client: { pacing: { cpu: 0 } },
    server: { pacing: { cpu: Math.min(1, navigator.hardwareConcurrency - 1) } },
  });
  await ends.startServer();
  const stop = await lab.capture("c", "udp");
  ends.startClient();
  await ends.up();
  const rows: Row[] = [];
  for (const load of LOADS) rows.push(...await ours(lab, ends, load));
  await ends.client.stop();
  const seen = readPcap(await stop());
  const client = sentBy(seen, CLIENT);
  assertUniform(client, PACKET_LEN);
  assertPacketsAreSlots(client, await ends.trace("client"));
  assertUniform(dataRecords(sentBy(seen, SERVER)), PACKET_LEN);
  await ends.server.stop();
  for (const load of LOADS) rows.push(await bare(lab, program, load));
  const wire = [
    `client to server: ${client.length} packets on the wire = slots that were not skipped; one length, one set of header fields`,
  ];
  return {
    rows: rows.sort((a, b) =>
      LOADS.findIndex(({ name }) => name === a.load) - LOADS.findIndex(({ name }) => name === b.load)
    ),
    wire,
  };
}

const { rows, wire } = await measure();
const problems = broken(rows);
const cpu = /^model name\s*:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? "unknown CPU";
const text = `# Steady: 1 ms slots each way, ${SECONDS} s for each load, one run

${cpu}, ${navigator.hardwareConcurrency} CPUs, Linux ${Deno.osRelease()}. Both ends on this machine, the client's pacer on
CPU 0, the server's on CPU 1; hybrid, lead up to ${LEAD_US} µs. The bare C pacer ran afterwards, on CPU 0, as long
beside the same load. Made by \`deno run -A tests/soak/steady.ts\`.

${table(rows)}

${wire.join("\n")}

${
  problems.length === 0
    ? "Every bound holds."
    : `Not held:\n\n${problems.map((line) => `- ${line}`).join("\n")}`
}
`;
console.log(text);
Deno.writeTextFileSync(values.out ?? here("../../bench/results/steady.md"), text);
if (problems.length > 0) Deno.exit(1);
