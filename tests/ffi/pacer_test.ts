import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { BUF, BUF_WORD, HIST_BUCKETS, RING, TRACE_FLAG } from "../../src/ports/mod.ts";
import {
  chaff,
  counters,
  INTERVAL_NS,
  message,
  startRing,
  traceAt,
  waitForSlots,
  withPacer,
} from "./pacer_support.ts";
import {
  ANY_PORT,
  installKey,
  memory,
  newKey,
  openAll,
  PLAINTEXT_LEN,
  publishTimes,
  randomKey,
  RECORD_LEN,
  ringConfig,
  ringF64,
  ringU32,
  shim,
  submit,
  SUITES,
  waitUntil,
} from "./support.ts";

for (const pollMode of ["sleepy", "hybrid", "spinny"] as const) {
  Deno.test(`Pacer sends or counts every slot, numbers consecutive, each record opens: ${pollMode}`, () => {
    withPacer((fd, receiver, stop) => {
      const { ring, key, free } = startRing(fd, receiver, 200);
      receiver.collect(400, 200);
      waitForSlots(ring, 200);
      stop();
      receiver.collect(20);
      const seen = counters(ring);
      strictEqual(seen.records + seen.skipped, seen.slots);
      strictEqual(receiver.datagrams.length, seen.records);
      strictEqual(seen.seqNext, seen.records);
      strictEqual(seen.dataRecords + seen.sendErrors + seen.keyless, 0);
      ok(receiver.datagrams.every((datagram) => datagram.length === RECORD_LEN));
      for (const plaintext of openAll(receiver.datagrams, key)) deepStrictEqual(plaintext, chaff);
      let inHistogram = 0;
      for (let bucket = 0; bucket < HIST_BUCKETS; bucket++) {
        inHistogram += ringU32(ring, RING.hist + 4 * bucket);
      }
      strictEqual(inHistogram, seen.slots - seen.skipped);
      free();
    }, { pollMode });
  });
}

Deno.test("Pacer never sends before a slot's time, and the trace tells of each slot", () => {
  withPacer((fd, receiver) => {
    const { ring, free } = startRing(fd, receiver, 100);
    waitForSlots(ring, 100);
    for (let slot = 0; slot < 100; slot++) {
      const entry = traceAt(ring, slot);
      strictEqual(entry.slot, slot);
      if (slot > 0) strictEqual(entry.plannedNs - traceAt(ring, 0).plannedNs, slot * INTERVAL_NS);
      const skipped = (entry.flags & TRACE_FLAG.skipped) !== 0;
      strictEqual(entry.actualNs === 0, skipped);
      ok(skipped || entry.actualNs >= Math.floor(entry.plannedNs));
      strictEqual((entry.flags & TRACE_FLAG.late) !== 0, entry.actualNs - entry.plannedNs > 100_000);
    }
    ok(ringF64(ring, RING.devMinNs) >= 0);
    ok(ringF64(ring, RING.devMaxNs) >= ringF64(ring, RING.devMinNs));
    free();
  });
});

Deno.test("Pacer takes ready buffers as a queue, chaff between, and none is lost by a skip", () => {
  withPacer((fd, receiver) => {
    const { ring, key, free } = startRing(fd, receiver, 900, undefined, { bufCount: 4 });
    let submitted = 0;
    while (submitted < 120) {
      if (submit(ring, submitted, message(submitted + 1))) submitted++;
      else receiver.collect(1);
    }
    waitUntil("the buffers to be taken", () => ringU32(ring, RING.taken) === 120);
    const slots = ringF64(ring, RING.slots);
    waitForSlots(ring, slots + 2);
    receiver.collect(50, ringF64(ring, RING.records));
    const plaintexts = openAll(receiver.datagrams, key);
    ok(plaintexts.every((plaintext) => plaintext !== undefined));
    const data = plaintexts.filter((plaintext) => plaintext![0] !== 0);
    deepStrictEqual(data, Array.from({ length: 120 }, (_, i) => message(i + 1)));
    strictEqual(ringF64(ring, RING.dataRecords), 120);
    free();
  });
});

