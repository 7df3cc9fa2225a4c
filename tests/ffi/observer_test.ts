import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { seenLen } from "../../ffi/mod.ts";
import { SEEN } from "../../src/ports/mod.ts";
import { ANY_PORT, isRoot, memory, shim } from "./support.ts";

const OUTGOING = 4; // PACKET_OUTGOING

Deno.test({
  name: "Observer.read() gives each frame's length, direction, first bytes and time (needs root)",
  ignore: !isRoot,
  fn() {
    const observer = shim.observeOpen("lo");
    const socket = shim.udpOpen(ANY_PORT);
    const io = shim.newIo({ udpFds: [socket.fd], rxCap: 1, tunCap: 0 });
    const at = memory.alloc(200);
    const before = shim.clock.nowNs();
    for (let i = 0; i < 5; i++) io.udpSend(socket.fd, at, 100 + i, socket.address);
    const after = shim.clock.nowNs();
    const out = memory.alloc(seenLen(64));
    const sent: number[] = [];
    while (sent.length < 5) {
      const count = observer.read(out, 64, 1000);
      ok(count > 0, "all five are seen");
      for (let i = 0; i < count; i++) {
        const seen = out + i * SEEN.size;
        const head = memory.u8.subarray(seen + SEEN.head, seen + SEEN.head + SEEN.headLen);
        const ours = head[0] === 0x45 && ((head[22] << 8) | head[23]) === socket.address.port;
        if (!ours || memory.u32[(seen + SEEN.direction) >>> 2] !== OUTGOING) continue;
        sent.push(memory.u32[(seen + SEEN.len) >>> 2]);
        strictEqual(head[8], 64, "TTL");
        const timeNs = memory.f64[(seen + SEEN.timeNs) >>> 3];
        // The wall clock may be slewed between the stamp and its conversion.
        ok(timeNs > before - 1e6 && timeNs < after + 1e6);
      }
    }
    deepStrictEqual(sent, [128, 129, 130, 131, 132]);
    observer.close();
    io.free();
    shim.close(socket.fd);
    memory.free(at, 200);
    memory.free(out, seenLen(64));
  },
});

Deno.test({
  name:
    "An observer of what comes in sees each datagram once on loopback, and none that goes out (needs root)",
  ignore: !isRoot,
  fn() {
    const observer = shim.observeOpen("lo", true);
    const socket = shim.udpOpen(ANY_PORT);
    const io = shim.newIo({ udpFds: [socket.fd], rxCap: 1, tunCap: 0 });
    const at = memory.alloc(200);
    for (let i = 0; i < 5; i++) io.udpSend(socket.fd, at, 100 + i, socket.address);
    const out = memory.alloc(seenLen(64));
    const lens: number[] = [];
    while (lens.length < 5) {
      const count = observer.read(out, 64, 1000);
      ok(count > 0, "all five are seen");
      for (let i = 0; i < count; i++) {
        const seen = out + i * SEEN.size;
        const head = memory.u8.subarray(seen + SEEN.head, seen + SEEN.head + SEEN.headLen);
        strictEqual(memory.u32[(seen + SEEN.direction) >>> 2] === OUTGOING, false);
        if (head[0] === 0x45 && ((head[22] << 8) | head[23]) === socket.address.port) {
          lens.push(memory.u32[(seen + SEEN.len) >>> 2]);
        }
      }
    }
    deepStrictEqual(lens, [128, 129, 130, 131, 132]);
    observer.close();
    io.free();
    shim.close(socket.fd);
    memory.free(at, 200);
    memory.free(out, seenLen(64));
  },
});

Deno.test("Shim.observeOpen() names what the machine refuses", () => {
  throws(() => shim.observeOpen("no such if"), { name: "ShimError", errnoName: isRoot ? "ENODEV" : "EPERM" });
  throws(() => shim.observeOpen("a name that is far too long"), RangeError);
});
