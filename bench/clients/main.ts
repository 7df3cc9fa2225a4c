/** One server and many clients: its memory, CPU and slots by their count, beside a bare C pacer that merges as many
 * schedules. The clients are generator.ts's, idle: what a client costs does not depend on what it carries.
 *
 *     generator namespace                        server namespace
 *     198.51.100.2/24, 10.90.I.2  ────────────  198.51.100.1/24
 *
 *   deno run -A bench/clients/main.ts [--counts 1,10,100,1000] [--mbits 0.1] [--seconds 20]
 *     [--poll-mode hybrid] [--out DIR]
 *
 * Needs root and ./i405 (or I405_BIN). */

import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { formatKey } from "../../src/config/mod.ts";
import { Child, output, runCommand } from "../../src/demo/child.ts";
import { plotSvg } from "../../src/status/svg.ts";
import { program } from "../tunnel/ends.ts";
import type { GeneratorConfig } from "./generator.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    counts: { type: "string", default: "1,10,100,1000" },
    mbits: { type: "string", default: "0.1" },
    seconds: { type: "string", default: "20" },
    "poll-mode": { type: "string", default: "hybrid" },
    out: { type: "string" },
  },
});
const COUNTS = values.counts.split(",").map(Number);
const MBITS = Number(values.mbits);
const SECONDS = Number(values.seconds);
const PACKET_LEN = 1400;
const DATAGRAM_LEN = PACKET_LEN - 28;
const INTERVAL_NS = PACKET_LEN * 8e3 / MBITS;
const SERVER = "198.51.100.1";
const PORT = 1405;
/** The server limits handshakes of one host and one network. */
const HOSTS = 100;
const UP_MS = 240_000;
const SETTLE_MS = 3000;
const CPU = { server: 1, generator: 0 };
const LEAD_US = 100;
const TICKS_PER_S = 100; // USER_HZ

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const hex = (count: number) => crypto.getRandomValues(new Uint8Array(count)).toHex();

interface Row {
  readonly clients: number;
  readonly rssMb: number;
  readonly cpu: number;
  readonly slots: number;
  readonly skipped: number;
  readonly late: number;
  readonly p99Us: number;
  readonly bare: Bare;
}

interface Bare {
  readonly slots: number;
  readonly skipped: number;
  readonly late: number;
  readonly p99: number;
}

interface Peer {
  readonly state: string;
  readonly slots?: { readonly slots: number; readonly skipped: number; readonly late: number };
  readonly deviation?: { readonly count: number; readonly p99_ns: number };
}

class Lab {
  readonly dir: string;
  readonly #names: readonly [string, string];

  private constructor(dir: string, names: [string, string]) {
    this.dir = dir;
    this.#names = names;
  }

  static async create(): Promise<Lab> {
    const prefix = `clients${hex(3)}`;
    const [server, generator] = [`${prefix}s`, `${prefix}g`];
    for (const name of [server, generator]) await runCommand(["ip", "netns", "add", name]);
    const lab = new Lab(await Deno.makeTempDir({ prefix: "i405-bench-" }), [server, generator]);
    await runCommand(
      ["ip", "-n", server, "link", "add", "wan", "type", "veth", "peer", "wan", "netns", generator],
    );
    for (const [name, host] of [[server, 1], [generator, 2]] as const) {
      await runCommand(["ip", "-n", name, "address", "add", `198.51.100.${host}/24`, "dev", "wan"]);
      for (const device of ["lo", "wan"]) await runCommand(["ip", "-n", name, "link", "set", device, "up"]);
    }
    for (let host = 0; host < HOSTS; host++) {
      await runCommand(["ip", "-n", generator, "address", "add", `10.90.${host}.2/32`, "dev", "wan"]);
    }
    await runCommand(["ip", "-n", server, "route", "add", "10.90.0.0/16", "via", "198.51.100.2"]);
    // Records of epoch 3 are dropped before the socket; handshakes are not.
    const rules = `table ip sink {
      chain input { type filter hook input priority 0; udp sport ${PORT} @th,64,8 0x2f drop; }
    }`;
    await Deno.writeTextFile(`${lab.dir}/sink.nft`, rules);
    await runCommand(lab.within("generator", ["nft", "-f", `${lab.dir}/sink.nft`]));
    return lab;
  }

