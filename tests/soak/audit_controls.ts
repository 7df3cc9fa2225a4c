/** Positive controls of `i405 audit`: each fault of times has to be caught, and no fault must not be. Ends with 1 when one
 * is not. Needs root and a quiet machine: a fault smaller than the machine's own noise is not seen.
 *
 *   deno run -A tests/soak/audit_controls.ts [--minutes 4] [--only TEXT] */

import { parseArgs } from "node:util";
import { type Control, failingGates } from "../e2e/audit_faults.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: { minutes: { type: "string", default: "4" }, only: { type: "string", default: "" } },
});

const BULK = ["--loads", "bulk-up"];
/** A load whose sessions have slots with data and slots without. */
const MIXED = ["--loads", "page-like-bursts"];
const CONTROLS: readonly Control[] = [
  { name: "no fault", fault: 0, pattern: /^$/, flags: BULK },
  {
    name: "one slot with data in 1,000 is not sent",
    fault: 9,
    pattern: /could have been sent/,
    flags: BULK,
  },
  { name: "2 µs on slots with data", fault: 7, pattern: /with data against|decile/, flags: MIXED },
  { name: "0.3 µs on slots with data", fault: 8, pattern: /at the call, slots with data/, flags: MIXED },
  { name: "sealing after the slot's time", fault: 11, pattern: /with data against/, flags: MIXED },
  { name: "a clock slow by 1 ppm under load", fault: 12, pattern: /clock rate/, flags: BULK },
  { name: "a clock slow by 0.1 ppm under load", fault: 15, pattern: /at the call, clock rate/, flags: BULK },
  { name: "a clock slow by 0.1 % under load", fault: 13, pattern: /clock rate/, flags: BULK },
  {
    name: "plain sleep without real-time scheduling on a busy host",
    fault: 0,
    pattern: /decile|times alone/,
    flags: ["--loads", "host-busy", "--poll-mode", "sleepy", "--no-sched-fifo"],
  },
];

let missed = 0;
for (const control of CONTROLS.filter(({ name }) => name.includes(values.only))) {
  const found = await failingGates(control, Number(values.minutes));
  const isCaught = control.pattern.test(found);
  if (!isCaught) missed++;
  console.log(
    `${isCaught ? "holds" : "FAILS"}  ${control.name}: ${found.replaceAll("\n", "; ") || "no gate fails"}`,
  );
}
Deno.exit(missed === 0 ? 0 : 1);
