/** Downloads through TCP mode beside `ssh -D`, a plain SOCKS server and stunnel, one after the other in one run: goodput of
 * one stream and of many, processor time, time to the first byte of a new stream beside a bulk one, memory of idle ones. The others send only when there is something
 * to send, and as fast as they can; ours sends its constant rate whatever happens, which is its limit. Both ends and the web
 * server are on this machine. --install gets microsocks and stunnel where apt-get is; contenders that are not found are left out, and that is
 * said. Needs root and curl.
 *
 *   deno run -A bench/tunnel/streams.ts [--seconds 3] [--intervals 118,1178] [--streams 100] [--idle 1000] [--install] [--out DIR] */

import { parseArgs } from "node:util";
import { openShim, shimPath } from "../../ffi/mod.ts";
import { median } from "../../src/base/statistics.ts";
import { output } from "../../src/demo/child.ts";
import { describeMachine } from "../../src/demo/machine.ts";
import { Lab, OUTER } from "./ends.ts";
import { cpuSeconds } from "./measure.ts";
import { type Contender, i405, microsocks, type Need, type Running, ssh, stunnel } from "./proxies.ts";

const WEB_PORT = 8080;
const HOLD_PORT = 8081;
const OPEN_WAIT_MS = 60_000;
const NEW_STREAMS = 20;
/** More than any contender moves in the time. */
const ENDLESS = 1e12;

const { values } = parseArgs({
  args: Deno.args,
  options: {
    seconds: { type: "string", default: "3" },
    intervals: { type: "string", default: "118,1178" },
    streams: { type: "string", default: "100" },
    idle: { type: "string", default: "1000" },
    install: { type: "boolean", default: false },
    out: { type: "string" },
  },
});
const SECONDS = Number(values.seconds);
const STREAMS = Number(values.streams);
const IDLE = Number(values.idle);

interface Row {
  readonly name: string;
  readonly missing?: string;
  readonly mbitPerS?: number;
  /** Seconds of processor time of all its processes for a gigabyte moved. */
  readonly cpuPerGB?: number;
  readonly idleCpu?: number;
  /** Of STREAMS downloads side by side. */
  readonly manyMbitPerS?: number;
  readonly manyCpuPerGB?: number;
  readonly firstByteMs?: number;
  readonly firstByteLoadedMs?: number;
  readonly rssMB?: number;
  /** For each of IDLE streams that are open and carry nothing; undefined: so many could not be opened. */
  readonly idleKB?: number;
}

function url(len: number): string {
  return `http://${OUTER.server}:${WEB_PORT}/${len}`;
}

async function curl(lab: Lab, proxy: string, format: string, ...options: string[]): Promise<number> {
  const command = ["curl", "-s", "-o", "/dev/null", "-w", format, "--socks5-hostname", proxy, ...options];
  return Number((await lab.output("client", ...command)).stdout);
}

async function firstByteMs(lab: Lab, proxy: string): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < NEW_STREAMS; i++) {
    times.push(1e3 * await curl(lab, proxy, "%{time_starttransfer}", url(100)));
  }
  return median(times);
}

