import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { ADDR, type EndpointAddress, IO, readAddress, RX, RX_FLAG, TUN_DESC } from "../../src/ports/mod.ts";
import type { ShimPacketIo } from "../../ffi/mod.ts";
import { ANY_PORT, isRoot, LOOPBACK, memory, randomBytes, shim, symbols } from "./support.ts";

const LOOPBACK6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const FAMILIES: Record<string, EndpointAddress> = { IPv4: ANY_PORT, IPv6: { ip: LOOPBACK6, port: 0 } };

function io32(io: ShimPacketIo, field: number): number {
  return memory.u32[(io.io + field) >>> 2];
}
function setTimeout_(io: ShimPacketIo, ns: number): void {
  memory.f64[(io.io + IO.timeoutNs) >>> 3] = ns;
}
function put(bytes: Uint8Array): number {
  const at = memory.alloc(Math.max(bytes.length, 1));
  memory.u8.set(bytes, at);
  return at;
}
function rxAt(io: ShimPacketIo, index: number) {
  const at = io32(io, IO.rxDescs) + index * RX.size;
  const off = memory.u32[(at + RX.off) >>> 2];
  const len = memory.u32[(at + RX.len) >>> 2];
  return {
    bytes: memory.u8.slice(off, off + len),
    peer: memory.i32[(at + RX.peer) >>> 2],
    flags: memory.u32[(at + RX.flags) >>> 2],
    from: readAddress(memory, at + RX.from),
    to: readAddress(memory, at + RX.to),
    timeNs: memory.f64[(at + RX.timeNs) >>> 3],
  };
}

for (const [name, any] of Object.entries(FAMILIES)) {
  Deno.test(`PacketIo.poll() brings datagrams with both addresses and the peer: ${name}`, () => {
    const a = shim.udpOpen(any);
    const b = shim.udpOpen(any);
    ok(a.address.port > 0 && a.address.port !== b.address.port);
    const io = shim.newIo({ udpFds: [a.fd, b.fd], rxCap: 8, tunCap: 0 });
    const bytes = randomBytes(500);
    const at = put(bytes);
    strictEqual(io.udpSend(a.fd, at, 500, b.address), 500);
    const before = shim.clock.nowNs();
    strictEqual(io.poll(), 1);
    let rx = rxAt(io, 0);
    deepStrictEqual(rx.bytes, bytes);
    strictEqual(rx.peer, -1);
    strictEqual(rx.flags, 1 << 8, "came in on the second socket");
    deepStrictEqual(rx.from, a.address);
    deepStrictEqual(rx.to?.ip, any.ip);
    ok(rx.timeNs >= before && rx.timeNs <= shim.clock.nowNs());

    const marking = shim.udpOpen(any, true);
    strictEqual(io.udpSend(marking.fd, at, 10, b.address), 10);
    strictEqual(io.poll(), 1);
    strictEqual(rxAt(io, 0).flags, 1 << 8 | 2 << 4, "ECT(0)");
    shim.close(marking.fd);

    io.setPeer(a.address, 1405);
    strictEqual(io.udpSend(a.fd, at, 1, b.address, { ip: any.ip, port: 0 }), 1, "with a source of one's own");
    strictEqual(io.poll(), 1);
    rx = rxAt(io, 0);
    strictEqual(rx.peer, 1405);
    strictEqual(rx.bytes.length, 1);

    io.setPeer(a.address, -1);
    io.udpSend(a.fd, at, 0, b.address);
    strictEqual(io.poll(), 1);
    rx = rxAt(io, 0);
    strictEqual(rx.peer, -1);
    strictEqual(rx.bytes.length, 0, "an empty datagram is one too");
    memory.free(at, 500);
    io.free();
    shim.close(a.fd);
    shim.close(b.fd);
  });
}

