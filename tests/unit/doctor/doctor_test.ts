import assert from "node:assert/strict";
import { type DoctorPorts, examinationText, examine, type WakeUps } from "../../../src/doctor/mod.ts";
import { cpuCount } from "../../../src/doctor/cpu_checks.ts";

const WAKES: WakeUps = {
  p50Ns: 5e3,
  p99Ns: 20e3,
  p999Ns: 60e3,
  noFifo: false,
  noLock: false,
  sharedCpu: false,
  cpu: 3,
};

/** A machine on which nothing is wrong. */
const FILES: Readonly<Record<string, string>> = {
  "/proc/self/status": "Name:\ti405\nCpus_allowed_list:\t0-3\n",
  "/proc/self/limits": "Max locked memory         unlimited            unlimited            bytes\n",
  "/proc/self/cgroup": "0::/system.slice/i405.service\n",
  "/proc/cpuinfo": "flags\t\t: fpu aes\n",
  "/proc/stat": "cpu  1 2 3 4 5 6 7 100 0 0\n",
  "/proc/version": "Linux version 6.1 SMP PREEMPT_RT\n",
  "/proc/timer_list": "  .hres_active    : 1\n",
  "/proc/sys/kernel/sched_rt_runtime_us": "950000\n",
  "/proc/sys/kernel/sched_rt_period_us": "1000000\n",
  "/sys/devices/system/cpu/isolated": "3\n",
  "/proc/interrupts":
    "           CPU0 CPU1 CPU2 CPU3\n 24:  1 2 3 4  PCI-MSI 512 eth0-rx-0\n 25:  1 2 3 4  nvme0q0\n",
  "/proc/irq/24/effective_affinity_list": "0\n",
  "/proc/irq/25/effective_affinity_list": "3\n",
  "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
  "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
  "/sys/devices/system/cpu/cpu0/cpuidle/state0/name": "POLL\n",
  "/sys/devices/system/cpu/cpu0/cpuidle/state0/latency": "0\n",
};
const COMMANDS: Readonly<Record<string, string>> = {
  "ip -o route get": "192.0.2.1 via 10.0.0.1 dev eth0 src 10.0.0.2 uid 0\n",
  "ip -o -d": "2: eth0: <UP> mtu 1500 qdisc noqueue state UP gso_max_size 8192 gso_max_segs 65535\n",
  "ethtool --show-eee": "EEE settings for eth0:\n\tEEE status: disabled\n",
  "ethtool -c": "Adaptive RX: off  TX: off\n",
  "nft list tables": "",
};

interface Change {
  readonly files?: Record<string, string | undefined>;
  readonly commands?: Record<string, string | undefined>;
  readonly wakes?: Partial<WakeUps>;
  readonly tun?: string;
  readonly isRoot?: boolean;
}

function machine({ files = {}, commands = {}, wakes = {}, tun, isRoot = true }: Change = {}): DoctorPorts {
  const all = { ...COMMANDS, ...commands };
  return {
    readFile: (path) => ({ ...FILES, ...files })[path],
    run: (command) => {
      const key = Object.keys(all).find((start) => command.join(" ").startsWith(start));
      const stdout = key === undefined ? undefined : all[key];
      return Promise.resolve({ code: stdout === undefined ? 127 : 0, stdout: stdout ?? "" });
    },
    measure: () => ({ ...WAKES, ...wakes }),
    tunRefusal: () => tun,
    isRoot,
  };
}

const examined = (change?: Change) => examine(machine(change), { measureMs: 5000, intervalNs: 1e6 });

Deno.test("examine() finds a good machine good, every check of it", async () => {
  const { findings, isFit } = await examined();
  assert.deepEqual(findings.filter(({ condition }) => condition !== "good"), []);
  assert.ok(isFit);
  assert.equal(new Set(findings.map(({ id }) => id)).size, findings.length);
});

const BAD: Readonly<Record<string, [string, Change]>> = {
  "no right to SCHED_FIFO": ["fifo", { wakes: { noFifo: true } }],
  "one CPU": ["cpus", { files: { "/proc/self/status": "Cpus_allowed_list:\t2\n" } }],
  "tight throttling": ["throttling", { files: { "/proc/sys/kernel/sched_rt_runtime_us": "500000" } }],
  "a CPU quota": ["cgroup", {
    files: { "/sys/fs/cgroup/system.slice/i405.service/cpu.max": "50000 100000" },
  }],
  "timers by ticks": ["timers", { files: { "/proc/timer_list": "  .hres_active    : 0\n" } }],
  "a slow clock": [
    "clock",
    { files: { "/sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet" } },
  ],
  "no TUN": ["tun", { tun: "Cannot open TUN device: EPERM" }],
  "a link that sleeps": ["eee", { commands: { "ethtool --show-eee": "EEE status: enabled - active\n" } }],
};
for (const [name, [id, change]] of Object.entries(BAD)) {
  Deno.test(`examine() calls ${name} bad, and names a remedy`, async () => {
    const { findings, isFit } = await examined(change);
    const bad = findings.filter(({ condition }) => condition === "bad");
    assert.deepEqual(bad.map((finding) => finding.id), [id]);
    assert.notEqual(bad[0].remedy, "");
    assert.ok(!isFit);
  });
}

