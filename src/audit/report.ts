/** `i405 report`: what a running tunnel has counted, as one page. It reads the status document, also of other versions:
 * what is not there is left out. Pure. */

import { PAGE_STYLE } from "../demo/page_style.ts";
import { fixed } from "../demo/text.ts";
import { escapeMarkup, type Plot, plotSvg } from "../status/svg.ts";

/** Two looks or more at one tunnel, in order. */
export interface ReportSample {
  /** s since the first. */
  readonly atS: number;
  readonly document: unknown;
}

type Table = Readonly<Record<string, unknown>>;

function tableOf(value: unknown): Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Table : {};
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : NaN;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A complete document. `samples` has one at least. */
export function reportPage(samples: readonly ReportSample[], date: string): string {
  const last = tableOf(samples[samples.length - 1].document);
  const title = `i405 ${text(last.role)}: report`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
<header>
<p class="brand">i405 report</p>
<h1>${text(last.role)}, up ${fixed(numberOf(last.uptime_s) / 3600, 2)} h</h1>
<p class="lead">What the tunnel's own clock says of its slots since it began. What an observer sees of them is what
<code>i405 audit</code> measures.</p>
</header>
${listOf(last.peers).map((peer, index) => peerSection(tableOf(peer), index, samples)).join("\n")}
${transmitSection(last)}
${counterSection(last)}
<footer>i405 ${text(last.version)} · ${escapeMarkup(date)} · ${timingText(tableOf(last.timing))}</footer>
</main>
</body>
</html>
`;
}

function text(value: unknown): string {
  return escapeMarkup(value === undefined ? "" : String(value));
}

function timingText(timing: Table): string {
  const us = (key: string) => `${fixed(numberOf(timing[key]) / 1e3, 1)} µs`;
  const scheduling = timing.noFifo === true ? "no SCHED_FIFO" : "SCHED_FIFO";
  return `${scheduling}, CPU ${text(timing.cpu)}, lead ${us("leadNs")}, wake-ups P99.9 ${us("wakeP999Ns")}`;
}

const QUANTILES = [
  ["p50_ns", "P50"],
  ["p90_ns", "P90"],
  ["p99_ns", "P99"],
  ["p999_ns", "P99.9"],
  ["max_ns", "largest"],
  ["sd_ns", "standard deviation"],
] as const;

function peerSection(peer: Table, index: number, samples: readonly ReportSample[]): string {
  const slots = tableOf(peer.slots);
  const deviation = tableOf(peer.deviation);
  return `<section>
<h2>${text(peer.name)}: ${text(peer.state)}</h2>
<ul class="facts">
${
    ["slots", "skipped", "late", "send_errors", "dry"].map((key) => fact(slots[key], key.replace("_", " ")))
      .join("")
  }
</ul>
${
    rowsHtml(
      ["Deviation from plan", "µs"],
      QUANTILES.map(([key, name]) => [name, fixed(numberOf(deviation[key]) / 1e3, 3)]),
    )
  }
<div class="pair">
${deviationFigure(deviation)}
${rateFigure(samples, index)}
</div>
</section>`;
}

function fact(value: unknown, name: string): string {
  return `<li><b>${text(value ?? "–")}</b> ${escapeMarkup(name)}</li>`;
}

/** Share of slots that were no further from their plan, over a logarithmic axis. */
function deviationFigure(deviation: Table): string {
  const buckets = listOf(deviation.histogram).map(listOf).map((
    [ns, count],
  ) => [numberOf(ns), numberOf(count)]);
  const total = buckets.reduce((sum, [, count]) => sum + count, 0);
  let below = 0;
  const points = buckets.map(([ns, count]): [number, number] => {
    below += count;
    return [Math.log10(Math.max(1, ns)), 100 * below / total];
  });
  return figure("Share of slots no further from their plan (10^x ns)", {
    title: "Distribution of the deviation",
    xLabel: "log10 of ns",
    yLabel: "%",
    x: [0, Math.max(4, ...points.map(([x]) => x))],
    y: [0, 100],
    series: [{ name: "slots", className: "wire", points, stepped: true }],
  });
}

/** Records and user data per second between the looks. */
function rateFigure(samples: readonly ReportSample[], index: number): string {
  const rates = (key: string): [number, number][] =>
    samples.slice(1).map(({ atS, document }, i) => {
      const before = samples[i];
      return [
        atS,
        (countOf(document, index, key) - countOf(before.document, index, key)) / (atS - before.atS),
      ];
    });
  return figure("Records per second while this was made; the orange part nobody sees from outside", {
    title: "Records per second",
    xLabel: "s",
    yLabel: "records/s",
    series: [
      { name: "records", className: "wire", points: rates("records") },
      { name: "with user data", className: "user", points: rates("data_records"), filled: true },
    ],
  });
}

function countOf(document: unknown, index: number, key: string): number {
  return numberOf(tableOf(tableOf(listOf(tableOf(document).peers)[index]).slots)[key]);
}

/** What the kernel says of the packets, beside what the pacer says of its calls. */
function transmitSection(status: Table): string {
  const transmit = tableOf(status.transmit);
  const count = numberOf(transmit.count);
  const rows = QUANTILES.map(([key, name]) => [name, fixed(numberOf(transmit[key]) / 1e3, 3)]);
  return `<section><h2>When packets left</h2>
${
    count > 0
      ? rowsHtml([`Kernel's transmit stamps from plan (${count})`, "µs"], rows) + deviationFigure(transmit)
      : "<p>No transmit stamps: set status.transmit_stamps; some interfaces, and TCP mode, have none.</p>"
  }</section>`;
}

function counterSection(status: Table): string {
  const rows = Object.entries(tableOf(status.counters)).filter(([, value]) => numberOf(value) > 0)
    .map(([name, value]) => [name.replaceAll("_", " "), String(value)]);
  return `<section><h2>Counters above 0</h2>${rowsHtml(["", "count"], rows)}</section>`;
}

function rowsHtml(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[]) =>
    row.map((cell, i) =>
      i === 0 ? `<th scope="row">${escapeMarkup(cell)}</th>` : `<td>${escapeMarkup(cell)}</td>`
    );
  return `<table><thead><tr>${
    head.map((cell) => `<th scope="col">${escapeMarkup(cell)}</th>`).join("")
  }</tr></thead>
<tbody>${rows.map((row) => `<tr>${cells(row).join("")}</tr>`).join("\n")}</tbody></table>`;
}

function figure(caption: string, plot: Plot): string {
  return `<figure><figcaption>${escapeMarkup(caption)}</figcaption>${plotSvg(plot)}</figure>`;
}
