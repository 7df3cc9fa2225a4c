/** Every benchmark, one after the other: `deno task bench`. Results go to bench/results/. `--quick` runs each with tiny
 * parameters, to see that it works; its figures mean nothing and are not kept. */

const FOLDER = new URL("./", import.meta.url).pathname;
const RESULTS = `${FOLDER}results`;

interface Bench {
  readonly name: string;
  readonly script: string;
  readonly quick: readonly string[];
  readonly full: readonly string[];
}

const BENCHES: readonly Bench[] = [
  {
    name: "record protection",
    script: "micro/protection.ts",
    quick: ["--count", "64"],
    full: ["--json", `${RESULTS}/protection.json`],
  },
  { name: "framing", script: "micro/framing.ts", quick: ["100", "1"], full: [] },
  { name: "offload", script: "micro/offload.ts", quick: ["10"], full: [] },
  { name: "mux", script: "micro/mux.ts", quick: ["1000", "1", "100"], full: [] },
  { name: "stream bridge", script: "micro/stream_bridge.ts", quick: ["1", "5"], full: [] },
  { name: "lookup", script: "micro/lookup.ts", quick: ["64"], full: [] },
  { name: "idle session", script: "micro/idle_session.ts", quick: ["8"], full: [] },
  { name: "handshakes", script: "micro/handshake.ts", quick: ["2"], full: [] },
  { name: "strangers", script: "micro/strangers.ts", quick: ["200"], full: [] },
  {
    name: "pacing",
    script: "pacing/main.ts",
    quick: ["--seconds", "0.2"],
    full: ["--out", RESULTS],
  },
  {
    name: "pacing loads",
    script: "pacing/loads.ts",
    quick: ["--minutes", "0.01", "--turn-s", "1.5", "--loads", "iperf3+hogs"],
    full: ["--out", RESULTS],
  },
  {
    name: "shortest interval",
    script: "pacing/shortest.ts",
    quick: ["--seconds", "0.3", "--intervals-us", "2000", "--bursts", "1"],
    full: ["--out", RESULTS],
  },
  {
    name: "tunnel",
    script: "tunnel/main.ts",
    quick: ["--seconds", "1", "--runs", "1", "--intervals", "1000"],
    full: ["--out", RESULTS],
  },
  {
    name: "streams",
    script: "tunnel/streams.ts",
    quick: ["--seconds", "1", "--intervals", "1178", "--streams", "10", "--idle", "20"],
    full: ["--out", RESULTS],
  },
  {
    name: "idle streams",
    script: "tunnel/idle_streams.ts",
    quick: ["--seconds", "1", "--streams", "20"],
    full: ["--out", RESULTS],
  },
  {
    name: "many clients",
    script: "clients/main.ts",
    quick: ["--counts", "2", "--seconds", "1"],
    full: ["--out", RESULTS],
  },
  {
    name: "recovery",
    script: "tunnel/recovery.ts",
    quick: ["--runs", "1", "--only", "address change"],
    full: ["--out", RESULTS],
  },
];

async function run(bench: Bench, quick: boolean): Promise<boolean> {
  console.log(`\n=== ${bench.name}`);
  const args = [
    "run",
    "-A",
    "--v8-flags=--expose-gc",
    `${FOLDER}${bench.script}`,
    ...(quick ? bench.quick : bench.full),
  ];
  const { success } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).spawn().status;
  if (!success) console.log(`${bench.script} failed`);
  return success;
}

const quick = Deno.args.includes("--quick");
const only = Deno.args.filter((arg) => !arg.startsWith("--"));
if (!quick) await Deno.mkdir(RESULTS, { recursive: true });
let failed = 0;
for (const bench of BENCHES) {
  if (only.length > 0 && !only.includes(bench.name.split(" ")[0])) continue;
  if (!await run(bench, quick)) failed++;
}
Deno.exit(failed === 0 ? 0 : 1);
