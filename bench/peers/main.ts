/** This program beside others: TCP, UDP at 200 Mbit/s, round trips, processor time and memory, both ends on this machine.
 * All take their turn in each round, so that what else the machine does meets all alike. Needs root, iperf3 and ping; the
 * others are built once (Go, Rust) or installed, and who cannot be had is named.
 *
 *   deno task bench:peers [--quick] [--seconds 3] [--rounds 3] [--segmented] [--only NAME,…] [--out DIR]
 *
 * --segmented: the link between the ends takes no packets in one piece, as no wire does. */

import { parseArgs } from "node:util";
import { openShim, shimPath } from "../../ffi/mod.ts";
import { output } from "../../src/demo/child.ts";
import { describeMachine, pacerCpus } from "../../src/demo/machine.ts";
import { Lab, program } from "../tunnel/ends.ts";
import { medians } from "../tunnel/measure.ts";
import type { Contender } from "./contender.ts";
import {
  buildRelay,
  installBoringtun,
  type Installed,
  installOpenvpn,
  installWireguardGo,
  type Missing,
} from "./install.ts";
import { type Figures, measure } from "./measure.ts";
import { openvpn } from "./openvpn.ts";
import { fastest, INTERVALS_US, ours, paced, SINGLES } from "./ours.ts";
import { peersPage, peersPlot, type PeersResult } from "./page.ts";
import { relay } from "./relay.ts";
import { wireguard } from "./wireguard.ts";

const RESULTS = new URL("../results/", import.meta.url).pathname;
/** Of slots that are not sent, above which a rate is not one that the machine holds. */
const SKIPPED_MAX = 0.001;
const GOODPUT_MIN = 0.85;

const { values } = parseArgs({
  args: Deno.args,
  options: {
    quick: { type: "boolean", default: false },
    seconds: { type: "string" },
    rounds: { type: "string" },
    segmented: { type: "boolean", default: false },
    only: { type: "string" },
    out: { type: "string" },
  },
});
const seconds = Number(values.seconds ?? (values.quick ? 1 : 3));
/** So long the largest rate is looked for: a machine that is busy otherwise holds none, and takes long to say so. */
const searchMs = values.quick ? 30_000 : 90_000;
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));

/** One turn of one contender, in a lab of its own. */
async function turn(contender: Contender, duration: number): Promise<Figures> {
  const lab = await Lab.create();
  try {
    if (!values.segmented) {
      for (const place of ["client", "server"] as const) {
        await lab.run(place, "ip", "link", "set", "wan", "gso_max_segs", "65535");
      }
    }
    const running = await contender.start(lab);
    const listener = lab.start("iperf3", "server", ["iperf3", "-s", "--forceflush"]);
    await listener.line(/listening/, 10_000);
    const figures = await measure(lab, running, contender.parts, duration);
    await running.stop();
    return figures;
  } finally {
    await lab.close();
  }
}

type Cpus = Parameters<typeof ours>[2];

/** The fastest setting that this machine holds; the slowest one if it holds none. */
async function largestRate(version: string, cpus: Cpus): Promise<Contender> {
  let contender = ours(version, fastest(INTERVALS_US[INTERVALS_US.length - 1]), cpus);
  const endMs = performance.now() + searchMs;
  for (const intervalUs of INTERVALS_US) {
    if (performance.now() > endMs) return ours(version, fastest(INTERVALS_US[INTERVALS_US.length - 1]), cpus);
    contender = ours(version, fastest(intervalUs), cpus);
    const { goodputRatio = 0, skippedRatio = 1 } = await turn(contender, 1).catch((error) => {
      console.error(String(error));
      return { goodputRatio: 0, skippedRatio: 1 };
    });
    const holds = skippedRatio <= SKIPPED_MAX && goodputRatio >= GOODPUT_MIN;
    const share = `${(100 * goodputRatio).toFixed(1)} % of the payload, ${
      (100 * skippedRatio).toFixed(3)
    } % skipped`;
    console.error(`${contender.name}: ${holds ? "held" : "not held"} (${share})`);
    if (holds) break;
  }
  return contender;
}

/** Who can be had, and who cannot. */
async function others(): Promise<{ contenders: Contender[]; missing: PeersResult["missing"] }> {
  const contenders: Contender[] = [];
  const missing: { name: string; reason: string }[] = [];
  const rows: [string, Promise<Installed | Missing>, (installed: Installed) => Contender][] = [
    ["wireguard-go", installWireguardGo(), (at) => wireguard("wireguard-go", at, ["-f"])],
    [
      "boringtun",
      installBoringtun(),
      (at) => wireguard("boringtun", at, ["--foreground", "--disable-drop-privileges"]),
    ],
    ["OpenVPN", installOpenvpn(), openvpn],
    ["plain C relay", buildRelay(), relay],
  ];
  for (const [name, installing, make] of rows) {
    const result = await installing;
    if ("reason" in result) missing.push({ name, reason: result.reason });
    else contenders.push(make(result));
  }
  return { contenders, missing };
}

async function allContenders(
  cpus: Cpus,
): Promise<{ contenders: Contender[]; missing: PeersResult["missing"] }> {
  const { contenders, missing } = await others();
  const [command, ...args] = program();
  const version = (await output([command, ...args, "version"])).stdout.split("\n")[0];
  const fast = values.only === undefined || values.only.includes("i405")
    ? [await largestRate(version, cpus)]
    : [];
  const own = [paced("sleepy", 5), paced("sleepy", 19), paced("hybrid", 5), SINGLES].map((setting) =>
    ours(version, setting, cpus)
  );
  const all = [...contenders, ...fast, ...own];
  const wanted = values.only?.split(",");
  return {
    missing,
    contenders: all.filter(({ name }) => wanted?.some((part) => name.includes(part)) ?? true),
  };
}

async function main(): Promise<void> {
  const shim = openShim(shimPath());
  const loadAverageBefore = Deno.loadavg()[0];
  const cpus = { client: undefined, server: undefined, ...pacerCpus(shim) };
  const { contenders, missing } = await allContenders(cpus);
  const rows = contenders.map(({ name, version }) => ({ name, version, runs: [] as Figures[], failures: 0 }));
  for (let round = 1; round <= rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      console.error(`round ${round} of ${rounds}: ${contender.name}`);
      try {
        rows[index].runs.push(await turn(contender, seconds));
      } catch (error) {
        rows[index].failures++;
        console.error(String(error));
      }
    }
  }
  const result: PeersResult = {
    date: new Date().toISOString(),
    machine: describeMachine(shim),
    loadAverageBefore,
    seconds,
    rounds,
    link: values.segmented ? "segmented" : "whole",
    missing,
    rows: rows.map((row) => ({ ...row, median: row.runs.length > 0 ? medians(row.runs) : undefined })),
  };
  console.log(peersPage(result));
  const out = values.out ?? (values.quick ? undefined : RESULTS);
  if (out === undefined) return;
  const base = `${out}/peers${values.segmented ? "_segmented" : ""}`;
  await Deno.mkdir(out, { recursive: true });
  await Deno.writeTextFile(`${base}.json`, JSON.stringify(result, null, 2) + "\n");
  await Deno.writeTextFile(`${base}.md`, peersPage(result));
  await Deno.writeTextFile(`${base}.svg`, peersPlot(result));
}

if (Deno.uid() !== 0) {
  console.log("This benchmark makes network namespaces and needs root: skipped.");
  Deno.exit(0);
}
await main();