  within(place: "server" | "generator", command: readonly string[]): string[] {
    return ["ip", "netns", "exec", this.#names[place === "server" ? 0 : 1], ...command];
  }

  async close(): Promise<void> {
    for (const name of this.#names) await output(["ip", "netns", "delete", name]);
    await Deno.remove(this.dir, { recursive: true });
  }
}

/** User and system time of a process with its threads, in seconds. */
async function cpuOf(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

async function rssOf(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1024;
}

async function peersOf(lab: Lab): Promise<readonly Peer[]> {
  const connection = await Deno.connect({ transport: "unix", path: `${lab.dir}/server.sock` });
  return JSON.parse(await new Response(connection.readable).text()).peers;
}

async function configure(lab: Lab, count: number): Promise<void> {
  const clients = Array.from({ length: count }, (_, i) => ({
    key: hex(32),
    from: `10.90.${i % HOSTS}.2`,
    inner: `10.140.${1 + Math.floor(i / 200)}.${1 + i % 200}`,
  }));
  const entries = clients.map(({ key, inner }, i) =>
    `[[client]]\nname = "c${i}"\nkey = "${formatKey(Uint8Array.fromHex(key))}"\naddresses = ["${inner}"]\n`
  );
  const server =
    `[server]\nlisten = ["${SERVER}:${PORT}"]\n[tun]\nname = "many"\naddresses = ["10.140.0.1/16"]\n` +
    `[pacing]\ncpu = ${CPU.server}\npoll_mode = "${
      values["poll-mode"]
    }"\n[status]\nsocket = "${lab.dir}/server.sock"\n${entries.join("")}`;
  await Deno.writeTextFile(`${lab.dir}/server.toml`, server, { mode: 0o600 });
  const config: GeneratorConfig = {
    server: { ip: SERVER, port: PORT },
    train: {
      intervalNs: INTERVAL_NS,
      jitterSdNs: 0.12 * INTERVAL_NS,
      jitterLaw: "gaussian",
      datagramLen: DATAGRAM_LEN,
      burst: 1,
    },
    cpu: CPU.generator,
    clients: clients.map(({ key, from }) => ({ key, from })),
  };
  await Deno.writeTextFile(`${lab.dir}/generator.json`, JSON.stringify(config), { mode: 0o600 });
}

async function measure(count: number, barePath: string): Promise<Row> {
  const lab = await Lab.create();
  const children: Child[] = [];
  const start = (name: string, place: "server" | "generator", command: readonly string[]) => {
    const child = new Child(name, lab.within(place, command));
    children.push(child);
    return child;
  };
  try {
    await configure(lab, count);
    const server = start("server", "server", [...program(), "server", `${lab.dir}/server.toml`]);
    await server.line(/server started/, 30_000);
    const generator = start("generator", "generator", [
      ...[Deno.execPath(), "run", "-A", "--no-check", here("generator.ts")],
      `${lab.dir}/generator.json`,
    ]);
    await generator.line(new RegExp(`^up ${count}$`), UP_MS);
    await sleep(SETTLE_MS);
    const [before, cpuBefore, startMs] = [await peersOf(lab), await cpuOf(server.pid), performance.now()];
    await sleep(SECONDS * 1000);
    const [cpuAfter, endMs, after] = [await cpuOf(server.pid), performance.now(), await peersOf(lab)];
    const rssMb = await rssOf(server.pid);
    const sum = (peers: readonly Peer[], name: "slots" | "skipped" | "late") =>
      peers.reduce((total, { slots }) => total + (slots?.[name] ?? 0), 0);
    const came = (name: "slots" | "skipped" | "late") => sum(after, name) - sum(before, name);
    const p99s = after.filter(({ deviation }) => deviation !== undefined).map(({ deviation }) =>
      deviation!.p99_ns
    );
    if (p99s.length !== count) throw new Error(`${p99s.length} of ${count} clients have a train`);
    p99s.sort((a, b) => a - b);
    for (const child of children) await child.stop();
    return {
      clients: count,
      rssMb,
      cpu: (cpuAfter - cpuBefore) / (endMs - startMs) * 1000,
      slots: came("slots"),
      skipped: came("skipped"),
      late: came("late"),
      p99Us: p99s[p99s.length >> 1] / 1e3,
      bare: await runBare(lab, barePath, count),
    };
  } finally {
    for (const child of children) await child.stop();
    await lab.close();
  }
}

async function runBare(lab: Lab, path: string, count: number): Promise<Bare> {
  const args = [count, INTERVAL_NS / 1e3, LEAD_US, SECONDS, DATAGRAM_LEN, CPU.server, "198.51.100.2", 9];
  return JSON.parse(await runCommand(lab.within("server", [path, ...args.map(String)])));
}

async function buildBare(): Promise<string> {
  const path = here("../../build/bench-merged-pacer");
  await Deno.mkdir(here("../../build"), { recursive: true });
  await runCommand([Deno.env.get("CC") ?? "cc", "-O2", "-o", path, here("merged_pacer.c")]);
  return path;
}

const barePath = await buildBare();
const rows: Row[] = [];
for (const count of COUNTS) {
  rows.push(await measure(count, barePath));
  console.log(JSON.stringify(rows.at(-1)));
}
if (values.out !== undefined) {
  const percent = (part: number, whole: number) => `${(100 * part / Math.max(1, whole)).toFixed(3)} %`;
  const table = [
    "| clients | RSS MB | CPU, cores | slots | skipped | late | P99 µs (median client) | bare: skipped | late | P99 µs |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) =>
      `| ${row.clients} | ${row.rssMb.toFixed(0)} | ${row.cpu.toFixed(3)} | ${row.slots} | ${
        percent(row.skipped, row.slots)
      } | ${percent(row.late, row.slots)} | ${row.p99Us.toFixed(1)} | ${
        percent(row.bare.skipped, row.bare.slots)
      } | ${percent(row.bare.late, row.bare.slots)} | ${(row.bare.p99 / 1e3).toFixed(1)} |`
    ),
  ];
  const machine = `${navigator.hardwareConcurrency} CPUs, Linux ${Deno.osRelease()}, both ends on it`;
  const about = `One server, clients of ${MBITS} Mbit/s each way, poll mode ${
    values["poll-mode"]
  }, ${SECONDS} s each. ${machine}.`;
  const name = `clients_${String(MBITS).replace(".", "_")}`;
  await Deno.writeTextFile(`${values.out}/${name}.md`, `# Many clients\n\n${about}\n\n${table.join("\n")}\n`);
  const plot = (label: string, y: (row: Row) => number) =>
    plotSvg({
      title: `${label} of a server by the count of its clients`,
      xLabel: "clients",
      yLabel: label,
      series: [{ name: label, className: "a", points: rows.map((row) => [row.clients, y(row)] as const) }],
      y: [0, 1.1 * Math.max(...rows.map(y))],
    });
  if (rows.length > 1) {
    await Deno.writeTextFile(`${values.out}/${name}_memory.svg`, plot("RSS MB", ({ rssMb }) => rssMb));
    await Deno.writeTextFile(`${values.out}/${name}_cpu.svg`, plot("CPU cores", ({ cpu }) => cpu));
  }
}
