/** The pacer of the shim and its twin in simulated time, given one script: the same keys, times and plaintexts before the
 * start. What they send is the same, byte by byte; a slot that the machine made the real one skip takes nothing. */

import assert from "node:assert/strict";
import type { EndpointAddress, Memory, Pacer } from "../../src/ports/mod.ts";
import { BUF, BUF_KIND, BUF_WORD, RING } from "../../src/ports/mod.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";
import { PlainProtection } from "../../src/record/plain_protection.ts";
import { KEY_MATERIAL } from "../../src/ports/mod.ts";
import { waitForSlots, withPacer } from "../ffi/pacer_support.ts";
import {
  installKey,
  type KeyBytes,
  memory,
  newKey,
  publishTimes,
  randomKey,
  RECORD_LEN,
  ringConfig,
  ringF64,
  shim,
  SUITES,
} from "../ffi/support.ts";
import { SimPacer } from "./sim_pacer.ts";
import { VirtualTime } from "./virtual_time.ts";

const INTERVAL_NS = 2e6;
const SLOTS = 60;
const SECOND_KEY_SLOT = 40;
const ASIDE_SLOTS = 3;
const FIRST_BYTES = [0x2f, 0x2c];
/** With stamps: where numbers and counts begin under the first key; under the second the counts go on. */
const NUMBERING = [{ first: 5, firstCount: 70_000 }, { first: 9 }];
const STAMPS = { countOff: 7, timeOff: 0, wallBaseNs: 0 };
const TO = { ip: Uint8Array.of(127, 0, 0, 1), port: 1 };

/** What lies in the queue before the start: plaintexts, a finished datagram between them, and one that is being filled,
 * behind which nothing may be taken. */
function fillQueue({ u8, u32, i32 }: Memory, ring: number, isStamped: boolean): void {
  const plaintextKind = isStamped ? BUF_KIND.counted : BUF_KIND.plaintext;
  for (let index = 0; index < 8; index++) {
    const at = u32[(ring + RING.bufs) >>> 2] + index * u32[(ring + RING.bufStride) >>> 2];
    u8.fill(0x10 + index, at + BUF.headLen, at + BUF.headLen + RECORD_LEN);
    const kind = index === 4 ? BUF_KIND.plaintext : plaintextKind;
    u32[(at + BUF.kind) >>> 2] = index === 3 ? BUF_KIND.raw : kind;
    i32[(at + BUF.word) >>> 2] = index === 6 ? BUF_WORD.filling : BUF_WORD.ready;
  }
}

/** The first slots go aside, which leads to the same receiver here, before the queue has its turn. */
function goAside(
  pacer: Pacer,
  memory: Memory,
  ring: number,
  burst: number,
  to: EndpointAddress,
  fd = 0,
): void {
  const plaintext = memory.alloc(RECORD_LEN);
  memory.u8.fill(0x77, plaintext, plaintext + RECORD_LEN);
  pacer.ringAside(ring, { fd, to, plaintext });
  pacer.ringCredit(ring, ASIDE_SLOTS * burst * RECORD_LEN + RECORD_LEN - 1);
  memory.free(plaintext, RECORD_LEN);
}

function changes(burst: number, isStamped: boolean) {
  return { burst, intervalNs: INTERVAL_NS, stamps: isStamped ? STAMPS : undefined };
}

interface Outcome {
  readonly sent: readonly string[];
  readonly skipped: number;
  readonly taken: number;
  readonly switches: number;
}

