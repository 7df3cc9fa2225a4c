/** Runs loads one after the other, by the processes that make them. */

import { type Child, sleep } from "../demo/child.ts";
import type { LoadClass } from "./session.ts";

/** One stretch of one load, Unix time in ms, guards left out. */
export interface Block {
  readonly load: LoadClass;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface BlockTimes {
  readonly sessionMs: number;
  /** Left out before each session: what the load before has left in queues. */
  readonly guardMs: number;
}

/** Tells `children` each load of `order`, and "idle" at the end. `check` may throw between two loads. */
export async function runBlocks(
  order: readonly LoadClass[],
  { sessionMs, guardMs }: BlockTimes,
  children: readonly Child[],
  check: () => void,
): Promise<Block[]> {
  const say = async (load: LoadClass) => {
    for (const child of children) await child.say(load);
  };
  const blocks: Block[] = [];
  for (const load of order) {
    check();
    await say(load);
    await sleep(guardMs);
    const fromMs = Date.now();
    await sleep(sessionMs);
    blocks.push({ load, fromMs, toMs: fromMs + sessionMs });
  }
  await say("idle");
  return blocks;
}
