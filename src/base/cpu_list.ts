/** "0-2,5" is [0, 1, 2, 5], as the kernel writes lists of CPUs (cpuset(7), "List format"); none for an empty text. */
export function parseCpuList(list: string): number[] {
  return list.trim().split(",").filter((part) => part !== "").flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** The CPUs that /proc/self/status names as allowed, ascending; undefined when it does not. */
export function allowedCpuList(status: string | undefined): string | undefined {
  return /^Cpus_allowed_list:\s*(\S+)$/m.exec(status ?? "")?.[1];
}
