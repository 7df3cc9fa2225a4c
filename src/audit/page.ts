/** The result as one HTML page that needs nothing else. Pure. */

import { PAGE_STYLE } from "../demo/page_style.ts";
import { fixed } from "../demo/text.ts";
import { escapeMarkup, type Plot, plotSvg } from "../status/svg.ts";
import type { Gate } from "./gate.ts";
import { tellText } from "./judge.ts";
import type { AuditDirection, AuditResult, AuditTunnel } from "./result.ts";
import { gateFigures, verdictText } from "./text.ts";

const CLASS = { holds: "holds", fails: "broken", "not shown": "unknown" } as const;

/** A complete document. */
export function auditPage(result: AuditResult): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>i405 audit: ${escapeMarkup(result.verdict)}</title>
<style>${PAGE_STYLE}
.unknown b { color: var(--soft); } .promises b { min-width: 6rem; } h3 { margin: 1.4rem 0 .4rem; font-size: 1.05rem; }
</style>
</head>
<body>
<main>
<header>
<p class="brand">i405 audit</p>
<h1>${{ holds: "It holds", fails: "It fails", "not shown": "Not shown" }[result.verdict]}</h1>
<p class="lead">${escapeMarkup(verdictText(result))}</p>
</header>
${result.tunnels.map((tunnel) => tunnelSections(tunnel, result.intervalNs)).join("\n")}
${footer(result)}
</main>
</body>
</html>
`;
}

function tunnelSections({ jitter, directions }: AuditTunnel, intervalNs: number): string {
  return directions.map((direction) =>
    `<section>
<h2>${escapeMarkup(direction.name)}, jitter ${escapeMarkup(jitter)}</h2>
${
      direction.isJudged
        ? ""
        : '<p class="note">Reported, not judged: its pacer shares a CPU with everything else here.</p>'
    }
${plots(direction)}
<h3>What has to be exact, and the null</h3>
${gateList([...direction.judgement.exact, ...direction.judgement.null])}
${
      direction.judgement.note === undefined
        ? ""
        : `<p class="fine">${escapeMarkup(direction.judgement.note)}</p>`
    }
${
      direction.judgement.loads.map((load) =>
        `<h3>${
          escapeMarkup(load.load)
        }: ${load.sessions} sessions against ${direction.judgement.idleSessions} idle ones</h3>
${gateList(load.gates)}
<p class="fine">${escapeMarkup(tellText(load.tell, intervalNs))}</p>`
      ).join("\n")
    }
</section>`
  ).join("\n");
}

function gateList(gates: readonly Gate[]): string {
  const items = gates.map((gate) =>
    `<li class="${CLASS[gate.verdict]}"><b>${gate.verdict}</b> ${gate.id} ${escapeMarkup(gate.name)}` +
    `<small>${escapeMarkup(gateFigures(gate))}</small></li>`
  );
  return `<ul class="promises">${items.join("\n")}</ul>`;
}

function plots({ name, plots, judgement }: AuditDirection): string {
  const shown = (points: readonly (readonly [number, number])[]) =>
    points.map(([x]) => x).toSorted((a, b) => a - b);
  const edge = shown([...plots.quantiles]).at(-1) ?? 1;
  const start = shown([...plots.quantiles])[0] ?? 0;
  const roc = judgement.loads[0]?.roc ?? [];
  return `<div class="pair">
${
    figure("Residuals (seen − planned): share of packets up to it", {
      title: `Distribution of residuals, ${name}`,
      xLabel: "µs",
      yLabel: "%",
      x: [start, edge > start ? edge : start + 1],
      y: [0, 100],
      series: (["idle", "busy"] as const).map((kind) => ({
        name: kind,
        className: `${kind}-line`,
        points: plots.residuals[kind].map(([x, share]) => [x, 100 * share]),
      })),
    })
  }
${
    figure("Quantiles: busy over idle; equal loads lie on a diagonal", {
      title: `Quantiles of residuals, ${name}`,
      xLabel: "idle, µs",
      yLabel: "busy, µs",
      y: [Math.min(0, start), edge > start ? edge : start + 1],
      series: [{ name: "1 % to 99 %", className: "wire", points: plots.quantiles }],
    })
  }
${
    figure("ROC of the best classifier, any load: chance is the diagonal", {
      title: `ROC, ${name}`,
      xLabel: "false alarms",
      yLabel: "hits",
      x: [0, 1],
      y: [0, 1],
      series: [
        { name: "classifier", className: "busy-line", points: roc },
        { name: "chance", className: "idle-line", points: [[0, 0], [1, 1]] },
      ],
    })
  }
${
    figure("Packets per second, session by session", {
      title: `Rate over time, ${name}`,
      xLabel: "session",
      yLabel: "packets/s",
      series: (["idle", "busy"] as const).map((kind) => ({
        name: kind,
        className: `${kind}-line`,
        points: plots.rates[kind],
      })),
    })
  }
</div>`;
}

function figure(caption: string, plot: Plot): string {
  return `<figure><figcaption>${escapeMarkup(caption)}</figcaption>${plotSvg(plot)}</figure>`;
}

function footer(result: AuditResult): string {
  const { version, mode, date, machine, minutes, seed, packetLen, pollMode, schedFifo } = result;
  const facts = [
    `i405 ${version}`,
    date,
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}`,
    `${fixed(minutes, 1)} min`,
    `mode ${mode}`,
    `packets of ${packetLen} bytes`,
    `${pollMode}${schedFifo ? ", SCHED_FIFO" : ", no SCHED_FIFO"}`,
    `seed ${seed}`,
    "both ends and the observer on this machine",
  ];
  return `<footer>${facts.map(escapeMarkup).join(" · ")}</footer>`;
}
