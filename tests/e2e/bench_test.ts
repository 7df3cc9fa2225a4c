/** Every benchmark once with tiny parameters, so that none rots. Its figures are not looked at. */
import assert from "node:assert/strict";
import { isRoot } from "./lab.ts";
import { run } from "./process.ts";
import type { Figures } from "../../bench/peers/measure.ts";
import { peersPage, peersPlot, type PeersResult } from "../../bench/peers/page.ts";
import { medians } from "../../bench/tunnel/measure.ts";

const MAIN = new URL("../../bench/main.ts", import.meta.url).pathname;

Deno.test({
  name: "bench/main.ts --quick runs every benchmark to its end",
  ignore: !isRoot,
  fn: async () => {
    const { code, stdout, stderr } = await run([Deno.execPath(), "run", "-A", MAIN, "--quick"], {
      timeoutMs: 240_000,
    });
    assert.equal(code, 0, stdout + stderr);
    for (const name of ["record protection", "framing", "handshakes", "pacing", "tunnel"]) {
      assert.ok(stdout.includes(`=== ${name}`));
    }
    assert.match(stdout, /\| TCP both ways: down \| \d+\.\d+ \(\d+\.\d %\) \|/);
    assert.doesNotMatch(stdout, /NaN|undefined/);
  },
});

Deno.test("medians() takes the median of each number by itself, at any depth", () => {
  const runs = [{ a: 1, b: { c: 30 }, d: undefined }, { a: 3, b: { c: 10 }, d: undefined }, {
    a: 2,
    b: { c: 20 },
    d: undefined,
  }];
  assert.deepEqual(medians(runs), { a: 2, b: { c: 20 }, d: undefined });
});

Deno.test("peersPage() and peersPlot() leave out what was not measured, and name who failed or is missing", () => {
  const figures: Figures = {
    ...{ tcp1MbitPerS: 1234.5, tcp4MbitPerS: 900, goodputRatio: 0.97, cpuPerGB: 2.345, cpuEndMost: 0.5 },
    ...{ udpLostRatio: 0.001, rttLoadedMs: 1.5, rttIdleMs: 1, cpuPaced: 0.25, cpuIdle: 0.2, rssMB: 100 },
    skippedRatio: 0,
  };
  const { tcp1MbitPerS: _1, tcp4MbitPerS: _4, cpuPerGB: _c, goodputRatio: _g, cpuEndMost: _e, ...rest } =
    figures;
  const none = { tcp1MbitPerS: undefined, tcp4MbitPerS: undefined, cpuPerGB: undefined };
  const paced = { ...rest, ...none, goodputRatio: undefined, cpuEndMost: undefined };
  const row = (name: string, median: Figures | undefined, failures = 0) => {
    return { name, version: "1", runs: [], failures, median };
  };
  const result: PeersResult = {
    date: "2026-01-01",
    machine: { cpu: "<CPU>", cores: 2, kernel: "6" },
    ...{ loadAverageBefore: 0, seconds: 1, rounds: 3, link: "whole" },
    missing: [{ name: "other", reason: "there is no go" }],
    rows: [row("i405", figures), row("i405 paced", paced), row("a & b", undefined, 3)],
  };
  const page = peersPage(result);
  assert.match(page, /\| i405 \| 1235 \| 900 \| 97\.0 % \| 2\.35 \|/);
  assert.match(page, /\| i405 paced \| – \| – \|/);
  assert.match(page, /\| a & b \| failed \|/);
  assert.match(page, /Not measured: other \(there is no go\)\./);
  assert.match(page, /a & b: 3 of 3 rounds failed\./);
  const plot = peersPlot(result);
  assert.equal(
    plot.match(/<rect /g)!.length,
    1 + 1 + 1 + 2 + 2,
    "background, and one bar for each figure there is",
  );
  assert.doesNotMatch(page + plot, /NaN|undefined|Infinity/);
});
