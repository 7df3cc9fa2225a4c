/** The densities of the jitter laws (src/schedule/jitter.ts), for an observer who knows them. */

import type { Jitter } from "../schedule/mod.ts";
import { JITTER_REACH } from "../schedule/jitter.ts";
import type { JitterDensity } from "./time_to_tell.ts";

/** undefined where there is no jitter. Need not be normalized. */
export function jitterDensity({ law, sdNs }: Jitter): JitterDensity | undefined {
  if (law === "none" || sdNs === 0) return undefined;
  const reachNs = JITTER_REACH[law] * sdNs;
  if (law === "gaussian") return { sdNs, reachNs, density: (x) => Math.exp(-0.5 * (x / sdNs) ** 2) };
  return { sdNs, reachNs, density: (x) => 1 + Math.cos(Math.PI * x / reachNs) };
}
