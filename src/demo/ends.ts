/** Client and server of the demonstration: configurations, start, end, traces. */

import type { Child } from "./child.ts";
import { OUTER, type Site } from "./site.ts";
import { parseTraceFile, type TraceFile } from "./trace_file.ts";

export const INNER = { client: "10.140.5.2", server: "10.140.5.1" } as const;
/** What both directions are configured to. */
export const INTERVAL_NS = 1_000_000;
export const PACKET_LEN = 1400;
export const SERVER_PORT = 1405;
/** Of a tunnel without a device: where its proxy listens, and the server's own address that it may be used for. */
export const PROXY = "127.0.0.1:1080";
export const BEYOND_SERVER = "127.0.0.1";
const UP_WAIT_MS = 30_000;

export interface EndPlan {
  /** CPU of the pacer; undefined: the program chooses. */
  readonly cpu: number | undefined;
  readonly schedFifo: boolean;
  readonly pollMode?: string;
  /** CPUs that the whole process is confined to, as taskset(1) reads them; undefined: all. */
  readonly confinedTo?: string;
}

/** What both directions are like. */
export interface TunnelPlan {
  readonly intervalNs: number;
  readonly packetLen: number;
  /** As in a configuration; undefined: a device. */
  readonly mode?: "tun" | "udp" | "tcp";
  /** As in a configuration; undefined: the default. */
  readonly jitter?: string;
  /** Packets of a slot; 1 when left out. */
  readonly burst?: number;
}

const DEMO_TUNNEL: TunnelPlan = { intervalNs: INTERVAL_NS, packetLen: PACKET_LEN };

export interface Ends {
  readonly client: Child;
  readonly server: Child;
}

function pacing({ cpu, schedFifo, pollMode }: EndPlan): string {
  return [
    "[pacing]",
    `sched_fifo = ${schedFifo}`,
    ...(cpu === undefined ? [] : [`cpu = ${cpu}`]),
    ...(pollMode === undefined ? [] : [`poll_mode = "${pollMode}"`]),
  ].join("\n");
}

function clientToml(
  site: Site,
  plan: EndPlan,
  { intervalNs, packetLen, mode = "tun", jitter, burst = 1 }: TunnelPlan,
): string {
  const direction = `interval = "${intervalNs} ns"\npacket_length = ${packetLen}\nburst = ${burst}\n${
    jitter === undefined ? "" : `jitter = "${jitter}"\n`
  }`;
  return `[tunnel]
peer = "${OUTER.server}:${SERVER_PORT}"
mode = "${mode}"
name = "demo"
key_file = "client.key"

[up]
${direction}
[down]
${direction}
${mode === "tun" ? '[tun]\nname = "i405"' : `[socks]\nlisten = ["${PROXY}"]`}

${pacing(plan)}
[status]
slot_trace = "${site.dir}/client.trace"
`;
}

function serverToml(
  site: Site,
  plan: EndPlan,
  mtu: number | undefined,
  { mode = "tun" }: TunnelPlan,
): string {
  const device = `[tun]\nname = "i405s"\naddresses = ["${INNER.server}/24"]\n${
    mtu === undefined ? "" : `mtu = ${mtu}\n`
  }`;
  return `[server]
listen = ["${OUTER.server}:${SERVER_PORT}"]
modes = ["${mode}"]

${mode === "tun" ? device : ""}
[[client]]
name = "demo"
key_file = "server.key"
${mode === "tun" ? `addresses = ["${INNER.client}"]` : `allow = ["${BEYOND_SERVER}/32"]`}
max_speed = "1 Gbit/s"

${pacing(plan)}
[status]
slot_trace = "${site.dir}/server.trace"
`;
}

/** Starts both and waits until the tunnel is up. Throws DemoError with the last lines of the one that failed. */
export async function startEnds(
  site: Site,
  plans: Readonly<Record<"client" | "server", EndPlan>>,
  mtu: number,
  tunnel = DEMO_TUNNEL,
): Promise<Ends> {
  const key = await site.runSelf("client", "keygen");
  await site.file("client.key", key);
  await site.file("server.key", key);
  const serverFile = await site.file("server.toml", serverToml(site, plans.server, mtu, tunnel));
  const clientFile = await site.file("client.toml", clientToml(site, plans.client, tunnel));
  const server = site.startSelfOn(plans.server.confinedTo, "server", "server", "server", serverFile);
  const client = site.startSelfOn(plans.client.confinedTo, "client", "client", "client", clientFile);
  await client.line(/tunnel up/, UP_WAIT_MS);
  return { client, server };
}

/** What the kernel says about the tunnel's device in a place. */
export async function tunMtu(site: Site): Promise<number> {
  const text = await site.run("client", "ip", "-o", "link", "show", "dev", "i405");
  return Number(/\bmtu (\d+)/.exec(text)?.[1]);
}

/** The whole trace of an end that has ended. */
export async function readTrace(site: Site, end: "client" | "server"): Promise<TraceFile> {
  return parseTraceFile(await Deno.readTextFile(`${site.dir}/${end}.trace`));
}
