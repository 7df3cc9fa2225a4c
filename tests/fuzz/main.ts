/** `deno task fuzz [--seconds N] [--count N] [TARGET…]`: fuzzes all targets in turn, or those named, with ever new seeds,
 * for 10 minutes if nothing else is said. What gives a new answer goes into the target's corpus, and so does what fails;
 * then it ends with status 1. */

import { parseArgs } from "node:util";
import { fuzz, FuzzFailure, type FuzzTarget, keepInput, readCorpus } from "./harness.ts";
import { TARGETS } from "./targets/mod.ts";

// Chosen here.
const SECONDS = 600;
const INPUTS_PER_TURN = 50_000;
const CORPUS_MAX = 40;

/** Fuzzes `target` once; false if it failed. */
function turn(target: FuzzTarget, count: number): boolean {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const corpus = readCorpus(target.name);
  try {
    const { answers, found } = fuzz(target, count, seed, corpus);
    const kept = found.slice(0, Math.max(0, CORPUS_MAX - corpus.length));
    for (const input of kept) keepInput(target, input, "new");
    console.log(`${target.name}: ${count} inputs, ${answers} answers, ${kept.length} new`);
    return true;
  } catch (error) {
    if (!(error instanceof FuzzFailure)) throw error;
    keepInput(target, error.input, "failed");
    console.error(error.message);
    return false;
  }
}

function main(): number {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    options: { seconds: { type: "string" }, count: { type: "string" } },
    allowPositionals: true,
  });
  const unknown = positionals.filter((name) => !TARGETS.some((target) => target.name === name));
  const targets = TARGETS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  if (unknown.length > 0) {
    console.error(`Unknown target ${unknown[0]}; there are: ${TARGETS.map(({ name }) => name).join(", ")}`);
    return 2;
  }
  const countMax = Number(values.count ?? Infinity);
  const endMs = performance.now() +
    1e3 * Number(values.seconds ?? (countMax < Infinity ? Infinity : SECONDS));
  for (let done = 0; done < countMax && performance.now() < endMs; done += INPUTS_PER_TURN) {
    for (const target of targets) {
      const count = Math.min(INPUTS_PER_TURN, countMax - done) * (target.share ?? 1);
      if (!turn(target, Math.ceil(count))) return 1;
      if (performance.now() >= endMs) break;
    }
  }
  return 0;
}

Deno.exit(main());
