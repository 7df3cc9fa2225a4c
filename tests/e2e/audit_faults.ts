/** Audits of builds with a fault in them (c/fault.c, in test builds of the shim alone). */
import assert from "node:assert/strict";
import { must, Program } from "./process.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;
const SHIM = `${PROJECT}build/libi405-faults.so`;

/** A fault of c/i405.h, and what has to fail when it is there. */
export interface Control {
  readonly name: string;
  /** I405_FAULT_…; 0: none, the flags are the fault. */
  readonly fault: number;
  readonly pattern: RegExp;
  readonly flags: readonly string[];
}

interface Gate {
  readonly id: string;
  readonly name: string;
  readonly verdict: string;
}

/** Gates of the client's direction that fail, one a line, by an audit of `minutes` without jitter. */
export async function failingGates({ fault, flags }: Control, minutes: number): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "i405-e2e-" });
  try {
    await must(["bash", `${PROJECT}c/build.sh`, SHIM, "--faults"]);
    const args = ["audit", "--json", "--jitter", "off", "--minutes", String(minutes), "--seed", "3"];
    const where = ["--out", `${folder}/audit.html`];
    const command = [
      Deno.execPath(),
      "run",
      "-A",
      "--no-check",
      `${PROJECT}mod.ts`,
      ...args,
      ...where,
      ...flags,
    ];
    const env = { I405_SHIM: SHIM, I405_FAULT: String(fault), TMPDIR: folder };
    const audit = new Program(command, { cwd: folder, env });
    await audit.ended((minutes + 2) * 60_000);
    const json = audit.lines.find((line) => line.startsWith("{"));
    assert.ok(json !== undefined, audit.lines.join("\n"));
    const { exact, null: none, loads } = JSON.parse(json).tunnels[0].directions[0].judgement;
    const gates: Gate[] = [...exact, ...none, ...loads.flatMap(({ gates }: { gates: Gate[] }) => gates)];
    return gates.filter(({ verdict }) => verdict === "fails").map(({ id, name }) => `${id} ${name}`).join(
      "\n",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