Deno.test("PacketIo.poll() cuts and flags a datagram longer than a buffer", () => {
  const a = shim.udpOpen(ANY_PORT);
  const io = shim.newIo({ udpFds: [a.fd], rxCap: 2, tunCap: 0 });
  const bytes = randomBytes(3000);
  const at = put(bytes);
  strictEqual(io.udpSend(a.fd, at, 2048, a.address), 2048);
  strictEqual(io.udpSend(a.fd, at, 2049, a.address), 2049);
  strictEqual(io.poll(), 2);
  deepStrictEqual(rxAt(io, 0).bytes, bytes.slice(0, 2048));
  strictEqual(rxAt(io, 0).flags, 0);
  deepStrictEqual(rxAt(io, 1).bytes, bytes.slice(0, 2048));
  strictEqual(rxAt(io, 1).flags, 1);
  memory.free(at, 3000);
  io.free();
  shim.close(a.fd);
});

Deno.test("PacketIo.poll() takes no more than rxMax, in order, and both sockets have their turn", () => {
  const a = shim.udpOpen(ANY_PORT);
  const b = shim.udpOpen(ANY_PORT);
  const io = shim.newIo({ udpFds: [a.fd, b.fd], rxCap: 100, tunCap: 0 });
  const at = memory.alloc(1);
  for (let i = 0; i < 120; i++) {
    memory.u8[at] = i;
    io.udpSend(a.fd, at, 1, a.address);
    io.udpSend(a.fd, at, 1, b.address);
  }
  memory.u32[(io.io + IO.rxMax) >>> 2] = 50;
  const seen: number[][] = [[], []];
  const firsts = new Set<number>();
  for (let calls = 0; seen[0].length + seen[1].length < 240; calls++) {
    const count = io.poll();
    ok(count <= 50 && calls < 10);
    for (let i = 0; i < count; i++) {
      const { flags, bytes } = rxAt(io, i);
      if (calls < 2 && i === 0) firsts.add(flags >> 8);
      seen[flags >> 8].push(bytes[0]);
    }
  }
  const inOrder = Array.from({ length: 120 }, (_, i) => i);
  deepStrictEqual(seen, [inOrder, inOrder]);
  strictEqual(firsts.size, 2, "the socket that is read first alternates");
  memory.free(at, 1);
  io.free();
  shim.close(a.fd);
  shim.close(b.fd);
});

Deno.test("PacketIo.poll() returns at once with timeout 0, after the time with another, and on an event", () => {
  const event = shim.eventOpen();
  const io = shim.newIo({ udpFds: [], eventFd: event, rxCap: 1, tunCap: 0 });
  setTimeout_(io, 0);
  strictEqual(io.poll(), 0);
  setTimeout_(io, 5e6);
  const before = shim.clock.nowNs();
  strictEqual(io.poll(), 0);
  ok(memory.f64[(io.io + IO.nowNs) >>> 3] - before >= 5e6);
  strictEqual(io32(io, IO.event), 0);
  shim.eventSignal(event);
  shim.eventSignal(event);
  setTimeout_(io, -1);
  strictEqual(io.poll(), 0);
  strictEqual(io32(io, IO.event), 1);
  setTimeout_(io, 0);
  strictEqual(io.poll(), 0);
  strictEqual(io32(io, IO.event), 0, "drained");
  io.free();
  shim.close(event);
});

Deno.test("PacketIo.poll() refuses arrays outside the arena and maxima above the capacities", () => {
  const io = shim.newIo({ udpFds: [], rxCap: 4, tunCap: 4 });
  setTimeout_(io, 0);
  strictEqual(io.poll(), 0);
  const outside = memory.u8.length - 16;
  for (const field of [IO.rxDescs, IO.tunDescs, IO.tunBufs]) {
    const was = io32(io, field);
    for (const off of [0, outside]) {
      memory.u32[(io.io + field) >>> 2] = off;
      throws(() => io.poll(), { errnoName: "EFAULT" });
    }
    memory.u32[(io.io + field) >>> 2] = was;
  }
  for (const field of [IO.rxMax, IO.tunMax]) {
    memory.u32[(io.io + field) >>> 2] = 5;
    throws(() => io.poll(), { errnoName: "EINVAL" });
    memory.u32[(io.io + field) >>> 2] = 4;
  }
  memory.u32[(io.io + IO.rxCap) >>> 2] = 0xffff_ffff;
  throws(() => io.poll(), { errnoName: "EFAULT" });
  memory.u32[(io.io + IO.rxCap) >>> 2] = 4;
  io.free();
});

