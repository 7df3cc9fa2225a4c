/** One end's slots beside loads: idle, two CPU hogs, iperf3 through the tunnel, both; in turn with a bare C pacer on the
 * same CPU under the same load. The client's pacer has the last CPU; the server, and all of the tunnel while the bare
 * pacer is measured, are confined to the others. A C receiver at the far end has the kernel stamp what arrives. Needs
 * root, two CPUs and iperf3.
 *
 *   deno run -A bench/pacing/loads.ts [--minutes 10] [--turn-s 20] [--interval-us 1000] [--poll-mode hybrid]
 *     [--loads idle,hogs,iperf3,iperf3+hogs] [--out DIR] */

import { parseArgs } from "node:util";
import { openShim, shimPath } from "../../ffi/mod.ts";
import { histogramBucketNs, histogramQuantile } from "../../ffi/mod.ts";
import { HIST_BUCKETS } from "../../src/ports/mod.ts";
import { allowedCpus, describeMachine } from "../../src/demo/machine.ts";
import { type Child, sleep } from "../../src/demo/child.ts";
import { INNER_SERVER, Lab, OUTER, PORT, Tunnel, type TunnelOptions } from "../tunnel/ends.ts";
import { buildBare, buildReceiver } from "./bare.ts";
import { loadsTable } from "./loads_table.ts";

// Chosen here.
const BARE_PORT = 9405;
const HOGS = 2;
const LEAD_US = 300;
const SETTLE_MS = 500;
const READY_WAIT_MS = 10_000;

/** One turn, ns: by the sender's own clock at the call, and by the kernel's stamps at the far end. */
export interface Turn {
  readonly load: string;
  readonly pacer: "i405" | "bare C";
  readonly slots: number;
  readonly skipped: number;
  readonly late: number;
  /** Of the send call from its slot: counts by bucket of i405_hist_bucket. */
  readonly histogram: readonly number[];
  readonly arrived: Arrived;
}

