/** From a record's connection id to its session, with 1, 1,000 and 100,000 ids in the table: time to receive a datagram
 * whose id is drawn from them, and one of an unknown id, over loopback. The kernel's part is the same in each line.
 *
 *   deno run -A bench/micro/lookup.ts [DATAGRAMS] */

import { openShim, shimPath } from "../../ffi/mod.ts";
import { SeededRandom, seedOf } from "../../src/base/random.ts";
import { IO, RX } from "../../src/ports/mod.ts";

const LEN = 100;
const BATCH = 64;
const COUNTS = [1, 1000, 100_000];

const total = Math.max(BATCH, Number(Deno.args[0] ?? 200_000));
const shim = openShim(shimPath());
const { memory } = shim;
const any = { ip: Uint8Array.of(127, 0, 0, 1), port: 0 };
const [sender, receiver] = [shim.udpOpen(any), shim.udpOpen(any)];
const io = shim.newIo({ udpFds: [receiver.fd], rxCap: BATCH, tunCap: 0 });
const datagram = memory.alloc(LEN);
const random = new SeededRandom(seedOf(1));

function idOf(n: number): Uint8Array {
  const id = new Uint8Array(8);
  const one = new SeededRandom(seedOf(n + 0.5));
  new DataView(id.buffer).setUint32(0, one.u32());
  new DataView(id.buffer).setUint32(4, one.u32());
  return id;
}

/** Nanoseconds of a poll for each datagram; checks whose each is. */
function receive(ids: readonly Uint8Array[], isKnown: boolean): number {
  let ns = 0;
  for (let done = 0; done < total; done += BATCH) {
    const picks = Array.from({ length: BATCH }, () => random.below(ids.length));
    for (const pick of picks) {
      memory.u8[datagram] = 0x3f;
      memory.u8.set(ids[pick], datagram + 1);
      if (!isKnown) memory.u8[datagram + 8] ^= 0xff;
      io.udpSend(sender.fd, datagram, LEN, receiver.address);
    }
    for (let told = 0; told < BATCH;) {
      const from = shim.clock.nowNs();
      io.poll(); // a part of them at a time
      ns += shim.clock.nowNs() - from;
      const [descs, count] = [memory.u32[(io.io + IO.rxDescs) >> 2], memory.u32[(io.io + IO.rxCount) >> 2]];
      for (let i = 0; i < count; i++) {
        const pick = picks[told++];
        const peer = memory.i32[(descs + i * RX.size + RX.peer) >> 2];
        if (peer !== (isKnown ? pick : -1)) throw new Error(`datagram of id ${pick} was taken for ${peer}'s`);
      }
    }
  }
  return ns / total;
}

const ids: Uint8Array[] = [];
for (const count of COUNTS) {
  for (let n = ids.length; n < count; n++) {
    ids.push(idOf(n));
    io.setPeerOfId(ids[n], n);
  }
  const [known, unknown] = [receive(ids, true), receive(ids, false)];
  console.log(
    `${String(count).padStart(7)} ids: ${known.toFixed(0)} ns a datagram, ${
      unknown.toFixed(0)
    } ns with an unknown id`,
  );
}