Deno.test("PacketIo.setPeerOfId() leads from a connection id to its peer, whatever address it comes from", () => {
  const socket = shim.udpOpen(ANY_PORT);
  const senders = [shim.udpOpen(ANY_PORT), shim.udpOpen(ANY_PORT)];
  const io = shim.newIo({ udpFds: [socket.fd], rxCap: 8, tunCap: 0 });
  const id = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const record = (first: number, ...cid: number[]) => Uint8Array.of(first, ...cid, ...new Uint8Array(30));
  const seen = (bytes: Uint8Array, fd = senders[0].fd) => {
    const at = put(bytes);
    strictEqual(io.udpSend(fd, at, bytes.length, socket.address), bytes.length);
    strictEqual(io.poll(), 1);
    const { peer, flags } = rxAt(io, 0);
    memory.free(at, bytes.length);
    return [peer, flags];
  };
  io.setPeer(senders[0].address, 5);
  io.setPeerOfId(id, 77);
  for (const { fd } of senders) deepStrictEqual(seen(record(0x3f, ...id), fd), [77, RX_FLAG.byId]);
  deepStrictEqual(seen(record(0x2f, ...id)), [5, 0], "no id in this record: the address counts");
  deepStrictEqual(
    seen(record(0x3f, ...id.with(7, 9))),
    [-1, 0],
    "the address does not count for an unknown id",
  );
  deepStrictEqual(seen(record(0x3f, ...id).subarray(0, 8)), [5, 0], "no room for an id");
  io.setPeerOfId(id, -1);
  deepStrictEqual(seen(record(0x3f, ...id)), [-1, 0]);
  io.setPeer(senders[0].address, -1);
  io.free();
  for (const { fd } of [socket, ...senders]) shim.close(fd);
});

Deno.test("PacketIo.socketDrops() counts what found the buffer full, and all else is still there", () => {
  const a = shim.udpOpen(ANY_PORT);
  const b = shim.udpOpen(ANY_PORT);
  const io = shim.newIo({ udpFds: [b.fd], rxCap: 128, tunCap: 0 });
  setTimeout_(io, 0);
  const at = put(randomBytes(1));
  let sent = 0;
  while (io.socketDrops() === 0 && sent < 400_000) {
    for (let i = 0; i < 1000; i++) if (io.udpSend(a.fd, at, 1, b.address) === 1) sent++;
  }
  let read = 0;
  for (let got = io.poll(); got > 0; got = io.poll()) read += got;
  ok(io.socketDrops() > 0 && read > 200, "a burst of hundreds fits everywhere");
  strictEqual(read + io.socketDrops(), sent);
  io.free();
  for (const { fd } of [a, b]) shim.close(fd);
});

Deno.test("PacketIo.setPeer() holds 131,072 addresses, finds each, and closes the gaps of removed ones", () => {
  const at = memory.alloc(ADDR.size);
  const socket = shim.udpOpen(ANY_PORT);
  const sender = shim.udpOpen(ANY_PORT);
  const io = shim.newIo({ udpFds: [socket.fd], rxCap: 4, tunCap: 0 });
  const addressOf = (n: number): EndpointAddress => ({
    ip: Uint8Array.of(10, n >>> 16, n >>> 8, n & 0xff),
    port: 1405,
  });
  for (let n = 0; n < 131_072; n++) io.setPeer(addressOf(n), n);
  throws(() => io.setPeer(sender.address, 7), { errnoName: "ENOSPC" });
  for (let n = 0; n < 131_072; n += 2) io.setPeer(addressOf(n), -1);
  io.setPeer(sender.address, 7);
  for (let n = 2; n < 131_072; n += 2) io.setPeer(addressOf(n), n);
  throws(() => io.setPeer(addressOf(0), 0), { errnoName: "ENOSPC" });
  io.setPeer(addressOf(1), 2); // one that is there may change
  io.udpSend(sender.fd, at, 1, socket.address);
  strictEqual(io.poll(), 1);
  strictEqual(rxAt(io, 0).peer, 7);
  for (let n = 0; n < 131_072; n++) io.setPeer(addressOf(n), -1);
  io.setPeer(sender.address, -1);
  io.udpSend(sender.fd, at, 1, socket.address);
  strictEqual(io.poll(), 1);
  strictEqual(rxAt(io, 0).peer, -1);
  memory.free(at, ADDR.size);
  io.free();
  shim.close(socket.fd);
  shim.close(sender.fd);
});

