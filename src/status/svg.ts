/** Plots as SVG text, for pages that stand alone. Colours come from the page: each series names a CSS class, and the
 * page sets `color` for it. Pure. */

import { assert } from "../base/mod.ts";

export interface Series {
  readonly name: string;
  /** CSS class that sets the colour. */
  readonly className: string;
  /** (x, y), x ascending. */
  readonly points: readonly (readonly [number, number])[];
  /** Fills the area beneath. */
  readonly filled?: boolean;
  /** Each y holds until the next x. */
  readonly stepped?: boolean;
}

/** A stretch of x that is set off and named. */
export interface Band {
  readonly from: number;
  readonly to: number;
  readonly label: string;
  readonly className: string;
}

export interface Plot {
  /** What the plot shows, for those who cannot see it. */
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
  readonly bands?: readonly Band[];
  /** Limits of the axes; what is left out is taken from the series. */
  readonly x?: readonly [number, number];
  readonly y?: readonly [number, number];
  readonly height?: number;
}

// Chosen here, in units of the view box.
const WIDTH = 760;
const HEIGHT = 240;
const LEFT = 64;
const RIGHT = 16;
const TOP = 26;
const BOTTOM = 42;
const X_TICKS = 8;
const Y_TICKS = 4;

/** Text of which nothing is taken for markup. */
export function escapeMarkup(text: string): string {
  const names: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (char) => names[char]);
}

/** Round numbers (1, 2 or 5 times a power of ten apart) from `from` to `to`, about `count` of them. */
export function ticks(from: number, to: number, count: number): number[] {
  assert(to > from && count > 0, "an axis has a length");
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999)!;
  const found: number[] = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** One plot with axes, bands, legend. Points that are not finite numbers are left out. */
export function plotSvg(plot: Plot): string {
  const height = plot.height ?? HEIGHT;
  const x = scale(limits(plot.x, plot.series, 0), LEFT, WIDTH - RIGHT);
  const y = scale(limits(plot.y, plot.series, 1), height - BOTTOM, TOP);
  return [
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeMarkup(plot.title)}">`,
    `<title>${escapeMarkup(plot.title)}</title>`,
    ...(plot.bands ?? []).map((band) => bandSvg(band, x, height)),
    ...yAxis(y, plot.yLabel, height),
    ...xAxis(x, plot.xLabel, height),
    ...plot.series.map((series) => seriesSvg(series, x, y)),
    legend(plot.series),
    "</svg>",
  ].join("\n");
}

interface Scale {
  readonly from: number;
  readonly to: number;
  /** Position in the view box, kept inside the plot. */
  at(value: number): number;
}

function limits(given: Plot["x"], series: readonly Series[], axis: 0 | 1): readonly [number, number] {
  if (given !== undefined) return given;
  let from = axis === 1 ? 0 : Infinity;
  let to = -Infinity;
  for (const { points } of series) {
    for (const point of points) {
      if (!Number.isFinite(point[axis])) continue;
      from = Math.min(from, point[axis]);
      to = Math.max(to, point[axis]);
    }
  }
  if (!Number.isFinite(from)) from = 0;
  return to > from ? [from, axis === 1 ? to * 1.1 : to] : [from, from + 1];
}

function scale([from, to]: readonly [number, number], start: number, end: number): Scale {
  const clamp = (value: number) => Math.min(to, Math.max(from, value));
  return { from, to, at: (value) => start + (clamp(value) - from) / (to - from) * (end - start) };
}

const n = (value: number) => String(Number(value.toFixed(1)));

function bandSvg(band: Band, x: Scale, height: number): string {
  const left = x.at(band.from);
  const width = x.at(band.to) - left;
  return `<g class="${band.className}"><rect class="band" x="${n(left)}" y="${TOP}" width="${
    n(width)
  }" height="${n(height - TOP - BOTTOM)}"/><text class="band-label" x="${n(left + width / 2)}" y="${
    TOP - 6
  }" text-anchor="middle">${escapeMarkup(band.label)}</text></g>`;
}

function yAxis(y: Scale, label: string, height: number): string[] {
  const lines = ticks(y.from, y.to, Y_TICKS).map((value) => {
    const at = n(y.at(value));
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/>` +
      `<text class="tick" x="${LEFT - 8}" y="${at}" dy="0.32em" text-anchor="end">${value}</text>`;
  });
  const middle = n((height - BOTTOM + TOP) / 2);
  return [
    ...lines,
    `<text class="label" transform="translate(14 ${middle}) rotate(-90)" text-anchor="middle">${
      escapeMarkup(label)
    }</text>`,
  ];
}

function xAxis(x: Scale, label: string, height: number): string[] {
  const base = height - BOTTOM;
  const marks = ticks(x.from, x.to, X_TICKS).map((value) =>
    `<text class="tick" x="${n(x.at(value))}" y="${base + 16}" text-anchor="middle">${value}</text>`
  );
  return [
    `<line class="axis" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${base}" y2="${base}"/>`,
    ...marks,
    `<text class="label" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${height - 6}" text-anchor="middle">${
      escapeMarkup(label)
    }</text>`,
  ];
}

function seriesSvg(series: Series, x: Scale, y: Scale): string {
  const points = series.points.filter((point) => point.every(Number.isFinite));
  if (points.length === 0) return "";
  const parts: string[] = [];
  points.forEach(([px, py], index) => {
    const at = `${n(x.at(px))} ${n(y.at(py))}`;
    parts.push(index === 0 ? `M${at}` : series.stepped ? `H${n(x.at(px))}V${n(y.at(py))}` : `L${at}`);
  });
  const line = `<path class="line ${series.className}" d="${parts.join("")}"/>`;
  if (!series.filled) return line;
  const floor = n(y.at(y.from));
  const ends = `V${floor}H${n(x.at(points[0][0]))}Z`;
  return `<path class="area ${series.className}" d="${parts.join("")}${ends}"/>${line}`;
}

function legend(series: readonly Series[]): string {
  if (series.length < 2) return "";
  let left = LEFT + 8;
  const items = series.map(({ name, className }) => {
    const item =
      `<g class="${className}"><rect class="key" x="${left}" y="${TOP + 6}" width="12" height="12" rx="3"/>` +
      `<text class="legend" x="${left + 18}" y="${TOP + 12}" dy="0.32em">${escapeMarkup(name)}</text></g>`;
    left += 40 + name.length * 7;
    return item;
  });
  return items.join("");
}
