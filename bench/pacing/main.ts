/** Deviation of the pacer from its slots, in its three poll modes, idle and beside two CPU hogs, with a bare C pacer
 * run before each as the measure of the machine. Sends to loopback; needs no root, but without it there is no FIFO.
 *
 *   deno run -A bench/pacing/main.ts [--seconds 5] [--interval-us 1000] [--lead-us 300] [--out DIR] */

import { parseArgs } from "node:util";
import { histogramQuantile, openShim, type PacerState, type Shim, shimPath } from "../../ffi/mod.ts";
import { HIST_BUCKETS, type PollMode, RING } from "../../src/ports/mod.ts";
import { buildBare, runBarePacer } from "./bare.ts";
import { makeRing } from "./ring.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    seconds: { type: "string", default: "5" },
    "interval-us": { type: "string", default: "1000" },
    "lead-us": { type: "string", default: "300" },
    out: { type: "string" },
  },
});
const SECONDS = Number(values.seconds);
const INTERVAL_NS = Number(values["interval-us"]) * 1000;
const LEAD_MAX_NS = Math.min(Number(values["lead-us"]) * 1000, 0.3 * INTERVAL_NS);
const HOGS = 2;

interface Row {
  readonly pacer: string;
  readonly load: string;
  readonly leadUs: number;
  readonly slots: number;
  readonly skipped: number;
  readonly late: number;
  readonly p50Ns: number;
  readonly p90Ns: number;
  readonly p99Ns: number;
  readonly p999Ns: number;
  readonly maxNs: number;
}

async function runBare(path: string, load: string, leadNs: number, cpu: number): Promise<Row> {
  const plan = { intervalNs: INTERVAL_NS, leadNs, seconds: SECONDS, burst: 1, cpu };
  const { slots, skipped, late, p50, p90, p99, p999, max } = await runBarePacer(path, plan);
  const quantiles = { p50Ns: p50, p90Ns: p90, p99Ns: p99, p999Ns: p999, maxNs: max };
  return { pacer: "bare C", load, leadUs: leadNs / 1e3, slots, skipped, late, ...quantiles };
}

async function runOurs(
  shim: Shim,
  pollMode: PollMode,
  load: string,
): Promise<{ row: Row; state: PacerState }> {
  shim.pacer.start({
    pollMode,
    fifo: true,
    cpu: "auto",
    calibrateMs: 500,
    leadNs: 0,
    leadMaxNs: LEAD_MAX_NS,
  });
  const { ring, fd, sink } = makeRing(shim, SECONDS, INTERVAL_NS, 1);
  const f64 = (field: number) => shim.memory.f64[(ring + field) >>> 3];
  shim.pacer.ringStart(ring);
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  const state = shim.pacer.state();
  shim.pacer.stop();
  const hist = shim.memory.u32.slice((ring + RING.hist) >>> 2, ((ring + RING.hist) >>> 2) + HIST_BUCKETS);
  const row = {
    pacer: pollMode,
    load,
    leadUs: state.leadNs / 1e3,
    slots: f64(RING.slots),
    skipped: f64(RING.skipped),
    late: f64(RING.late),
    p50Ns: histogramQuantile(hist, 0.5),
    p90Ns: histogramQuantile(hist, 0.9),
    p99Ns: histogramQuantile(hist, 0.99),
    p999Ns: histogramQuantile(hist, 0.999),
    maxNs: f64(RING.devMaxNs),
  };
  shim.pacer.ringFree(ring);
  shim.close(fd);
  shim.close(sink);
  return { row, state };
}

function print(row: Row): void {
  const us = (ns: number) => (ns / 1e3).toFixed(2).padStart(10);
  const times = [row.p50Ns, row.p90Ns, row.p99Ns, row.p999Ns, row.maxNs].map(us).join("");
  const counts = [row.slots, row.skipped, row.late].map((n) => String(n).padStart(8)).join("");
  console.log(row.pacer.padEnd(8) + row.load.padEnd(8) + row.leadUs.toFixed(0).padStart(8) + counts + times);
}

const bare = await buildBare();
const shim = openShim(shimPath());
const rows: Row[] = [];
const titles = ["lead us", "slots", "skipped", "late"].map((title) => title.padStart(8)).join("");
const quantiles = ["p50 us", "p90 us", "p99 us", "p99.9 us", "max us"].map((title) => title.padStart(10))
  .join("");
console.log("pacer   load    " + titles + quantiles);
for (const load of ["idle", "hogs"]) {
  const hogs = Array.from(
    { length: load === "hogs" ? HOGS : 0 },
    () => new Deno.Command("sh", { args: ["-c", "while :; do :; done"] }).spawn(),
  );
  try {
    for (const pollMode of ["sleepy", "hybrid", "spinny"] as const) {
      const { row, state } = await runOurs(shim, pollMode, load);
      const beside = await runBare(bare, load, state.leadNs, state.cpu);
      rows.push(beside, row);
      print(beside);
      print(row);
    }
  } finally {
    for (const hog of hogs) hog.kill("SIGKILL");
  }
}
if (values.out !== undefined) {
  const machine = { cpus: navigator.hardwareConcurrency, kernel: Deno.osRelease(), seconds: SECONDS };
  await Deno.mkdir(values.out, { recursive: true });
  Deno.writeTextFileSync(
    `${values.out}/pacing.json`,
    JSON.stringify({ machine, intervalNs: INTERVAL_NS, rows }, null, 2) + "\n",
  );
  Deno.writeTextFileSync(`${values.out}/pacing.md`, page(rows, machine));
}

function page(rows: readonly Row[], { cpus, kernel }: { cpus: number; kernel: string }): string {
  const us = (ns: number) => (ns / 1e3).toFixed(2);
  return [
    "# Poll modes",
    "",
    `${cpus} CPUs, Linux ${kernel}; slots of ${
      INTERVAL_NS / 1e3
    } µs, ${SECONDS} s each, sent to loopback. µs of the send call`,
    "from its slot; before each of ours the bare C pacer with the same lead on the same CPU.",
    "",
    "| load | pacer | lead | slots | skipped | late > 100 µs | P50 | P90 | P99 | P99.9 | max |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...rows.map((row) => {
      const times = [row.p50Ns, row.p90Ns, row.p99Ns, row.p999Ns, row.maxNs].map(us);
      const cells = [row.load, row.pacer, row.leadUs.toFixed(0), row.slots, row.skipped, row.late, ...times];
      return `| ${cells.join(" | ")} |`;
    }),
    "",
  ].join("\n");
}
