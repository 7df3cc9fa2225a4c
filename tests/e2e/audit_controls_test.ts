/** Positive controls of `i405 audit` whose faults are exact. Those of times need a quiet machine and more sessions:
 * tests/soak/audit_controls.ts; by what each of them is caught is shown on made-up sessions in tests/unit/audit. */
import assert from "node:assert/strict";
import { type Control, failingGates } from "./audit_faults.ts";
import { isRoot } from "./lab.ts";

const BULK = ["--loads", "bulk-up"];
const CONTROLS: readonly (Control & { readonly minutes: number })[] = [
  {
    name: "one packet with data in 10,000 that is a byte shorter",
    fault: 10,
    pattern: /one length/,
    flags: BULK,
    minutes: 0.6,
  },
  {
    name: "one slot with data in 1,000 that is not sent",
    fault: 9,
    pattern: /could have been sent/,
    flags: BULK,
    minutes: 0.2,
  },
  {
    name: "an epoch that shows on data records",
    fault: 5,
    pattern: /epochs change/,
    flags: BULK,
    minutes: 0.2,
  },
  {
    name: "an ECN field that shows on data records",
    fault: 14,
    pattern: /header fields/,
    flags: BULK,
    minutes: 0.2,
  },
];
for (const control of CONTROLS) {
  Deno.test({
    name: `i405 audit catches ${control.name}`,
    ignore: !isRoot,
    fn: async () => assert.match(await failingGates(control, control.minutes), control.pattern),
  });
}
