/** Simulated sessions without end: as tests/sim/stories_test.ts, many more, from a seed of chance.
 *
 *   deno run -A tests/soak/sessions.ts [--sessions 100000] [--seed N] */

import { parseArgs } from "node:util";
import "../ffi/support.ts"; // builds the shim, once, before the workers want it
import { playStories, summaryOf } from "../sim/stories_run.ts";

const PART = 10_000;

const { values } = parseArgs({
  args: Deno.args,
  options: { sessions: { type: "string", default: "100000" }, seed: { type: "string" } },
});
const sessions = Number(values.sessions);
const first = Number(values.seed ?? Math.floor(Math.random() * 2 ** 40));
for (let done = 0; done < sessions; done += PART) {
  const tally = await playStories(first + done, Math.min(PART, sessions - done));
  console.log(summaryOf(tally));
  for (const { message } of tally.failures) console.error(message);
  if (tally.failures.length > 0) Deno.exit(1);
}
