/** What the outgoing interface, the TUN device and the limits of this process do. */

import { allowedCpuList, parseCpuList } from "../base/cpu_list.ts";
import { finding, number, ok } from "./finding.ts";
import type { DoctorPorts, Finding, WakeUps } from "./ports.ts";

/** The interface that a packet to `destination` would leave by, as `ip route get` says. */
export async function outgoingInterface(
  ports: DoctorPorts,
  destination: string,
): Promise<string | undefined> {
  const { code, stdout } = await ports.run(["ip", "-o", "route", "get", destination]);
  return code === 0 ? /\bdev (\S+)/.exec(stdout)?.[1] : undefined;
}

export async function checkInterface(ports: DoctorPorts, device: string | undefined): Promise<Finding[]> {
  if (device === undefined) {
    return [
      finding(
        "route",
        "Way out",
        "note",
        "there is no route to the outside now",
        "connect the machine, or name --peer",
      ),
    ];
  }
  const { stdout } = await ports.run(["ip", "-o", "-d", "link", "show", "dev", device]);
  return [
    checkQdisc(device, /\bqdisc (\S+)/.exec(stdout)?.[1]),
    checkMtu(device, Number(/\bmtu (\d+)/.exec(stdout)?.[1])),
    checkGso(device, Number(/\bgso_max_size (\d+)/.exec(stdout)?.[1])),
    await checkEee(ports, device),
    await checkCoalescing(ports, device),
    checkInterrupts(ports, device),
  ];
}

/** Other traffic of this machine shares the interface's queue with the slots: one of 64 KiB takes 0.5 ms at 1 Gbit/s. */
function checkQdisc(device: string, qdisc: string | undefined): Finding {
  const name = `Queueing on ${device}`;
  if (qdisc === undefined) return finding("qdisc", name, "unknown", "ip does not say");
  if (BANDED.has(qdisc)) {
    return ok("qdisc", name, `${qdisc}: slots go before what other programs have queued`);
  }
  return finding(
    "qdisc",
    name,
    "note",
    `${qdisc}: a slot waits behind what other programs have just handed over`,
    `where other programs send much: tc qdisc replace dev ${device} root prio (this program's packets take its first band)`,
  );
}

/** No queue at all, or bands that follow the priority that this program's sockets have. */
const BANDED: ReadonlySet<string> = new Set(["noqueue", "pfifo_fast", "prio"]);

function checkMtu(device: string, mtu: number): Finding {
  const name = `MTU of ${device}`;
  if (!(mtu > 0)) return finding("mtu", name, "unknown", "ip does not say");
  if (mtu >= 1400) return ok("mtu", name, `${mtu} bytes`);
  return finding(
    "mtu",
    name,
    "note",
    `${mtu} bytes: packets of 1,400 bytes do not fit`,
    `packet_length = ${mtu} or less`,
  );
}

function checkGso(device: string, size: number): Finding {
  const name = `Largest segment train on ${device}`;
  if (!(size > 0)) return finding("gso", name, "unknown", "ip does not say");
  if (size <= 16_384) return ok("gso", name, `${size} bytes`);
  return finding(
    "gso",
    name,
    "note",
    `${size} bytes of another program's TCP can stand before a slot`,
    `where other programs send much: ip link set dev ${device} gso_max_size 8192`,
  );
}

/** IEEE 802.3az: a sleeping link wakes in 17 to 30 µs, sooner when other traffic has just woken it. */
async function checkEee(ports: DoctorPorts, device: string): Promise<Finding> {
  const name = `Energy-efficient Ethernet on ${device}`;
  const { code, stdout } = await ports.run(["ethtool", "--show-eee", device]);
  if (code === 127) return finding("eee", name, "unknown", "there is no ethtool", "install ethtool");
  if (code !== 0 || !/EEE status: enabled/.test(stdout)) return ok("eee", name, "off or not there");
  return finding(
    "eee",
    name,
    "bad",
    "on: the first packet after a pause leaves some 20 µs later, so pauses in other traffic show",
    `ethtool --set-eee ${device} eee off`,
  );
}