const NOTED: Readonly<Record<string, [string, Change]>> = {
  "a virtual machine": ["vm", { files: { "/proc/cpuinfo": "flags : fpu hypervisor\n" } }],
  "a governor that follows the load": [
    "governor",
    { files: { "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave" } },
  ],
  "no isolated CPU": ["isolation", { files: { "/sys/devices/system/cpu/isolated": "\n" } }],
  "a kernel of unknown preemption": ["preemption", { files: { "/proc/version": "SMP PREEMPT_DYNAMIC" } }],
  "a small lock limit": [
    "memlock",
    { isRoot: false, files: { "/proc/self/limits": "Max locked memory   65536  65536  bytes\n" } },
  ],
  "a queueing discipline": [
    "qdisc",
    { commands: { "ip -o -d": "2: eth0: mtu 1500 qdisc fq_codel gso_max_size 8192\n" } },
  ],
  "interrupts of the interface on the pacer's CPU": [
    "interrupts",
    { files: { "/proc/irq/24/effective_affinity_list": "2-3\n" } },
  ],
  "interrupts that nobody can tell apart": ["interrupts", {
    files: { "/proc/interrupts": " 25: 1 nvme0q0\n" },
  }],
  "a small MTU": ["mtu", { commands: { "ip -o -d": "2: eth0: mtu 1280 qdisc noqueue gso_max_size 8192\n" } }],
  "large segment trains": [
    "gso",
    { commands: { "ip -o -d": "2: eth0: mtu 1500 qdisc noqueue gso_max_size 65536\n" } },
  ],
  "no route": ["route", { commands: { "ip -o route get": undefined } }],
  "no nft": ["nftables", { commands: { "nft list tables": undefined } }],
};
for (const [name, [id, change]] of Object.entries(NOTED)) {
  Deno.test(`examine() notes ${name}, which is nothing bad`, async () => {
    const { findings, isFit } = await examined(change);
    assert.deepEqual(
      findings.filter(({ condition }) => condition !== "good").map((
        finding,
      ) => [finding.id, finding.condition]),
      [[id, "note"]],
    );
    assert.ok(isFit);
  });
}

Deno.test("examine() holds stolen time against a virtual machine", async () => {
  let steal = 100;
  const ports = machine({ files: { "/proc/cpuinfo": "flags : hypervisor\n" } });
  const readFile = (path: string) =>
    path === "/proc/stat" ? `cpu  1 2 3 4 5 6 7 ${steal += 50} 0 0\n` : ports.readFile(path);
  const { findings } = await examine({ ...ports, readFile }, { measureMs: 5000, intervalNs: 1e6 });
  const vm = findings.find(({ id }) => id === "vm")!;
  assert.equal(vm.condition, "bad");
  assert.match(vm.found, /10\.0 %/);
});

Deno.test("examine() does not know what the machine does not say", async () => {
  const { findings } = await examined({ files: { "/proc/timer_list": undefined } });
  assert.equal(findings.find(({ id }) => id === "timers")?.condition, "unknown");
});

Deno.test("cpuCount() counts lists of CPUs", () => {
  assert.deepEqual(["0", "0-3", "0-1,4,6-7", "", undefined].map(cpuCount), [1, 4, 5, 0, 0]);
});

Deno.test("expectations follow from wake-ups and interval", async () => {
  const quiet = await examined();
  assert.match(quiet.expected[1].text, /fewer than 1 slot in 1,000/);
  const slow = await examine(machine({ wakes: { p99Ns: 400e3, p999Ns: 2e6 } }), {
    measureMs: 1,
    intervalNs: 1e6,
  });
  assert.match(slow.expected[1].text, /common/);
});

Deno.test("examinationText() has a line for each finding, with its remedy, and the verdict", async () => {
  const result = await examined({ tun: "Cannot open TUN device: EPERM" });
  const text = examinationText(result);
  for (const { name, found, remedy } of result.findings) {
    assert.ok(text.includes(name) && text.includes(found) && text.includes(remedy));
  }
  assert.match(text, /BAD +TUN device/);
  assert.match(text, /What is marked BAD/);
});
