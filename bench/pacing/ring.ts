/** A ring on loopback with all of its slots written ahead, for the benchmarks of pacing. */

import type { Shim } from "../../ffi/mod.ts";
import { KEY_MATERIAL, RING } from "../../src/ports/mod.ts";

export const DATAGRAM_LEN = 1372;
const HDR_LEN = 5;
const START_NS = 5e7;

export interface BenchRing {
  readonly ring: number;
  readonly fd: number;
  readonly sink: number;
}

/** `seconds` of slots on an exact grid, `burst` records each, sealed with AES-128-GCM. Not started. */
export function makeRing(shim: Shim, seconds: number, intervalNs: number, burst: number): BenchRing {
  const { memory, pacer } = shim;
  const any = { ip: Uint8Array.of(127, 0, 0, 1), port: 0 };
  const { fd } = shim.udpOpen(any);
  const { fd: sink, address } = shim.udpOpen(any);
  const slots = Math.ceil(seconds * 1e9 / intervalNs) + 2;
  const timesCount = 2 ** Math.ceil(Math.log2(slots));
  const ring = pacer.newRing({
    fd,
    datagramLen: DATAGRAM_LEN,
    hdrLen: HDR_LEN,
    seqOff: 1,
    seqLen: 2,
    burst,
    bufCount: 64,
    timesCount,
    traceCount: 0,
    intervalNs,
    to: address,
  });
  const material = memory.alloc(KEY_MATERIAL.size);
  memory.u32[material >>> 2] = 0x1301;
  shim.entropy.fill(memory.u8.subarray(material + 4, material + KEY_MATERIAL.size));
  const header = memory.alloc(HDR_LEN);
  memory.u8.set([0x2f, 0, 0, (DATAGRAM_LEN - HDR_LEN) >>> 8, (DATAGRAM_LEN - HDR_LEN) & 0xff], header);
  pacer.ringKeys(ring, shim.protection.newKey(material), header, 0);
  const times = memory.u32[(ring + RING.times) >>> 2] >>> 3;
  const start = shim.clock.nowNs() + START_NS;
  for (let slot = 0; slot < slots; slot++) memory.f64[times + slot] = start + slot * intervalNs;
  pacer.ringTimes(ring, slots);
  return { ring, fd, sink };
}
