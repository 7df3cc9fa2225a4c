/** A tunnel to be audited on this machine, everything that loads it, and rounds of measurement. */

import { type Child, DemoError, sleep, whileRunning } from "../demo/child.ts";
import {
  BEYOND_SERVER,
  type EndPlan,
  INNER,
  PROXY,
  SERVER_PORT,
  startEnds,
  tunMtu,
  type TunnelPlan,
} from "../demo/ends.ts";
import { parseSeenFile, type SeenFile } from "../demo/seen_file.ts";
import { OUTER, SEEN_AT, type Site } from "../demo/site.ts";
import type { TraceFile } from "../demo/trace_file.ts";
import { type Block, type BlockTimes, runBlocks } from "./blocks_run.ts";
import { OTHER_PORT } from "./exact.ts";
import type { LoadClass } from "./session.ts";
import { TraceReader } from "./trace_reader.ts";

export { SERVER_PORT };
export type End = "client" | "server";
// Chosen here.
const SINK_PORT = 8405;
export const READY_WAIT_MS = 20_000;
export const SETTLE_MS = 600;
const STAMPS_NS = 300e6;
/** Outer headers, record header, tag and content type, head of an inner packet: the rest is the inner packet's. */
const OVERHEAD_LEN = 28 + 5 + 16 + 1 + 3;

/** Where everything runs. `quiet`: CPUs of all that is not measured. */
export interface LabPlan {
  readonly tunnel: TunnelPlan;
  readonly ends: Readonly<Record<End, EndPlan>>;
  readonly quiet: string | undefined;
  readonly hogs: number;
}

export interface Round {
  readonly blocks: readonly Block[];
  readonly seen: SeenFile;
  /** Slots of both ends that have come since the last round. */
  readonly traces: Readonly<Record<End, TraceFile>>;
}

/** The kernel stamps packets a moment after it was asked to; those before get the time at which they are read. */
export function withoutStart(seen: SeenFile): SeenFile {
  const fromNs = Math.min(...seen.frames.slice(0, 2).map(({ timeNs }) => timeNs)) + STAMPS_NS;
  return { ...seen, frames: seen.frames.filter(({ timeNs }) => timeNs >= fromNs) };
}

export class AuditLab {
  readonly #site: Site;
  readonly #plan: LabPlan;
  readonly #children: Child[] = [];
  readonly #loads: Child[] = [];
  readonly #traces: Readonly<Record<End, TraceReader>>;
  #rounds = 0;

  private constructor(site: Site, plan: LabPlan) {
    this.#site = site;
    this.#plan = plan;
    const reader = (end: End) => new TraceReader(`${site.dir}/${end}.trace`);
    this.#traces = { client: reader("client"), server: reader("server") };
  }

  /** Starts both ends and the loads in a site that is built. */
  static async open(site: Site, plan: LabPlan): Promise<AuditLab> {
    const lab = new AuditLab(site, plan);
    const ends = await startEnds(site, plan.ends, plan.tunnel.packetLen - OVERHEAD_LEN, plan.tunnel);
    lab.#children.push(ends.server, ends.client);
    const isProxy = plan.tunnel.mode === "tcp" || plan.tunnel.mode === "udp";
    if (!isProxy) await tunMtu(site);
    const sink = [isProxy ? BEYOND_SERVER : INNER.server, String(SINK_PORT)];
    await lab.#load("server", "sink", ...sink);
    lab.#loads.push(await lab.#load("client", "source", ...sink, ...(isProxy ? [PROXY] : [])));
    await lab.#load("server", "drain", OUTER.server, String(OTHER_PORT));
    lab.#loads.push(await lab.#load("client", "flood", OUTER.server, String(OTHER_PORT)));
    // Hogs may run on any CPU, that of the pacer as well: so may any program of a user's.
    for (let i = 0; i < plan.hogs; i++) {
      lab.#loads.push(await lab.#ready(lab.#self(undefined, "client", "hog")));
    }
    await sleep(SETTLE_MS);
    return lab;
  }

  /** Runs the loads of `order` one after the other with an observer beside. */
  async round(order: readonly LoadClass[], times: BlockTimes): Promise<Round> {
    const path = `${this.#site.dir}/seen-${this.#rounds++}`;
    const observer = this.#site.startSelfOn(
      this.#plan.quiet,
      "observer",
      "observer",
      "demo-child",
      "observe",
      path,
      SEEN_AT.client,
      SEEN_AT.server,
    );
    await observer.line(/observing/, READY_WAIT_MS);
    await sleep(SETTLE_MS);
    const blocks = await whileRunning(
      [observer, ...this.#children],
      runBlocks(order, times, this.#loads, () => this.#site.assertOpen()),
    );
    await sleep(SETTLE_MS);
    const { code } = await observer.stop();
    if (code !== 0) throw new DemoError(`The observer ended with ${code}:\n${observer.tail()}`);
    await sleep(SETTLE_MS); // the traces go beyond what was seen
    const seen = withoutStart(parseSeenFile(await Deno.readFile(path)));
    await Deno.remove(path);
    return {
      blocks,
      seen,
      traces: { client: await this.#traces.client.read(), server: await this.#traces.server.read() },
    };
  }

  /** Ends everything, the tunnel in order. Throws DemoError when an end does not end well. */
  async close(): Promise<void> {
    for (const child of [...this.#children].reverse()) {
      const { code } = await child.stop();
      const isEnd = child.name === "client" || child.name === "server";
      if (isEnd && code !== 0) throw new DemoError(`The ${child.name} ended with ${code}:\n${child.tail()}`);
    }
    for (const end of ["client", "server"] as const) await Deno.remove(`${this.#site.dir}/${end}.trace`);
    for (const file of ["client.key", "server.key", "client.toml", "server.toml"]) {
      await Deno.remove(`${this.#site.dir}/${file}`);
    }
  }

  async #load(place: End, ...args: string[]): Promise<Child> {
    return await this.#ready(this.#self(this.#plan.quiet, place, ...args));
  }

  #self(cpus: string | undefined, place: End, ...args: string[]): Child {
    return this.#site.startSelfOn(cpus, `load (${args[0]})`, place, "audit-child", ...args);
  }

  async #ready(child: Child): Promise<Child> {
    await child.line(/ready/, READY_WAIT_MS);
    this.#children.push(child);
    return child;
  }
}
