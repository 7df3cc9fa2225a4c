/** The medians of bench:peers as a Markdown table and as bars. Pure. */

import type { Machine } from "../../src/demo/result.ts";
import { escapeMarkup } from "../../src/status/svg.ts";
import { type Figures, UDP_MBIT_PER_S } from "./measure.ts";

export interface PeersResult {
  readonly date: string;
  readonly machine: Machine;
  /** Processes that wanted a CPU in the minute before: what else the machine was doing. */
  readonly loadAverageBefore: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly link: "whole" | "segmented";
  readonly missing: readonly { readonly name: string; readonly reason: string }[];
  readonly rows: readonly {
    readonly name: string;
    readonly version: string;
    readonly runs: readonly Figures[];
    readonly failures: number;
    readonly median: Figures | undefined;
  }[];
}

type Column = readonly [title: string, text: (figures: Figures) => string];

const some = (value: number | undefined, text: (value: number) => string) =>
  value === undefined ? "–" : text(value);
const percent = (decimals: number) => (ratio: number) => `${(100 * ratio).toFixed(decimals)} %`;
const fixed = (decimals: number) => (value: number) => value.toFixed(decimals);

const COLUMNS: readonly Column[] = [
  ["TCP, 1 stream, Mbit/s", (f) => some(f.tcp1MbitPerS, fixed(0))],
  ["4 streams", (f) => some(f.tcp4MbitPerS, fixed(0))],
  ["of what fits", (f) => some(f.goodputRatio, percent(1))],
  ["CPU s/GB", (f) => some(f.cpuPerGB, fixed(2))],
  ["busiest end", (f) => some(f.cpuEndMost, percent(0))],
  [`CPU, UDP ${UDP_MBIT_PER_S} Mbit/s`, (f) => percent(0)(f.cpuPaced)],
  ["lost", (f) => percent(2)(f.udpLostRatio)],
  ["RTT then, ms", (f) => fixed(2)(f.rttLoadedMs)],
  ["RTT idle, ms", (f) => fixed(2)(f.rttIdleMs)],
  ["CPU idle", (f) => percent(1)(f.cpuIdle)],
  ["RSS, MB", (f) => fixed(0)(f.rssMB)],
  ["skipped", (f) => some(f.skippedRatio, percent(3))],
];

export function peersPage(result: PeersResult): string {
  const { machine, rows, missing } = result;
  const cells = (row: PeersResult["rows"][number]) =>
    COLUMNS.map(([, text]) => row.median === undefined ? "failed" : text(row.median));
  const failed = rows.filter(({ failures }) => failures > 0);
  return [
    `# Beside other tunnels`,
    ``,
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; ${result.date}. Load average before: ${
      result.loadAverageBefore.toFixed(1)
    }.`,
    `Both ends, iperf3 and both TCP stacks on this machine, in two namespaces; the link between them takes packets`,
    `${
      result.link === "whole" ? "in one piece" : "one by one"
    }. Medians of ${result.rounds} rounds in which all take their turn, ${result.seconds} s each measurement.`,
    `CPU is of both ends together, in shares of one core; \`busiest end\` is the larger one with TCP under way; RSS is`,
    `the mean of both ends. i405 has constant traffic on all the time: "43 / 125 µs up" sends 43 packets of 1500 bytes`,
    `each 125 µs, data or not, and one each millisecond back, unless it says otherwise.`,
    ``,
    `| | ${COLUMNS.map(([title]) => title).join(" | ")} |`,
    `| --- | ${COLUMNS.map(() => "---:").join(" | ")} |`,
    ...rows.map((row) => `| ${row.name} | ${cells(row).join(" | ")} |`),
    ``,
    `Versions: ${rows.map(({ name, version }) => `${name}: ${version}`).join("; ")}.`,
    ...missing.map(({ name, reason }) => `Not measured: ${name} (${reason}).`),
    ...failed.map(({ name, failures }) => `${name}: ${failures} of ${result.rounds} rounds failed.`),
    ``,
  ].join("\n");
}

// Chosen here, in units of the view box.
const WIDTH = 760;
const NAME_WIDTH = 230;
const VALUE_WIDTH = 80;
const BAR = 18;
const STEP = 24;
const TITLE = 30;

/** Bars of one figure, longest to the edge. */
function bars(title: string, rows: readonly (readonly [string, number])[], top: number): string {
  const most = Math.max(...rows.map(([, value]) => value), 1e-9);
  const lines = rows.map(([name, value], index) => {
    const y = top + TITLE + index * STEP;
    const width = value / most * (WIDTH - NAME_WIDTH - VALUE_WIDTH);
    const fill = name.startsWith("i405") ? "#1f6feb" : "#8b949e";
    return `<text x="${NAME_WIDTH - 8}" y="${y + 13}" text-anchor="end">${escapeMarkup(name)}</text>` +
      `<rect x="${NAME_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" fill="${fill}"/>` +
      `<text x="${(NAME_WIDTH + width + 6).toFixed(1)}" y="${y + 13}">${Number(value.toPrecision(3))}</text>`;
  });
  return `<text x="0" y="${top + 18}" font-weight="bold">${escapeMarkup(title)}</text>${lines.join("")}`;
}

/** The four figures that people choose by. */
export function peersPlot({ rows }: PeersResult): string {
  const plots: [string, (figures: Figures) => number | undefined][] = [
    ["TCP, 1 stream, Mbit/s (more is better)", (f) => f.tcp1MbitPerS],
    ["CPU seconds for a gigabyte, both ends (less is better)", (f) => f.cpuPerGB],
    [`CPU with UDP at ${UDP_MBIT_PER_S} Mbit/s, both ends, % of a core`, (f) => 100 * f.cpuPaced],
    [`round trip with UDP at ${UDP_MBIT_PER_S} Mbit/s, ms`, (f) => f.rttLoadedMs],
  ];
  let top = 0;
  const parts = plots.map(([title, of]) => {
    const values = rows.flatMap(({ name, median }) => {
      const value = median === undefined ? undefined : of(median);
      return value === undefined || !Number.isFinite(value) ? [] : [[name, value] as const];
    });
    const plot = bars(title, values, top);
    top += TITLE + values.length * STEP + 16;
    return plot;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" font-family="sans-serif" font-size="12" role="img">` +
    `<title>Beside other tunnels</title><rect width="${WIDTH}" height="${top}" fill="#fff"/>${
      parts.join("")
    }</svg>\n`;
}
