/** What this machine is, for the report, and which CPUs the two pacers get. */

import { allowedCpuList, parseCpuList } from "../base/cpu_list.ts";
import type { DemoPorts } from "./ports.ts";
import type { Machine } from "./result.ts";

export function describeMachine(ports: DemoPorts): Machine {
  return {
    cpu: /^model name\s*:\s*(.*)$/m.exec(ports.readFile("/proc/cpuinfo") ?? "")?.[1] ?? "unknown CPU",
    cores: allowedCpus(ports).length,
    kernel: Deno.osRelease(),
  };
}

/** The CPUs that this process may use, ascending; [0] when the system does not say. */
export function allowedCpus(ports: DemoPorts): number[] {
  const list = allowedCpuList(ports.readFile("/proc/self/status"));
  return list === undefined ? [0] : parseCpuList(list);
}

/** Both ends are on this machine, so each pacer gets a CPU of its own where there are two or more. */
export function pacerCpus(ports: DemoPorts): { readonly client?: number; readonly server?: number } {
  const cpus = allowedCpus(ports);
  return cpus.length < 2 ? {} : { client: cpus.at(-1)!, server: cpus.at(-2)! };
}
