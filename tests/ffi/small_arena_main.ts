/** Run by memory_test.ts: rings until a small arena is full, again and again. Failed ones must leave nothing behind. */

import { strictEqual, throws } from "node:assert/strict";
import { openShim } from "../../ffi/mod.ts";

const shim = openShim(Deno.args[0], 2 ** 20);
const { fd, address } = shim.udpOpen({ ip: Uint8Array.of(127, 0, 0, 1), port: 0 });
const config = {
  fd,
  to: address,
  hdrLen: 5,
  seqOff: 1,
  seqLen: 2,
  burst: 4,
  intervalNs: 1e6,
  traceCount: 256,
};
const sizes = { datagramLen: 1400, bufCount: 32, timesCount: 1024 };

function fill(): number[] {
  const rings: number[] = [];
  throws(() => {
    while (rings.length < 1000) rings.push(shim.pacer.newRing({ ...config, ...sizes }));
  }, { errnoName: "ENOMEM" });
  return rings;
}

let count = 0;
for (let round = 0; round < 50; round++) {
  const rings = fill();
  if (round > 0) strictEqual(rings.length, count);
  count = rings.length;
  rings.forEach((ring) => shim.pacer.ringFree(ring));
}
throws(() => openShim("/nowhere.so"));
console.log(`rings: ${count}`);
