/** What an observer on the wire may find, as assertions: one length, one set of header fields, packets = slots. */
import assert from "node:assert/strict";
import type { TracedSlot } from "./ends.ts";
import { countBy, type SeenDatagram } from "./pcap.ts";

/** RFC 9147 §4, our form: 001 C S=1 L=1 and the two low bits of the epoch. */
const isRecord = (datagram: SeenDatagram) => (datagram.payload[0] & 0xec) === 0x2c;
const idBit = (datagram: SeenDatagram) => datagram.payload[0] & 0x10;
const epochBits = (datagram: SeenDatagram) => datagram.payload[0] & 3;

/** Datagrams of the sender, in order. */
export function sentBy(seen: readonly SeenDatagram[], address: string): SeenDatagram[] {
  return seen.filter((datagram) => datagram.from === address);
}

/** All have one outer length and one set of outer header fields, and no other address or port than one. */
export function assertUniform(seen: readonly SeenDatagram[], ipLen: number): void {
  assert.ok(seen.length > 0, "something was seen");
  assert.deepEqual([...countBy(seen, (datagram) => datagram.ipLen).keys()], [ipLen]);
  assert.equal(
    countBy(seen, (datagram) => datagram.fields).size,
    1,
    [...countBy(seen, (d) => d.fields).keys()].join("; "),
  );
}

/** A participant's datagrams from the first to the last of its train: each is a slot, each slot that was sent is a
 * datagram, and all have a form that they should have. A server's handshake is not a part of its train. */
export function assertPacketsAreSlots(seen: readonly SeenDatagram[], trace: readonly TracedSlot[]): void {
  assert.ok(trace.length > 0, "the trace is not empty");
  trace.forEach((slot, index) =>
    assert.equal(slot.slot, trace[0].slot + index, "slots in the trace are consecutive")
  );
  assert.equal(trace[0].slot, 0, "the trace begins with the train");
  const sent = trace.filter((slot) => slot.sent).length;
  assert.equal(seen.length, sent, "packets on the wire = slots that were sent");
  const strange = seen.filter((datagram) => !isRecord(datagram) && datagram.payload[0] !== 22);
  assert.deepEqual(strange.map((datagram) => datagram.payload[0]), [], "hellos and records, nothing else");
  assert.ok(countBy(seen.filter(isRecord), idBit).size <= 1, "a connection id in all records or in none");
}

/** Only the data records: epoch 3 until the first key change. */
export function dataRecords(seen: readonly SeenDatagram[]): SeenDatagram[] {
  return seen.filter((datagram) => isRecord(datagram) && epochBits(datagram) !== 2);
}
