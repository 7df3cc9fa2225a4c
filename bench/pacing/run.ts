/** All that is measured of slots, on a quiet machine, into bench/results/: slots beside loads in turn with a bare C pacer,
 * poll modes, shortest intervals, and the audit with and without jitter. Needs root, iperf3 and ./i405.
 *
 *   deno task bench:pacing [--minutes 90] [--only loads,modes,shortest,audit] [--out DIR] */

import { parseArgs } from "node:util";

const FOLDER = new URL("./", import.meta.url).pathname;
const PROJECT = new URL("../../", import.meta.url).pathname;
const { values } = parseArgs({
  args: Deno.args,
  options: {
    minutes: { type: "string", default: "90" },
    only: { type: "string", default: "loads,modes,shortest,audit" },
    out: { type: "string", default: `${PROJECT}bench/results` },
  },
});
const MINUTES = Number(values.minutes);
const SHARES = { loads: 0.36, modes: 0.06, shortest: 0.28, audit: 0.3 };
/** Four loads, ours and bare: one round. */
const LOAD_TURNS = 8;
const TURN_MAX_S = 20;
/** Six turns of ours and of the bare pacer. */
const MODE_TURNS = 12;
const INTERVALS_US = "100,50,20,10,8";
const BURSTS = "1,16";
/** Three modes of each, ours and bare. */
const SHORTEST_TURNS = 2 * 3 * 5 * 2;

async function run(command: readonly string[], into?: string): Promise<void> {
  console.log(`\n=== ${command.join(" ")}`);
  const child = new Deno.Command(command[0], {
    args: command.slice(1),
    stdin: "null",
    stdout: into === undefined ? "inherit" : "piped",
    stderr: "inherit",
  });
  if (into === undefined) {
    const { success } = await child.spawn().status;
    if (!success) throw new Error(`${command[0]} failed`);
    return;
  }
  const { stdout } = await child.output(); // its exit code is its verdict
  await Deno.writeFile(into, stdout);
  console.log(new TextDecoder().decode(stdout));
}

const script = (name: string, ...args: string[]) => [
  Deno.execPath(),
  "run",
  "-A",
  "--no-check",
  `${FOLDER}${name}`,
  ...args,
  "--out",
  values.out,
];

const seconds = (share: number, turns: number) => Math.max(0.3, MINUTES * 60 * share / turns).toFixed(1);
await Deno.mkdir(values.out, { recursive: true });
const PARTS: Readonly<Record<string, () => Promise<void>>> = {
  loads: () => {
    const minutes = MINUTES * SHARES.loads;
    const turnS = Math.max(1.5, Math.min(TURN_MAX_S, minutes * 60 / LOAD_TURNS));
    return run(script("loads.ts", "--minutes", minutes.toFixed(2), "--turn-s", turnS.toFixed(1)));
  },
  modes: () => run(script("main.ts", "--seconds", seconds(SHARES.modes, MODE_TURNS))),
  shortest: () => {
    const plan = ["--intervals-us", INTERVALS_US, "--bursts", BURSTS];
    return run(script("shortest.ts", "--seconds", seconds(SHARES.shortest, SHORTEST_TURNS), ...plan));
  },
  audit: () =>
    run(
      [
        `${PROJECT}i405`,
        "audit",
        "--minutes",
        Math.max(0.2, MINUTES * SHARES.audit).toFixed(1),
        "--out",
        `${values.out}/audit.html`,
      ],
      `${values.out}/audit.txt`,
    ),
};
for (const part of values.only.split(",")) {
  const work = PARTS[part];
  if (work === undefined) throw new Error(`There is no part ${part}: use ${Object.keys(PARTS).join(", ")}`);
  await work();
}
