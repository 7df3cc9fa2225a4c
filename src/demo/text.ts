/** The result in plain words and small tables, for a terminal. Pure. */

import type { DemoResult, DirectionView, RoundTrips, Transfer } from "./result.ts";
import { alikeText } from "./verdicts.ts";

export function resultText(result: DemoResult): string {
  return [
    "",
    "What the user got",
    ...userLines(result),
    "",
    "What the observer on the outer link saw",
    ...result.directions.flatMap(directionLines),
    "Promises",
    ...result.promises.map(({ name, holds, detail }) =>
      `  ${holds ? "holds " : "BROKEN"}  ${name}: ${detail}`
    ),
    "",
    result.holds
      ? "Every promise held: one length, one set of header fields, and a packet for every slot that was not skipped."
      : "At least one promise is broken; see above.",
    ...skippedLines(result.directions),
    ...(result.withRoot
      ? []
      : ["Made without root, so without real-time scheduling: times are worse than they would be."]),
  ].join("\n");
}

/** What skipped slots mean: gaps that are seen. Nothing when there were none. */
export function skippedLines(directions: readonly DirectionView[]): string[] {
  const count = (kind: "idle" | "busy", of: "skipped" | "slots") =>
    directions.reduce((sum, view) => sum + view.classes[kind][of], 0);
  if (count("idle", "skipped") + count("busy", "skipped") === 0) return [];
  const perMille = (kind: "idle" | "busy") => fixed(1000 * count(kind, "skipped") / count(kind, "slots"), 2);
  return [
    `This machine kept the pacer from its slots so long that some were skipped: ${perMille("idle")} ‰ idle, ${
      perMille("busy")
    } ‰ busy. An observer sees such gaps; where both ends and all of this share few CPUs, they are more when busy.`,
  ];
}

function userLines({ user }: DemoResult): string[] {
  return [
    `  round trip, ${user.roundTripKind}`,
    ...table([
      ["", "min", "median", "max", "answered"],
      ["alone", ...tripCells(user.roundTrips.idle)],
      ["while busy", ...tripCells(user.roundTrips.busy)],
    ]),
    `  web transfers, both ways at the same time`,
    ...table([
      ["", "payload", "limit of the slots", "share", "bytes"],
      ["download", ...transferCells(user.download)],
      ["upload", ...transferCells(user.upload)],
    ]),
  ];
}

export function tripCells({ sent, ms }: RoundTrips): string[] {
  return [ms.min, ms.p50, ms.max].map((value) => `${fixed(value, 2)} ms`).concat(`${ms.count} of ${sent}`);
}

export function transferCells({ bytes, mbitPerS, limitMbitPerS, equal }: Transfer): string[] {
  return [
    `${fixed(mbitPerS, 2)} Mbit/s`,
    `${fixed(limitMbitPerS, 2)} Mbit/s`,
    `${fixed(100 * mbitPerS / limitMbitPerS, 0)} %`,
    `${bytes}${equal ? ", equal" : ", NOT equal"}`,
  ];
}

function directionLines(view: DirectionView): string[] {
  const { idle, busy } = view.classes;
  return [
    `  ${view.name}: ${view.packets} packets${
      view.handshakeReplies > 0 ? ` (and ${view.handshakeReplies} answers to the handshake beside them)` : ""
    }`,
    ...table([["", "idle", "busy"], ...classRows(view)]),
    `  Deviations idle and busy: ${
      alikeText(view.deviationDistance, Math.min(idle.deviationUs.count, busy.deviationUs.count))
    } (largest distance of the distributions ${fixed(view.deviationDistance, 3)}).`,
    "",
  ];
}

/** Rows of the comparison of idle and busy: name, idle, busy. */
export function classRows(view: DirectionView): string[][] {
  const { idle, busy } = view.classes;
  const row = (name: string, cell: (view: typeof idle) => string) => [name, cell(idle), cell(busy)];
  return [
    row("slots with user data (hidden)", (c) => `${c.dataSlots} of ${c.slots}`),
    row("different lengths", (c) => `${c.lengths.length} (${c.lengths.map(([len]) => len).join(", ")} B)`),
    row("packets + skipped = slots", (c) => `${c.packets} + ${c.skipped} = ${c.slots}`),
    row("late by more than 100 µs", (c) => String(c.late)),
    row("interval, mean", (c) => `${fixed(c.intervalUs.mean, 2)} µs`),
    row("interval, sd", (c) => `${fixed(c.intervalUs.sd, 2)} µs`),
    row("from plan, at the observer: median", (c) => `${fixed(c.deviationUs.p50, 2)} µs`),
    row("  99 %", (c) => `${fixed(c.deviationUs.p99, 2)} µs`),
    row("  largest", (c) => `${fixed(c.deviationUs.max, 1)} µs`),
    row("from plan, by the sender's clock: median", (c) => `${fixed(c.senderDeviationUs.p50, 2)} µs`),
    row("  99 %", (c) => `${fixed(c.senderDeviationUs.p99, 2)} µs`),
  ];
}

/** A number with so many decimals, or a dash when there is none; "-0.00" is written "0.00". */
export function fixed(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return "–";
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? (0).toFixed(decimals) : text;
}

/** Columns of equal width, the first to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? "")].length)));
  return rows.map((row) =>
    "    " + row.map((cell, column) => {
      const gap = " ".repeat(widths[column] - [...cell].length);
      return column === 0 ? cell + gap : gap + cell;
    }).join("   ").trimEnd()
  );
}
