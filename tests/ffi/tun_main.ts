/** Run by packet_io_test.ts in a network namespace of its own: a TUN device, the stack on one side, the shim on the
 * other. Ends with "tun: all good". */

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { IO, TUN_DESC } from "../../src/ports/mod.ts";
import { memory, shim } from "./support.ts";

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args }).outputSync();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

function checksum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Sum over a UDP packet with its pseudo header: 0 when its checksum is right. */
function udpChecksum(packet: Uint8Array): number {
  const udp = packet.subarray(20);
  const addresses = packet.subarray(12, 20);
  let pseudo = 17 + udp.length;
  for (let i = 0; i < 8; i += 2) pseudo += (addresses[i] << 8) | addresses[i + 1];
  return checksum(udp, pseudo);
}

const { fd, name } = shim.tunOpen("i405t%d");
strictEqual(name, "i405t0");
ip("address", "add", "10.99.0.1/24", "dev", name);
ip("link", "set", name, "up", "mtu", "1500");
throws(() => shim.tunOpen("i405t0"), { errnoName: "EBUSY" });
throws(() => shim.tunOpen("a name that is too long"), RangeError);

const io = shim.newIo({ udpFds: [], tunFd: fd, rxCap: 1, tunCap: 8 });
memory.f64[(io.io + IO.timeoutNs) >>> 3] = 2e9;

/** The next IPv4 packet that the stack sent into the device (it also sends some IPv6 of its own). */
function nextPacket(): Uint8Array {
  for (let tries = 0; tries < 50; tries++) {
    ok(io.poll() > 0, "a packet within 2 s");
    const desc = memory.u32[(io.io + IO.tunDescs) >>> 2];
    for (let i = 0; i < memory.u32[(io.io + IO.tunCount) >>> 2]; i++) {
      const off = memory.u32[(desc + i * TUN_DESC.size) >>> 2];
      const packet = memory.u8.slice(off, off + memory.u32[(desc + i * TUN_DESC.size + TUN_DESC.len) >>> 2]);
      if (packet[0] === 0x45) return packet;
    }
  }
  throw new Error("only IPv6 came");
}

// Out of the stack: a datagram of ours, whole, checksum complete.
const socket = shim.udpOpen({ ip: Uint8Array.of(10, 99, 0, 1), port: 4000 });
const sender = shim.newIo({ udpFds: [socket.fd], rxCap: 4, tunCap: 0 });
const at = memory.alloc(1472);
for (const len of [1, 32, 999, 1472]) {
  memory.u8.fill(len, at, at + len);
  strictEqual(sender.udpSend(socket.fd, at, len, { ip: Uint8Array.of(10, 99, 0, 2), port: 5000 }), len);
  const packet = nextPacket();
  strictEqual(packet.length, 28 + len);
  deepStrictEqual(packet.subarray(28), new Uint8Array(len).fill(len));
  strictEqual(udpChecksum(packet), 0, `checksum of ${len} bytes`);
  strictEqual(packet[8], 64, "TTL");
  strictEqual(packet[1], 0, "TOS");
  strictEqual(packet[6], 0x40, "DF");
  deepStrictEqual(packet.slice(4, 6), Uint8Array.of(0, 0), "IP ID");

  // Back into the stack, turned round; between two that the kernel refuses.
  const back = packet.slice();
  back.set(packet.subarray(12, 16), 16);
  back.set(packet.subarray(16, 20), 12);
  back.set(packet.subarray(20, 22), 22);
  back.set(packet.subarray(22, 24), 20);
  const off = memory.alloc(2048);
  const descs = memory.alloc(3 * TUN_DESC.size);
  memory.u8.set(back, off);
  memory.u8[off + 2040] = 0; // version 0: no IP packet
  [[off + 2040, 8], [off, back.length], [off, 0]].forEach(([packetOff, packetLen], i) => {
    memory.u32[(descs + i * TUN_DESC.size) >>> 2] = packetOff;
    memory.u32[(descs + i * TUN_DESC.size + TUN_DESC.len) >>> 2] = packetLen;
  });
  strictEqual(io.tunWriteBatch(descs, 3), 1);
  memory.f64[(sender.io + IO.timeoutNs) >>> 3] = 2e9;
  strictEqual(sender.poll(), 1);
  memory.free(off, 2048);
  memory.free(descs, 3 * TUN_DESC.size);
}

// tunMax = 0: neither read nor waited for.
memory.u32[(io.io + IO.tunMax) >>> 2] = 0;
memory.f64[(io.io + IO.timeoutNs) >>> 3] = 1e6;
sender.udpSend(socket.fd, at, 1, { ip: Uint8Array.of(10, 99, 0, 2), port: 5000 });
strictEqual(io.poll(), 0);
memory.u32[(io.io + IO.tunMax) >>> 2] = 8;
strictEqual(nextPacket().length, 29);

// Packets longer than a buffer are dropped and counted.
ip("link", "set", name, "mtu", "4000");
const long = memory.alloc(3000);
strictEqual(sender.udpSend(socket.fd, long, 3000, { ip: Uint8Array.of(10, 99, 0, 2), port: 5000 }), 3000);
strictEqual(sender.udpSend(socket.fd, long, 2020, { ip: Uint8Array.of(10, 99, 0, 2), port: 5000 }), 2020);
strictEqual(nextPacket().length, 2048);
strictEqual(memory.u32[(io.io + IO.tunDropped) >>> 2], 1);

// A device that is taken away does not make the loop spin or fail.
ip("link", "delete", name);
memory.f64[(io.io + IO.timeoutNs) >>> 3] = 2e6;
const before = shim.clock.nowNs();
strictEqual(io.poll(), 0);
ok(shim.clock.nowNs() - before >= 2e6, "it waited");
ok(memory.u32[(io.io + IO.tunErrors) >>> 2] > 0);

// A persistent device outlasts its file and can be attached to again.
const lasting = shim.tunOpen("i405keep", { persist: true });
shim.tunPersist(lasting.fd, true, 1405);
shim.close(lasting.fd);
const again = shim.tunOpen("i405keep");
shim.tunPersist(again.fd, false);
shim.close(again.fd);
throws(() => ip("link", "show", "i405keep"));

io.free();
sender.free();
shim.close(socket.fd);
shim.close(fd);
console.log("tun: all good");
