/** What CPUs, scheduler and clock do to the moment of a slot. */

import { allowedCpuList, parseCpuList } from "../base/cpu_list.ts";
import type { DoctorPorts, Finding, WakeUps } from "./ports.ts";
import { finding, number, ok } from "./finding.ts";

/** "0-2,5" holds 4. */
export function cpuCount(list: string | undefined): number {
  return parseCpuList(list ?? "").length;
}

export function checkCpus(ports: DoctorPorts): Finding {
  const list = allowedCpuList(ports.readFile("/proc/self/status"));
  const count = cpuCount(list);
  if (count === 0) return finding("cpus", "CPUs", "unknown", "the kernel does not say");
  if (count >= 2) return ok("cpus", "CPUs", `${count} (${list}): the pacer gets one of its own`);
  return finding(
    "cpus",
    "CPUs",
    "bad",
    "one: pacer and everything else share it, and how busy the machine is shows in the times",
    "use a machine with two CPUs, or widen the process's cpuset",
  );
}

export function checkIsolation(ports: DoctorPorts): Finding {
  const isolated = ports.readFile("/sys/devices/system/cpu/isolated")?.trim();
  const tickless = ports.readFile("/sys/devices/system/cpu/nohz_full")?.trim();
  if (isolated) {
    return ok("isolation", "CPU isolation", `isolated ${isolated}, nohz_full ${tickless || "none"}`);
  }
  return finding(
    "isolation",
    "CPU isolation",
    "note",
    "no CPU is isolated: other programs and interrupts may use the pacer's",
    "boot with isolcpus=domain,managed_irq,N nohz_full=N and name that CPU in [pacing] cpu; not needed below 1 µs P99",
  );
}

export function checkFifo(wakes: WakeUps): Finding {
  if (!wakes.noFifo) return ok("fifo", "Real-time priority", "SCHED_FIFO is granted");
  return finding(
    "fifo",
    "Real-time priority",
    "bad",
    "SCHED_FIFO is refused: slots are late whenever the machine is busy",
    "run as root, grant CAP_SYS_NICE, or set LimitRTPRIO=50 in the service unit",
  );
}

/** Real-time throttling: sched_rt_runtime_us of each second is all that real-time threads get. */
export function checkThrottling(ports: DoctorPorts): Finding {
  const runtime = number(ports.readFile("/proc/sys/kernel/sched_rt_runtime_us"));
  const period = number(ports.readFile("/proc/sys/kernel/sched_rt_period_us"));
  if (Number.isNaN(runtime)) {
    return finding("throttling", "Real-time throttling", "unknown", "the kernel does not say");
  }
  if (runtime < 0) return ok("throttling", "Real-time throttling", "off");
  const share = Math.round(100 * runtime / period);
  if (share >= 90) {
    return ok(
      "throttling",
      "Real-time throttling",
      `${share} % of each second are allowed: the pacer sleeps enough`,
    );
  }
  return finding(
    "throttling",
    "Real-time throttling",
    "bad",
    `real-time threads get only ${share} % of each second`,
    "sysctl -w kernel.sched_rt_runtime_us=950000, or use --poll-mode sleepy",
  );
}

/** A cgroup (v1 with RT_GROUP_SCHED, or a v2 quota) may take the CPU from the pacer, whatever its priority. */
export function checkCgroup(ports: DoctorPorts): Finding {
  const path = /^0::(\S+)$/m.exec(ports.readFile("/proc/self/cgroup") ?? "")?.[1];
  const quota = path === undefined ? undefined : ports.readFile(`/sys/fs/cgroup${path}/cpu.max`)?.trim();
  if (quota === undefined || quota.startsWith("max")) {
    return ok("cgroup", "CPU quota", "none for this process");
  }
  return finding(
    "cgroup",
    "CPU quota",
    "bad",
    `cpu.max is ${quota}: when it is used up, everything stands still, the pacer too`,
    "raise CPUQuota= of the service, or remove it",
  );
}

export function checkIdleStates(ports: DoctorPorts): Finding {
  const states = idleStates(ports);
  if (states.length === 0) {
    return finding("idle-states", "CPU idle states", "note", "not visible here (usual in a virtual machine)");
  }
  const deepest = states[states.length - 1];
  const text = states.map(({ name, latencyUs }) => `${name} ${latencyUs} µs`).join(", ");
  if (deepest.latencyUs <= 20) return ok("idle-states", "CPU idle states", text);
  const held = ports.isRoot
    ? "this program holds /dev/cpu_dma_latency at 0 while it runs"
    : "only root may hold them off";
  return finding(
    "idle-states",
    "CPU idle states",
    ports.isRoot ? "good" : "note",
    `${text}; ${held}`,
    ports.isRoot ? "" : "let a service of root hold /dev/cpu_dma_latency open with 0 written to it",
  );
}

