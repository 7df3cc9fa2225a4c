import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { histogramBucket, histogramBucketNs, histogramQuantile } from "../../ffi/mod.ts";
import { HIST_BUCKETS, IO, readAddress, RING, RX } from "../../src/ports/mod.ts";
import { CONFIG, counters, INTERVAL_NS, startRing, waitForSlots, withPacer } from "./pacer_support.ts";
import {
  ANY_PORT,
  installKey,
  memory,
  newKey,
  publishTimes,
  randomKey,
  Receiver,
  RECORD_LEN,
  ringConfig,
  ringF64,
  ringU32,
  shim,
  SUITES,
  symbols,
} from "./support.ts";

const LOOPBACK6 = new Uint8Array(16).with(15, 1);
Deno.test("Pacer.ringKeys() takes a key once only, since its numbers would repeat", () => {
  const receiver = new Receiver();
  const config = ringConfig(receiver.fd, receiver.address);
  const ring = shim.pacer.newRing(config);
  const other = shim.pacer.newRing(config);
  const key = newKey(randomKey(SUITES.aes128));
  installKey(ring, key, 0);
  throws(() => installKey(other, key, 0), { errnoName: "EALREADY" });
  shim.pacer.ringFree(ring);
  throws(() => installKey(other, key, 0), { errnoName: "EALREADY" });
  shim.pacer.ringFree(other);
  shim.protection.freeKey(key);
  receiver.close();
});

Deno.test("Pacer merges rings whose slots fall together, and frees one while others run", () => {
  withPacer((fd, receiver, stop) => {
    const others = Array.from({ length: 7 }, () => new Receiver());
    const receivers = [receiver, ...others];
    const start = shim.clock.nowNs() + 3e7;
    const rings = receivers.map(({ address }, i) => {
      const ring = shim.pacer.newRing(ringConfig(fd, address));
      const id = newKey(randomKey(SUITES.aes128));
      installKey(ring, id, 0);
      publishTimes(ring, start + i * 1000, INTERVAL_NS, 300);
      return { ring, id };
    });
    rings.forEach(({ ring }) => shim.pacer.ringStart(ring));
    rings.forEach(({ ring }) => waitForSlots(ring, 50));
    shim.pacer.ringFree(rings[3].ring);
    shim.protection.freeKey(rings[3].id);
    rings.splice(3, 1);
    receivers.splice(3, 1);
    const from = rings.map(({ ring }) => ringF64(ring, RING.slots));
    rings.forEach(({ ring }, i) => waitForSlots(ring, from[i] + 50));
    stop();
    rings.forEach(({ ring, id }, i) => {
      const seen = counters(ring);
      receivers[i].collect(10, seen.records);
      strictEqual(seen.records + seen.skipped, seen.slots);
      strictEqual(receivers[i].datagrams.length, seen.records);
      strictEqual(ringU32(ring, RING.running), 0);
      shim.pacer.ringFree(ring);
      shim.protection.freeKey(id);
    });
    others.forEach((other) => other.close());
  });
});

for (
  const [name, any, source] of [
    ["IPv4", { ip: new Uint8Array(4), port: 0 }, Uint8Array.of(127, 0, 0, 5)],
    ["IPv6", { ip: new Uint8Array(16), port: 0 }, LOOPBACK6],
  ] as const
) {
  Deno.test(`Pacer sends from the source named, single records and bursts: ${name}`, () => {
    withPacer(() => {
      const sender = shim.udpOpen(any);
      const receiver = shim.udpOpen({ ip: name === "IPv4" ? ANY_PORT.ip : LOOPBACK6, port: 0 });
      const io = shim.newIo({ udpFds: [receiver.fd], rxCap: 64, tunCap: 0 });
      for (const burst of [1, 4]) {
        const from = { ip: source, port: 0 };
        const ring = shim.pacer.newRing(ringConfig(sender.fd, receiver.address, { from, burst }));
        const id = newKey(randomKey(SUITES.aes128));
        installKey(ring, id, 0);
        publishTimes(ring, shim.clock.nowNs() + 2e7, INTERVAL_NS, 900);
        shim.pacer.ringStart(ring);
        memory.f64[(io.io + IO.timeoutNs) >>> 3] = 2e9;
        ok(io.poll() > 0);
        const rx = memory.u32[(io.io + IO.rxDescs) >>> 2];
        deepStrictEqual(readAddress(memory, rx + RX.from), { ip: source, port: sender.address.port });
        strictEqual(memory.u32[(rx + RX.len) >>> 2], RECORD_LEN);
        shim.pacer.ringFree(ring);
        shim.protection.freeKey(id);
      }
      io.free();
      shim.close(sender.fd);
      shim.close(receiver.fd);
    });
  });
}

