/** Run by fault_test.ts with a library that was built with faults: `fault_main.ts KIND LOAD`. Sends 400 slots over
 * loopback, idle or with data in every third slot, and prints what an observer could see of them as one JSON line. */

import { FAULT_SYMBOLS } from "../../ffi/symbols.ts";
import { RING, TRACE, TRACE_FLAG } from "../../src/ports/mod.ts";
import {
  ANY_PORT,
  installKey,
  libraryPath,
  memory,
  newKey,
  PLAINTEXT_LEN,
  publishTimes,
  randomKey,
  Receiver,
  ringConfig,
  ringF64,
  ringU32,
  shim,
  submit,
  SUITES,
} from "./support.ts";

const SLOTS = 400;
const [kind, load] = Deno.args;

/** Everything that an observer of the wire sees, timing as the median deviation of slots with and without data. */
export interface Observation {
  readonly datagrams: number;
  readonly slotsSent: number;
  readonly lengths: readonly number[];
  readonly firstBytes: readonly number[];
  readonly medianChaffNs: number;
  readonly medianDataNs: number;
  readonly dataSlots: number;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

function observe(): Observation {
  const faults = Deno.dlopen(libraryPath(), FAULT_SYMBOLS);
  const sender = shim.udpOpen(ANY_PORT);
  const receiver = new Receiver();
  shim.pacer.start({
    pollMode: "hybrid",
    fifo: true,
    cpu: "auto",
    calibrateMs: 100,
    leadNs: 0,
    leadMaxNs: 3e5,
  });
  const ring = shim.pacer.newRing(ringConfig(sender.fd, receiver.address));
  installKey(ring, newKey(randomKey(SUITES.aes128)), 0);
  publishTimes(ring, shim.clock.nowNs() + 2e7, 1e6, SLOTS + 600);
  faults.symbols.i405_fault(Number(kind));
  shim.pacer.ringStart(ring);
  let submitted = 0;
  while (ringF64(ring, RING.slots) < SLOTS) {
    receiver.collect(2.5);
    const full = new Uint8Array(PLAINTEXT_LEN).fill(7);
    if (load === "busy" && ringU32(ring, RING.taken) === submitted && submit(ring, submitted, full)) {
      submitted++;
    }
  }
  shim.pacer.stop();
  receiver.collect(20);

  const deviations: { data: number[]; chaff: number[] } = { data: [], chaff: [] };
  for (let slot = 0; slot < ringF64(ring, RING.slots); slot++) {
    const at = ringU32(ring, RING.trace) + slot * TRACE.size;
    if ((memory.u32[(at + TRACE.flags) >>> 2] & TRACE_FLAG.skipped) !== 0) continue;
    const deviation = memory.f64[(at + TRACE.actualNs) >>> 3] - memory.f64[(at + TRACE.plannedNs) >>> 3];
    (memory.u32[(at + TRACE.dataRecords) >>> 2] > 0 ? deviations.data : deviations.chaff).push(deviation);
  }
  return {
    datagrams: receiver.datagrams.length,
    slotsSent: ringF64(ring, RING.slots) - ringF64(ring, RING.skipped),
    lengths: [...new Set(receiver.datagrams.map((datagram) => datagram.length))],
    firstBytes: [...new Set(receiver.datagrams.map((datagram) => datagram[0]))],
    medianChaffNs: median(deviations.chaff),
    medianDataNs: median(deviations.data),
    dataSlots: deviations.data.length,
  };
}

console.log(JSON.stringify(observe()));
