/** A client that runs on this machine, seen at the interface that its packets leave by, against its own plan. */

import { type Child, Child as Program, DemoError, sleep, whileRunning } from "../demo/child.ts";
import { parseSeenFile } from "../demo/seen_file.ts";
import { selfCommand } from "../demo/stage.ts";
import { type BlockTimes, runBlocks } from "./blocks_run.ts";
import { READY_WAIT_MS, type Round, SETTLE_MS, withoutStart } from "./lab.ts";
import type { LoadClass } from "./session.ts";
import { TraceReader } from "./trace_reader.ts";

export interface TapPlan {
  readonly interfaceName: string;
  /** The client's status.slot_trace, which it is writing. */
  readonly planPath: string;
  /** Inner address of the far end, for the load "bulk up"; undefined: that load is not made. */
  readonly inner?: string;
  readonly hogs: number;
  /** As taskset(1) reads them: those of the hogs, and those of everything else here, without the pacer's. */
  readonly allCpus: string;
  readonly quietCpus: string;
  /** Between two datagrams of "bulk up". */
  readonly periodMs: number;
}

export class Tap {
  readonly #plan: TapPlan;
  readonly #dir: string;
  readonly #trace: TraceReader;
  readonly #loads: Child[] = [];

  private constructor(plan: TapPlan, dir: string) {
    this.#plan = plan;
    this.#dir = dir;
    this.#trace = new TraceReader(plan.planPath);
  }

  /** Starts the loads; `close` is due whatever happens afterwards. */
  static async open(plan: TapPlan): Promise<Tap> {
    const tap = new Tap(plan, await Deno.makeTempDir({ prefix: "i405-audit-" }));
    try {
      if (plan.inner !== undefined) {
        await tap.#start(plan.quietCpus, "blast", plan.inner, String(plan.periodMs));
      }
      for (let i = 0; i < plan.hogs; i++) await tap.#start(plan.allCpus, "hog");
      await tap.#read();
      return tap;
    } catch (error) {
      await tap.close();
      throw error;
    }
  }

  async round(order: readonly LoadClass[], times: BlockTimes): Promise<Round> {
    const path = `${this.#dir}/seen`;
    const { interfaceName } = this.#plan;
    const observer = this.#program(
      "observer",
      this.#plan.quietCpus,
      "demo-child",
      "observe-all",
      path,
      interfaceName,
    );
    try {
      await observer.line(/observing/, READY_WAIT_MS);
      await sleep(SETTLE_MS);
      const blocks = await whileRunning(
        [observer, ...this.#loads],
        runBlocks(order, times, this.#loads, () => {}),
      );
      await sleep(SETTLE_MS);
      await observer.stop();
      await sleep(SETTLE_MS);
      const seen = withoutStart(parseSeenFile(await Deno.readFile(path)));
      return { blocks, seen, traces: { client: await this.#read(), server: { wallBaseNs: 0, slots: [] } } };
    } finally {
      await observer.stop();
      await Deno.remove(path).catch(() => {/* it did not come so far */});
    }
  }

  async close(): Promise<void> {
    for (const child of this.#loads) await child.stop();
    await Deno.remove(this.#dir, { recursive: true });
  }

  async #read() {
    try {
      return await this.#trace.read();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied)) {
        throw error;
      }
      const path = this.#plan.planPath;
      throw new DemoError(`Cannot read ${path}: give the slot_trace of the running client by --plan FILE`);
    }
  }

  async #start(cpus: string, ...args: string[]): Promise<void> {
    const child = this.#program(`load (${args[0]})`, cpus, "audit-child", ...args);
    this.#loads.push(child);
    await child.line(/ready/, READY_WAIT_MS);
  }

  #program(name: string, cpus: string, ...args: string[]): Child {
    return new Program(name, ["taskset", "-c", cpus, ...selfCommand(), ...args]);
  }
}
