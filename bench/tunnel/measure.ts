/** One run through a tunnel that is up: iperf3, ping, and what the two processes cost meanwhile. */

import { parsePing } from "../../src/demo/traffic.ts";
import { median, summarize } from "../../src/base/statistics.ts";
import { INNER_SERVER, type Lab, type Place, type Tunnel } from "./ends.ts";

const UDP_PAYLOAD_RATIO = 0.9; // of the payload limit
const PING_PERIOD_S = 0.02;

/** Mbit/s of payload that arrived, per direction; share of one core that each end used. */
export interface Load {
  readonly upMbitPerS: number | undefined;
  readonly downMbitPerS: number | undefined;
  readonly cpu: Readonly<Record<Place, number>>;
}

export interface RunResult {
  readonly tcpUp: Load;
  readonly tcpDown: Load;
  readonly tcpBoth: Load;
  readonly udpUp: Load & { readonly lostRatio: number };
  readonly idleCpu: Readonly<Record<Place, number>>;
  readonly rttIdleMs: number;
  readonly rttLoadedMs: number;
  readonly rssMB: Readonly<Record<Place, number>>;
  readonly skippedRatio: Readonly<Record<Place, number>>;
  readonly lateRatio: Readonly<Record<Place, number>>;
}

/** Seconds of processor time that a process has used so far, all threads. */
export function cpuSeconds(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from the third field, proc_pid_stat(5)
  return (Number(fields[11]) + Number(fields[12])) / 100; // clock ticks: USER_HZ is 100 on Linux
}

function rssMB(pid: number): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]) * 1024 / 1e6;
}

/** Does `work` and tells what share of a core each end used during it. */
async function costed<T>(tunnel: Tunnel, work: () => Promise<T>): Promise<[T, Record<Place, number>]> {
  const pids = { client: tunnel.client.pid, server: tunnel.server.pid };
  const before = { client: cpuSeconds(pids.client), server: cpuSeconds(pids.server) };
  const startMs = performance.now();
  const result = await work();
  const seconds = (performance.now() - startMs) / 1e3;
  return [result, {
    client: (cpuSeconds(pids.client) - before.client) / seconds,
    server: (cpuSeconds(pids.server) - before.server) / seconds,
  }];
}

interface IperfReport {
  readonly error?: string;
  readonly end: {
    readonly sum?: { readonly bits_per_second: number; readonly lost_percent: number };
    readonly sum_received?: { readonly bits_per_second: number };
    readonly sum_received_bidir_reverse?: { readonly bits_per_second: number };
  };
}

async function iperf(lab: Lab, seconds: number, ...options: string[]): Promise<IperfReport> {
  // The first second fills the windows and is left out (-O).
  const args = ["-c", INNER_SERVER, "-J", "-t", String(seconds), "-O", "1", ...options];
  const report: IperfReport = JSON.parse((await lab.output("client", "iperf3", ...args)).stdout);
  if (report.error !== undefined) throw new Error(`iperf3: ${report.error}`);
  return report;
}

const mbit = (sum: { bits_per_second: number } | undefined) =>
  sum === undefined ? undefined : sum.bits_per_second / 1e6;

async function pingMs(lab: Lab, seconds: number): Promise<number> {
  const count = String(Math.max(1, Math.round(seconds / PING_PERIOD_S)));
  const { stdout } = await lab.output(
    "client",
    "ping",
    "-n",
    "-i",
    String(PING_PERIOD_S),
    "-c",
    count,
    "-W",
    "5",
    INNER_SERVER,
  );
  const all = parsePing(stdout);
  if (all.length > 0) return summarize(all).p50;
  throw new Error(`no ping was answered:\n${stdout}`);
}

async function slotsOf(tunnel: Tunnel, place: Place): Promise<Record<"slots" | "skipped" | "late", number>> {
  return (await tunnel.status(place)).peers[0].slots;
}

/** All measurements once, each `seconds` long. An iperf3 server listens in the server's place. */
export async function measure(
  lab: Lab,
  tunnel: Tunnel,
  seconds: number,
  limitMbitPerS: number,
): Promise<RunResult> {
  const places = ["client", "server"] as const;
  const before = await Promise.all(places.map((place) => slotsOf(tunnel, place)));
  const [, idleCpu] = await costed(
    tunnel,
    () => new Promise((resolve) => setTimeout(resolve, seconds * 1e3)),
  );
  const rttIdleMs = await pingMs(lab, seconds);
  const [up, upCpu] = await costed(tunnel, () => iperf(lab, seconds));
  const [[, rttLoadedMs]] = await costed(
    tunnel,
    () => Promise.all([iperf(lab, seconds), pingMs(lab, seconds)]),
  );
  const [down, downCpu] = await costed(tunnel, () => iperf(lab, seconds, "-R"));
  const [both, bothCpu] = await costed(tunnel, () => iperf(lab, seconds, "--bidir"));
  const [udp, udpCpu] = await costed(tunnel, () => iperfUdp(lab, seconds, limitMbitPerS));
  const after = await Promise.all(places.map((place) => slotsOf(tunnel, place)));
  const ratio = (key: "skipped" | "late", index: number) =>
    (after[index][key] - before[index][key]) / (after[index].slots - before[index].slots);
  const load = (
    upMbitPerS: number | undefined,
    downMbitPerS: number | undefined,
    cpu: Record<Place, number>,
  ) => ({
    upMbitPerS,
    downMbitPerS,
    cpu,
  });
  return {
    tcpUp: load(mbit(up.end.sum_received), undefined, upCpu),
    tcpDown: load(undefined, mbit(down.end.sum_received), downCpu),
    tcpBoth: load(mbit(both.end.sum_received), mbit(both.end.sum_received_bidir_reverse), bothCpu),
    udpUp: { ...load(udp.mbitPerS, undefined, udpCpu), lostRatio: udp.lostRatio },
    idleCpu,
    rttIdleMs,
    rttLoadedMs,
    rssMB: { client: rssMB(tunnel.client.pid), server: rssMB(tunnel.server.pid) },
    skippedRatio: { client: ratio("skipped", 0), server: ratio("skipped", 1) },
    lateRatio: { client: ratio("late", 0), server: ratio("late", 1) },
  };
}

async function iperfUdp(lab: Lab, seconds: number, limitMbitPerS: number) {
  const rate = UDP_PAYLOAD_RATIO * limitMbitPerS;
  const report = await iperf(lab, seconds, "-u", "-b", `${rate.toFixed(3)}M`, "-l", "1200");
  const sum = report.end.sum!;
  // iperf3 3.12 reports what was sent and the share that got lost.
  return {
    mbitPerS: sum.bits_per_second / 1e6 * (1 - sum.lost_percent / 100),
    lostRatio: sum.lost_percent / 100,
  };
}

/** The median of each number over runs of one shape; numbers that are missing in all runs stay missing. */
export function medians<T>(runs: readonly T[]): T {
  const first = runs[0];
  if (typeof first === "number") return median(runs as unknown as number[]) as T;
  if (typeof first !== "object" || first === null) return first;
  const entries = Object.keys(first).map((key) => [key, medians(runs.map((run) => run[key as keyof T]))]);
  return Object.fromEntries(entries) as T;
}
