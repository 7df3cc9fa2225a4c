/** The bare C pacer, as the measure of the machine. */

import { fileURLToPath } from "node:url";
import { DATAGRAM_LEN } from "./ring.ts";

/** What it printed; quantiles of the deviation in ns. */
export interface BareCounts {
  readonly slots: number;
  readonly skipped: number;
  readonly late: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Compiles it; returns its path. */
export function buildBare(): Promise<string> {
  return build("bare_pacer");
}

/** Compiles what watches the far end of a link; returns its path. */
export function buildReceiver(): Promise<string> {
  return build("receiver");
}

async function build(name: string): Promise<string> {
  const path = here(`../../build/bench-${name.replace("_", "-")}`);
  const args = ["-O2", "-o", path, here(`${name}.c`), "-lm"];
  const { success, stderr } = await new Deno.Command(Deno.env.get("CC") ?? "cc", { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return path;
}

/** Runs it to its end. `cpu`: where it is pinned. */
export async function runBarePacer(
  path: string,
  { intervalNs, leadNs, seconds, burst, cpu }: {
    readonly intervalNs: number;
    readonly leadNs: number;
    readonly seconds: number;
    readonly burst: number;
    readonly cpu: number;
  },
): Promise<BareCounts> {
  const args = [intervalNs / 1e3, leadNs / 1e3, seconds, DATAGRAM_LEN, burst, cpu].map(String);
  const { stdout } = await new Deno.Command(path, { args }).output();
  return JSON.parse(new TextDecoder().decode(stdout));
}