Deno.test("Pacer writes count and planned wall-clock time into chaff and counted plaintexts, and nothing else", () => {
  withPacer((fd, receiver) => {
    const wallBaseNs = shim.clock.wallBaseNs();
    const stamps = { countOff: 1, timeOff: 10, wallBaseNs };
    const ring = shim.pacer.newRing(ringConfig(fd, receiver.address, { stamps }));
    const key = randomKey(SUITES.aes128);
    const id = newKey(key);
    installKey(ring, id, 0, undefined, { first: 3, firstCount: 2 ** 32 - 1 });
    publishTimes(ring, shim.clock.nowNs() + 2e7, INTERVAL_NS, 40);
    for (const [number, kind] of (["counted", "plaintext", "raw", "counted"] as const).entries()) {
      submit(ring, number, message(number + 1), kind);
    }
    shim.pacer.ringStart(ring);
    waitForSlots(ring, 30);
    receiver.collect(50, ringF64(ring, RING.records));
    const raw = receiver.datagrams.findIndex((datagram) => datagram[0] === 3);
    const plaintexts = openAll(receiver.datagrams, key, 3).filter((_, index) => index !== raw);
    const counts = [];
    for (const plaintext of plaintexts) {
      const view = new DataView(plaintext!.buffer, plaintext!.byteOffset);
      if (plaintext![0] === 2) {
        deepStrictEqual(plaintext, message(2));
        continue;
      }
      counts.push(Number(view.getBigUint64(1)));
      const sinceNs = Number(view.getBigUint64(10) - BigInt(wallBaseNs));
      ok(Math.abs(sinceNs - shim.clock.nowNs()) < 10e9, `${sinceNs} ns is a time of this process`);
      deepStrictEqual(plaintext!.slice(18), (plaintext![0] === 0 ? chaff : message(plaintext![0])).slice(18));
    }
    deepStrictEqual(counts, counts.map((_, index) => 2 ** 32 - 1 + index));
    const bufs = ringU32(ring, RING.bufs);
    const stride = ringU32(ring, RING.bufStride);
    const told = (number: number) => memory.f64[(bufs + number * stride + BUF.count) >>> 3];
    deepStrictEqual([told(0), told(3)], [2 ** 32 - 1, 2 ** 32]);
    const plannedNs = traceAt(ring, 0).plannedNs;
    const first = new DataView(plaintexts[0]!.buffer, plaintexts[0]!.byteOffset).getBigUint64(10);
    strictEqual(first, BigInt(wallBaseNs) + BigInt(Math.floor(plannedNs)));
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(id);
  });
});

Deno.test("Pacer refuses stamps that do not fit the plaintext or overlap, and numbers that are none", () => {
  withPacer((fd, receiver) => {
    const most = PLAINTEXT_LEN - 1 - 8;
    const make = (countOff: number, timeOff: number) =>
      shim.pacer.newRing(
        ringConfig(fd, receiver.address, { stamps: { countOff, timeOff, wallBaseNs: 0 } }),
      );
    for (const [countOff, timeOff] of [[0, 1], [most + 1, 0], [1, most + 1], [1, 8], [9, 2], [1, 1]]) {
      throws(() => make(countOff, timeOff), `${countOff}, ${timeOff}`);
    }
    for (const [countOff, timeOff] of [[1, 0], [most, 0], [1, most], [9, 1]]) {
      shim.pacer.ringFree(make(countOff, timeOff));
    }
    const ring = make(1, 0);
    const id = newKey(randomKey(SUITES.aes128));
    for (
      const numbering of [{ first: -1 }, { first: NaN }, { first: 2 ** 48 }, {
        first: 0,
        firstCount: 2 ** 48,
      }]
    ) {
      throws(() => installKey(ring, id, 0, undefined, numbering));
    }
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(id);
  });
});

