import { deepEqual, equal, notEqual, ok, throws } from "node:assert/strict";
import { ShimError } from "../../ffi/errors.ts";
import { SeededRandom, seedOf } from "../../src/base/random.ts";
import {
  BUF,
  BUF_KIND,
  BUF_WORD,
  KEY_MATERIAL,
  RECORD,
  RING,
  TRACE,
  TRACE_FLAG,
} from "../../src/ports/mod.ts";
import type { RingConfig } from "../../src/ports/mod.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";
import { PlainProtection } from "../../src/record/plain_protection.ts";
import { SlotSchedule } from "../../src/schedule/mod.ts";
import type { PacerFault } from "./sim_pacer.ts";
import { PACER_FAULTS, SimPacer } from "./sim_pacer.ts";
import { VirtualTime } from "./virtual_time.ts";

const HEADER_LEN = 5;
const DATAGRAM_LEN = 200;
const PLAINTEXT_LEN = DATAGRAM_LEN - HEADER_LEN - 16;
const INTERVAL_NS = 1e6;
const START_NS = 10e6;
const TO = { ip: Uint8Array.from([10, 0, 0, 2]), port: 1405 };

interface Sent {
  readonly timeNs: number;
  readonly bytes: Uint8Array;
  readonly fd: number;
  readonly port: number;
}

function setup(changes: Partial<RingConfig> = {}, options: { times?: number; key?: boolean } = {}) {
  const memory = new HeapMemory(1 << 20);
  const time = new VirtualTime();
  const protection = new PlainProtection(memory);
  const sent: Sent[] = [];
  let refuse = false;
  const pacer = new SimPacer(memory, protection, time, {
    send: (fd, bytes, to) => {
      if (!refuse) sent.push({ timeNs: time.nowNs(), bytes: bytes.slice(), fd, port: to.port });
      return !refuse;
    },
  });
  const ring = pacer.newRing({
    fd: 3,
    datagramLen: DATAGRAM_LEN,
    hdrLen: HEADER_LEN,
    seqOff: 1,
    seqLen: 2,
    burst: 1,
    bufCount: 4,
    timesCount: 256,
    traceCount: 64,
    intervalNs: INTERVAL_NS,
    to: TO,
    ...changes,
  });
  /** A key from a number, as the sender and the receiver make it. */
  const key = (number: number) => {
    const material = memory.alloc(KEY_MATERIAL.size);
    memory.u32[material >> 2] = 0x1301;
    memory.u8.fill(number, material + KEY_MATERIAL.key, material + KEY_MATERIAL.size);
    return protection.newKey(material);
  };
  const header = memory.alloc(HEADER_LEN);
  const setKey = (number: number, firstSlot: number) => {
    memory.u8.set([0x2f, 0, 0, 0, DATAGRAM_LEN - HEADER_LEN], header);
    pacer.ringKeys(ring, key(number), header, firstSlot);
  };
  const schedule = new SlotSchedule({
    seed: seedOf(1),
    intervalNs: INTERVAL_NS,
    jitter: { law: "gaussian", sdNs: 100e3 },
    startNs: START_NS,
    minGapNs: 10e3,
  });
  const timesCount = changes.timesCount ?? 256;
  const timesAt = memory.u32[(ring + RING.times) >> 2] >> 3;
  const addTimes = (count: number) => {
    const from = memory.f64[(ring + RING.timesEnd) >> 3];
    schedule.fillTimes(memory.f64.subarray(timesAt, timesAt + timesCount), from, timesCount - 1, count);
    pacer.ringTimes(ring, count);
  };
  if (options.key !== false) setKey(1, 0);
  addTimes(options.times ?? 200);
  const planned = new Float64Array(256);
  schedule.fillTimes(planned, 0, 255, 256);

  const receiveKeys = [0, 1, 2, 3].map(key);
  const work = memory.alloc(RECORD.size);
  const incoming = memory.alloc(DATAGRAM_LEN);
  const opened = memory.alloc(DATAGRAM_LEN);
  /** The plaintext of a record, or undefined. */
  const open = (bytes: Uint8Array, keyNumber: number, number: number) => {
    memory.u8.set(bytes, incoming);
    const { u8, u32, i32 } = memory;
    u32[(work + RECORD.src) >> 2] = incoming;
    u32[(work + RECORD.len) >> 2] = bytes.length;
    u8.set([HEADER_LEN, 1, 2], work + RECORD.hdrLen);
    i32[(work + RECORD.key) >> 2] = receiveKeys[keyNumber];
    u32[(work + RECORD.seqLo) >> 2] = number;
    u32[(work + RECORD.seqHi) >> 2] = 0;
    u32[(work + RECORD.dst) >> 2] = opened;
    protection.unmaskBatch(work, 1);
    return protection.openBatch(work, 1) === 1 ? u8.slice(opened, opened + PLAINTEXT_LEN) : undefined;
  };

  let made = 0;
  const buffer = (index: number) =>
    memory.u32[(ring + RING.bufs) >> 2] + (index % 4) * memory.u32[(ring + RING.bufStride) >> 2];
  /** Puts a plaintext of this byte (or a raw datagram) into the queue; false when there is no room. */
  const put = (value: number, kind: number = BUF_KIND.plaintext) => {
    const at = buffer(made);
    if (memory.i32[(at + BUF.word) >> 2] !== BUF_WORD.free) return false;
    memory.u8.fill(
      value,
      at + BUF.headLen,
      at + BUF.headLen + (kind === BUF_KIND.raw ? DATAGRAM_LEN : PLAINTEXT_LEN),
    );
    memory.u32[(at + BUF.kind) >> 2] = kind;
    memory.i32[(at + BUF.word) >> 2] = BUF_WORD.ready;
    made++;
    return true;
  };
  const counter = (field: number) => memory.f64[(ring + field) >> 3];
  const entry = (slot: number) => {
    const at = memory.u32[(ring + RING.trace) >> 2] + (slot % 64) * TRACE.size;
    const f64 = (field: number) => memory.f64[(at + field) >> 3];
    const u32 = (field: number) => memory.u32[(at + field) >> 2];
    return [
      f64(TRACE.slot),
      f64(TRACE.plannedNs),
      f64(TRACE.actualNs),
      u32(TRACE.dataRecords),
      u32(TRACE.flags),
    ];
  };
  const refuseSends = (on: boolean) => void (refuse = on);
  return {
    memory,
    time,
    pacer,
    ring,
    sent,
    planned,
    setKey,
    addTimes,
    open,
    put,
    buffer,
    counter,
    entry,
    refuseSends,
  };
}

