/** The medians of a tunnel benchmark as a Markdown page. Pure. */

import type { Machine } from "../../src/demo/result.ts";
import type { RunResult } from "./measure.ts";

export interface BenchResult {
  readonly date: string;
  readonly machine: Machine;
  /** Processes that wanted a CPU in the minute before: what else the machine was doing. */
  readonly loadAverageBefore: number;
  readonly packetLen: number;
  readonly pollMode: string;
  readonly seconds: number;
  readonly rows: readonly {
    readonly intervalUs: number;
    readonly limitMbitPerS: number;
    readonly runs: readonly RunResult[];
    readonly median: RunResult;
  }[];
}

const percent = (ratio: number, decimals = 1) => `${(100 * ratio).toFixed(decimals)} %`;

function goodput(mbitPerS: number | undefined, limitMbitPerS: number): string {
  if (mbitPerS === undefined) return "–";
  return `${mbitPerS.toFixed(2)} (${percent(mbitPerS / limitMbitPerS)})`;
}

export function resultTable(
  { date, machine, loadAverageBefore, packetLen, pollMode, seconds, rows }: BenchResult,
): string {
  const line = (name: string, cell: (row: BenchResult["rows"][number]) => string) =>
    `| ${name} | ${rows.map(cell).join(" | ")} |`;
  const both = (
    of: (run: RunResult) => Readonly<Record<"client" | "server", number>>,
    text: (value: number) => string,
  ) =>
  (row: BenchResult["rows"][number]) => `${text(of(row.median).client)}, ${text(of(row.median).server)}`;
  return [
    `# Through the tunnel`,
    ``,
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; ${date}. Packets of ${packetLen} bytes each way,`,
    `poll mode ${pollMode}; load average before ${
      loadAverageBefore.toFixed(1)
    }; both ends and iperf3 on this machine; ${seconds} s each, medians of ${rows[0].runs.length} runs.`,
    `Goodput in Mbit/s of payload, in brackets its share of the payload limit (one full TCP segment in every slot).`,
    ``,
    line("slots every", (row) => `${row.intervalUs} µs`),
    `| --- | ${rows.map(() => "---:").join(" | ")} |`,
    line("payload limit, Mbit/s", (row) => row.limitMbitPerS.toFixed(2)),
    line("TCP up", (row) => goodput(row.median.tcpUp.upMbitPerS, row.limitMbitPerS)),
    line("TCP down", (row) => goodput(row.median.tcpDown.downMbitPerS, row.limitMbitPerS)),
    line("TCP both ways: up", (row) => goodput(row.median.tcpBoth.upMbitPerS, row.limitMbitPerS)),
    line("TCP both ways: down", (row) => goodput(row.median.tcpBoth.downMbitPerS, row.limitMbitPerS)),
    line("UDP at 90 %, arrived", (row) => goodput(row.median.udpUp.upMbitPerS, row.limitMbitPerS)),
    line("UDP lost", (row) => percent(row.median.udpUp.lostRatio, 2)),
    line("round trip idle, ms", (row) => row.median.rttIdleMs.toFixed(2)),
    line("round trip under TCP up, ms", (row) => row.median.rttLoadedMs.toFixed(2)),
    line("CPU idle: client, server", both((run) => run.idleCpu, percent)),
    line("CPU, TCP up", both((run) => run.tcpUp.cpu, percent)),
    line("CPU, TCP both ways", both((run) => run.tcpBoth.cpu, percent)),
    line("memory (RSS), MB", both((run) => run.rssMB, (value) => value.toFixed(0))),
    line("slots skipped", both((run) => run.skippedRatio, (value) => percent(value, 3))),
    line("slots late > 100 µs", both((run) => run.lateRatio, (value) => percent(value, 3))),
    ``,
  ].join("\n");
}