Deno.test("Pacer leaves a buffer that is being filled for a later slot", () => {
  withPacer((fd, receiver) => {
    const { ring, key, free } = startRing(fd, receiver, 900);
    const word = ringU32(ring, RING.bufs) >>> 2;
    submit(ring, 1, message(2));
    Atomics.store(memory.i32, word, BUF_WORD.filling);
    waitForSlots(ring, 5);
    strictEqual(ringU32(ring, RING.taken), 0, "buffers are taken in order: not the second before the first");
    memory.u8.set(message(1), word * 4 + BUF.headLen);
    Atomics.store(memory.i32, word, BUF_WORD.ready);
    waitUntil("two buffers", () => ringU32(ring, RING.taken) === 2);
    waitForSlots(ring, ringF64(ring, RING.slots) + 2);
    receiver.collect(50, ringF64(ring, RING.records));
    const data = openAll(receiver.datagrams, key).filter((plaintext) => plaintext![0] !== 0);
    deepStrictEqual(data, [message(1), message(2)]);
    free();
  });
});

Deno.test("Pacer skips slots whose successor's time has come, uses no number and takes no buffer for them", () => {
  withPacer((fd, receiver, stop) => {
    const key = randomKey(SUITES.chacha);
    const ring = shim.pacer.newRing(ringConfig(fd, receiver.address));
    const id = newKey(key);
    installKey(ring, id, 0);
    for (let i = 0; i < 3; i++) submit(ring, i, message(i + 1));
    // 100 slots are already over, 50 still to come.
    publishTimes(ring, shim.clock.nowNs() - 100 * INTERVAL_NS, INTERVAL_NS, 150 + 20);
    shim.pacer.ringStart(ring);
    waitForSlots(ring, 150);
    stop();
    receiver.collect(30);
    const seen = counters(ring);
    ok(seen.skipped >= 99);
    strictEqual(seen.records + seen.skipped, seen.slots);
    const plaintexts = openAll(receiver.datagrams, key);
    deepStrictEqual(plaintexts.slice(0, 3), [message(1), message(2), message(3)]);
    ok(plaintexts.slice(3).every((plaintext) => plaintext !== undefined && plaintext[0] === 0));
    strictEqual(traceAt(ring, 10).flags & TRACE_FLAG.skipped, TRACE_FLAG.skipped);
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(id);
  });
});

Deno.test("Pacer changes keys at the slot named, numbers from 0, and the old key can then be freed", () => {
  withPacer((fd, receiver) => {
    const { ring, key, id } = startRing(fd, receiver, 300);
    const next = randomKey(SUITES.aes256);
    const nextId = newKey(next);
    const third = newKey(randomKey(SUITES.aes128));
    installKey(ring, nextId, 60, 0x2c);
    throws(() => installKey(ring, third, 80), { errnoName: "EBUSY" });
    throws(() => shim.protection.freeKey(id), { errnoName: "EBUSY" });
    throws(() => shim.protection.freeKey(nextId), { errnoName: "EBUSY" });
    waitUntil("the switch", () => ringU32(ring, RING.switches) === 1);
    shim.protection.freeKey(id);
    waitForSlots(ring, 120);
    receiver.collect(50, ringF64(ring, RING.records));
    const first = receiver.datagrams.filter((datagram) => datagram[0] === 0x2f);
    const second = receiver.datagrams.filter((datagram) => datagram[0] === 0x2c);
    strictEqual(first.length + second.length, receiver.datagrams.length);
    const lastOld = receiver.datagrams.findLastIndex((datagram) => datagram[0] === 0x2f);
    strictEqual(lastOld, first.length - 1, "all old ones before all new ones");
    let before = 0;
    for (let slot = 0; slot < 60; slot++) {
      before += (traceAt(ring, slot).flags & TRACE_FLAG.skipped) === 0 ? 1 : 0;
    }
    strictEqual(first.length, before, "the first record of the new epoch is slot 60's");
    for (const plaintext of openAll(first, key)) deepStrictEqual(plaintext, chaff);
    for (const plaintext of openAll(second, next)) deepStrictEqual(plaintext, chaff);
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(nextId);
    shim.protection.freeKey(third);
  });
});

