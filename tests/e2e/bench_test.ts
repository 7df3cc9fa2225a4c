/** Every benchmark once with tiny parameters, so that none rots. Its figures are not looked at. */
import assert from "node:assert/strict";
import { isRoot } from "./lab.ts";
import { run } from "./process.ts";
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
