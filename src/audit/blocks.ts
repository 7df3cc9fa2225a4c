/** The order of loads. Half of the sessions are idle, so that every load has as many idle ones to be held against as can
 * be; the order is random, so that what drifts on the machine falls on all alike. */

import { LOAD_CLASSES, type LoadClass } from "./session.ts";
import { shuffle } from "./validation.ts";

/** `count` or a few more loads, all of `loads` equally often and idle as often as all of them together, in an order that
 * `random` makes. */
export function blockOrder(count: number, loads: readonly LoadClass[], random: () => number): LoadClass[] {
  const busy = loads.filter((load) => load !== "idle");
  const rounds = Math.max(1, Math.ceil(count / (2 * busy.length)));
  const order: LoadClass[] = [];
  for (let i = 0; i < rounds; i++) for (const load of busy) order.push(load, "idle");
  shuffle(order, random);
  return order;
}

/** Names as they are given on the command line: "bulk-up,host-busy". Throws RangeError for an unknown one. */
export function parseLoads(text: string): LoadClass[] {
  return text.split(",").map((part) => {
    const name = LOAD_CLASSES.find((load) => load.replaceAll(" ", "-") === part.trim());
    if (name === undefined || name === "idle") {
      const known = LOAD_CLASSES.slice(1).map((load) => load.replaceAll(" ", "-")).join(", ");
      throw new RangeError(`Unknown load "${part}": use ${known}`);
    }
    return name;
  });
}
