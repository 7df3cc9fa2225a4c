/** What one contender does and costs, with its tunnel up. */

import { summarize } from "../../src/base/statistics.ts";
import { parsePing } from "../../src/demo/traffic.ts";
import type { Lab, Place } from "../tunnel/ends.ts";
import { cpuSeconds } from "../tunnel/measure.ts";
import type { Running } from "./contender.ts";

export const UDP_MBIT_PER_S = 200;
const UDP_LEN = 1200;
const PING_PERIOD_S = 0.02;

/** Of one run; what was not measured is undefined. */
export interface Figures {
  readonly tcp1MbitPerS: number | undefined;
  readonly tcp4MbitPerS: number | undefined;
  /** Share of the payload that fits, of the better of the two. */
  readonly goodputRatio: number | undefined;
  /** Processor seconds of both ends for each 10^9 bytes of TCP payload. */
  readonly cpuPerGB: number | undefined;
  readonly udpLostRatio: number;
  readonly rttLoadedMs: number;
  readonly rttIdleMs: number;
  /** Share of one core, both ends together, with UDP at UDP_MBIT_PER_S. */
  readonly cpuPaced: number;
  readonly cpuIdle: number;
  /** Largest share of one core that an end used with TCP under way. */
  readonly cpuEndMost: number | undefined;
  readonly rssMB: number;
  /** Share of slots that were not sent; undefined of those who have none. */
  readonly skippedRatio: number | undefined;
}

interface Cost {
  readonly seconds: number;
  readonly cpu: Readonly<Record<Place, number>>;
}

function cpuOf({ client, server }: Running["ends"]) {
  return { client: cpuSeconds(client.pid), server: cpuSeconds(server.pid) };
}

async function costed<T>(ends: Running["ends"], work: Promise<T>): Promise<[T, Cost]> {
  const before = cpuOf(ends);
  const startMs = performance.now();
  const result = await work;
  const after = cpuOf(ends);
  return [result, {
    seconds: (performance.now() - startMs) / 1e3,
    cpu: { client: after.client - before.client, server: after.server - before.server },
  }];
}

const bothOf = ({ cpu, seconds }: Cost) => (cpu.client + cpu.server) / seconds;

async function iperf(lab: Lab, address: string, seconds: number, ...options: string[]) {
  const args = ["-c", address, "-J", "-t", String(seconds), ...options];
  const limit = String(3 * seconds + 10); // a tunnel that carries nothing is one that failed
  const { code, stdout } = await lab.output("client", "timeout", limit, "iperf3", ...args);
  if (code === 124) throw new Error("iperf3 does not come to its end");
  const report = JSON.parse(stdout);
  if (report.error !== undefined) throw new Error(`iperf3: ${report.error}`);
  return report.end;
}

async function pingMs(lab: Lab, address: string, seconds: number): Promise<number> {
  const count = String(Math.max(10, Math.round(seconds / PING_PERIOD_S)));
  const args = ["-n", "-i", String(PING_PERIOD_S), "-c", count, "-W", "2", address];
  const all = parsePing((await lab.output("client", "ping", ...args)).stdout);
  return all.length > 0 ? summarize(all).p50 : Infinity;
}

function rssMB(pid: number): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]) * 1024 / 1e6;
}

/** TCP with one stream and with four, up. */
async function tcp(lab: Lab, running: Running, seconds: number) {
  const { address, ends } = running;
  const [one, cost] = await costed(ends, iperf(lab, address, seconds));
  const four = await iperf(lab, address, seconds, "-P", "4");
  const [tcp1MbitPerS, tcp4MbitPerS] = [one, four].map((end) => end.sum_received.bits_per_second / 1e6);
  const most = Math.max(cost.cpu.client, cost.cpu.server) / cost.seconds;
  return {
    tcp1MbitPerS,
    tcp4MbitPerS,
    goodputRatio: running.limitMbitPerS === undefined
      ? undefined
      : Math.max(tcp1MbitPerS, tcp4MbitPerS) / running.limitMbitPerS,
    cpuPerGB: (cost.cpu.client + cost.cpu.server) / (one.sum_received.bytes / 1e9),
    cpuEndMost: most,
  };
}

const NO_TCP = {
  tcp1MbitPerS: undefined,
  tcp4MbitPerS: undefined,
  goodputRatio: undefined,
  cpuPerGB: undefined,
  cpuEndMost: undefined,
};

/** An iperf3 server listens in the server's place. */
export async function measure(
  lab: Lab,
  running: Running,
  parts: "all" | "paced",
  seconds: number,
): Promise<Figures> {
  const { address, ends } = running;
  const pause = new Promise((resolve) => setTimeout(resolve, seconds * 500));
  const [, idle] = await costed(ends, pause);
  const rttIdleMs = await pingMs(lab, address, seconds / 2);
  const streams = parts === "all" ? await tcp(lab, running, seconds) : NO_TCP;
  const options = ["-u", "-b", `${UDP_MBIT_PER_S}M`, "-l", String(UDP_LEN)];
  const paced = Promise.all([iperf(lab, address, seconds, ...options), pingMs(lab, address, seconds)]);
  const [[udp, rttLoadedMs], cost] = await costed(ends, paced);
  return {
    ...streams,
    udpLostRatio: udp.sum.lost_percent / 100,
    rttLoadedMs,
    rttIdleMs,
    cpuPaced: bothOf(cost),
    cpuIdle: bothOf(idle),
    rssMB: (rssMB(ends.client.pid) + rssMB(ends.server.pid)) / 2,
    skippedRatio: await running.skippedRatio?.(),
  };
}
