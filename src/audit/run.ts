/* An audit: 1 namespaces · 2 a tunnel with its ends, loads and hogs · 3 rounds: an observer beside, loads in random order
 * · 4 packets paired with slots, cut into sessions · 5 the next tunnel, without jitter · 6 judged, printed, drawn ·
 * whatever happens, everything taken away. */

import { resolveDirection } from "../config/mod.ts";
import type { EndPlan } from "../demo/ends.ts";
import { allowedCpus } from "../demo/machine.ts";
import { removeLeftovers, type Site } from "../demo/site.ts";
import { assertFolder, EXIT, onStage } from "../demo/stage.ts";
import type { Jitter } from "../schedule/mod.ts";
import type { Log } from "../status/log.ts";
import { conclude, jitterText, keepRound, makeTraces, randomOf, roundsOf, timesOf } from "./course.ts";
import { AuditLab, type End, type LabPlan, SERVER_PORT } from "./lab.ts";
import type { AuditOptions, AuditPorts } from "./options.ts";
import { plotsOf } from "./plots.ts";
import type { AuditTunnel } from "./result.ts";
import { runTap } from "./run_tap.ts";
import { evidenceFor } from "./tcp_evidence.ts";

// Chosen here.
const PACKET_LEN = 1400;
const MTU = 1500;
const DIRECTIONS = [
  { from: "client", name: "client to server", interfaceIndex: 0 },
  { from: "server", name: "server to client", interfaceIndex: 1 },
] as const;

/** Runs an audit and prints what came of it. Returns the exit code: 0 every gate holds, 1 one fails or the audit could
 * not be made, 2 not shown, 77 no right to make it, 130 interrupted. */
export async function runAudit(options: AuditOptions, log: Log, ports: AuditPorts): Promise<number> {
  if (Deno.uid() !== 0) {
    log.error("An audit makes network namespaces and judges real-time scheduling: run it as root");
    return EXIT.noRight;
  }
  if (options.tap !== undefined) return await runTap({ ...options, tap: options.tap }, log, ports);
  return await onStage(log, (site) => audit(site, options, log, ports));
}

async function audit(site: Site, options: AuditOptions, log: Log, ports: AuditPorts): Promise<number> {
  await assertFolder(options.out);
  await makeTraces(options.traces);
  await removeLeftovers();
  await site.build();
  const startMs = Date.now();
  const cpus = allowedCpus(ports);
  if (cpus.length > 1) ports.threadSetup(0, cpus[cpus.length - 1]); // this process keeps off the client's pacer itself
  const tunnels: AuditTunnel[] = [];
  const jitters = options.jitter === "both" ? ["on", "off"] as const : [options.jitter];
  for (const jitter of jitters) {
    const minutes = options.minutes / jitters.length;
    tunnels.push(await auditTunnel(site, { ...options, jitter, minutes }, log, cpus));
  }
  return await conclude(options, ports, { startMs, packetLen: PACKET_LEN, tunnels });
}

/** One tunnel, for options.minutes. */
async function auditTunnel(
  site: Site,
  options: AuditOptions,
  log: Log,
  cpus: readonly number[],
): Promise<AuditTunnel> {
  const plan = planOf(options, cpus);
  const jitter = jitterOf(plan);
  log.info("starting a tunnel", { jitter: jitterText(jitter), cpus: JSON.stringify(plan.judgedEnds) });
  const lab = await AuditLab.open(site, plan);
  const evidence = DIRECTIONS.map((direction) =>
    evidenceFor(options.mode, {
      ...direction,
      serverPort: SERVER_PORT,
      intervalNs: options.intervalNs,
      burst: options.burst,
    })
  );
  const random = randomOf(options.seed);
  const times = timesOf(options.intervalNs);
  for (const [index, order] of [...roundsOf(options, times, random)].entries()) {
    log.info("round", { number: index + 1, sessions: order.length });
    const round = await lab.round(order, times);
    for (const direction of evidence) direction.add(round);
    if (options.traces !== undefined) await keepRound(`${options.traces}/${options.jitter}-${index}`, round);
  }
  await lab.close();
  return {
    jitter: jitterText(jitter),
    directions: DIRECTIONS.map(({ name, from }, i) => ({
      name,
      isJudged: plan.judgedEnds.includes(from),
      judgement: evidence[i].judge({ packetLen: PACKET_LEN, isOwnLink: true, jitter, random }),
      plots: plotsOf(evidence[i].sessions, options.intervalNs),
    })),
  };
}

interface AuditPlan extends LabPlan {
  /** Ends whose pacer has a CPU that nothing else is put on. */
  readonly judgedEnds: readonly End[];
}

/** With four CPUs or more each pacer has one to itself; with fewer the client's alone, and all the rest shares what is
 * left. */
function planOf(options: AuditOptions, cpus: readonly number[]): AuditPlan {
  const common = { schedFifo: options.schedFifo, pollMode: options.pollMode };
  const tunnel = {
    intervalNs: options.intervalNs,
    packetLen: PACKET_LEN,
    mode: options.mode,
    jitter: options.jitter === "off" ? "none" : undefined,
    burst: options.burst,
  };
  const base = { tunnel, hogs: cpus.length };
  const end = (cpu: number | undefined, confinedTo?: string): EndPlan => ({ ...common, cpu, confinedTo });
  if (cpus.length === 1) {
    return {
      ...base,
      ends: { client: end(undefined), server: end(undefined) },
      quiet: undefined,
      judgedEnds: [],
    };
  }
  const judged = cpus.length >= 4 ? cpus.slice(-2) : cpus.slice(-1);
  const others = cpus.filter((cpu) => !judged.includes(cpu));
  const quiet = others.join(",");
  const client = end(judged[judged.length - 1]);
  return judged.length === 2
    ? { ...base, ends: { client, server: end(judged[0]) }, quiet, judgedEnds: ["client", "server"] }
    : { ...base, ends: { client, server: end(others[0], quiet) }, quiet, judgedEnds: ["client"] };
}

/** What the ends make of the configured jitter. */
function jitterOf({ tunnel }: LabPlan): Jitter {
  const direction = {
    speedBitsPerS: undefined,
    intervalNs: tunnel.intervalNs,
    packetLength: tunnel.packetLen,
    jitter: tunnel.jitter === "none" ? { law: "none", sdRatio: 0 } as const : undefined,
    burst: tunnel.burst ?? 1,
  };
  const { jitterLaw, jitterSdNs } = resolveDirection("up", direction, MTU);
  return { law: jitterLaw, sdNs: jitterSdNs };
}