/** First byte of each plaintext: 0 is chaff. */
function contents(bench: ReturnType<typeof setup>, from = 0, to = Infinity): (number | undefined)[] {
  return bench.sent.slice(from, to).map(({ bytes }, i) => bench.open(bytes, 1, from + i)?.[0]);
}

Deno.test("SimPacer sends one record at each slot's time, numbers consecutive from 0, all of one length", () => {
  const bench = setup();
  bench.pacer.ringStart(bench.ring);
  bench.time.runUntil(START_NS + 100.5 * INTERVAL_NS);
  equal(bench.sent.length, 101);
  bench.sent.forEach(({ timeNs, bytes, fd, port }, i) => {
    equal(timeNs, bench.planned[i]);
    deepEqual([bytes.length, bytes[0], fd, port], [DATAGRAM_LEN, 0x2f, 3, 1405]);
    const plaintext = bench.open(bytes, 1, i)!;
    equal(plaintext[PLAINTEXT_LEN - 1], 23);
    ok(plaintext.subarray(0, -1).every((byte) => byte === 0));
  });
  deepEqual([RING.slots, RING.records, RING.skipped, RING.late, RING.slotNext].map(bench.counter), [
    101,
    101,
    0,
    0,
    101,
  ]);
  equal(bench.memory.u32[(bench.ring + RING.hist) >> 2], 101);
});

Deno.test("SimPacer takes plaintexts in order, one a slot, chaff where there is none", () => {
  const bench = setup();
  bench.pacer.ringStart(bench.ring);
  ok(bench.put(1) && bench.put(2) && bench.put(3) && bench.put(4));
  ok(!bench.put(5), "the queue is full");
  bench.time.runUntil(START_NS + 5.5 * INTERVAL_NS);
  deepEqual(contents(bench), [1, 2, 3, 4, 0, 0]);
  ok(bench.put(5));
  bench.time.runUntil(START_NS + 7.5 * INTERVAL_NS);
  deepEqual(contents(bench, 6), [5, 0]);
  deepEqual([bench.counter(RING.dataRecords), bench.memory.u32[(bench.ring + RING.taken) >> 2]], [5, 5]);
});

Deno.test("SimPacer leaves a buffer that is being filled, and what is behind it, for later slots", () => {
  const bench = setup();
  bench.pacer.ringStart(bench.ring);
  bench.put(1);
  bench.put(2);
  const word = (bench.buffer(0) + BUF.word) >> 2;
  equal(Atomics.compareExchange(bench.memory.i32, word, BUF_WORD.ready, BUF_WORD.filling), BUF_WORD.ready);
  bench.time.runUntil(START_NS + 1.5 * INTERVAL_NS);
  deepEqual(contents(bench), [0, 0]);
  Atomics.store(bench.memory.i32, word, BUF_WORD.ready);
  bench.time.runUntil(START_NS + 3.5 * INTERVAL_NS);
  deepEqual(contents(bench, 2), [1, 2]);
});

