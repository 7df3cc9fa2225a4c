/** Round trips of a flow with little to send, idle and while bulk fills the tunnel one way, the other way, both ways, and
 * while UDP comes at twice the tunnel's rate. The promise: what is busy costs two slots of each busy direction and 5 ms.
 * Writes bench/results/latency.md and ends with 1 when it is broken. Needs root and ./i405 (or I405_BIN).
 *
 *   deno run -A tests/soak/latency.ts [--seconds 6] [--rates 1,10,100] [--out FILE] */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { Ends, INNER_SERVER, PACKET_LEN } from "../e2e/ends.ts";
import { Lab, listening } from "../e2e/lab.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    seconds: { type: "string", default: "6" },
    rates: { type: "string", default: "1,10,100" },
    out: { type: "string" },
  },
});
const SECONDS = Number(values.seconds);
const PINGS_PER_S = 20;
const SLOTS = 2;
const SLACK_MS = 5;

interface Load {
  readonly name: string;
  readonly iperf3: readonly string[] | undefined;
  /** Directions that are full. */
  readonly directions: number;
}

const LOADS: readonly Load[] = [
  { name: "idle", iperf3: undefined, directions: 0 },
  { name: "TCP up", iperf3: [], directions: 1 },
  { name: "TCP down", iperf3: ["-R"], directions: 1 },
  { name: "4 × TCP both ways", iperf3: ["-P", "4", "--bidir"], directions: 2 },
  { name: "UDP up, twice the rate", iperf3: ["-u", "-l", "1200", "-b", "RATE"], directions: 1 },
];

interface Row {
  readonly mbits: number;
  readonly load: string;
  readonly lost: number;
  readonly quantiles: readonly number[];
  readonly carried: string;
  readonly limitMs: number;
}

/** Milliseconds of the echoes that came back. */
async function ping(lab: Lab): Promise<{ times: number[]; sent: number }> {
  const sent = SECONDS * PINGS_PER_S;
  const args = ["ping", "-n", "-c", String(sent), "-i", String(1 / PINGS_PER_S), "-W", "2", INNER_SERVER];
  const { stdout } = await lab.run("client", args, { timeoutMs: (SECONDS + 20) * 1000 });
  return { times: [...stdout.matchAll(/time=([\d.]+)/g)].map(([, ms]) => Number(ms)), sent };
}

async function measure(lab: Lab, mbits: number, load: Load): Promise<Omit<Row, "limitMs">> {
  let carried = "–";
  let busy: Promise<void> = Promise.resolve();
  if (load.iperf3 !== undefined) {
    const server = lab.start("server", ["iperf3", "-s", "-1", "-B", INNER_SERVER]);
    await listening(lab, "server", 5201);
    const args = load.iperf3.map((arg) => arg === "RATE" ? `${2 * mbits}M` : arg);
    busy = lab.run("client", ["iperf3", "-J", "-c", INNER_SERVER, "-t", String(SECONDS + 3), ...args], {
      timeoutMs: (SECONDS + 40) * 1000,
    }).then(async ({ stdout }) => {
      const { sum_received: sum, sum_received_bidir_reverse: reverse } = JSON.parse(stdout).end;
      const text = (sum: { bits_per_second: number }) => (sum.bits_per_second / 1e6).toPrecision(3);
      carried = sum === undefined ? "?" : text(sum) + (reverse === undefined ? "" : ` / ${text(reverse)}`);
      await server.stop();
    });
    await new Promise((resolve) => setTimeout(resolve, 2500)); // slow start is over
  }
  const { times, sent } = await ping(lab);
  await busy;
  times.sort((a, b) => a - b);
  const quantile = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))];
  return {
    mbits,
    load: load.name,
    lost: sent - times.length,
    quantiles: [quantile(0.5), quantile(0.95), quantile(1)],
    carried,
  };
}

const rows: Row[] = [];
for (const mbits of values.rates.split(",").map(Number)) {
  await using lab = await Lab.create();
  const direction = { speed: `${mbits} Mbit/s`, interval: undefined };
  const ends = await Ends.start(lab, { client: { up: direction, down: direction } });
  await ends.answers(INNER_SERVER);
  const slotMs = PACKET_LEN * 8 / mbits / 1e3;
  let idleMs = 0;
  for (const load of LOADS) {
    const row = await measure(lab, mbits, load);
    if (load.directions === 0) idleMs = row.quantiles[0];
    rows.push({ ...row, limitMs: idleMs + load.directions * SLOTS * slotMs + SLACK_MS });
    console.log(JSON.stringify(rows.at(-1)));
  }
}

const lines = [
  "| Mbit/s each way | load | round trip p50 / p95 / max, ms | limit of p50, ms | lost | carried, Mbit/s |",
  "| --- | --- | --- | --- | --- | --- |",
  ...rows.map(({ mbits, load, quantiles, limitMs, lost, carried }) =>
    `| ${mbits} | ${load} | ${quantiles.map((ms) => ms?.toFixed(2)).join(" / ")} | ${
      limitMs.toFixed(2)
    } | ${lost} | ${carried} |`
  ),
];
const out = values.out ?? fileURLToPath(new URL("../../bench/results/latency.md", import.meta.url));
const machine =
  `${navigator.hardwareConcurrency} CPUs, Linux ${Deno.osRelease()}, both ends on one machine, load average ${
    Deno.loadavg()[0].toFixed(0)
  } with all else that ran`;
const about =
  `Round trips of ${PINGS_PER_S} pings a second through tunnels of ${PACKET_LEN} bytes, ${SECONDS} s each. ${machine}.`;
await Deno.writeTextFile(out, `# Latency under load\n\n${about}\n\n${lines.join("\n")}\n`);
console.log(lines.join("\n"));
const broken = rows.filter(({ quantiles, limitMs }) => !(quantiles[0] <= limitMs));
if (broken.length > 0) Deno.exit(1);
