import assert from "node:assert/strict";
import {
  interfaceTowards,
  interruptsOf,
  type KernelFiles,
  MovedInterrupts,
} from "../../../src/host/interrupts.ts";

const INTERRUPTS = `           CPU0       CPU1
 26:          0       1855  IO-APIC   4-edge      ttyS0
 36:          0     230370 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
 38:          0       5900 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0
 39:       4696          0 PCI-MSIX-0000:00:03.0   2-edge      virtio2-output.0
 40:          1          0 PCI-MSIX-0000:00:04.0   0-edge      virtio20-config
 41:          9          9 IR-PCI-MSI 524288-edge      eth1-TxRx-0
 42:          9          9 IR-PCI-MSI 524289-edge      eth10-TxRx-0
 43:          9          9 IR-PCI-MSIX-0000:05:00.0    1-edge      mlx5_comp0@pci:0000:05:00.0
 44:          9          9 IO-APIC   16-fasteoi   uhci_hcd:usb1, eth2
NMI:          0          0   Non-maskable interrupts
`;

/** A machine's /proc and /sys below a folder that is removed afterwards. */
async function withRoot(body: (root: string, files: KernelFiles) => void): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "i405-interrupts-" });
  const read = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      return undefined;
    }
  };
  try {
    await Deno.mkdir(`${root}/proc/irq`, { recursive: true });
    await Deno.writeTextFile(`${root}/proc/interrupts`, INTERRUPTS);
    for (
      const [name, device] of [["eth0", "virtio2"], ["eth1", "0000:06:00.0"], ["eth2", "0000:07:00.0"], [
        "eth3",
        "0000:05:00.0",
      ]]
    ) {
      await Deno.mkdir(`${root}/sys/class/net/${name}`, { recursive: true });
      await Deno.symlink(`../../../${device}`, `${root}/sys/class/net/${name}/device`);
    }
    for (const [irq, list] of [[36, "0-1"], [38, "1"], [39, "0-1"], [41, "0"]]) {
      await Deno.mkdir(`${root}/proc/irq/${irq}`);
      await Deno.writeTextFile(`${root}/proc/irq/${irq}/smp_affinity_list`, `${list}\n`);
    }
    body(root, {
      readFile: (path) => read(() => Deno.readTextFileSync(root + path)),
      readLink: (path) => read(() => Deno.readLinkSync(root + path)),
      writeFile: (path, text) =>
        read(() => Deno.writeTextFileSync(root + path, text, { create: false })) === undefined,
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("interruptsOf() finds an interface's interrupts by its name or its device's, and no one else's", () =>
  withRoot((_, files) => {
    assert.deepEqual(interruptsOf("eth0", files), [38, 39]);
    assert.deepEqual(interruptsOf("eth1", files), [41]);
    assert.deepEqual(interruptsOf("eth2", files), [44]);
    assert.deepEqual(interruptsOf("eth3", files), [43]);
    assert.deepEqual(interruptsOf("eth10", files), []); // no hardware: a container's, called like the host's
  }));

Deno.test("interfaceTowards() reads the route's device", async () => {
  const answer = (code: number, stdout: string) => () => Promise.resolve({ code, stdout, stderr: "" });
  assert.equal(await interfaceTowards(answer(0, '[{"dst":"192.0.2.1","dev":"eth0"}]'), "192.0.2.1"), "eth0");
  assert.equal(await interfaceTowards(answer(2, ""), "192.0.2.1"), undefined);
});

Deno.test("MovedInterrupts keeps interrupts off a CPU and puts them back", () =>
  withRoot((root, files) => {
    const affinity = (irq: number) =>
      Deno.readTextFileSync(`${root}/proc/irq/${irq}/smp_affinity_list`).trim();
    const moved = MovedInterrupts.away(interruptsOf("eth0", files), 1, [0, 1], files);
    assert.deepEqual(moved.numbers, [38, 39]);
    assert.deepEqual([36, 38, 39].map(affinity), ["0-1", "0", "0"]);
    files.writeFile("/proc/irq/39/smp_affinity_list", "0-1"); // by somebody else, who is left alone
    moved.restore();
    assert.deepEqual([36, 38, 39].map(affinity), ["0-1", "1", "0-1"]);
  }));

Deno.test("MovedInterrupts leaves what it cannot move: no other CPU, not on this one, refused", () =>
  withRoot((_, files) => {
    assert.deepEqual(MovedInterrupts.away([38], 1, [1], files).numbers, []);
    assert.deepEqual(MovedInterrupts.away([41, 99], 1, [0, 1], files).numbers, []);
    const refusing = { ...files, writeFile: () => false };
    assert.deepEqual(MovedInterrupts.away([38, 39], 1, [0, 1], refusing).numbers, []);
  }));
