/** `i405 audit` of tunnels with a proxy, over one TCP connection and over UDP. What a loaded machine does to times,
 * acknowledgements and windows is not judged here; that everything exact is exact, and that a fault is caught, is. */
import assert from "node:assert/strict";
import { failingGates } from "./audit_faults.ts";
import { i405Path, isRoot } from "./lab.ts";
import { Program } from "./process.ts";

const ignore = !isRoot;
/** c/i405.h: a record with data is sent in two parts. */
const FAULT_SPLIT = 16;

interface Gate {
  readonly id: string;
  readonly name: string;
  readonly verdict: string;
}

interface Judgement {
  readonly exact: readonly Gate[];
  readonly loads: readonly { readonly load: string; readonly gates: readonly Gate[] }[];
  readonly note?: string;
}

/** Judgements of both directions by an audit of a fifth of a minute. */
async function audit(mode: "tcp" | "udp"): Promise<Judgement[]> {
  const folder = await Deno.makeTempDir({ prefix: "i405-e2e-" });
  try {
    const args = ["audit", "--mode", mode, "--minutes", "0.2", "--jitter", "off", "--json", "--seed", "5"];
    const program = new Program([i405Path(), ...args], { cwd: folder, env: { TMPDIR: folder } });
    await program.ended(120_000);
    const json = program.lines.find((line) => line.startsWith("{"));
    assert.ok(json !== undefined, program.lines.join("\n"));
    const result = JSON.parse(json);
    assert.equal(result.mode, mode);
    return result.tunnels[0].directions.map(({ judgement }: { judgement: Judgement }) => judgement);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const mode of ["tcp", "udp"] as const) {
  Deno.test({
    name: `i405 audit --mode ${mode} finds everything exact, idle and under loads through the proxy`,
    ignore,
    fn: async () => {
      for (const { exact, loads, note } of await audit(mode)) {
        assert.deepEqual(exact.filter(({ verdict }) => verdict !== "holds"), []);
        const names = loads.map(({ load }) => load);
        for (const load of ["bulk up", "bulk down", "short requests", "slow reader"]) {
          assert.ok(names.includes(load), names.join(", "));
        }
        assert.equal(loads[0].gates.some(({ id }) => id === "ACK"), mode === "tcp");
        assert.equal(note !== undefined, mode === "tcp");
      }
    },
  });
}

Deno.test({
  name: "i405 audit --mode tcp catches records that leave in two segments",
  ignore,
  fn: async () => {
    const flags = ["--mode", "tcp", "--loads", "bulk-up"];
    const pattern = /exactly one segment/;
    assert.match(await failingGates({ name: "split", fault: FAULT_SPLIT, pattern, flags }, 0.2), pattern);
  },
});