Deno.test("Shim.udpOpen() names what the machine refuses", () => {
  const first = shim.udpOpen(ANY_PORT);
  throws(() => shim.udpOpen(first.address), { name: "ShimError", errnoName: "EADDRINUSE" });
  throws(() => shim.udpOpen({ ip: Uint8Array.of(192, 0, 2, 1), port: 0 }), { errnoName: "EADDRNOTAVAIL" });
  strictEqual(symbols.i405_udp_open(memory.alloc(64), 0), -22);
  shim.close(first.fd);
  throws(() => shim.close(first.fd), { errnoName: "EBADF" });
});

Deno.test("PacketIo.udpSend() gets through although the port was closed", () => {
  const sender = shim.udpOpen(ANY_PORT);
  const gone = shim.udpOpen(ANY_PORT);
  shim.close(gone.fd);
  const io = shim.newIo({ udpFds: [sender.fd], rxCap: 1, tunCap: 0 });
  const at = memory.alloc(100);
  for (let i = 0; i < 20; i++) strictEqual(io.udpSend(sender.fd, at, 100, gone.address), 100);
  strictEqual(io.udpSend(-1, at, 100, gone.address), -9);
  memory.free(at, 100);
  io.free();
  shim.close(sender.fd);
});

Deno.test("Shim.routeProbe() gives the local address and the MTU", () => {
  const { local, mtu } = shim.routeProbe({ ip: LOOPBACK, port: 9 });
  deepStrictEqual(local.ip, LOOPBACK);
  ok(mtu === 65_535 || mtu === 65_536);
});

/* A TUN device of a namespace of its own; the test's thread enters it and does not come back, so each runs as a program
 * of its own. */
function testInNamespace(name: string, program: string, last: string): void {
  Deno.test({
    name: `TUN: ${name} (needs root)`,
    ignore: !isRoot,
    fn() {
      const script = `ip link set lo up && exec "${Deno.execPath()}" run -A --unstable-net "$0"`;
      const args = ["-n", "sh", "-c", script, new URL(program, import.meta.url).pathname];
      const { code, stdout, stderr } = new Deno.Command("unshare", { args, env: { I405_TEST_CHILD: "1" } })
        .outputSync();
      const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      strictEqual(code, 0, text);
      ok(text.includes(last), text);
    },
  });
}
testInNamespace(
  "packets go both ways with whole checksums, bad ones are refused, devices outlast their file",
  "tun_main.ts",
  "tun: all good",
);
testInNamespace(
  "with offloads the stack's TCP comes out as packets of the MTU, and goes in joined",
  "tun_offload_main.ts",
  "offloads: all good",
);

Deno.test("PacketIo.tunWriteBatch() takes nothing without a device", () => {
  const io = shim.newIo({ udpFds: [], rxCap: 1, tunCap: 1 });
  const desc = memory.alloc(TUN_DESC.size);
  memory.u32[(desc + TUN_DESC.off) >>> 2] = desc;
  memory.u32[(desc + TUN_DESC.len) >>> 2] = 8;
  strictEqual(io.tunWriteBatch(desc, 1), 0);
  memory.free(desc, TUN_DESC.size);
  io.free();
});
