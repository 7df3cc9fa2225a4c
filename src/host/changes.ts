/** Changes to this machine's network, each with its undo, so that nothing is left half set up. */

import { type Command, failure, lineOf, type Run, saidBy } from "./command.ts";

export interface Step {
  readonly run: Command;
  /** Makes good for `run`; absent where something else does (a device that vanishes takes its addresses along). */
  readonly undo?: Command;
  /** The tunnel works without it. */
  readonly optional?: true;
}

export interface Change {
  readonly title: string;
  readonly steps: readonly Step[];
}

/** Said by undo commands whose object has gone by itself, for example with its device. */
const GONE =
  /Cannot find device|No such (?:device|process|file)|does not exist|address not found|Cannot assign requested address/;

export class HostChanges {
  readonly #run: Run;
  readonly #undos: Command[] = [];
  #last: Promise<unknown> = Promise.resolve();
  #ended = false;

  constructor(run: Run) {
    this.#run = run;
  }

  /** Takes the steps of `change` in their order. Returns a line for each optional one that failed. Throws HostError at the first that fails; what was done until then is
   * undone by undoAll() like everything else. After undoAll() nothing is applied any more. */
  apply(change: Change): Promise<string[]> {
    return this.#after(async () => {
      const failed: string[] = [];
      for (const step of change.steps) {
        if (this.#ended) break;
        const line = await this.#take(step);
        if (line !== undefined) failed.push(line);
      }
      return failed;
    });
  }

  /** Undoes all steps that were taken, the last first, also when some fail; a change under way is waited for. Returns
   * a line for each undo that failed. A second call finds nothing left to do. */
  undoAll(): Promise<string[]> {
    this.#ended = true;
    return this.#after(async () => {
      const failed: string[] = [];
      for (let undo = this.#undos.pop(); undo !== undefined; undo = this.#undos.pop()) {
        const result = await this.#run(undo);
        if (result.code !== 0 && !GONE.test(result.stderr)) failed.push(`${lineOf(undo)}: ${saidBy(result)}`);
      }
      return failed;
    });
  }

  async #take(step: Step): Promise<string | undefined> {
    const result = await this.#run(step.run);
    if (result.code !== 0) {
      if (step.optional) return `${lineOf(step.run)}: ${saidBy(result)}`;
      throw failure(step.run, result);
    }
    if (step.undo !== undefined) this.#undos.push(step.undo);
    return undefined;
  }

  /** One at a time, in the order of the calls. */
  #after<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
