/** Positive controls of `i405 audit`: a build with a fault in it is caught, each kind by the gate that is for it. The
 * faults are in test builds of the shim alone (c/fault.c). Few sessions are enough for them, so all of it takes some
 * minutes. */
import assert from "node:assert/strict";
import { isRoot } from "./lab.ts";
import { must, Program } from "./process.ts";

const ignore = !isRoot;
const PROJECT = new URL("../../", import.meta.url).pathname;
const SHIM = `${PROJECT}build/libi405-faults.so`;

interface Gate {
  readonly id: string;
  readonly name: string;
  readonly verdict: string;
}

/** Gates of the client's direction that fail, by an audit of the test build. */
async function failing(fault: number, flags: readonly string[]): Promise<string[]> {
  const folder = await Deno.makeTempDir({ prefix: "i405-e2e-" });
  try {
    await must(["bash", `${PROJECT}c/build.sh`, SHIM, "--faults"]);
    const args = ["audit", "--json", "--seed", "3", "--out", `${folder}/audit.html`, ...flags];
    const audit = new Program([Deno.execPath(), "run", "-A", "--no-check", `${PROJECT}mod.ts`, ...args], {
      cwd: folder,
      env: { I405_SHIM: SHIM, I405_FAULT: String(fault), TMPDIR: folder },
    });
    await audit.ended(240_000);
    const json = audit.lines.find((line) => line.startsWith("{"));
    assert.ok(json !== undefined, audit.lines.join("\n"));
    const { exact, null: none, loads } = JSON.parse(json).tunnels[0].directions[0].judgement;
    const gates: Gate[] = [...exact, ...none, ...loads.flatMap(({ gates }: { gates: Gate[] }) => gates)];
    return gates.filter(({ verdict }) => verdict === "fails").map(({ id, name }) => `${id} ${name}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A load whose sessions have slots with data and slots without. */
const MIXED = ["--loads", "page-like-bursts"];

// c/i405.h, enum I405_FAULT_…; what is expected to fail.
const CONTROLS: readonly [string, number, RegExp, readonly string[]][] = [
  ["one slot with data in 1,000 that is not sent", 9, /each slot that was sent a packet/, []],
  ["one packet with data in 10,000 that is a byte shorter", 10, /one length|UDP length/, []],
  ["an epoch that shows on data records", 5, /epochs change/, []],
  ["an ECN field that shows on data records", 14, /one set of header fields/, []],
  ["2 µs on slots with data", 7, /with data against|decile/, MIXED],
  ["0.3 µs on slots with data", 8, /with data against/, MIXED],
  ["sealing after the slot's time", 11, /with data against/, MIXED],
  ["a clock that runs slow by 1 ppm under load", 12, /decile/, []],
  ["a clock that runs slow by 0.1 % under load", 13, /decile|later than|skew/, []],
];
for (const [name, fault, pattern, flags] of CONTROLS) {
  Deno.test({
    name: `i405 audit catches ${name}`,
    ignore,
    fn: async () => {
      const base = ["--jitter", "off", "--loads", "bulk-up", "--minutes", "0.8"];
      assert.match((await failing(fault, [...base, ...flags])).join("\n"), pattern);
    },
  });
}

Deno.test({
  name: "i405 audit catches plain sleep without real-time scheduling on a busy host",
  ignore,
  fn: async () => {
    const flags = ["--jitter", "off", "--loads", "host-busy", "--minutes", "0.8"];
    const found = await failing(0, [...flags, "--poll-mode", "sleepy", "--no-sched-fifo"]);
    assert.match(found.join("\n"), /decile|times alone/);
  },
});
