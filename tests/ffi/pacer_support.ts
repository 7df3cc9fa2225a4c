/** What the tests of the pacer share: a running pacer between two sockets, a started ring, its counters. */

import { type PacerConfig } from "../../ffi/mod.ts";
import { RING, TRACE } from "../../src/ports/mod.ts";
import {
  ANY_PORT,
  installKey,
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
  SUITES,
  waitUntil,
} from "./support.ts";

export const CONFIG: PacerConfig = {
  pollMode: "hybrid",
  fifo: true,
  cpu: "auto",
  calibrateMs: 20,
  leadNs: 0,
  leadMaxNs: 300_000,
};
export const INTERVAL_NS = 1e6;

/** Runs `body` with a pacer, a sending and a receiving socket, and tidies up. `stop` stops the pacer earlier: only
 * then do counters, read one after another, belong together. */
export function withPacer(
  body: (fd: number, receiver: Receiver, stop: () => void) => void,
  over: Partial<PacerConfig> = {},
): void {
  const sender = shim.udpOpen(ANY_PORT);
  const receiver = new Receiver();
  shim.pacer.start({ ...CONFIG, ...over });
  let running = true;
  const stop = () => {
    if (running) shim.pacer.stop();
    running = false;
  };
  try {
    body(sender.fd, receiver, stop);
  } finally {
    stop();
  }
  // After a failure a ring may still hold the socket.
  receiver.close();
  shim.close(sender.fd);
}

/** A ring with one key and `count` slots from 20 ms ahead, started. */
export function startRing(
  fd: number,
  receiver: Receiver,
  count: number,
  key = randomKey(SUITES.aes128),
  over = {},
) {
  const ring = shim.pacer.newRing(ringConfig(fd, receiver.address, over));
  const id = newKey(key);
  installKey(ring, id, 0);
  publishTimes(ring, shim.clock.nowNs() + 2e7, INTERVAL_NS, count);
  shim.pacer.ringStart(ring);
  const free = () => {
    shim.pacer.ringFree(ring);
    shim.protection.freeKey(id);
  };
  return { ring, key, id, free };
}

export function counters(ring: number) {
  const { slots, records, dataRecords, skipped, late, sendErrors, dry, keyless, seqNext } = RING;
  const fields = { slots, records, dataRecords, skipped, late, sendErrors, dry, keyless, seqNext };
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, ringF64(ring, field)]));
}

export function waitForSlots(ring: number, count: number): void {
  waitUntil(`${count} slots`, () => ringF64(ring, RING.slots) >= count);
}

export function traceAt(ring: number, slot: number) {
  const at = ringU32(ring, RING.trace) + (slot % ringU32(ring, RING.traceCount)) * TRACE.size;
  const f64 = (field: number) => memory.f64[(at + field) >>> 3];
  return {
    slot: f64(TRACE.slot),
    plannedNs: f64(TRACE.plannedNs),
    actualNs: f64(TRACE.actualNs),
    dataRecords: memory.u32[(at + TRACE.dataRecords) >>> 2],
    flags: memory.u32[(at + TRACE.flags) >>> 2],
  };
}

export const chaff = new Uint8Array(PLAINTEXT_LEN).with(PLAINTEXT_LEN - 1, 23);
export function message(n: number): Uint8Array {
  return new Uint8Array(PLAINTEXT_LEN).fill(n).with(PLAINTEXT_LEN - 1, 23);
}
