/** Run by stamps_test.ts, since stamps are switched on for a whole process: `stamps_main.ts INTERVAL_NS BURST`. Sends
 * slots over loopback until 200 stamps are in, and prints what was counted as one JSON line. */

import { HIST_BUCKETS, IO, RING, STAMPS } from "../../src/ports/mod.ts";
import {
  ANY_PORT,
  installKey,
  memory,
  newKey,
  publishTimes,
  randomKey,
  Receiver,
  ringConfig,
  ringF64,
  shim,
  SUITES,
} from "./support.ts";

const STAMPS_WANTED = 200;
const DEADLINE_MS = 60_000;
const [intervalNs, burst] = Deno.args.map(Number);

const before = shim.udpOpen(ANY_PORT); // opened before anyone asked: never stamped
const stamps = shim.stampTransmits();
const sender = shim.udpOpen(ANY_PORT);
const receiver = new Receiver();
const io = shim.newIo({ udpFds: [sender.fd], rxCap: 8, tunCap: 0 });
shim.pacer.start({ pollMode: "hybrid", fifo: true, cpu: "auto", calibrateMs: 50, leadNs: 0, leadMaxNs: 3e5 });
const makeRing = (fd: number) => {
  const ring = shim.pacer.newRing(
    ringConfig(fd, receiver.address, { intervalNs, burst, timesCount: 1 << 16 }),
  );
  installKey(ring, newKey(randomKey(SUITES.aes128)), 0);
  publishTimes(ring, shim.clock.nowNs() + 2e7, intervalNs, 1 << 16);
  shim.pacer.ringStart(ring);
  return ring;
};
const rings = [before.fd, sender.fd].map(makeRing);
const at = (field: number) => memory.f64[(stamps + field) >>> 3];
const endMs = Date.now() + DEADLINE_MS;
while (at(STAMPS.count) < STAMPS_WANTED && Date.now() < endMs) {
  memory.f64[(io.io + IO.timeoutNs) >>> 3] = 1e7;
  io.poll();
}
shim.pacer.stop();
const histogram = memory.u32.slice(
  (stamps + STAMPS.hist) >>> 2,
  ((stamps + STAMPS.hist) >>> 2) + HIST_BUCKETS,
);
const ring = rings[1];
console.log(JSON.stringify({
  count: at(STAMPS.count),
  counted: histogram.reduce((sum, value) => sum + value, 0),
  slots: ringF64(ring, RING.slots),
  skipped: ringF64(ring, RING.skipped),
  errors: ringF64(ring, RING.sendErrors),
  minNs: at(STAMPS.minNs),
  maxNs: at(STAMPS.maxNs),
  callMinNs: ringF64(ring, RING.devMinNs),
  again: shim.stampTransmits() === stamps,
}));
Deno.exit(0);
