/** The result in plain words, for a terminal. Pure. */

import { fixed } from "../demo/text.ts";
import type { Gate } from "./gate.ts";
import { type LoadJudgement, tellText } from "./judge.ts";
import type { AuditDirection, AuditResult } from "./result.ts";

const MARK = { holds: "holds    ", fails: "FAILS    ", "not shown": "not shown" } as const;

export function auditText(result: AuditResult): string {
  return [
    "",
    ...result.tunnels.flatMap(({ jitter, directions }) => [
      `Mode ${result.mode}, jitter ${jitter}, slots of ${fixed(result.intervalNs / 1e6, 3)} ms${
        burstText(result.burst)
      }, ${result.pollMode}`,
      ...directions.flatMap((direction) => directionLines(direction, result.intervalNs)),
      "",
    ]),
    verdictText(result),
  ].join("\n");
}

function burstText(burst: number): string {
  return burst === 1 ? "" : ` and ${burst} packets`;
}

function directionLines({ name, isJudged, judgement }: AuditDirection, intervalNs: number): string[] {
  return [
    `  ${name}${isJudged ? "" : " (reported, not judged: its pacer shares a CPU with everything else here)"}`,
    ...judgement.exact.map(gateLine),
    ...judgement.null.map(gateLine),
    ...(judgement.note === undefined ? [] : [`      ${judgement.note}`]),
    ...judgement.loads.flatMap((load) => loadLines(load, judgement.idleSessions, intervalNs)),
  ];
}

function loadLines(load: LoadJudgement, idle: number, intervalNs: number): string[] {
  return [
    `    ${load.load}: ${load.sessions} sessions against ${idle} idle ones`,
    ...load.gates.map(gateLine),
    `      G3   reported  ${tellText(load.tell, intervalNs)}`,
  ];
}

export function gateLine(gate: Gate): string {
  return `      ${gate.id.padEnd(4)} ${MARK[gate.verdict]} ${gate.name}: ${gateFigures(gate)}`;
}

/** "0.51 (0.47 to 0.55, bound 0.55) ns; detail". */
export function gateFigures({ value, lower, upper, bound, unit, detail }: Gate): string {
  if (Number.isNaN(value)) return detail;
  const decimals = unit === "ns" ? 0 : 3;
  const figures = `${fixed(value, decimals)} (${fixed(lower, decimals)} to ${
    fixed(upper, decimals)
  }, bound ${bound})`;
  return [`${figures}${unit === "" ? "" : ` ${unit}`}`, detail].filter((part) => part !== "").join("; ");
}

export function verdictText({ verdict, minutes }: AuditResult): string {
  if (verdict === "holds") return "Every gate holds: in this sample nothing tells idle from busy.";
  if (verdict === "fails") return "At least one gate FAILS: what is marked tells an observer something.";
  return `No gate fails, but ${
    fixed(minutes, 1)
  } min are too few to show that all hold: run it for longer (--full).`;
}