function simulated(keys: readonly KeyBytes[], burst: number, isStamped: boolean): Outcome {
  const heap = new HeapMemory(1 << 20);
  const protection = new PlainProtection(heap);
  const time = new VirtualTime();
  const sent: string[] = [];
  const pacer = new SimPacer(heap, protection, time, {
    send: (_fd, bytes) => sent.push(bytes.join()) > 0,
  });
  const ring = pacer.newRing(ringConfig(0, TO, changes(burst, isStamped)));
  const f64 = heap.f64.subarray(heap.u32[(ring + RING.times) >> 2] >> 3);
  for (let slot = 0; slot < SLOTS; slot++) f64[slot] = (slot + 1) * INTERVAL_NS;
  pacer.ringTimes(ring, SLOTS);
  keys.forEach((key, index) => {
    const material = heap.alloc(KEY_MATERIAL.size);
    heap.u32[material >> 2] = key.suite;
    heap.u8.set(key.key, material + KEY_MATERIAL.key);
    heap.u8.set(key.iv, material + KEY_MATERIAL.iv);
    heap.u8.set(key.sn, material + KEY_MATERIAL.sn);
    const header = heap.alloc(8);
    const bodyLen = RECORD_LEN - 5;
    heap.u8.set([FIRST_BYTES[index], 0, 0, bodyLen >> 8, bodyLen & 0xff], header);
    const numbering = isStamped ? NUMBERING[index] : undefined;
    pacer.ringKeys(ring, protection.newKey(material), header, index * SECOND_KEY_SLOT, numbering);
  });
  fillQueue(heap, ring, isStamped);
  goAside(pacer, heap, ring, burst, TO);
  pacer.ringStart(ring);
  time.runUntil((SLOTS + 0.5) * INTERVAL_NS);
  const u32 = (field: number) => heap.u32[(ring + field) >> 2];
  return {
    sent,
    skipped: heap.f64[(ring + RING.skipped) >> 3],
    taken: u32(RING.taken),
    switches: u32(RING.switches),
  };
}

function real(keys: readonly KeyBytes[], burst: number, isStamped: boolean): Outcome {
  let outcome: Outcome | undefined;
  withPacer((fd, receiver, stop) => {
    const ring = shim.pacer.newRing(ringConfig(fd, receiver.address, changes(burst, isStamped)));
    const ids = keys.map(newKey);
    ids.forEach((id, index) => {
      const numbering = isStamped ? NUMBERING[index] : undefined;
      installKey(ring, id, index * SECOND_KEY_SLOT, FIRST_BYTES[index], numbering);
    });
    // More than are compared: the pacer goes on until it is stopped.
    publishTimes(ring, shim.clock.nowNs() + 3e7, INTERVAL_NS, 2 * SLOTS);
    fillQueue(memory, ring, isStamped);
    goAside(shim.pacer, memory, ring, burst, receiver.address, fd);
    shim.pacer.ringStart(ring);
    waitForSlots(ring, SLOTS);
    stop();
    receiver.collect(50, ringF64(ring, RING.records));
    outcome = {
      sent: receiver.datagrams.map((datagram) => datagram.join()),
      skipped: ringF64(ring, RING.skipped),
      taken: memory.u32[(ring + RING.taken) >>> 2],
      switches: memory.u32[(ring + RING.switches) >>> 2],
    };
    shim.pacer.ringFree(ring);
    ids.forEach((id) => shim.protection.freeKey(id));
  });
  return outcome!;
}

for (const [name, suite] of Object.entries(SUITES)) {
  for (const [burst, isStamped] of [[1, false], [4, false], [1, true], [3, true]] as const) {
    const what = `${name}, ${burst} a slot${isStamped ? ", counted" : ""}`;
    Deno.test(`Pacer and SimPacer send the same bytes for the same script: ${what}`, () => {
      const keys = [randomKey(suite), randomKey(suite)];
      const twin = simulated(keys, burst, isStamped);
      const seen = real(keys, burst, isStamped);
      assert.deepEqual([seen.taken, seen.switches], [twin.taken, twin.switches]);
      assert.deepEqual([twin.taken, twin.switches, twin.skipped], [6, 1, 0]);
      const first = SECOND_KEY_SLOT * burst;
      // Slots that were skipped have shortened the part under each key, and taken no number and no plaintext of it.
      const part = (list: readonly string[], index: number) => {
        const under = list.findIndex((bytes) => bytes.startsWith(`${FIRST_BYTES[1]},`));
        return index === 0 ? list.slice(0, under) : list.slice(under);
      };
      assert.equal(part(twin.sent, 0).length, first);
      for (const index of [0, 1]) {
        const [sent, planned] = [part(seen.sent, index), part(twin.sent, index)];
        const count = Math.min(sent.length, planned.length);
        assert.ok(
          count > planned.length / 2,
          `${count} of ${planned.length} sent, ${seen.skipped} slots skipped`,
        );
        assert.deepEqual(sent.slice(0, count), planned.slice(0, count));
      }
      assert.ok(part(seen.sent, 0).length + seen.skipped * burst >= first);
    });
  }
}
