/** Time from a mishap to data again, both ways: an echo that was asked for after it. Needs root, ping and nft.
 *
 *   deno run -A bench/tunnel/recovery.ts [--runs 5] [--interval 1000] [--only NAME] [--out DIR] */

import { parseArgs } from "node:util";
import { openShim, shimPath } from "../../ffi/mod.ts";
import { describeMachine } from "../../src/demo/machine.ts";
import { INNER_SERVER, Lab, Tunnel, type TunnelOptions } from "./ends.ts";

const PING_INTERVAL_S = "0.005";
const WAIT_MS = 60_000;
const SETTLE_MS = 1500;

const { values } = parseArgs({
  args: Deno.args,
  options: {
    runs: { type: "string", default: "5" },
    interval: { type: "string", default: "1000" },
    only: { type: "string" },
    out: { type: "string" },
  },
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Lets the mishap happen; returns when it is over, as Unix time in ms: from then on data could flow. */
type Mishap = (lab: Lab, tunnel: Tunnel) => Promise<number>;

async function clientPort(lab: Lab): Promise<string> {
  const lines = (await lab.run("client", "ss", "-Hunpa")).split("\n").filter((line) => line.includes("i405"));
  return /:(\d+)\s/.exec(lines.at(-1)!)![1];
}

const MISHAPS: Readonly<Record<string, Mishap>> = {
  "address change": async (lab) => {
    await lab.run("client", "ip", "address", "add", "192.0.2.77/24", "dev", "wan");
    const atMs = Date.now();
    await lab.run("client", "ip", "address", "delete", "192.0.2.1/24", "dev", "wan");
    await lab.output("client", "ip", "address", "add", "192.0.2.77/24", "dev", "wan"); // a secondary one goes with it
    return atMs;
  },
  "NAT rebinding": async (lab) => {
    const rules = `table ip rebind {
      chain out { type filter hook output priority raw; udp dport 1405 udp sport set 40001; }
      chain in { type filter hook prerouting priority raw; udp dport 40001 udp dport set ${await clientPort(
      lab,
    )}; }
    }`;
    await lab.write("rebind.nft", rules);
    const atMs = Date.now();
    await lab.run("client", "nft", "-f", `${lab.dir}/rebind.nft`);
    return atMs;
  },
  "server killed and restarted": async (_lab, tunnel) => {
    await tunnel.restartServer();
    return Date.now();
  },
  "link down for 5 s": async (lab) => {
    await lab.run("server", "ip", "link", "set", "wan", "down");
    await sleep(5000);
    await lab.run("server", "ip", "link", "set", "wan", "up");
    return Date.now();
  },
  "client stopped for 5 s": async (_lab, tunnel) => {
    Deno.kill(tunnel.client.pid, "SIGSTOP");
    await sleep(5000);
    Deno.kill(tunnel.client.pid, "SIGCONT");
    return Date.now();
  },
  "client stopped for 40 s": async (_lab, tunnel) => {
    Deno.kill(tunnel.client.pid, "SIGSTOP");
    await sleep(40_000);
    Deno.kill(tunnel.client.pid, "SIGCONT");
    return Date.now();
  },
};

/** Milliseconds until the first echo came whose request left after `atMs`. */
async function measure(mishap: Mishap): Promise<number> {
  const lab = await Lab.create();
  try {
    const options: TunnelOptions = {
      intervalNs: Number(values.interval) * 1e3,
      pollMode: "hybrid",
      cpus: { client: undefined, server: undefined },
    };
    const tunnel = await Tunnel.start(lab, options);
    const ping = lab.start("ping", "client", ["ping", "-n", "-D", "-i", PING_INTERVAL_S, INNER_SERVER]);
    await sleep(SETTLE_MS);
    const atMs = await mishap(lab, tunnel);
    for (const endMs = Date.now() + WAIT_MS; Date.now() < endMs;) {
      for (const line of ping.lines) {
        const match = /^\[(\d+\.\d+)\].* time=([\d.]+) ms/.exec(line);
        const [cameMs, tookMs] = match === null ? [0, 0] : [Number(match[1]) * 1e3, Number(match[2])];
        if (cameMs - tookMs >= atMs) return cameMs - atMs;
      }
      await sleep(20);
    }
    throw new Error(`no data within ${WAIT_MS / 1e3} s:\n${tunnel.client.tail()}\n${tunnel.server.tail()}`);
  } finally {
    await lab.close();
  }
}

if (Deno.uid() !== 0) {
  console.log("The recovery benchmark makes network namespaces and needs root: skipped.");
  Deno.exit(0);
}
const names = Object.keys(MISHAPS).filter((name) => values.only === undefined || name === values.only);
const rows: { name: string; runsMs: number[]; medianMs: number }[] = [];
for (const name of names) {
  const runsMs: number[] = [];
  for (let run = 0; run < Number(values.runs); run++) runsMs.push(await measure(MISHAPS[name]));
  const sorted = runsMs.toSorted((a, b) => a - b);
  rows.push({ name, runsMs, medianMs: sorted[sorted.length >> 1] });
  const round = (ms: number) => ms.toFixed(1);
  console.log(
    `${name}: ${round(rows.at(-1)!.medianMs)} ms (median of ${runsMs.length}: ${
      runsMs.map(round).join(", ")
    })`,
  );
}
if (values.out !== undefined) {
  const result = {
    date: new Date().toISOString(),
    machine: describeMachine(openShim(shimPath())),
    intervalUs: Number(values.interval),
    rows,
  };
  await Deno.mkdir(values.out, { recursive: true });
  await Deno.writeTextFile(`${values.out}/recovery.json`, JSON.stringify(result, null, 2) + "\n");
}
