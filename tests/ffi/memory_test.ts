import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import * as layouts from "../../src/ports/layout.ts";
import { openShim } from "../../ffi/mod.ts";
import { EFAULT, EINVAL, libraryPath, memory, shim, symbols } from "./support.ts";

Deno.test("i405_layout() gives the sizes and offsets of src/ports/layout.ts", () => {
  const order = [
    layouts.KEY_MATERIAL,
    layouts.RECORD,
    layouts.ADDR,
    layouts.RX,
    layouts.IO,
    layouts.TCP_STATE,
    layouts.PACER_CONFIG,
    layouts.PACER_STATE,
    layouts.RING_CONFIG,
    layouts.RING,
    layouts.TRACE,
    layouts.STAMPS,
    layouts.FILE_INFO,
    layouts.SEEN,
  ];
  const expected = order.flatMap((layout) =>
    Object.entries(layout).filter(([name]) => name !== "headLen").map(([, value]) => value as number)
  );
  const actual = [];
  for (let i = 0; symbols.i405_layout(i) >= 0; i++) actual.push(symbols.i405_layout(i));
  deepStrictEqual(actual, expected);
});

Deno.test("Memory.alloc() gives zeroed blocks aligned to 64 bytes that do not overlap", () => {
  const blocks: { at: number; len: number }[] = [];
  for (const len of [1, 63, 64, 65, 128, 300, 1472, 5000, 65_536, 1_000_000]) {
    const at = memory.alloc(len);
    strictEqual(at % 64, 0);
    ok(memory.u8.subarray(at, at + len).every((byte) => byte === 0), `block of ${len} is zeroed`);
    memory.u8.fill(0xa5, at, at + len);
    blocks.push({ at, len });
  }
  const sorted = [...blocks].sort((a, b) => a.at - b.at);
  for (let i = 1; i < sorted.length; i++) ok(sorted[i].at >= sorted[i - 1].at + sorted[i - 1].len);
  for (const { at, len } of blocks) memory.free(at, len);
});

Deno.test("Memory.free() wipes, and the block is handed out again", () => {
  const at = memory.alloc(777);
  memory.u8.fill(0xa5, at, at + 777);
  memory.free(at, 777);
  // The first four bytes of a free block are the allocator's.
  ok(memory.u8.subarray(at + 4, at + 777).every((byte) => byte === 0));
  const again = memory.alloc(777);
  strictEqual(again, at);
  ok(memory.u8.subarray(again, again + 777).every((byte) => byte === 0));
  memory.free(again, 777);
});

Deno.test("Memory.free() refuses what was not handed out, twice, or with another length", () => {
  const at = memory.alloc(100);
  throws(() => memory.free(at, 1000), { errnoName: "EINVAL" });
  throws(() => memory.free(at + 64, 100), { errnoName: "EINVAL" });
  throws(() => memory.free(at + 1, 100), { errnoName: "EINVAL" });
  throws(() => memory.free(0, 100), { errnoName: "EINVAL" });
  memory.free(at, 100);
  throws(() => memory.free(at, 100), { errnoName: "EINVAL" });
});

Deno.test("Memory.alloc() throws RangeError when the arena has no room", () => {
  throws(() => memory.alloc(memory.u8.length), RangeError);
  throws(() => memory.alloc(0xffff_ffff), RangeError);
  throws(() => memory.alloc(0), RangeError);
});

Deno.test("Functions of the shim check offsets and alignment", () => {
  const end = memory.u8.length;
  const calls: Record<string, (off: number) => number> = {
    i405_key_new: (off) => symbols.i405_key_new(off),
    i405_unmask_batch: (off) => symbols.i405_unmask_batch(off, 1),
    i405_open_batch: (off) => symbols.i405_open_batch(off, 1),
    i405_seal_batch: (off) => symbols.i405_seal_batch(off, 1),
    i405_udp_open: (off) => symbols.i405_udp_open(off, 0),
    i405_udp_send: (off) => symbols.i405_udp_send(-1, 64, 1, off, 0),
    i405_route_probe: (off) => symbols.i405_route_probe(off, 64),
    i405_tun_write_batch: (off) => symbols.i405_tun_write_batch(-1, off, 2, 15),
    i405_tun_coalesce: (off) => symbols.i405_tun_coalesce(off, 2, 15, 64, 1),
    i405_tun_split: (off) => symbols.i405_tun_split(64, 20, 64, off, 2),
    i405_io_poll: (off) => symbols.i405_io_poll(off),
    i405_peer_set: (off) => symbols.i405_peer_set(off, 1),
    i405_pacer_start: (off) => symbols.i405_pacer_start(off),
    i405_ring_new: (off) => symbols.i405_ring_new(off),
    i405_ring_dest: (off) => symbols.i405_ring_dest(64, 1, off, 0),
    i405_ring_move: (off) => symbols.i405_ring_move(64, 1, off, 64, 0),
    i405_ring_aside: (off) => symbols.i405_ring_aside(64, 1, 64, off, 64),
    i405_observe_read: (off) => symbols.i405_observe_read(-1, off, 1, 0),
  };
  for (const [name, call] of Object.entries(calls)) {
    strictEqual(call(0), EFAULT, `${name} at 0`);
    strictEqual(call(end), EFAULT, `${name} at the end`);
    strictEqual(call(end - 8), EFAULT, `${name} across the end`);
    strictEqual(call(0xffff_fff8), EFAULT, `${name} far outside`);
    strictEqual(call(66), EINVAL, `${name} misaligned`);
  }
  const bytes: Record<string, (off: number) => number> = {
    i405_udp_send: (off) => symbols.i405_udp_send(-1, off, 100, 64, 0),
    i405_tun_open: (off) => symbols.i405_tun_open(off, 0),
    i405_read_file: (off) => symbols.i405_read_file(64, off, 100),
    i405_write_file: (off) => symbols.i405_write_file(64, off, 100),
    i405_read_link: (off) => symbols.i405_read_link(64, off, 100),
    i405_observe_open: (off) => symbols.i405_observe_open(off, 0),
  };
  for (const [name, call] of Object.entries(bytes)) {
    for (const off of [0, end, end - 8, 0xffff_ffff]) strictEqual(call(off), EFAULT, `${name} at ${off}`);
  }
  strictEqual(symbols.i405_open_batch(64, 0xffff_ffff), EFAULT, "a count that leaves the arena");
});

