/** What audits of both kinds have in common: the order of loads, what is kept, the end. */

import { SeededRandom, seedOf } from "../base/random.ts";
import { DemoError } from "../demo/child.ts";
import { describeMachine } from "../demo/machine.ts";
import { EXIT, writePage } from "../demo/stage.ts";
import type { Jitter } from "../schedule/mod.ts";
import { blockOrder } from "./blocks.ts";
import type { BlockTimes } from "./blocks_run.ts";
import { exitCodeOf, type GateVerdict } from "./gate.ts";
import { gatesOf } from "./judge.ts";
import type { Round } from "./lab.ts";
import type { AuditOptions, AuditPorts } from "./options.ts";
import { auditPage } from "./page.ts";
import { pcapOf } from "./pcap.ts";
import type { AuditResult, AuditTunnel } from "./result.ts";
import { auditText } from "./text.ts";

// Chosen here.
const SESSION_PACKETS = 500;
const GUARD_MS = 250;
const ROUND_MS = 60_000;

/** Sessions of 500 slots. */
export function timesOf(intervalNs: number): BlockTimes {
  return { sessionMs: SESSION_PACKETS * intervalNs / 1e6, guardMs: GUARD_MS };
}

/** Orders of loads, one a round, that fill the time. */
export function* roundsOf({ minutes, loads }: AuditOptions, times: BlockTimes, random: () => number) {
  const blockMs = times.sessionMs + times.guardMs;
  const count = Math.max(1, Math.round(minutes * 60_000 / blockMs));
  const perRound = Math.max(1, Math.round(ROUND_MS / blockMs));
  const order = blockOrder(count, loads, random);
  for (let at = 0; at < order.length; at += perRound) yield order.slice(at, at + perRound);
}

export function randomOf(seed: number): () => number {
  const random = new SeededRandom(seedOf(seed));
  return () => random.unit();
}

export function jitterText({ law, sdNs }: Jitter): string {
  return law === "none" ? "off" : `${law}, sd ${(sdNs / 1e3).toFixed(1)} µs`;
}

/** Makes the directory of `--traces`, if there is to be one. Throws DemoError. */
export async function makeTraces(path: string | undefined): Promise<void> {
  if (path === undefined) return;
  try {
    await Deno.mkdir(path, { mode: 0o700 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DemoError(`Cannot make the directory ${path}: ${reason}; choose another with --traces DIR`);
  }
}

/** A pcap of all that was seen, and the plans: `slot planned_ns actual_ns data_records`, with the base of their clock. */
export async function keepRound(path: string, { seen, traces, blocks }: Round): Promise<void> {
  await Deno.writeFile(`${path}.pcap`, pcapOf(seen.frames, seen.wallBaseNs));
  await Deno.writeTextFile(`${path}.loads.json`, JSON.stringify(blocks));
  for (const end of ["client", "server"] as const) {
    const lines = traces[end].slots.map(({ slot, plannedNs, actualNs, dataRecords }) =>
      `${slot} ${plannedNs} ${actualNs} ${dataRecords}`
    );
    await Deno.writeTextFile(
      `${path}.${end}.plan`,
      `# wall_base_ns ${traces[end].wallBaseNs}\n${lines.join("\n")}\n`,
    );
  }
}

/** Writes the page, prints the result; returns the exit code. */
export async function conclude(
  options: AuditOptions,
  ports: AuditPorts,
  found: { readonly startMs: number; readonly packetLen: number; readonly tunnels: readonly AuditTunnel[] },
): Promise<number> {
  const result: AuditResult = {
    version: options.version,
    date: new Date(found.startMs).toISOString(),
    machine: describeMachine(ports),
    seed: options.seed,
    minutes: (Date.now() - found.startMs) / 60_000,
    intervalNs: options.intervalNs,
    burst: options.burst,
    packetLen: found.packetLen,
    mode: options.mode,
    pollMode: options.pollMode,
    schedFifo: options.schedFifo,
    tunnels: found.tunnels,
    verdict: verdictOfAll(found.tunnels),
  };
  await writePage(options.out, auditPage(result));
  console.log(
    options.json ? JSON.stringify(result) : `${auditText(result)}\nThe same with plots: ${options.out}`,
  );
  return { holds: EXIT.holds, fails: EXIT.broken, "not shown": 2 }[result.verdict];
}

function verdictOfAll(tunnels: readonly AuditTunnel[]): GateVerdict {
  const gates = tunnels.flatMap(({ directions }) =>
    directions.filter(({ isJudged }) => isJudged).flatMap(({ judgement }) => gatesOf(judgement))
  );
  return (["holds", "fails", "not shown"] as const)[exitCodeOf(gates)];
}
