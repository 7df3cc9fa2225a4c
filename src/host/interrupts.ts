/** Keeps the interrupts of the outgoing interface off the pacer's CPU: how many come depends on what is received, and each
 * takes the CPU for some microseconds. Only that interface's, and as they were at the end. */

import { parseCpuList } from "../base/cpu_list.ts";
import { ipJsonIfAny, type Run } from "./command.ts";

/** Small files of /proc and /sys. */
export interface KernelFiles {
  /** undefined when there is none to read. */
  readFile(path: string): string | undefined;
  /** Where a symbolic link points; undefined when there is none. */
  readLink(path: string): string | undefined;
  /** Whether the kernel took it. */
  writeFile(path: string, text: string): boolean;
}

/** Numbers of the interrupts that /proc/interrupts names after the interface (eth0-TxRx-1) or after its device
 * (virtio3-input.0, mlx5_comp1@pci:0000:05:00.0), ascending. None for an interface without hardware, however it is called:
 * in a container the name may be that of the host's. */
export function interruptsOf(interfaceName: string, files: KernelFiles): number[] {
  const device = files.readLink(`/sys/class/net/${interfaceName}/device`)?.split("/").pop();
  if (device === undefined) return [];
  const names = [interfaceName, device];
  return (files.readFile("/proc/interrupts") ?? "").split("\n").flatMap((line) => {
    const [, number, rest] = /^\s*(\d+):(.*)$/.exec(line) ?? [];
    // Counts, controller ("PCI-MSIX-0000:00:03.0"), actions; those of a shared line with commas between.
    const isOurs = (rest ?? "").split(/[\s,]+/).some((word) =>
      names.some((name) => isNamedAfter(word, name))
    );
    return isOurs ? [Number(number)] : [];
  });
}

/** "eth0", "eth0-rx-0", "mlx5_comp0@pci:0000:05:00.0"; not "eth01", nor "PCI-MSIX-eth0". */
function isNamedAfter(action: string, name: string): boolean {
  return action === name || action.endsWith(`@pci:${name}`) ||
    (action.startsWith(name) && /^[-.:@]/.test(action.slice(name.length)));
}

/** The interface by which packets to an IP address leave; undefined when there is no way to it. */
export async function interfaceTowards(run: Run, address: string): Promise<string | undefined> {
  const [route] = await ipJsonIfAny(run, "route", "get", address);
  return typeof route?.dev === "string" ? route.dev : undefined;
}

const affinityPath = (interrupt: number) => `/proc/irq/${interrupt}/smp_affinity_list`;

export class MovedInterrupts {
  /** Those that were moved. */
  readonly numbers: readonly number[];
  readonly #files: KernelFiles;
  readonly #before: ReadonlyMap<number, string>;
  readonly #now: ReadonlyMap<number, string>;

  private constructor(
    files: KernelFiles,
    before: ReadonlyMap<number, string>,
    now: ReadonlyMap<number, string>,
  ) {
    this.#files = files;
    this.#before = before;
    this.#now = now;
    this.numbers = [...before.keys()];
  }

  /** Moves those of `interrupts` that may come to `cpu`: to the others of their CPUs, or to `others` when they have none.
   * What the kernel does not let move (managed ones; no right) stays. */
  static away(
    interrupts: readonly number[],
    cpu: number,
    others: readonly number[],
    files: KernelFiles,
  ): MovedInterrupts {
    const before = new Map<number, string>();
    const now = new Map<number, string>();
    for (const interrupt of interrupts) {
      const path = affinityPath(interrupt);
      const list = files.readFile(path)?.trim();
      if (list === undefined || !parseCpuList(list).includes(cpu)) continue;
      const rest = parseCpuList(list).filter((one) => one !== cpu);
      const wanted = (rest.length > 0 ? rest : others.filter((one) => one !== cpu)).join(",");
      if (wanted === "" || !files.writeFile(path, wanted)) continue;
      before.set(interrupt, list);
      now.set(interrupt, files.readFile(path)?.trim() ?? wanted);
    }
    return new MovedInterrupts(files, before, now);
  }

  /** As they were, but for those that somebody else has moved since. */
  restore(): void {
    for (const [interrupt, list] of this.#before) {
      const path = affinityPath(interrupt);
      if (this.#files.readFile(path)?.trim() === this.#now.get(interrupt)) this.#files.writeFile(path, list);
    }
  }
}