async function checkCoalescing(ports: DoctorPorts, device: string): Promise<Finding> {
  const name = `Interrupt moderation on ${device}`;
  const { code, stdout } = await ports.run(["ethtool", "-c", device]);
  const adaptive = /Adaptive RX: on/.test(stdout) || /TX: on/.test(stdout);
  if (code !== 0) return ok("coalescing", name, "none");
  if (!adaptive) return ok("coalescing", name, "fixed");
  return finding(
    "coalescing",
    name,
    "note",
    "adaptive: when interrupts come follows the traffic; it delays receiving, not sending",
    `ethtool -C ${device} adaptive-rx off adaptive-tx off`,
  );
}

/** Interrupts of the interface on the pacer's CPU, which is the last one allowed unless the configuration says another. */
function checkInterrupts(ports: DoctorPorts, device: string): Finding {
  const name = `Interrupts of ${device}`;
  const numbers = (ports.readFile("/proc/interrupts") ?? "").split("\n")
    .filter((line) => new RegExp(`\\b${device}\\b`).test(line))
    .map((line) => /^\s*(\d+):/.exec(line)?.[1]).filter((irq) => irq !== undefined);
  const last = lastCpu(ports);
  if (numbers.length === 0 || last === undefined) {
    return finding("interrupts", name, "note", "not to be told from others' here", "");
  }
  const onPacer = numbers.filter((irq) =>
    parseCpuList(ports.readFile(`/proc/irq/${irq}/effective_affinity_list`) ?? "").includes(last)
  );
  if (onPacer.length === 0) return ok("interrupts", name, `not on CPU ${last}, the pacer's`);
  return finding(
    "interrupts",
    name,
    "note",
    `${onPacer.join(", ")} on CPU ${last}, the pacer's: receiving delays sending`,
    "a tunnel that runs as root moves them away until it ends ([pacing] move_interrupts); stop irqbalance, which moves them back",
  );
}

function lastCpu(ports: DoctorPorts): number | undefined {
  return parseCpuList(allowedCpuList(ports.readFile("/proc/self/status")) ?? "").at(-1);
}

export function checkTun(ports: DoctorPorts): Finding {
  const refusal = ports.tunRefusal();
  if (refusal === undefined) return ok("tun", "TUN device", "may be made");
  return finding(
    "tun",
    "TUN device",
    "bad",
    refusal,
    'run as root, or `sudo i405 tun add --user "$USER"` once; TCP mode needs none',
  );
}

export async function checkNftables(ports: DoctorPorts): Promise<Finding> {
  const { code } = await ports.run(["nft", "list", "tables"]);
  if (code === 0) return ok("nftables", "nftables", "may be used");
  const found = code === 127 ? "there is no nft here" : "nft refuses to work for this user";
  return finding(
    "nftables",
    "nftables",
    "note",
    found,
    "needed by a server with [nat] masquerade and by lockdown: install nftables, run as root",
  );
}

const LOCKED_MIN = 8 * 2 ** 20;

export function checkMemoryLock(ports: DoctorPorts, wakes: WakeUps): Finding {
  const limit = /^Max locked memory\s+(\S+)/m.exec(ports.readFile("/proc/self/limits") ?? "")?.[1];
  const isEnough = ports.isRoot || limit === "unlimited" || number(limit) >= LOCKED_MIN;
  if (isEnough && !wakes.noLock) {
    return ok("memlock", "Locked memory", ports.isRoot ? "no limit for root" : `${limit} bytes`);
  }
  return finding(
    "memlock",
    "Locked memory",
    "note",
    `the limit is ${limit ?? "unknown"}: a page fault can make a slot late, and keys may reach the swap`,
    "LimitMEMLOCK=64M in the service unit, or CAP_IPC_LOCK",
  );
}
