/** TCP and UDP through the tunnel at 1 ms, 100 µs and 50 µs slots of 1,400 bytes each way: goodput against the payload
 * limit, round trips, processor time. Both ends are on this machine, so are iperf3's. Needs root, iperf3 and ping.
 *
 *   deno run -A bench/tunnel/main.ts [--seconds 5] [--runs 3] [--intervals 1000,100,50] [--poll-mode hybrid] [--out DIR] */

import { parseArgs } from "node:util";
import { openShim, shimPath } from "../../ffi/mod.ts";
import { describeMachine, pacerCpus } from "../../src/demo/machine.ts";
import { payloadLimitMbitPerS } from "../../src/demo/traffic.ts";
import { Lab, PACKET_LEN, Tunnel, type TunnelOptions } from "./ends.ts";
import { measure, medians, type RunResult } from "./measure.ts";
import { resultTable } from "./table.ts";

export interface BenchRow {
  readonly intervalUs: number;
  readonly limitMbitPerS: number;
  readonly runs: readonly RunResult[];
  readonly median: RunResult;
}

const { values } = parseArgs({
  args: Deno.args,
  options: {
    seconds: { type: "string", default: "5" },
    runs: { type: "string", default: "3" },
    intervals: { type: "string", default: "1000,100,50" },
    "poll-mode": { type: "string", default: "hybrid" },
    out: { type: "string" },
  },
});

async function benchInterval(intervalUs: number, cpus: TunnelOptions["cpus"]): Promise<BenchRow> {
  const lab = await Lab.create();
  try {
    const pollMode = values["poll-mode"] as TunnelOptions["pollMode"];
    const tunnel = await Tunnel.start(lab, { intervalNs: intervalUs * 1e3, pollMode, cpus });
    const iperfServer = lab.start("iperf3", "server", ["iperf3", "-s", "--forceflush"]);
    await iperfServer.line(/listening/, 10_000);
    const limitMbitPerS = payloadLimitMbitPerS(await tunnel.mtu(), intervalUs * 1e3);
    const runs: RunResult[] = [];
    for (let run = 1; run <= Number(values.runs); run++) {
      console.error(`slots of ${intervalUs} µs, run ${run} of ${values.runs}`);
      runs.push(await measure(lab, tunnel, Number(values.seconds), limitMbitPerS));
    }
    await tunnel.stop();
    return { intervalUs, limitMbitPerS, runs, median: medians(runs) };
  } finally {
    await lab.close();
  }
}

if (Deno.uid() !== 0) {
  console.log("The tunnel benchmark makes network namespaces and needs root: skipped.");
  Deno.exit(0);
}
const shim = openShim(shimPath());
const cpus = { client: undefined, server: undefined, ...pacerCpus(shim) };
const loadAverageBefore = Deno.loadavg()[0];
const rows: BenchRow[] = [];
for (const interval of values.intervals.split(",")) rows.push(await benchInterval(Number(interval), cpus));
const result = {
  date: new Date().toISOString(),
  machine: describeMachine(shim),
  loadAverageBefore,
  packetLen: PACKET_LEN,
  pollMode: values["poll-mode"],
  seconds: Number(values.seconds),
  rows,
};
const table = resultTable(result);
console.log(table);
if (values.out !== undefined) {
  await Deno.mkdir(values.out, { recursive: true });
  await Deno.writeTextFile(`${values.out}/tunnel.json`, JSON.stringify(result, null, 2) + "\n");
  await Deno.writeTextFile(`${values.out}/tunnel.md`, table);
}