export interface Arrived {
  readonly packets: number;
  readonly missing: number;
  /** Longer than 5 ms and an interval. */
  readonly gaps: number;
  readonly gap_max: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

const { values } = parseArgs({
  args: Deno.args,
  options: {
    minutes: { type: "string", default: "10" },
    "turn-s": { type: "string", default: "20" },
    "interval-us": { type: "string", default: "1000" },
    "poll-mode": { type: "string", default: "hybrid" },
    loads: { type: "string", default: "idle,hogs,iperf3,iperf3+hogs" },
    out: { type: "string" },
  },
});
const INTERVAL_US = Number(values["interval-us"]);
const TURN_S = Number(values["turn-s"]);
const LOADS = values.loads.split(",");

interface Bench {
  readonly lab: Lab;
  readonly bare: string;
  readonly receiver: string;
  /** The pacer's, and all others as a list. */
  readonly cpu: number;
  readonly others: string;
}

/** Starts what makes a load; all of it ends with `stop`. */
async function startLoad({ lab }: Bench, load: string): Promise<Child[]> {
  const children: Child[] = [];
  if (load.includes("hogs")) {
    for (let i = 0; i < HOGS; i++) {
      children.push(lab.start("hog", "client", ["sh", "-c", "while :; do :; done"]));
    }
  }
  if (load.includes("iperf3")) {
    const server = lab.start("iperf3 server", "server", ["iperf3", "-s", "-1", "--forceflush"]);
    await server.line(/listening/, READY_WAIT_MS);
    const time = String(Math.ceil(TURN_S) + 10);
    const client = lab.start("iperf3", "client", ["iperf3", "-c", INNER_SERVER, "--bidir", "-t", time]);
    children.push(client, server);
  }
  return children;
}

async function measured(bench: Bench, port: number, sender: () => Promise<void>): Promise<Arrived> {
  const { lab, receiver, others } = bench;
  const args = ["wan", String(port), String(INTERVAL_US), String(TURN_S)];
  const child = lab.start("receiver", "server", ["taskset", "-c", others, receiver, ...args]);
  await child.line(/ready/, READY_WAIT_MS);
  await sender();
  return JSON.parse(await child.line(/^\{/, (TURN_S + 10) * 1e3));
}

async function ourTurn(bench: Bench, load: string): Promise<Turn> {
  const tunnel = await Tunnel.start(bench.lab, optionsOf(bench, false));
  const children = await startLoad(bench, load);
  await sleep(SETTLE_MS);
  const state = async () => (await tunnel.status("client")).peers[0];
  let before = await state(), after = before;
  const arrived = await measured(bench, PORT, async () => {
    before = await state();
    await sleep(TURN_S * 1e3 - 100);
    after = await state();
  });
  await stopAll(children);
  await tunnel.stop();
  const count = (key: string) => after.slots[key] - before.slots[key];
  const earlier = countsOf(before.deviation.histogram);
  const histogram = countsOf(after.deviation.histogram).map((value, bucket) => value - earlier[bucket]);
  return {
    load,
    pacer: "i405",
    slots: count("slots"),
    skipped: count("skipped"),
    late: count("late"),
    histogram,
    arrived,
  };
}

/** [from ns, count] of the buckets that hold something to all of them. */
function countsOf(pairs: readonly (readonly [number, number])[]): number[] {
  const counts = new Map(pairs);
  return Array.from({ length: HIST_BUCKETS }, (_, bucket) => counts.get(histogramBucketNs(bucket)) ?? 0);
}

async function bareTurn(bench: Bench, load: string): Promise<Turn> {
  const { lab, bare, cpu } = bench;
  const tunnel = await Tunnel.start(lab, optionsOf(bench, true));
  const children = await startLoad(bench, load);
  await sleep(SETTLE_MS);
  let sent: { slots: number; skipped: number; late: number; histogram: number[] } | undefined;
  const arrived = await measured(bench, BARE_PORT, async () => {
    const leadUs = Math.min(LEAD_US, 0.3 * INTERVAL_US);
    const plan = [INTERVAL_US, leadUs, TURN_S - 0.2, 1372, 1, cpu, OUTER.server, BARE_PORT].map(String);
    const child = lab.start("bare", "client", [bare, ...plan]);
    sent = JSON.parse(await child.line(/^\{/, (TURN_S + 10) * 1e3));
  });
  await stopAll(children);
  await tunnel.stop();
  const { slots, skipped, late, histogram } = sent!;
  return { load, pacer: "bare C", slots, skipped, late, histogram, arrived };
}

/** `isAside`: the client's pacer keeps off the last CPU too. */
function optionsOf({ cpu, others }: Bench, isAside: boolean): TunnelOptions {
  const other = Number(/^\d+/.exec(others)![0]);
  return {
    intervalNs: INTERVAL_US * 1e3,
    pollMode: values["poll-mode"] as TunnelOptions["pollMode"],
    jitter: "none",
    cpus: { client: isAside ? other : cpu, server: other },
    confinedTo: { server: others, client: isAside ? others : undefined },
  };
}

async function stopAll(children: readonly Child[]): Promise<void> {
  for (const child of children) {
    Deno.kill(child.pid, "SIGKILL");
    await child.ended;
  }
}

if (Deno.uid() !== 0) {
  console.log("The loads need a tunnel, and that network namespaces and root: skipped.");
  Deno.exit(0);
}
const shim = openShim(shimPath());
const cpus = allowedCpus(shim);
if (cpus.length < 2) {
  console.log("With one CPU there is none for the pacer: skipped.");
  Deno.exit(0);
}
const loadAverageBefore = Deno.loadavg()[0];
const lab = await Lab.create();
const turns: Turn[] = [];
try {
  const bench = {
    lab,
    bare: await buildBare(),
    receiver: await buildReceiver(),
    cpu: cpus[cpus.length - 1],
    others: cpus.slice(0, -1).join(","),
  };
  const rounds = Math.max(1, Math.round(Number(values.minutes) * 60 / (2 * LOADS.length * TURN_S)));
  for (let round = 0; round < rounds; round++) {
    for (const load of LOADS) {
      // Who is first changes from round to round: what drifts falls on both alike.
      const order = round % 2 === 0 ? [ourTurn, bareTurn] : [bareTurn, ourTurn];
      for (const turn of order) turns.push(await turn(bench, load));
      const [first, second] = turns.slice(-2);
      console.error(
        `${load}: ` +
          [first, second].map(({ pacer, skipped, late, slots, histogram }) =>
            `${pacer} ${skipped} skipped, ${late} late of ${slots}, P99 ${
              histogramQuantile(histogram, 0.99)
            } ns`
          ).join("; "),
      );
    }
  }
} finally {
  await lab.close();
}
const result = {
  date: new Date().toISOString(),
  machine: describeMachine(shim),
  loadAverageBefore,
  intervalUs: INTERVAL_US,
  pollMode: values["poll-mode"],
  turnS: TURN_S,
  turns,
};
const table = loadsTable(result);
console.log(table);
if (values.out !== undefined) {
  await Deno.mkdir(values.out, { recursive: true });
  await Deno.writeTextFile(`${values.out}/pacing_loads.json`, JSON.stringify(result) + "\n");
  await Deno.writeTextFile(`${values.out}/pacing_loads.md`, table);
}