Deno.test("SimPacer skips a slot when the next one's time has come; that takes no number and no plaintext", () => {
  const bench = setup();
  bench.pacer.ringStart(bench.ring);
  bench.time.runUntil(START_NS + 1.5 * INTERVAL_NS);
  bench.put(1);
  bench.put(2);
  bench.pacer.stall(START_NS + 5.5 * INTERVAL_NS);
  bench.time.runUntil(START_NS + 9.5 * INTERVAL_NS);
  deepEqual(contents(bench), [0, 0, 1, 2, 0, 0, 0]);
  deepEqual([RING.slots, RING.records, RING.skipped, RING.late].map(bench.counter), [10, 7, 3, 1]);
  equal(bench.sent[2].timeNs, START_NS + 5.5 * INTERVAL_NS, "slot 5 leaves late");
  equal(bench.sent[3].timeNs, bench.planned[6], "the grid has not moved");
  deepEqual(bench.entry(3), [3, bench.planned[3], 0, 0, TRACE_FLAG.skipped]);
  deepEqual(bench.entry(5), [5, bench.planned[5], START_NS + 5.5 * INTERVAL_NS, 1, TRACE_FLAG.late]);
  deepEqual(bench.entry(6), [6, bench.planned[6], bench.planned[6], 1, 0]);
});

Deno.test("SimPacer repeats its last second of offsets when no times are written, and goes on with them after", () => {
  const bench = setup({ timesCount: 32 }, { times: 32 }); // so that 32 slots are the most it can repeat
  bench.pacer.ringStart(bench.ring);
  bench.time.runUntil(START_NS + 99.5 * INTERVAL_NS);
  equal(bench.sent.length, 100);
  for (let slot = 32; slot < 100; slot++) {
    ok(
      Math.abs(bench.sent[slot].timeNs - (bench.sent[slot - 32].timeNs + 32 * INTERVAL_NS)) < 1e-6,
      `slot ${slot}`,
    );
  }
  equal(bench.counter(RING.dry), 68);
  for (let i = 0; i < 4; i++) bench.addTimes(24);
  bench.time.runUntil(START_NS + 109.5 * INTERVAL_NS);
  equal(bench.counter(RING.dry), 69, "slot 100 was under way");
  for (let slot = 101; slot < 110; slot++) equal(bench.sent[slot].timeNs, bench.planned[slot]);
});

Deno.test("SimPacer repeats slot 0's offset when it runs dry before there has been a second", () => {
  const bench = setup({}, { times: 20 });
  bench.pacer.ringStart(bench.ring);
  bench.time.runUntil(START_NS + 49.5 * INTERVAL_NS);
  for (let slot = 20; slot < 50; slot++) {
    equal(bench.sent[slot].timeNs, bench.planned[0] + slot * INTERVAL_NS);
  }
});

Deno.test("SimPacer.ringKeys() changes keys at the slot named: all before old, all after new, numbers from 0", () => {
  const bench = setup();
  bench.pacer.ringStart(bench.ring);
  bench.setKey(2, 7);
  throws(() => bench.setKey(3, 9), (error) => error instanceof ShimError && error.errnoName === "EBUSY");
  bench.time.runUntil(START_NS + 10.5 * INTERVAL_NS);
  bench.sent.forEach(({ bytes }, slot) => {
    notEqual(bench.open(bytes, slot < 7 ? 1 : 2, slot < 7 ? slot : slot - 7), undefined);
  });
  deepEqual([bench.counter(RING.seqNext), bench.memory.u32[(bench.ring + RING.switches) >> 2]], [4, 1]);
  bench.setKey(3, 0);
  bench.time.runUntil(START_NS + 11.5 * INTERVAL_NS);
  notEqual(bench.open(bench.sent[11].bytes, 3, 0), undefined, "a slot that is past: at once");
});

Deno.test("SimPacer without keys sends raw datagrams only", () => {
  const bench = setup({}, { key: false });
  bench.pacer.ringStart(bench.ring);
  bench.put(0x16, BUF_KIND.raw);
  bench.put(5);
  bench.time.runUntil(START_NS + 2.5 * INTERVAL_NS);
  equal(bench.sent.length, 1);
  deepEqual(bench.sent[0].bytes, new Uint8Array(DATAGRAM_LEN).fill(0x16));
  equal(bench.counter(RING.keyless), 2);
  bench.setKey(1, 0);
  bench.time.runUntil(START_NS + 3.5 * INTERVAL_NS);
  equal(bench.open(bench.sent[1].bytes, 1, 0)?.[0], 5, "the plaintext has waited");
});

