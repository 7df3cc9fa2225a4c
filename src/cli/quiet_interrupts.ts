/** While a tunnel runs, the interrupts of the interface that its packets leave by stay off the pacer's CPU. */

import type { Shim } from "../../ffi/mod.ts";
import { allowedCpuList, parseCpuList } from "../base/cpu_list.ts";
import { hostRunner, interfaceTowards, interruptsOf, MovedInterrupts, type Run } from "../host/mod.ts";
import type { Log } from "../status/log.ts";
import type { PacerReport } from "../tunnel/messages.ts";

export class QuietInterrupts {
  readonly #shim: Shim;
  readonly #log: Log;
  #moved: MovedInterrupts | undefined;
  #ended = false;

  private constructor(shim: Shim, log: Log) {
    this.#shim = shim;
    this.#log = log;
  }

  /** Moves them as soon as the pacer has its CPU. `destination`: an address that packets go to. */
  static start(
    wanted: boolean,
    destination: string,
    ready: Promise<PacerReport>,
    shim: Shim,
    log: Log,
  ): QuietInterrupts {
    const quiet = new QuietInterrupts(shim, log);
    if (wanted) {
      const run = hostRunner((line) => log.debug(line));
      quiet.#move(destination, ready, run).catch((error: Error) =>
        log.debug("interrupts stay where they are", { reason: error.message })
      );
    }
    return quiet;
  }

  /** As they were; nothing is moved any more. */
  restore(): void {
    this.#ended = true;
    this.#moved?.restore();
    this.#moved = undefined;
  }

  async #move(destination: string, ready: Promise<PacerReport>, run: Run): Promise<void> {
    const pacer = await ready;
    if (pacer.sharedCpu || pacer.cpu < 0) return;
    const name = await interfaceTowards(run, destination);
    if (name === undefined || this.#ended) return;
    const others = parseCpuList(allowedCpuList(this.#shim.readFile("/proc/self/status")) ?? "");
    this.#moved = MovedInterrupts.away(interruptsOf(name, this.#shim), pacer.cpu, others, this.#shim);
    if (this.#moved.numbers.length === 0) return;
    this.#log.info("interrupts moved off the pacer's CPU until the end", {
      interface: name,
      cpu: pacer.cpu,
      interrupts: this.#moved.numbers.join(","),
    });
  }
}
