/** What idle streams cost in TCP mode: memory and processor time of both ends with so many open, and what one more stream
 * still gets. A stream is a connection of a program and one to a destination, held through the tunnel. Needs root and
 * curl, and more files at once than streams (ulimit -n).
 *
 *   deno run -A bench/tunnel/idle_streams.ts [--seconds 5] [--interval 1178] [--streams 0,100,1000,9900] [--out DIR] */

import { parseArgs } from "node:util";
import { openShim, shimPath } from "../../ffi/mod.ts";
import { describeMachine } from "../../src/demo/machine.ts";
import { Lab, OUTER } from "./ends.ts";
import { cpuSeconds } from "./measure.ts";
import { i405 } from "./proxies.ts";

const WEB_PORT = 8080;
const HOLD_PORT = 8081;
const OPEN_MS_PER_STREAM = 10;
/** More than the tunnel moves in the time. */
const ENDLESS = 1e12;

const { values } = parseArgs({
  args: Deno.args,
  options: {
    seconds: { type: "string", default: "5" },
    interval: { type: "string", default: "1178" },
    streams: { type: "string", default: "0,100,1000,9900" },
    out: { type: "string" },
  },
});
const SECONDS = Number(values.seconds);

interface Row {
  readonly streams: number;
  /** Of server and client. */
  readonly rssMB: readonly number[];
  /** Share of one core. */
  readonly cpu: readonly number[];
  readonly mbitPerS: number;
}

function rssMB(pid: number): number {
  return Number(Deno.readTextFileSync(`/proc/${pid}/statm`).split(" ")[1]) * 4096 / 1e6;
}

function script(name: string): string[] {
  return [Deno.execPath(), "run", "-A", "--no-check", new URL(name, import.meta.url).pathname];
}

async function bench(streams: number): Promise<Row> {
  const lab = await Lab.create();
  try {
    console.error(`${streams} idle streams`);
    await lab.start("web", "server", [...script("serve_bytes.ts"), String(WEB_PORT)]).line(/serving/, 20_000);
    const take = [...script("hold_streams.ts"), "take", OUTER.server, String(HOLD_PORT)];
    await lab.start("taker", "server", take).line(/taking/, 20_000);
    const { proxy, children } = await i405(Number(values.interval)).start(lab);
    if (streams > 0) {
      const open = ["open", proxy, String(streams), OUTER.server, String(HOLD_PORT)];
      const holder = lab.start("holder", "client", [...script("hold_streams.ts"), ...open]);
      await holder.line(/holding/, 30_000 + OPEN_MS_PER_STREAM * streams);
    }
    const before = children.map(({ pid }) => cpuSeconds(pid));
    await new Promise((resolve) => setTimeout(resolve, SECONDS * 1e3));
    const after = children.map(({ pid }) => cpuSeconds(pid));
    const { stdout } = await lab.output(
      "client",
      ...["curl", "-s", "-o", "/dev/null", "-w", "%{speed_download}", "-m", String(SECONDS)],
      ...["--socks5", proxy, `http://${OUTER.server}:${WEB_PORT}/${ENDLESS}`],
    );
    return {
      streams,
      rssMB: children.map(({ pid }) => rssMB(pid)),
      cpu: after.map((seconds, index) => (seconds - before[index]) / SECONDS),
      mbitPerS: Number(stdout) * 8 / 1e6,
    };
  } finally {
    await lab.close();
  }
}

function tableOf(rows: readonly Row[]): string {
  const pair = (numbers: readonly number[], digits: number) =>
    numbers.map((number) => number.toFixed(digits)).join(", ");
  return [
    "| idle streams | RSS of server, client, MB | CPU, cores | one more stream, Mbit/s |",
    "| ---: | ---: | ---: | ---: |",
    ...rows.map((row) =>
      `| ${row.streams} | ${pair(row.rssMB, 0)} | ${pair(row.cpu, 3)} | ${row.mbitPerS.toFixed(2)} |`
    ),
    "",
  ].join("\n");
}

if (Deno.uid() !== 0) {
  console.log("The benchmark of idle streams makes network namespaces and needs root: skipped.");
  Deno.exit(0);
}
const rows: Row[] = [];
for (const streams of values.streams.split(",")) rows.push(await bench(Number(streams)));
const machine = describeMachine(openShim(shimPath()));
const heading =
  `# Idle streams in TCP mode\n\nA slot every ${values.interval} µs each way; ${SECONDS} s a value.\n\n`;
const text = heading + tableOf(rows) + `\n${JSON.stringify(machine)}\n`;
console.log(text);
if (values.out !== undefined) {
  await Deno.mkdir(values.out, { recursive: true });
  await Deno.writeTextFile(`${values.out}/idle_streams.md`, text);
}
