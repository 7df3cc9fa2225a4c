/** Slots missed at short intervals: for one record a slot and for bursts, in each poll mode, beside the bare C pacer's.
 * From long to short, until too many are missed. Sends to loopback; needs root for SCHED_FIFO.
 *
 *   deno run -A bench/pacing/shortest.ts [--seconds 60] [--intervals-us 100,50,20,10,8,5] [--bursts 1,16,44]
 *     [--out DIR] */

import { parseArgs } from "node:util";
import { openShim, type Shim, shimPath } from "../../ffi/mod.ts";
import { type PollMode, RING } from "../../src/ports/mod.ts";
import { buildBare, runBarePacer } from "./bare.ts";
import { makeRing } from "./ring.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    seconds: { type: "string", default: "60" },
    "intervals-us": { type: "string", default: "250,125,100,50,30,20,15,10,8,5" },
    bursts: { type: "string", default: "1,16,44" },
    out: { type: "string" },
  },
});
const SECONDS = Number(values.seconds);
const INTERVALS_US = values["intervals-us"].split(",").map(Number);
const BURSTS = values.bursts.split(",").map(Number);
const LEAD_MAX_SHARE = 0.3;
const GIVE_UP_SHARE = 0.05;

interface Counts {
  readonly slots: number;
  readonly skipped: number;
  readonly leadNs: number;
  readonly cpu: number;
}

async function run(shim: Shim, pollMode: PollMode, intervalUs: number, burst: number): Promise<Counts> {
  const intervalNs = intervalUs * 1e3;
  shim.pacer.start({
    pollMode,
    fifo: true,
    cpu: "auto",
    calibrateMs: 250,
    leadNs: 0,
    leadMaxNs: LEAD_MAX_SHARE * intervalNs,
  });
  const { ring, fd, sink } = makeRing(shim, SECONDS, intervalNs, burst);
  shim.pacer.ringStart(ring);
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000 - 100));
  const count = (field: number) => shim.memory.f64[(ring + field) >>> 3];
  const { leadNs, cpu } = shim.pacer.state();
  const counts = { slots: count(RING.slots), skipped: count(RING.skipped), leadNs, cpu };
  shim.pacer.stop();
  shim.pacer.ringFree(ring);
  shim.close(fd);
  shim.close(sink);
  return counts;
}

const shim = openShim(shimPath());
const bare = await buildBare();
const lines: string[] = [];
console.log(`${SECONDS} s each, bare C afterwards on the same CPU with the same lead`);
console.log("mode     records  interval us      slots   skipped   bare C skipped");
for (const burst of BURSTS) {
  for (const pollMode of ["sleepy", "hybrid", "spinny"] as const) {
    for (const intervalUs of INTERVALS_US) {
      const { slots, skipped, leadNs, cpu } = await run(shim, pollMode, intervalUs, burst);
      const plan = { intervalNs: intervalUs * 1e3, leadNs, seconds: SECONDS, burst, cpu };
      const beside = await runBarePacer(bare, plan);
      const cells = [[burst, 7], [intervalUs, 13], [slots, 11], [skipped, 10], [beside.skipped, 17]] as const;
      lines.push(`| ${[pollMode, burst, intervalUs, slots, skipped, beside.skipped].join(" | ")} |`);
      console.log(pollMode.padEnd(9) + cells.map(([value, width]) => String(value).padStart(width)).join(""));
      if (skipped > GIVE_UP_SHARE * slots) break;
    }
  }
}
if (values.out !== undefined) {
  await Deno.mkdir(values.out, { recursive: true });
  const head = [
    "# Slots missed at short intervals",
    "",
    `${navigator.hardwareConcurrency} CPUs, Linux ${Deno.osRelease()}; ${SECONDS} s each, sent to loopback; the bare C pacer afterwards on the`,
    "same CPU with the same lead. From long to short, until one slot in twenty is missed.",
    "",
    "| poll mode | records a slot | interval, µs | slots | skipped | bare C skipped |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
  ];
  await Deno.writeTextFile(`${values.out}/pacing_shortest.md`, [...head, ...lines, ""].join("\n"));
}