Deno.test("Pacer repeats its slots on the grid when times run dry, and takes up written ones again", () => {
  withPacer((fd, receiver, stop) => {
    const ring = shim.pacer.newRing(ringConfig(fd, receiver.address));
    const id = newKey(randomKey(SUITES.aes128));
    installKey(ring, id, 0);
    const start = shim.clock.nowNs() + 2e7;
    publishTimes(ring, start, INTERVAL_NS, 30);
    shim.pacer.ringStart(ring);
    waitForSlots(ring, 80);
    ok(ringF64(ring, RING.dry) >= 50);
    for (let slot = 30; slot < 80; slot++) {
      const entry = traceAt(ring, slot);
      strictEqual(entry.plannedNs, start + slot * INTERVAL_NS);
      strictEqual(entry.flags & TRACE_FLAG.dry, TRACE_FLAG.dry);
    }
    const dryEnd = ringF64(ring, RING.slotNext) + 20;
    publishTimes(ring, start, INTERVAL_NS, dryEnd + 40 - 30);
    waitForSlots(ring, dryEnd + 30);
    strictEqual(traceAt(ring, dryEnd + 20).flags & TRACE_FLAG.dry, 0);
    strictEqual(traceAt(ring, dryEnd + 20).plannedNs, start + (dryEnd + 20) * INTERVAL_NS);
    stop();
    strictEqual(ringF64(ring, RING.records) + ringF64(ring, RING.skipped), ringF64(ring, RING.slots));
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(id);
  });
});

Deno.test("Pacer repeats the offsets of the second before, not its own invention", () => {
  withPacer((fd, receiver) => {
    const interval = 5e7; // 20 slots a second
    const ring = shim.pacer.newRing(
      ringConfig(fd, receiver.address, { intervalNs: interval, timesCount: 32 }),
    );
    const id = newKey(randomKey(SUITES.aes128));
    installKey(ring, id, 0);
    const times = ringU32(ring, RING.times) >>> 3;
    const start = shim.clock.nowNs() - 21 * interval; // most of it is over, so that the test is short
    const offsets = Array.from({ length: 22 }, (_, slot) => ((slot * 7) % 5) * 1e6);
    offsets.forEach((offset, slot) => memory.f64[times + slot] = start + slot * interval + offset);
    shim.pacer.ringTimes(ring, 22);
    shim.pacer.ringStart(ring);
    waitForSlots(ring, 26);
    for (let slot = 22; slot < 26; slot++) {
      strictEqual(traceAt(ring, slot).plannedNs, start + slot * interval + offsets[slot - 20]);
    }
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(id);
  });
});

Deno.test("Pacer sends a raw datagram in place of a record, also before there are keys", () => {
  withPacer((fd, receiver, stop) => {
    const ring = shim.pacer.newRing(ringConfig(fd, receiver.address));
    const hello = new Uint8Array(RECORD_LEN).fill(0x16);
    submit(ring, 0, message(9)); // no key yet: it must wait, not be lost
    publishTimes(ring, shim.clock.nowNs() + 2e7, INTERVAL_NS, 900);
    shim.pacer.ringStart(ring);
    waitForSlots(ring, 3);
    const due = ringF64(ring, RING.slots) - ringF64(ring, RING.skipped);
    ok(due > 0 && ringF64(ring, RING.keyless) >= due);
    strictEqual(ringU32(ring, RING.taken), 0);
    const key = randomKey(SUITES.aes128);
    const id = newKey(key);
    const next = Math.ceil(ringF64(ring, RING.slotNext)) + 20;
    installKey(ring, id, next);
    submit(ring, 1, hello, "raw");
    waitForSlots(ring, next + 10);
    receiver.collect(50, 5);
    const [first, second, third] = receiver.datagrams;
    deepStrictEqual(openAll([first], key, 0), [message(9)]);
    deepStrictEqual(second, hello);
    deepStrictEqual(
      openAll([third], key, 2),
      [chaff],
      "the number that the raw datagram stood for is used up",
    );
    shim.pacer.ringFree(ring);

    const early = shim.pacer.newRing(ringConfig(fd, receiver.address));
    submit(early, 0, hello, "raw");
    publishTimes(early, shim.clock.nowNs() + 2e7, INTERVAL_NS, 900);
    receiver.collect(10);
    receiver.datagrams.length = 0;
    shim.pacer.ringStart(early);
    receiver.collect(1000, 1);
    deepStrictEqual(receiver.datagrams[0], hello);
    stop();
    const seen = counters(early);
    strictEqual(seen.records, 1);
    strictEqual(seen.records + seen.skipped + seen.keyless, seen.slots);
    shim.pacer.ringFree(early);
    shim.protection.freeKey(id);
  });
});

