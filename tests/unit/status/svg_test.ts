import assert from "node:assert/strict";
import { escapeMarkup, plotSvg, ticks } from "../../../src/status/svg.ts";

Deno.test("ticks() are round numbers inside the axis", () => {
  assert.deepEqual(ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(ticks(0.1, 0.9, 4), [0.2, 0.4, 0.6, 0.8]);
  assert.deepEqual(ticks(-3, 3, 6), [-3, -2, -1, 0, 1, 2, 3]);
  assert.deepEqual(ticks(0, 1300, 4), [0, 500, 1000]);
  assert.throws(() => ticks(1, 1, 4));
});

Deno.test("escapeMarkup() leaves nothing that opens markup", () => {
  assert.equal(escapeMarkup(`<a href="x">'&`), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
});

Deno.test("plotSvg() draws each series by its class and names the plot", () => {
  const svg = plotSvg({
    title: "a < b",
    xLabel: "x",
    yLabel: "y",
    series: [
      { name: "one", className: "first", points: [[0, 0], [10, 5]] },
      { name: "two", className: "second", points: [[0, 5], [10, 0]], filled: true, stepped: true },
    ],
    bands: [{ from: 2, to: 4, label: "busy", className: "busy" }],
  });
  assert.match(svg, /aria-label="a &lt; b"/);
  assert.equal(svg.match(/class="line /g)!.length, 2);
  assert.equal(svg.match(/class="area second"/g)!.length, 1);
  assert.equal(svg.match(/class="key"/g)!.length, 2, "a legend where there are two series");
  assert.match(svg, /<g class="busy"><rect class="band"/);
});

Deno.test("plotSvg() puts the limits at the edges and keeps points inside", () => {
  const svg = plotSvg({
    title: "t",
    xLabel: "x",
    yLabel: "y",
    x: [0, 10],
    y: [0, 10],
    series: [{ name: "s", className: "s", points: [[-5, -5], [10, 10], [99, 99]] }],
  });
  assert.match(svg, /class="line s" d="M64 198L744 26L744 26"/);
});

Deno.test("plotSvg() also draws nothing, one point, and points that are no numbers", () => {
  const of = (points: [number, number][]) =>
    plotSvg({ title: "t", xLabel: "x", yLabel: "y", series: [{ name: "s", className: "s", points }] });
  for (
    const points of [[], [[3, 3]], [[1, 1], [2, 1]], [[NaN, 1], [1, NaN], [Infinity, 1]]] as [
      number,
      number,
    ][][]
  ) {
    assert.doesNotMatch(of(points), /NaN|Infinity|undefined/);
  }
});
