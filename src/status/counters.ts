/** Named counters. The names are given at the start, so that each kind of drop is listed before it happens. */

import { assert } from "../base/mod.ts";

export class Counters<Name extends string> {
  readonly #values = new Map<Name, number>();

  /** All at zero, in this order. */
  constructor(names: readonly Name[]) {
    for (const name of names) {
      assert(!this.#values.has(name), `counter ${name} is named twice`);
      this.#values.set(name, 0);
    }
  }

  add(name: Name, amount = 1): void {
    this.#values.set(name, this.get(name) + amount);
  }

  get(name: Name): number {
    const value = this.#values.get(name);
    assert(value !== undefined, `there is no counter ${name}`);
    return value;
  }

  /** All counters by name, for JSON. */
  snapshot(): Record<Name, number> {
    return Object.fromEntries(this.#values) as Record<Name, number>;
  }
}