Deno.test("Pacer loses no slot to the ICMP errors of a closed port", () => {
  withPacer((fd, receiver) => {
    const closed = shim.udpOpen(ANY_PORT);
    shim.close(closed.fd);
    const ring = shim.pacer.newRing(ringConfig(fd, closed.address));
    const id = newKey(randomKey(SUITES.aes128));
    installKey(ring, id, 0);
    publishTimes(ring, shim.clock.nowNs() + 2e7, INTERVAL_NS, 500);
    shim.pacer.ringStart(ring);
    waitForSlots(ring, 200);
    strictEqual(ringF64(ring, RING.sendErrors), 0);
    shim.pacer.ringDest(ring, fd, receiver.address);
    receiver.collect(200, 20);
    ok(receiver.datagrams.length >= 20, "and the next destination gets them");
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(id);
  });
});

Deno.test("Pacer loses no slot on a connected socket, where an ICMP error takes a send's place", () => {
  const libc = Deno.dlopen("libc.so.6", {
    // int connect(int fd, const struct sockaddr *address, socklen_t len);
    connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  });
  withPacer((fd, _receiver, stop) => {
    const closed = shim.udpOpen(ANY_PORT);
    shim.close(closed.fd);
    const { ip, port } = closed.address;
    const address = Uint8Array.of(2, 0, port >>> 8, port & 0xff, ...ip, ...new Uint8Array(8));
    strictEqual(libc.symbols.connect(fd, address, address.length), 0);
    const ring = shim.pacer.newRing(ringConfig(fd, { ip: new Uint8Array(0), port: 0 }));
    const id = newKey(randomKey(SUITES.aes128));
    installKey(ring, id, 0);
    publishTimes(ring, shim.clock.nowNs() + 2e7, INTERVAL_NS, 500);
    shim.pacer.ringStart(ring);
    waitForSlots(ring, 200);
    stop();
    strictEqual(ringF64(ring, RING.sendErrors), 0);
    strictEqual(ringF64(ring, RING.records) + ringF64(ring, RING.skipped), ringF64(ring, RING.slots));
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(id);
  });
  libc.close();
});

Deno.test("Pacer counts what the kernel refuses", () => {
  withPacer((fd, receiver, stop) => {
    const nowhere = { ip: Uint8Array.of(255, 255, 255, 255), port: 9 }; // no SO_BROADCAST: EACCES
    const ring = shim.pacer.newRing(ringConfig(fd, nowhere));
    const id = newKey(randomKey(SUITES.aes128));
    installKey(ring, id, 0);
    publishTimes(ring, shim.clock.nowNs() + 2e7, INTERVAL_NS, 100);
    shim.pacer.ringStart(ring);
    waitForSlots(ring, 50);
    stop();
    const seen = counters(ring);
    strictEqual(seen.records, 0);
    ok(seen.sendErrors + seen.skipped >= 50);
    strictEqual(receiver.datagrams.length, 0);
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(id);
  });
});

Deno.test("Pacer sends a burst's records together, data first come first served", () => {
  withPacer((fd, receiver, stop) => {
    const { ring, key, free } = startRing(fd, receiver, 100, undefined, { burst: 16, bufCount: 64 });
    for (let i = 0; i < 40; i++) submit(ring, i, message(i + 1));
    waitForSlots(ring, 20);
    stop();
    receiver.collect(50);
    const seen = counters(ring);
    strictEqual(seen.records + 16 * seen.skipped, 16 * seen.slots);
    strictEqual(receiver.datagrams.length, seen.records);
    strictEqual(seen.seqNext, seen.records);
    const plaintexts = openAll(receiver.datagrams, key);
    deepStrictEqual(plaintexts.slice(0, 40), Array.from({ length: 40 }, (_, i) => message(i + 1)));
    ok(plaintexts.slice(40).every((plaintext) => plaintext !== undefined && plaintext[0] === 0));
    free();
  });
});
