/** Ten thousand lives of a tunnel: whatever happens, its promises hold (see play.ts). SIM_SESSIONS sets how many,
 * SIM_SEED the first one; a failure names its own. */

import assert from "node:assert/strict";
import "../ffi/support.ts"; // builds the shim, once, before the workers want it
import { playStories, summaryOf } from "./stories_run.ts";
import { MISHAPS } from "./story.ts";

const SESSIONS = Number(Deno.env.get("SIM_SESSIONS") ?? 10_000);
const SEED = Number(Deno.env.get("SIM_SEED") ?? 1);
const ALL_KINDS = [...MISHAPS, "0x1301", "0x1302", "0x1303", "0x11ec", "0x1d", "0x17"];

Deno.test(`${SESSIONS} sessions from SIM_SEED=${SEED} on keep every promise`, async () => {
  const tally = await playStories(SEED, SESSIONS);
  console.log(summaryOf(tally));
  assert.deepEqual(tally.failures.map(({ message }) => message), []);
  assert.equal(tally.sessions, SESSIONS);
  if (SESSIONS < 1000) return; // a few need not have everything
  assert.deepEqual(ALL_KINDS.filter((kind) => tally.kinds[kind] === undefined), [], "every kind was there");
  assert.ok(tally.updated > SESSIONS / 10 && tally.handshakes > SESSIONS, summaryOf(tally));
});
