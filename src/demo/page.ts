/** The result as one HTML page that needs nothing else: styles and plots are inside. Pure. */

import { type Band, escapeMarkup, plotSvg } from "../status/svg.ts";
import { PAGE_STYLE } from "./page_style.ts";
import type { DemoResult, DirectionView } from "./result.ts";
import { classRows, fixed, skippedLines, transferCells, tripCells } from "./text.ts";
import { alikeText } from "./verdicts.ts";

/** A complete document. */
export function resultPage(result: DemoResult): string {
  const title = result.holds ? "i405 demo: every promise held" : "i405 demo: a promise is broken";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
${header(result)}
${userSection(result)}
${result.directions.map((view) => directionSection(result, view)).join("\n")}
${promiseSection(result)}
${footer(result)}
</main>
</body>
</html>
`;
}

function header({ holds, promises, directions, withRoot }: DemoResult): string {
  const broken = promises.filter((promise) => !promise.holds).length;
  return `<header>
<p class="brand">i405 demo</p>
<h1>${holds ? "Every promise held" : "A promise is broken"}</h1>
<p class="lead">A tunnel was idle and busy in turn while a third party watched every packet of its outer link. ${
    holds
      ? "One length, one set of header fields, and a packet for every slot that was not skipped."
      : `${broken} of ${promises.length} promises did not hold; they are marked below.`
  }</p>
${skippedLines(directions).map((line) => `<p class="note">${escapeMarkup(line)}</p>`).join("")}
${
    withRoot
      ? ""
      : '<p class="note">Made without root, so without real-time scheduling: times are worse than they would be.</p>'
  }
</header>`;
}

function userSection({ user }: DemoResult): string {
  return `<section id="user">
<h2>What the user got</h2>
<div class="pair">
${
    tableHtml(["Round trip", "min", "median", "max", "answered"], [
      ["alone", ...tripCells(user.roundTrips.idle)],
      ["while busy", ...tripCells(user.roundTrips.busy)],
    ])
  }
${
    tableHtml(["Web transfer", "payload", "limit", "share", "bytes"], [
      ["download", ...transferCells(user.download)],
      ["upload", ...transferCells(user.upload)],
    ])
  }
</div>
<p class="fine">Round trips: ${
    escapeMarkup(user.roundTripKind)
  }. Both transfers ran at the same time; the limit is one
full TCP segment in every slot.</p>
</section>`;
}

function directionSection(result: DemoResult, view: DirectionView): string {
  const { idle, busy } = view.classes;
  return `<section class="direction">
<h2>What the observer saw: ${escapeMarkup(view.name)}</h2>
<ul class="facts">
${fact(String(view.packets), "packets")}
${fact(String(view.lengths.length), view.lengths.length === 1 ? "length" : "lengths")}
${
    fact(
      String(view.headers.length),
      view.headers.length === 1 ? "set of header fields" : "sets of header fields",
    )
  }
${fact(`${fixed(view.intervalNs / 1e6, 3)} ms`, "between slots")}
${fact(String(view.skipped), "slots skipped")}
</ul>
${packetPlot(result, view)}
${dataPlot(result, view)}
${tableHtml(["", "idle", "busy"], classRows(view))}
<p class="fine">Deviations idle and busy: ${
    escapeMarkup(alikeText(view.deviationDistance, Math.min(idle.deviationUs.count, busy.deviationUs.count)))
  } (largest distance of the distributions ${fixed(view.deviationDistance, 3)}).</p>
<div class="pair">
${deviationPlot(view)}
${intervalPlot(view)}
</div>
</section>`;
}

function fact(value: string, name: string): string {
  return `<li><b>${escapeMarkup(value)}</b> ${escapeMarkup(name)}</li>`;
}

function bands({ phases }: DemoResult): Band[] {
  return phases.map(({ kind, fromS, toS }) => ({ from: fromS, to: toS, label: kind, className: kind }));
}

function timeAxis({ phases }: DemoResult): readonly [number, number] {
  return [0, Math.max(...phases.map((phase) => phase.toS))];
}

function packetPlot(result: DemoResult, view: DirectionView): string {
  return figure(
    "On the wire: packets per second, all of one length",
    plotSvg({
      title: `Packets per second, ${view.name}`,
      xLabel: "seconds",
      yLabel: "packets/s",
      height: 190,
      x: timeAxis(result),
      y: [0, 1.3e9 / view.intervalNs],
      bands: bands(result),
      series: [{ name: "packets", className: "wire", points: view.plots.packetRate, stepped: true }],
    }),
  );
}

function dataPlot(result: DemoResult, view: DirectionView): string {
  return figure(
    "Inside, hidden: share of slots that carried user data",
    plotSvg({
      title: `Share of slots with user data, ${view.name}`,
      xLabel: "seconds",
      yLabel: "%",
      height: 170,
      x: timeAxis(result),
      y: [0, 100],
      bands: bands(result),
      series: [{
        name: "user data",
        className: "user",
        points: view.plots.dataShare.map(([x, share]) => [x, 100 * share]),
        filled: true,
        stepped: true,
      }],
    }),
  );
}

function deviationPlot(view: DirectionView): string {
  const { idle, busy } = view.classes;
  const reach = Math.max(
    1,
    ...[idle, busy].flatMap(({ deviationUs }) => [Math.abs(deviationUs.p99), Math.abs(deviationUs.min)])
      .filter(Number.isFinite),
  );
  return figure(
    "Deviation from plan at the observer: share of packets up to it",
    plotSvg({
      title: `Distribution of the deviation from plan, ${view.name}`,
      xLabel: "µs",
      yLabel: "%",
      x: [
        -Math.min(reach, Math.max(1, Math.abs(Math.min(idle.deviationUs.min, busy.deviationUs.min)) || 1)),
        reach,
      ],
      y: [0, 100],
      series: (["idle", "busy"] as const).map((kind) => ({
        name: kind,
        className: `${kind}-line`,
        points: view.plots.deviation[kind].map(([x, share]) => [x, 100 * share]),
      })),
    }),
  );
}

function intervalPlot(view: DirectionView): string {
  return figure(
    "Intervals between packets: the jitter as planned",
    plotSvg({
      title: `Histogram of the intervals, ${view.name}`,
      xLabel: "µs",
      yLabel: "%",
      series: (["idle", "busy"] as const).map((kind) => ({
        name: kind,
        className: `${kind}-line`,
        points: view.plots.intervals[kind].map(([x, share]) => [x, 100 * share]),
        stepped: true,
      })),
    }),
  );
}

function figure(caption: string, svg: string): string {
  return `<figure><figcaption>${escapeMarkup(caption)}</figcaption>${svg}</figure>`;
}

function promiseSection({ promises }: DemoResult): string {
  const items = promises.map(({ name, holds, detail }) =>
    `<li class="${holds ? "holds" : "broken"}"><b>${holds ? "holds" : "broken"}</b> ${escapeMarkup(name)}` +
    `<small>${escapeMarkup(detail)}</small></li>`
  );
  return `<section id="promises"><h2>Promises</h2><ul class="promises">${items.join("\n")}</ul></section>`;
}

function tableHtml(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[]) =>
    row.map((cell, column) =>
      column === 0 ? `<th scope="row">${escapeMarkup(cell.trim())}</th>` : `<td>${escapeMarkup(cell)}</td>`
    );
  return `<table><thead><tr>${
    head.map((cell) => `<th scope="col">${escapeMarkup(cell)}</th>`).join("")
  }</tr></thead>
<tbody>${rows.map((row) => `<tr>${cells(row).join("")}</tr>`).join("\n")}</tbody></table>`;
}

function footer({ version, date, machine, seconds }: DemoResult): string {
  return `<footer>i405 ${escapeMarkup(version)} · ${escapeMarkup(date)} · ${
    escapeMarkup(machine.cpu)
  }, ${machine.cores} ${machine.cores === 1 ? "core" : "cores"}, Linux ${escapeMarkup(machine.kernel)} · ${
    fixed(seconds, 0)
  } s · both ends and the observer on this machine. Times are
judged only grossly here.</footer>`;
}