Deno.test("Functions of rings refuse offsets that are no ring", () => {
  const at = memory.alloc(4096);
  for (const off of [0, at, at + 64, memory.u8.length - 64, 0xffff_ffc0, at + 3]) {
    strictEqual(symbols.i405_ring_times(off, 1), EINVAL);
    strictEqual(symbols.i405_ring_keys(off, 1, at, 0, 0, -1), EINVAL);
    strictEqual(symbols.i405_ring_dest(off, 1, at, 0), EINVAL);
    strictEqual(symbols.i405_ring_move(off, 1, at, at, 0), EINVAL);
    strictEqual(symbols.i405_ring_aside(off, 1, at, at, at), EINVAL);
    strictEqual(symbols.i405_ring_credit(off, 1), EINVAL);
    strictEqual(symbols.i405_ring_start(off), EINVAL);
    strictEqual(symbols.i405_ring_free(off), EINVAL);
  }
  memory.free(at, 4096);
});

Deno.test("openShim() joins the same arena from another thread", async () => {
  const at = memory.alloc(64);
  const source = `
    import { openShim } from "${import.meta.resolve("../../ffi/mod.ts")}";
    self.onmessage = ({ data }) => {
      const shim = openShim(data.path);
      shim.memory.u32[data.at >>> 2] = 1405;
      self.postMessage(shim.clock.nowNs());
    };`;
  const worker = new Worker("data:application/javascript," + encodeURIComponent(source), { type: "module" });
  const before = shim.clock.nowNs();
  const during = await new Promise<number>((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.postMessage({ path: libraryPath(), at });
  });
  worker.terminate();
  strictEqual(memory.u32[at >>> 2], 1405);
  ok(before <= during && during <= shim.clock.nowNs(), "one clock, one base");
  memory.free(at, 64);
});

Deno.test("Pacer.newRing() in a full arena fails and leaves nothing behind", () => {
  const main = fileURLToPath(new URL("small_arena_main.ts", import.meta.url));
  const { stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", main, libraryPath()],
  }).outputSync();
  const text = new TextDecoder().decode(stdout);
  ok(Number(/^rings: (\d+)$/m.exec(text)?.[1]) >= 5, text + new TextDecoder().decode(stderr));
});

Deno.test("openShim() names a library that is not there", () => {
  throws(() => openShim("/nowhere/libi405.so"), /libi405\.so/);
});

Deno.test("Shim.readFile() reads /proc, and undefined for what is missing", () => {
  strictEqual(shim.readFile("/proc/self/comm")?.trim(), Deno.readTextFileSync("/proc/self/comm").trim());
  strictEqual(shim.readFile("/proc/no such file"), undefined);
  strictEqual(shim.readFile("/etc/hostname/x"), undefined);
  throws(() => shim.readFile("/proc"), { errnoName: "EISDIR" });
});

Deno.test("Clock.wallBaseNs() turns the clock into Unix time", () => {
  const before = Date.now();
  const wall = (shim.clock.wallBaseNs() + shim.clock.nowNs()) / 1e6;
  ok(wall >= before - 1 && wall <= Date.now() + 1);
});

Deno.test("Shim.threadSetup() and cpuCount() describe the machine", () => {
  const count = shim.cpuCount();
  strictEqual(count, navigator.hardwareConcurrency);
  // Nice 0 is what it was; no CPU is left out.
  strictEqual(shim.threadSetup(0), true);
});