Deno.test("SimPacer sends a raw datagram as it is; its slot uses up a number all the same", () => {
  const bench = setup();
  bench.pacer.ringStart(bench.ring);
  bench.put(0x16, BUF_KIND.raw);
  bench.time.runUntil(START_NS + 1.5 * INTERVAL_NS);
  deepEqual(bench.sent[0].bytes, new Uint8Array(DATAGRAM_LEN).fill(0x16));
  notEqual(bench.open(bench.sent[1].bytes, 1, 1), undefined);
});

Deno.test("SimPacer sends a burst of records in one slot, from a queue of more than one", () => {
  const bench = setup({ burst: 3 });
  bench.pacer.ringStart(bench.ring);
  for (const value of [1, 2, 3, 4]) bench.put(value);
  bench.time.runUntil(START_NS + 1.5 * INTERVAL_NS);
  deepEqual(contents(bench), [1, 2, 3, 4, 0, 0]);
  deepEqual([RING.slots, RING.records, RING.dataRecords].map(bench.counter), [2, 6, 4]);
  deepEqual([0, 1].map((slot) => bench.entry(slot)[3]), [3, 1]);
});

Deno.test("SimPacer.ringDest() moves records from the next slot to be frozen on; a refused one is counted", () => {
  const bench = setup();
  bench.pacer.ringStart(bench.ring);
  bench.time.runUntil(START_NS + 1.5 * INTERVAL_NS);
  bench.pacer.ringDest(bench.ring, 9, { ...TO, port: 7 });
  bench.time.runUntil(START_NS + 2.5 * INTERVAL_NS);
  bench.refuseSends(true);
  bench.time.runUntil(START_NS + 3.5 * INTERVAL_NS);
  deepEqual(bench.sent.map(({ fd, port }) => [fd, port]), [[3, 1405], [3, 1405], [9, 7]]);
  deepEqual([RING.slots, RING.records, RING.sendErrors].map(bench.counter), [4, 3, 1]);
  equal(bench.entry(3)[4], TRACE_FLAG.sendError);
});

Deno.test("SimPacer.ringFree() gives all memory back; a frozen slot is still sent", () => {
  const bench = setup();
  bench.pacer.ringStart(bench.ring);
  bench.time.runUntil(bench.planned[2] - 1);
  bench.pacer.ringFree(bench.ring);
  bench.time.runUntil(START_NS + 9.5 * INTERVAL_NS);
  equal(bench.sent.length, 3);
  throws(
    () => bench.pacer.ringStart(bench.ring),
    (error) => error instanceof ShimError && error.errnoName === "EINVAL",
  );
});

Deno.test("SimPacer refuses what the shim refuses", () => {
  const bench = setup({}, { times: 200 });
  const refused = (action: () => void, name: string) =>
    throws(action, (error) => error instanceof ShimError && error.errnoName === name, name);
  refused(() => bench.pacer.ringTimes(bench.ring, 57), "ENOSPC");
  refused(() => bench.pacer.ringTimes(bench.ring, 1), "EINVAL"); // slot 200's time is zero, below the last
  for (
    const changes of [{ bufCount: 3 }, { burst: 0 }, { timesCount: 0 }, { seqOff: 4 }, { intervalNs: 10 }, {
      fd: -1,
    }]
  ) {
    refused(() => setup(changes), "EINVAL");
  }
  bench.pacer.ringStart(bench.ring);
  refused(() => bench.pacer.ringStart(bench.ring), "EALREADY");
});

/** What an observer sees of 200 slots when data comes at random moments, or none does. */
function observed(busy: boolean, fault: PacerFault): string {
  const bench = setup();
  const random = new SeededRandom(seedOf(5));
  bench.pacer.fault = fault;
  bench.pacer.ringStart(bench.ring);
  for (let i = 0; i < 100 && busy; i++) {
    bench.time.at(START_NS + random.below(190) * INTERVAL_NS, () => void bench.put(random.below(256)));
  }
  bench.setKey(2, 150);
  bench.time.runUntil(START_NS + 199.4 * INTERVAL_NS);
  if (busy) ok(bench.counter(RING.dataRecords) > 50);
  return bench.sent.map(({ timeNs, bytes }) => `${timeNs} ${bytes.length} ${bytes[0]} ${bytes[4]}`).join(
    "\n",
  );
}

Deno.test("SimPacer shows an observer the same, idle and busy", () => {
  equal(observed(true, "none"), observed(false, "none"));
});

for (const fault of PACER_FAULTS) {
  Deno.test(`SimPacer with the fault "${fault}" shows an observer that there is data`, () => {
    notEqual(observed(true, fault), observed(false, fault));
    equal(observed(false, fault), observed(false, "none"), "the fault is in slots with data alone");
  });
}
