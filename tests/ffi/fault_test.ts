/* The comparison of traces on the pacer itself: what an observer sees is the same idle and busy, and each planted fault
 * is seen. Real time, so the faults are such that medians show them whatever else the machine does. */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Observation } from "./fault_main.ts";
import { libraryPath, RECORD_LEN } from "./support.ts";

const FAULT = { none: 0, delay: 1, add: 2, shorten: 3, skip: 4, epoch: 5 } as const;
const CHAFF_DATA_MEDIAN_NS = 10_000;

function runFaulty(program: string, ...more: string[]) {
  const main = fileURLToPath(new URL(program, import.meta.url));
  const args = ["run", "--allow-all", main, ...more];
  const env = { I405_SHIM: faultLibrary };
  const { success, stdout, stderr } = new Deno.Command(Deno.execPath(), { args, env }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

function observe(fault: keyof typeof FAULT, load: "idle" | "busy"): Observation {
  return runFaulty("fault_main.ts", String(FAULT[fault]), load);
}
const faultLibrary = libraryPath("faults");

/** The names of what differs from a constant train; empty when nothing does. */
function differences(seen: Observation): string[] {
  const found = [];
  if (seen.datagrams > seen.slotsSent) found.push("more datagrams than slots");
  if (seen.datagrams < seen.slotsSent) found.push("fewer datagrams than slots");
  if (seen.lengths.some((len) => len !== RECORD_LEN)) found.push("another length");
  if (seen.firstBytes.length !== 1) found.push("another first byte");
  if (seen.dataSlots > 0 && Math.abs(seen.medianDataNs - seen.medianChaffNs) > CHAFF_DATA_MEDIAN_NS) {
    found.push("another time");
  }
  return found;
}

for (const load of ["idle", "busy"] as const) {
  Deno.test(`Pacer shows an observer nothing but slots: ${load}`, () => {
    const seen = observe("none", load);
    deepStrictEqual(differences(seen), []);
    strictEqual(seen.dataSlots > 100, load === "busy");
  });
}

for (
  const [fault, difference] of [
    ["delay", "another time"],
    ["add", "more datagrams than slots"],
    ["shorten", "another length"],
    ["skip", "fewer datagrams than slots"],
    ["epoch", "another first byte"],
  ] as const
) {
  Deno.test(`The comparison of traces catches a pacer that lets data ${fault}`, () => {
    ok(differences(observe(fault, "busy")).includes(difference));
    deepStrictEqual(differences(observe(fault, "idle")), [], "and only data set it off");
  });
}

Deno.test("a record that TCP did not take whole is finished before anything else, and sealed once", () => {
  const seen = runFaulty("link_fault_main.ts");
  ok(seen.shortWrites > 0, "the kernel has refused records that the pacer did not ask room for");
  strictEqual(seen.received, seen.records);
  strictEqual(seen.opened, seen.records, "all open under consecutive numbers");
});