function idleStates(ports: DoctorPorts) {
  const states: { name: string; latencyUs: number }[] = [];
  for (let i = 0; i < 16; i++) {
    const base = `/sys/devices/system/cpu/cpu0/cpuidle/state${i}`;
    const name = ports.readFile(`${base}/name`)?.trim();
    if (name === undefined) return states;
    states.push({ name, latencyUs: number(ports.readFile(`${base}/latency`)) });
  }
  return states;
}

export function checkGovernor(ports: DoctorPorts): Finding {
  const governor = ports.readFile("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")?.trim();
  if (governor === undefined) {
    return finding("governor", "Frequency governor", "note", "none visible (usual in a virtual machine)");
  }
  if (governor === "performance") return ok("governor", "Frequency governor", governor);
  return finding(
    "governor",
    "Frequency governor",
    "note",
    `${governor}: the CPU's speed follows the load, and the cost of a slot with it`,
    "cpupower frequency-set -g performance",
  );
}

export function checkPreemption(ports: DoctorPorts): Finding {
  const version = ports.readFile("/proc/version") ?? "";
  const mode = /\((\w+)\)/.exec(ports.readFile("/sys/kernel/debug/sched/preempt") ?? "")?.[1];
  if (version.includes("PREEMPT_RT")) return ok("preemption", "Kernel preemption", "PREEMPT_RT");
  if (mode === "full") return ok("preemption", "Kernel preemption", "full");
  const what = mode ??
    (version.includes("PREEMPT_DYNAMIC")
      ? "dynamic, the mode is not visible"
      : version.includes("PREEMPT")
      ? "full or voluntary"
      : "none");
  return finding(
    "preemption",
    "Kernel preemption",
    "note",
    `${what}: a long system call on the pacer's CPU can make a slot late`,
    "boot with preempt=full, and leave the pacer's CPU to the pacer",
  );
}

/** Whether the clock is read without a system call and does not jump. */
export function checkClock(ports: DoctorPorts): Finding {
  const source = ports.readFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")?.trim();
  if (source === undefined) return finding("clock", "Clock source", "unknown", "the kernel does not say");
  if (["tsc", "kvm-clock", "arch_sys_counter"].includes(source)) return ok("clock", "Clock source", source);
  return finding(
    "clock",
    "Clock source",
    "bad",
    `${source}: each reading is slow, and spinning reads it all the time`,
    "boot with tsc=reliable if the CPU's counter is invariant",
  );
}

/** `steal`: jiffies of all CPUs taken by the host, from /proc/stat, before and after the measurement. */
export function checkVirtualization(
  ports: DoctorPorts,
  steal: { before: number; after: number; seconds: number },
): Finding {
  const isGuest = /^flags\s*:.*\bhypervisor\b/m.test(ports.readFile("/proc/cpuinfo") ?? "");
  if (!isGuest) return ok("vm", "Virtual machine", "no");
  const share = (steal.after - steal.before) / 100 / steal.seconds * 100;
  const found = `yes; the host took ${share.toFixed(1)} % of a CPU while this was measured`;
  if (share > 1) {
    return finding(
      "vm",
      "Virtual machine",
      "bad",
      found,
      "take a plan with dedicated CPUs, or a machine of your own",
    );
  }
  return finding(
    "vm",
    "Virtual machine",
    "note",
    `${found}; how busy its neighbours are can show in the times`,
    "dedicated CPUs help; spinning all the time may break a provider's fair use",
  );
}

/** Jiffies stolen so far, all CPUs. */
export function stealOf(ports: DoctorPorts): number {
  return Number(/^cpu +(.*)$/m.exec(ports.readFile("/proc/stat") ?? "")?.[1].split(/\s+/)[7] ?? 0);
}

export function checkTimer(ports: DoctorPorts): Finding {
  const lists = ports.readFile("/proc/timer_list");
  if (lists === undefined) return finding("timers", "High-resolution timers", "unknown", "only root can see");
  const active = /\.hres_active\s*:\s*(\d)/.exec(lists)?.[1];
  if (active === "1") return ok("timers", "High-resolution timers", "on");
  return finding(
    "timers",
    "High-resolution timers",
    "bad",
    "off: sleeps end at clock ticks, milliseconds late",
    "boot without highres=off",
  );
}
