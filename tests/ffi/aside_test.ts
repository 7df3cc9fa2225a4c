/** Slots that go aside, and rings that move: what of it leaves, byte by byte, on real sockets. */
import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { RING } from "../../src/ports/mod.ts";
import { message, startRing, waitForSlots, withPacer } from "./pacer_support.ts";
import {
  ANY_PORT,
  type KeyBytes,
  memory,
  openShown,
  PLAINTEXT_LEN,
  Receiver,
  RECORD_LEN,
  ringF64,
  ringU32,
  shim,
  submit,
  waitUntil,
} from "./support.ts";

function plaintextAt(bytes: Uint8Array): number {
  const at = memory.alloc(PLAINTEXT_LEN);
  memory.u8.set(bytes, at);
  return at;
}

/** The plaintexts of datagrams that have, in whatever order, each number of one row once. */
function oneTrain(datagrams: readonly Uint8Array[], key: KeyBytes): Uint8Array[] {
  const opened = openShown(datagrams, key);
  ok(opened.every(({ plaintext }) => plaintext !== undefined));
  const numbers = opened.map(({ number }) => number).toSorted((a, b) => a - b);
  deepStrictEqual(numbers, numbers.map((_, index) => index));
  return opened.map(({ plaintext }) => plaintext!);
}

for (const burst of [1, 3]) {
  Deno.test(`a slot goes aside for each ${burst} datagrams of credit, takes nothing of the queue, and there is none more`, () => {
    withPacer((fd, receiver, stop) => {
      const elsewhere = new Receiver();
      const { ring, key, free } = startRing(fd, receiver, 400, undefined, { burst, bufCount: 16 });
      const cost = burst * RECORD_LEN;
      const at = plaintextAt(message(99));
      shim.pacer.ringAside(ring, { fd, to: elsewhere.address, plaintext: at });
      memory.u8.fill(0, at, at + PLAINTEXT_LEN); // it was copied
      memory.free(at, PLAINTEXT_LEN);
      for (let n = 0; n < 6; n++) ok(submit(ring, n, message(n + 1)));
      waitForSlots(ring, 10);
      strictEqual(ringF64(ring, RING.aside), 0, "without credit none");
      shim.pacer.ringCredit(ring, 5 * cost - 1);
      waitUntil("four slots", () => ringF64(ring, RING.aside) === 4);
      for (let n = 6; n < 12; n++) waitUntil("room", () => submit(ring, n, message(n + 1)));
      shim.pacer.ringCredit(ring, 1);
      waitUntil("the fifth", () => ringF64(ring, RING.aside) === 5);
      waitUntil("the buffers to be taken", () => ringU32(ring, RING.taken) === 12);
      waitForSlots(ring, ringF64(ring, RING.slots) + 3);
      stop();
      receiver.collect(50, ringF64(ring, RING.records) - 5 * burst);
      elsewhere.collect(50, 5 * burst);
      strictEqual(ringF64(ring, RING.aside), 5);
      strictEqual(elsewhere.datagrams.length, 5 * burst);
      strictEqual(receiver.datagrams.length + 5 * burst, ringF64(ring, RING.records));
      const sent = ringF64(ring, RING.slots) - ringF64(ring, RING.skipped);
      strictEqual(ringF64(ring, RING.records), sent * burst, "never a datagram more");
      // Both ways together are one train: each number once.
      const opened = oneTrain([...receiver.datagrams, ...elsewhere.datagrams], key);
      const aside = opened.slice(receiver.datagrams.length);
      deepStrictEqual(aside.filter((_, i) => i % burst === 0), Array.from({ length: 5 }, () => message(99)));
      ok(
        aside.every((plaintext, i) => i % burst === 0 || plaintext[0] === 0),
        "chaff in the rest of a burst",
      );
      const data = opened.slice(0, receiver.datagrams.length).filter((plaintext) => plaintext[0] !== 0);
      deepStrictEqual(data, Array.from({ length: 12 }, (_, n) => message(n + 1)));
      free();
      elsewhere.close();
    });
  });
}

Deno.test("a new aside begins without credit, an ended one uses none, and a socket that one holds stays open", () => {
  withPacer((fd, receiver) => {
    const [first, second] = [new Receiver(), new Receiver()];
    const own = shim.udpOpen(ANY_PORT);
    const { ring, free } = startRing(fd, receiver, 400);
    const plaintext = plaintextAt(message(99));
    const slotsOn = (count: number) => waitForSlots(ring, ringF64(ring, RING.slots) + count);
    shim.pacer.ringAside(ring, { fd, to: first.address, plaintext });
    shim.pacer.ringCredit(ring, 3 * RECORD_LEN);
    shim.pacer.ringAside(ring, { fd: own.fd, to: second.address, plaintext });
    slotsOn(5);
    const before = ringF64(ring, RING.aside);
    ok(before <= 3);
    throws(() => shim.close(own.fd), { errnoName: "EBUSY" });
    shim.pacer.ringCredit(ring, RECORD_LEN);
    waitUntil("a slot", () => ringF64(ring, RING.aside) === before + 1);
    shim.pacer.ringAside(ring, undefined);
    shim.pacer.ringCredit(ring, 10 * RECORD_LEN);
    slotsOn(5);
    strictEqual(ringF64(ring, RING.aside), before + 1);
    shim.close(own.fd);
    second.collect(50, 1);
    strictEqual(second.datagrams.length, 1);
    for (const receiver of [first, second]) receiver.close();
    memory.free(plaintext, PLAINTEXT_LEN);
    free();
  });
});

Deno.test("Pacer.ringMove() changes header, socket and destination at one slot, and goes on with the numbers", () => {
  withPacer((fd, receiver, stop) => {
    const elsewhere = new Receiver();
    const own = shim.udpOpen(ANY_PORT);
    const { ring, key, free } = startRing(fd, receiver, 200);
    const header = memory.alloc(8);
    const bodyLen = RECORD_LEN - 5;
    memory.u8.set([0x2e, 0, 0, bodyLen >> 8, bodyLen & 0xff], header);
    waitForSlots(ring, 5);
    const at = ringF64(ring, RING.slotNext) + 20;
    shim.pacer.ringMove(ring, own.fd, elsewhere.address, header, at);
    throws(() => shim.pacer.ringMove(ring, fd, elsewhere.address, header, at), { errnoName: "EBUSY" });
    waitForSlots(ring, at + 10);
    strictEqual(ringU32(ring, RING.switches), 1);
    throws(() => shim.close(own.fd), { errnoName: "EBUSY" });
    stop();
    const [records, slots, skipped] = [RING.records, RING.slots, RING.skipped].map((f) => ringF64(ring, f));
    receiver.collect(50, at);
    elsewhere.collect(50, records - receiver.datagrams.length);
    strictEqual(receiver.datagrams.length + elsewhere.datagrams.length, slots - skipped);
    ok(receiver.datagrams.length <= at && receiver.datagrams.length >= at - skipped);
    ok(receiver.datagrams.every((datagram) => datagram[0] === 0x2f));
    ok(elsewhere.datagrams.every((datagram) => datagram[0] === 0x2e));
    oneTrain([...receiver.datagrams, ...elsewhere.datagrams], key);
    free();
    memory.free(header, 8);
    shim.close(own.fd);
    elsewhere.close();
  });
});
