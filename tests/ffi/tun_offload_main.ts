/** Run by packet_io_test.ts in a network namespace of its own: a TUN device with offloads whose packets come back with
 * source and destination exchanged (which leaves checksums right), so that the stack talks to itself through it:
 *
 *     10.99.0.1:A ──▶ 10.99.0.2:P  comes back as  10.99.0.2:A ──▶ 10.99.0.1:P, where somebody listens.
 *
 * Ends with "offloads: all good". */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { IO, TUN_DESC, TUN_OFFLOAD } from "../../src/ports/mod.ts";
import { headersOf, isCheckValid } from "./offload_reference.ts";
import { memory, shim } from "./support.ts";

const PORT = 4000;
const LEN = 3_000_000;
const MTU = 1500;
const FAMILIES = [{ own: "10.99.0.1", other: "10.99.0.2" }, { own: "fd99::1", other: "fd99::2" }];

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args }).outputSync();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

const { fd, name } = shim.tunOpen("i405o%d");
const tunOffloads = shim.tunOffload(fd);
ok(tunOffloads >= TUN_OFFLOAD.tso4 + TUN_OFFLOAD.tso6, "any kernel that Deno runs on cuts TCP");
ip("address", "add", "10.99.0.1/24", "dev", name);
ip("address", "add", "fd99::1/64", "dev", name, "nodad");
ip("link", "set", name, "up", "mtu", String(MTU));

// Fewer at a time than the stack hands over in one piece, so that the rest must wait for the next poll.
const io = shim.newIo({ udpFds: [], tunFd: fd, tunOffloads, rxCap: 1, tunCap: 7 });
memory.f64[(io.io + IO.timeoutNs) >>> 3] = 1e6;
const seen = { packets: 0, full: 0 };

/** One turn of the mirror: every packet is one that a link of this MTU carries. */
function mirror(): void {
  io.poll();
  const count = memory.u32[(io.io + IO.tunCount) >>> 2];
  const descs = memory.u32[(io.io + IO.tunDescs) >>> 2];
  for (let i = 0; i < count; i++) {
    const off = memory.u32[(descs + i * TUN_DESC.size) >>> 2];
    const packet = memory.u8.subarray(
      off,
      off + memory.u32[(descs + i * TUN_DESC.size + TUN_DESC.len) >>> 2],
    );
    ok(packet.length <= MTU);
    const headers = headersOf(packet);
    if (headers !== undefined) ok(isCheckValid(packet, headers), "a whole checksum");
    const [from, to, len] = packet[0] >> 4 === 4 ? [12, 16, 4] : [8, 24, 16];
    const source = packet.slice(from, from + len);
    packet.copyWithin(from, to, to + len);
    packet.set(source, to);
    seen.packets++;
    if (packet.length === MTU) seen.full++;
  }
  strictEqual(count === 0 ? 0 : io.tunWriteBatch(descs, count), count);
}

for (const { own, other } of FAMILIES) {
  const listener = Deno.listen({ hostname: own, port: PORT });
  const sent = Uint8Array.from({ length: LEN }, (_, i) => (i * 7919) >>> 8);
  let received: Uint8Array | undefined;
  const receiving = listener.accept().then(async (connection) => {
    received = await new Response(connection.readable).bytes();
  });
  const sending = Deno.connect({ hostname: other, port: PORT }).then(async (connection) => {
    for (let at = 0; at < LEN;) at += await connection.write(sent.subarray(at, at + 65_536));
    connection.close();
  });
  for (const endMs = performance.now() + 60_000; received === undefined;) {
    ok(performance.now() < endMs, "the bytes come through");
    mirror();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await Promise.all([receiving, sending]);
  deepStrictEqual(received, sent);
  listener.close();
}
ok(seen.full > LEN / MTU, `${seen.full} of ${seen.packets} packets are full`);
strictEqual(memory.u32[(io.io + IO.tunDropped) >>> 2], 0);
io.free();
shim.close(fd);
console.log("offloads: all good");