Deno.test("Pacer.newRing() refuses what cannot be, and gives its memory back", () => {
  const receiver = new Receiver();
  const wrong = [
    { datagramLen: 21 },
    { datagramLen: 2049 },
    { hdrLen: 0 },
    { hdrLen: 33 },
    { seqOff: 4 },
    { seqLen: 3 },
    { burst: 0 },
    { burst: 65 },
    { bufCount: 3 },
    { bufCount: 0 },
    { timesCount: 1000 },
    { traceCount: 5 },
    { intervalNs: NaN },
    { intervalNs: 0 },
    { fd: -1 },
    { bufCount: 2 ** 15 },
    { timesCount: 2 ** 21 },
    { traceCount: 2 ** 21 },
  ];
  for (const over of wrong) throws(() => shim.pacer.newRing(ringConfig(receiver.fd, receiver.address, over)));
  for (let i = 0; i < 100; i++) {
    const ring = shim.pacer.newRing(ringConfig(receiver.fd, receiver.address, { bufCount: 1024 }));
    shim.pacer.ringFree(ring);
    throws(() => shim.pacer.ringFree(ring), { errnoName: "EINVAL" });
  }
  receiver.close();
});

Deno.test("Pacer.ringTimes() refuses times that overwrite others, fall, or are none", () => {
  const receiver = new Receiver();
  const ring = shim.pacer.newRing(ringConfig(receiver.fd, receiver.address, { timesCount: 8 }));
  throws(() => shim.pacer.ringStart(ring), { errnoName: "EINVAL" });
  publishTimes(ring, 1e9, INTERVAL_NS, 6);
  throws(() => publishTimes(ring, 1e9, INTERVAL_NS, 3), { errnoName: "ENOSPC" });
  publishTimes(ring, 1e9, INTERVAL_NS, 1);
  throws(() => publishTimes(ring, 0, 0, 1), { errnoName: "EINVAL" });
  throws(() => publishTimes(ring, NaN, INTERVAL_NS, 1), { errnoName: "EINVAL" });
  throws(() => shim.pacer.ringStart(ring), { errnoName: "ESRCH" });
  strictEqual(ringF64(ring, RING.timesEnd), 7);
  shim.pacer.ringFree(ring);
  receiver.close();
});

Deno.test("Shim.close() refuses a socket that a ring sends on", () => {
  withPacer((fd, receiver) => {
    const other = shim.udpOpen(ANY_PORT);
    const { ring, free } = startRing(other.fd, receiver, 500);
    throws(() => shim.close(other.fd), { errnoName: "EBUSY" });
    shim.pacer.ringDest(ring, fd, receiver.address);
    const slots = ringF64(ring, RING.slots);
    waitForSlots(ring, slots + 2);
    shim.close(other.fd);
    throws(() => shim.close(fd), { errnoName: "EBUSY" });
    free();
  });
});

Deno.test("Pacer.start() runs one thread, states what it got, and can be stopped and started", () => {
  throws(() => shim.pacer.stop(), { errnoName: "ESRCH" });
  throws(() => shim.pacer.start({ ...CONFIG, leadNs: NaN }), { errnoName: "EINVAL" });
  for (const over of [{}, { fifo: false, cpu: "none" as const, calibrateMs: 0, leadNs: 50_000 }]) {
    shim.pacer.start({ ...CONFIG, ...over });
    throws(() => shim.pacer.start(CONFIG), { errnoName: "EALREADY" });
    const state = shim.pacer.state();
    ok(state.running && state.tid > 0);
    ok(state.leadNs >= 20_000 && state.leadNs <= CONFIG.leadMaxNs);
    strictEqual(state.cpu >= 0, over.cpu === undefined);
    if (over.cpu === "none") ok(state.sharedCpu && state.noFifo && state.leadNs === 50_000);
    else ok(state.wakeP50Ns <= state.wakeP99Ns && state.wakeP99Ns <= state.wakeP999Ns && state.wakeP50Ns > 0);
    shim.pacer.stop();
    strictEqual(shim.pacer.state().running, false);
  }
});

Deno.test("Sealing at freeze allocates nothing", () => {
  withPacer((fd, receiver) => {
    const { ring, free } = startRing(fd, receiver, 900);
    waitForSlots(ring, 20);
    const before = symbols.i405_secret_blocks();
    waitForSlots(ring, 100);
    strictEqual(symbols.i405_secret_blocks(), before);
    free();
  });
});

Deno.test("histogramBucket() is i405_hist_bucket, and histogramBucketNs() its inverse", () => {
  for (let bucket = 0; bucket < HIST_BUCKETS; bucket++) {
    strictEqual(histogramBucket(histogramBucketNs(bucket)), bucket);
    if (bucket > 0) strictEqual(histogramBucket(histogramBucketNs(bucket) - 1), bucket - 1);
    strictEqual(histogramBucket(-histogramBucketNs(bucket)), bucket);
  }
  strictEqual(histogramBucket(1e18), HIST_BUCKETS - 1);
});

Deno.test("histogramQuantile() gives the upper end of the bucket that holds it", () => {
  const counts = new Uint32Array(HIST_BUCKETS);
  strictEqual(histogramQuantile(counts, 0.5), 0);
  for (let ns = 0; ns < 1000; ns++) counts[histogramBucket(ns)]++;
  strictEqual(histogramQuantile(counts, 0.001), 0);
  ok(histogramQuantile(counts, 0.5) >= 499 && histogramQuantile(counts, 0.5) < 499 * 1.125);
  ok(histogramQuantile(counts, 1) >= 999);
});
