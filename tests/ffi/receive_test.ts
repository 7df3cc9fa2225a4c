/** Datagrams that come in one piece, on real sockets. */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { IO, RX } from "../../src/ports/mod.ts";
import { startRing, waitForSlots, withPacer } from "./pacer_support.ts";
import { memory, openAll, RECORD_LEN, shim } from "./support.ts";

const BURST = 20;
const AT_A_TIME = 7;

Deno.test("PacketIo.poll() tells a burst datagram by datagram, over several polls, with two sockets", () => {
  withPacer((fd, receiver, stop) => {
    const other = shim.udpOpen({ ip: receiver.address.ip, port: 0 });
    const io = shim.newIo({ udpFds: [other.fd, receiver.fd], rxCap: 256, tunCap: 0 });
    const { key, free, ring } = startRing(fd, receiver, 400, undefined, { burst: BURST, bufCount: 64 });
    waitForSlots(ring, 10);
    stop();
    memory.u32[(io.io + IO.rxMax) >>> 2] = AT_A_TIME;
    memory.f64[(io.io + IO.timeoutNs) >>> 3] = 0;
    const probe = memory.alloc(8);
    io.udpSend(fd, probe, 8, other.address);
    const datagrams: Uint8Array[] = [];
    let joined = 0;
    let probes = 0;
    for (let polls = 0, count = 1; count > 0; polls++) {
      ok(polls < 10_000);
      count = io.poll();
      ok(count <= AT_A_TIME);
      const descs = memory.u32[(io.io + IO.rxDescs) >>> 2];
      let end = 0;
      for (let i = 0; i < count; i++) {
        const rx = descs + i * RX.size;
        const off = memory.u32[(rx + RX.off) >>> 2];
        const len = memory.u32[(rx + RX.len) >>> 2];
        const flags = memory.u32[(rx + RX.flags) >>> 2];
        if (flags === 0) probes++;
        else {
          deepStrictEqual([len, flags], [RECORD_LEN, 1 << 8]);
          datagrams.push(memory.u8.slice(off, off + len));
          if (off === end) joined++;
          end = off + len;
        }
      }
    }
    strictEqual(probes, 1, "the other socket has its turn");
    ok(datagrams.length >= 10 * BURST && datagrams.length % BURST === 0);
    ok(openAll(datagrams, key).every((plaintext) => plaintext !== undefined), "each one once, in order");
    ok(joined > 0, "some came in one piece");
    memory.free(probe, 8);
    free();
    io.free();
    shim.close(other.fd);
  });
});
