/* The bridge between main isolate and data Worker alone: a Worker that blocks in the shim's poll, as the data Worker does,
 * and gives back every byte. Throughput in pieces of several lengths, and the time of one piece there and back.
 *   stream_bridge.ts [MEGABYTES [ROUNDS]] */

import { openShim, shimPath } from "../../ffi/mod.ts";
import { IO } from "../../src/ports/mod.ts";
import type { StreamCommands, StreamEvents } from "../../src/ports/streams.ts";
import { BRIDGE_RING_LEN, BridgeEnd } from "../../src/tunnel/stream_bridge.ts";
import { StreamRing } from "../../src/tunnel/stream_ring.ts";

interface Setup {
  readonly down: SharedArrayBuffer;
  readonly up: SharedArrayBuffer;
  readonly eventFd: number;
}

const IN_FLIGHT_MAX = 1 << 20;
const none = () => {};

function serve({ down, up, eventFd }: Setup): void {
  const shim = openShim(shimPath());
  const io = shim.newIo({ udpFds: [], tunFd: -1, eventFd, rxCap: 1, tunCap: 1 });
  const end = new BridgeEnd(new StreamRing(up), new StreamRing(down), () => self.postMessage("wake"));
  const events = end.events(0);
  let stopped = false;
  const echo: StreamCommands = {
    ...{ open: none, accept: none, reset: none, consumed: none, datagram: none },
    write: (id, bytes, off, len) => events.data(id, bytes, off, len),
    finish: () => stopped = true,
  };
  while (!stopped) {
    if (end.drainCommands(() => echo)) continue;
    shim.memory.f64[(io.io + IO.timeoutNs) >> 3] = 1e9;
    io.poll();
  }
  self.close();
}

async function measure(megabytes: number, rounds: number): Promise<void> {
  const shim = openShim(shimPath());
  const eventFd = shim.eventOpen();
  const rings = [StreamRing.create(BRIDGE_RING_LEN), StreamRing.create(BRIDGE_RING_LEN)] as const;
  const worker = new Worker(import.meta.url, { type: "module" });
  worker.postMessage({ down: rings[0].buffer, up: rings[1].buffer, eventFd });
  const end = new BridgeEnd(rings[0], rings[1], () => shim.eventSignal(eventFd));
  const commands = end.commands(0);
  let back = 0;
  let wrong = 0;
  let progressed = none;
  const events: StreamEvents = {
    ...{ opening: none, accepted: none, finished: none, reset: none, sent: none, datagram: none, lost: none },
    data: (_id, bytes, off, len) => {
      if (bytes[off] !== (back & 0xff)) wrong++;
      back += len;
    },
  };
  worker.onmessage = () => {
    while (end.drainEvents(() => events));
    progressed();
  };
  const progress = () => new Promise<void>((resolve) => progressed = resolve);
  const piece = Uint8Array.from({ length: 1 << 18 }, (_, index) => index);

  for (const len of [256, 1350, 16_384, 65_536]) {
    const total = megabytes * 1e6;
    const start = performance.now();
    const first = back;
    for (let sent = 0; sent < total;) {
      while (sent < total && sent - (back - first) < IN_FLIGHT_MAX) {
        commands.write(1, piece, (first + sent) & 0xff, len);
        sent += len;
      }
      await progress();
      if (sent >= total) { while (back - first < sent) await progress(); }
    }
    const seconds = (performance.now() - start) / 1e3;
    const rate = (back - first) * 8 / 1e6 / seconds;
    console.log(`${String(len).padStart(6)} bytes: ${rate.toFixed(0)} Mbit/s there and back`);
  }

  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    const all = back + 100;
    commands.write(1, piece, back & 0xff, 100);
    while (back < all) await progress(); // a wake-up of before may come first
    times.push((performance.now() - start) * 1e3);
    await new Promise((resolve) => setTimeout(resolve, 1)); // both sides asleep again
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor((times.length - 1) * share)].toFixed(0);
  console.log(
    `there and back, both asleep: p50 ${at(0.5)} us, p90 ${at(0.9)} us, p99 ${at(0.99)} us (${rounds})`,
  );
  commands.finish(1);
  if (wrong > 0) throw new Error(`${wrong} pieces came back wrong`);
}

if (!("DedicatedWorkerGlobalScope" in globalThis)) {
  await measure(Number(Deno.args[0] ?? 400), Number(Deno.args[1] ?? 500));
  Deno.exit(0);
} else {
  self.onmessage = ({ data }: MessageEvent<Setup>) => serve(data);
}