/** Processes of the contender with those that they have started. */
async function pidsOf({ children }: Running): Promise<number[]> {
  const all = children.map(({ pid }) => pid);
  for (const pid of all) {
    const tasks = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`).catch(() => "");
    all.push(...tasks.trim().split(/\s+/).filter((text) => text !== "").map(Number));
  }
  return all;
}

async function cpuOf(running: Running): Promise<number> {
  return (await pidsOf(running)).reduce((sum, pid) => sum + cpuSeconds(pid), 0);
}

async function rssMB(running: Running): Promise<number> {
  let sum = 0;
  for (const pid of await pidsOf(running)) {
    sum += Number((await Deno.readTextFile(`/proc/${pid}/statm`)).split(" ")[1]) * 4096 / 1e6;
  }
  return sum;
}

/** Bytes a second of all of STREAMS downloads together. */
async function manyBytesPerS(lab: Lab, proxy: string): Promise<number> {
  const at = Array.from({ length: STREAMS }, () => ["-o", "/dev/null", url(ENDLESS)]).flat();
  const parallel = ["-Z", "--parallel-immediate", "--parallel-max", String(STREAMS)];
  const command = ["curl", "-s", ...parallel, "-m", String(SECONDS), "-w", "%{size_download}\n"];
  const { stdout } = await lab.output("client", ...command, "--socks5-hostname", proxy, ...at);
  return stdout.trim().split("\n").reduce((sum, line) => sum + Number(line), 0) / SECONDS;
}

function script(name: string): string[] {
  return [Deno.execPath(), "run", "-A", "--no-check", new URL(name, import.meta.url).pathname];
}

/** Memory of the contender for each of IDLE streams, by the growth of its resident set. */
async function idleKB(lab: Lab, running: Running): Promise<number | undefined> {
  const before = await rssMB(running);
  const take = [...script("hold_streams.ts"), "take", OUTER.server, String(HOLD_PORT)];
  await lab.start("taker", "server", take).line(/taking/, OPEN_WAIT_MS);
  const open = ["open", running.proxy, String(IDLE), OUTER.server, String(HOLD_PORT)];
  const holder = lab.start("holder", "client", [...script("hold_streams.ts"), ...open]);
  try {
    await holder.line(/holding/, OPEN_WAIT_MS);
  } catch (error) {
    console.error(`${IDLE} streams: ${(error as Error).message.split("\n")[0]}`);
    return undefined;
  }
  return (await rssMB(running) - before) * 1e3 / IDLE;
}

async function measure(lab: Lab, contender: Contender, running: Running): Promise<Row> {
  const { proxy } = running;
  const firstByte = await firstByteMs(lab, proxy);
  const atRest = await cpuOf(running);
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1e3));
  const before = await cpuOf(running);
  const bytesPerS = await curl(lab, proxy, "%{speed_download}", "-m", String(SECONDS), url(ENDLESS));
  const after = await cpuOf(running);
  const many = await manyBytesPerS(lab, proxy);
  const afterMany = await cpuOf(running);
  const bulk = lab.output(
    "client",
    "curl",
    "-s",
    "-o",
    "/dev/null",
    "-m",
    String(SECONDS),
    "--socks5-hostname",
    proxy,
    url(ENDLESS),
  );
  await new Promise((resolve) => setTimeout(resolve, 500));
  const loaded = await firstByteMs(lab, proxy);
  await bulk;
  const rss = await rssMB(running);
  return {
    name: contender.name,
    mbitPerS: bytesPerS * 8 / 1e6,
    cpuPerGB: (after - before) / (bytesPerS * SECONDS / 1e9),
    idleCpu: (before - atRest) / SECONDS,
    firstByteMs: firstByte,
    firstByteLoadedMs: loaded,
    manyMbitPerS: many * 8 / 1e6,
    manyCpuPerGB: (afterMany - after) / (many * SECONDS / 1e9),
    rssMB: rss,
    idleKB: await idleKB(lab, running),
  };
}

async function missingOf(lab: Lab, { needs }: Contender): Promise<string | undefined> {
  const isThere = async ({ program }: Need) =>
    (await lab.output("client", "sh", "-c", `command -v ${program}`)).code === 0;
  for (const need of needs) {
    if (await isThere(need)) continue;
    if (values.install && need.package !== undefined) {
      console.error(`installing ${need.package}`);
      await output(["apt-get", "install", "-y", "--no-install-recommends", need.package]);
      if (await isThere(need)) continue;
    }
    return `${need.program} was not found`;
  }
  return undefined;
}

async function bench(contender: Contender): Promise<Row> {
  const lab = await Lab.create();
  try {
    const missing = await missingOf(lab, contender);
    if (missing !== undefined) return { name: contender.name, missing };
    console.error(contender.name);
    const web = lab.start("web", "server", [...script("serve_bytes.ts"), String(WEB_PORT)]);
    await web.line(/serving/, 20_000);
    return await measure(lab, contender, await contender.start(lab));
  } finally {
    await lab.close();
  }
}

function tableOf(rows: readonly Row[]): string {
  const cell = (value: number | undefined, digits: number) =>
    value === undefined ? "–" : value.toFixed(digits);
  const lines = rows.map((row) =>
    row.missing !== undefined
      ? `| ${row.name} | ${row.missing} | | | | | | | | |`
      : `| ${row.name} | ${cell(row.mbitPerS, 1)} | ${cell(row.cpuPerGB, 1)} | ${
        cell(row.manyMbitPerS, 1)
      } | ` +
        `${cell(row.manyCpuPerGB, 1)} | ${cell(row.idleCpu, 3)} | ${cell(row.firstByteMs, 2)} | ` +
        `${cell(row.firstByteLoadedMs, 2)} | ${cell(row.rssMB, 0)} | ${cell(row.idleKB, 1)} |`
  );
  return [
    `| proxy | Mbit/s | CPU s/GB | ${STREAMS} streams, Mbit/s | CPU s/GB | CPU idle, cores | first byte, ms | ` +
    "beside bulk, ms | RSS, MB | KB an idle stream |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...lines,
    "",
  ].join("\n");
}

if (Deno.uid() !== 0) {
  console.log("The streams benchmark makes network namespaces and needs root: skipped.");
  Deno.exit(0);
}
const loadBefore = Deno.loadavg()[0].toFixed(1);
const ours = values.intervals.split(",").map((interval) => i405(Number(interval)));
const rows: Row[] = [];
for (const contender of [...ours, ssh, microsocks, stunnel]) rows.push(await bench(contender));
const machine = describeMachine(openShim(shimPath()));
const heading =
  `# Streams: TCP mode beside other proxies\n\n${SECONDS} s each, one after the other; load average ` +
  `before ${loadBefore}.\n\n`;
const text = heading + tableOf(rows) + `\n${JSON.stringify(machine)}\n`;
console.log(text);
if (values.out !== undefined) {
  await Deno.mkdir(values.out, { recursive: true });
  await Deno.writeTextFile(`${values.out}/proxies.md`, text);
}
