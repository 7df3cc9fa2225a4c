/** How far slots were from their plan, now and then, for the log: `--outgoing-send-deviation-stats`. The pacer counts in
 * native memory all the time; here it is only read. */

import type { Shim } from "../../ffi/mod.ts";
import type { Log } from "../status/log.ts";
import { callsOf, type Counted, countedNow, deviationSince, transmitsOf } from "./deviations.ts";
import { slotsOf } from "./status_report.ts";
import type { RingView } from "./runtime.ts";

interface CountedRing extends Counted {
  readonly slots: ReturnType<typeof slotsOf>;
}

export class DeviationLog {
  readonly #shim: Shim;
  readonly #log: Log;
  readonly #before = new Map<number, CountedRing>();
  readonly #stamps: number | undefined;
  #stampsBefore: Counted | undefined;

  /** `stamps`: STAMPS of the shim, when transmissions are stamped. */
  constructor(shim: Shim, log: Log, stamps: number | undefined) {
    this.#shim = shim;
    this.#log = log;
    this.#stamps = stamps;
  }

  /** One line for each train, of what has come since the last call, and one of the transmit stamps. `nameOf` names the
   * peer of an index. */
  write(rings: ReadonlyMap<number, RingView>, nameOf: (index: number) => string): void {
    for (const [index, { ring }] of rings) {
      const now = { ...countedNow(this.#shim, callsOf(ring)), slots: slotsOf(this.#shim, ring) };
      const before = this.#before.get(ring);
      this.#before.set(ring, now);
      this.#log.info("send deviation", {
        to: nameOf(index),
        slots: now.slots.slots - (before?.slots.slots ?? 0),
        ...deviationSince(before, now).quantiles,
        late: now.slots.late - (before?.slots.late ?? 0),
        skipped: now.slots.skipped - (before?.slots.skipped ?? 0),
      });
    }
    if (rings.size > 0) this.#writeStamps();
  }

  #writeStamps(): void {
    if (this.#stamps === undefined) return;
    const now = countedNow(this.#shim, transmitsOf(this.#stamps));
    const { count, quantiles } = deviationSince(this.#stampsBefore, now);
    this.#stampsBefore = now;
    if (count > 0) return this.#log.info("transmit deviation", { stamps: count, ...quantiles });
    this.#log.info("no transmit stamps: the outgoing interface gives none, or the tunnel goes over TCP");
  }
}
