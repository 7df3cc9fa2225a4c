/** Mutation fuzzing of whatever reads bytes from outside. A target is some samples and one function; a new one is these
 * few lines in a file of `targets/`, and its name in `targets/mod.ts`:
 *
 *     export const ACK: FuzzTarget = {
 *       name: "ack",
 *       samples: () => [emitAck([{ epoch: 2, sequenceNumber: 1 }])],
 *       read: (input) => parseAck(input)?.length ?? "refused",
 *     };
 *
 * `read` throws when a property is broken, and else says in a word what the reader made of the input: an input with a
 * new answer is kept and damaged further, which stands for coverage. Corpora are in `corpus/NAME.hex`, one input a line:
 * what `deno task fuzz` found interesting, and each one that has ever broken something. */

import assert from "node:assert/strict";
import { fromHex, toHex } from "../../src/base/mod.ts";
import { Mutator } from "./mutator.ts";

export interface FuzzTarget {
  /** Also the name of its corpus. */
  readonly name: string;
  /** Valid inputs, and others worth damaging. */
  samples(): readonly Uint8Array[];
  /** Reads one input, which it neither keeps nor changes. Returns what came of it, from a small set of answers. */
  read(input: Uint8Array): string | number;
  /** Longest input; 2,048 bytes if not said. */
  readonly lenMax?: number;
  /** What the language of this reader is made of. */
  readonly dictionary?: readonly Uint8Array[];
  /** For readers of which one call costs much more than parsing: share of the inputs that others get. */
  readonly share?: number;
}

export interface FuzzResult {
  /** Inputs that were made by damage, beside samples and corpus. */
  readonly count: number;
  /** How many answers there were. */
  readonly answers: number;
  /** Inputs that gave an answer which neither samples nor corpus give. */
  readonly found: readonly Uint8Array[];
}

/** An input that broke a property of its target. */
export class FuzzFailure extends Error {
  constructor(readonly target: string, readonly input: Uint8Array, seed: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.stack ?? cause.message : String(cause);
    super(`${target} (FUZZ_SEED=${seed}) fails for ${toHex(input) || "no bytes"}:\n${reason}`, { cause });
  }
}

// Chosen here.
const LEN_MAX = 2048;
/** Inputs kept for further damage. */
const POOL_MAX = 1000;
const ANSWERS_MAX = 1000;
const SHRINK_TRIES_MAX = 2000;

/** Reads all samples, the corpus and `count` damaged inputs. Throws a FuzzFailure with a shortened input. */
export function fuzz(
  target: FuzzTarget,
  count: number,
  seed: number,
  corpus: readonly Uint8Array[] = readCorpus(target.name),
): FuzzResult {
  const pool = [...target.samples(), ...corpus];
  assert.ok(pool.length > 0, `${target.name} has samples`);
  const answers = new Set<string | number>();
  const found: Uint8Array[] = [];
  for (const input of pool) answers.add(readOne(target, input, seed));
  const mutator = new Mutator(seed, target.lenMax ?? LEN_MAX, target.dictionary);
  const pick = () => pool[mutator.random.below(pool.length)];
  for (let i = 0; i < count; i++) {
    const input = mutator.next(pick(), pick());
    const answer = readOne(target, input, seed);
    if (answers.size >= ANSWERS_MAX || answers.has(answer)) continue;
    answers.add(answer);
    found.push(input.slice());
    if (pool.length < POOL_MAX) pool.push(input.slice());
  }
  return { count, answers: answers.size, found };
}

const before = new Uint8Array(1 << 20);

function readOne(target: FuzzTarget, input: Uint8Array, seed: number): string | number {
  before.set(input);
  try {
    const answer = target.read(input);
    for (let i = 0; i < input.length; i++) {
      if (input[i] !== before[i]) throw new Error(`the reader changed byte ${i} of its input`);
    }
    return answer;
  } catch (cause) {
    const whole = before.slice(0, input.length);
    // A reader that only changes its input does not throw: that one stays as it is.
    const short = shrink(whole, (shorter) => answerOf(target, shorter) === "thrown");
    throw new FuzzFailure(target.name, short, seed, cause);
  }
}

/** A shorter input for which `keeps` holds, too, found by leaving out ever smaller pieces. */
function shrink(input: Uint8Array, keeps: (shorter: Uint8Array) => boolean): Uint8Array {
  let tries = 0;
  let best = input;
  for (let piece = best.length >> 1; piece > 0; piece >>= 1) {
    for (let at = 0; at + piece <= best.length && tries < SHRINK_TRIES_MAX; tries++) {
      const shorter = Uint8Array.from([...best.subarray(0, at), ...best.subarray(at + piece)]);
      if (keeps(shorter.slice())) best = shorter;
      else at += piece;
    }
  }
  return best;
}

/** What `read` answers, or "thrown". */
function answerOf(target: FuzzTarget, input: Uint8Array): string | number {
  try {
    return target.read(input);
  } catch {
    return "thrown";
  }
}

function corpusUrl(name: string): URL {
  return new URL(`corpus/${name}.hex`, import.meta.url);
}

/** The kept inputs of a target; what stands behind a "#" is a comment. */
export function readCorpus(name: string): Uint8Array[] {
  let text = "";
  try {
    text = Deno.readTextFileSync(corpusUrl(name));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return text.split("\n").map((line) => line.replace(/#.*/, "").trim()).filter((line) => line !== "")
    .map((line) => line === "-" ? new Uint8Array(0) : fromHex(line));
}

/** Adds an input to a corpus file, which is made if there is none; shortened as far as its answer stays the same. */
export function keepInput(target: FuzzTarget, input: Uint8Array, comment: string): void {
  const answer = answerOf(target, input.slice());
  const short = shrink(input, (shorter) => answerOf(target, shorter) === answer);
  const line = `${toHex(short) || "-"} # ${comment}: ${answer}\n`;
  Deno.writeTextFileSync(corpusUrl(target.name), line, { append: true });
}

/** One test a target. FUZZ_RUNS inputs each (200,000 if not said), of FUZZ_SEED. */
export function fuzzTests(targets: readonly FuzzTarget[]): void {
  const runs = Number(Deno.env.get("FUZZ_RUNS") ?? 200_000);
  const seed = Number(Deno.env.get("FUZZ_SEED") ?? 1405);
  for (const target of targets) {
    const count = Math.ceil(runs * (target.share ?? 1));
    Deno.test(`${target.name} survives its corpus and ${count} damaged inputs (FUZZ_SEED=${seed})`, () => {
      const { answers } = fuzz(target, count, seed);
      assert.ok(answers > 1, "some inputs are told from others");
    });
  }
}
