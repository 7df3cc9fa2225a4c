import assert from "node:assert/strict";
import fc from "fast-check";
import { suiteById } from "../../../src/crypto/suites.ts";
import { OutgoingFlight } from "../../../src/flight/outgoing_flight.ts";
import { Reassembly } from "../../../src/flight/reassembly.ts";
import { EpochKeys, splitDatagram } from "../../../src/record/handshake_records.ts";
import { HANDSHAKE_HEADER_LEN, parseHandshakeHeader } from "../../../src/wire/handshake_header.ts";
import { testEntropy } from "./pipe.ts";

const suite = suiteById(0x1303);
const secret = new Uint8Array(32).fill(5);
const message = (epoch: 0 | 2, messageSeq: number, len: number) => ({
  epoch,
  type: 2,
  messageSeq,
  body: Uint8Array.from({ length: len }, (_, index) => index),
});

function maker() {
  let number = 0;
  return {
    nextPlaintextNumber: () => number++,
    sendKeys: new EpochKeys(suite, secret, 2),
    entropy: testEntropy(1),
  };
}

/** Reads datagrams as a receiver does; returns the numbers of the records by epoch that held fragments. */
function read(datagrams: readonly Uint8Array[], reassembly: Reassembly, keys: EpochKeys) {
  const numbers: { epoch: number; sequenceNumber: number }[] = [];
  for (const datagram of datagrams) {
    for (const record of splitDatagram(datagram)) {
      assert.notEqual(record.kind, "malformed");
      if (record.kind === "malformed") continue;
      const opened = record.kind === "plaintext" ? record : keys.open(record);
      if (typeof opened === "string") continue; // a filler
      const header = parseHandshakeHeader(opened.content)!;
      reassembly.add(header, opened.content.subarray(HANDSHAKE_HEADER_LEN), opened.epoch);
      numbers.push({ epoch: opened.epoch, sequenceNumber: opened.sequenceNumber });
    }
  }
  return numbers;
}

Deno.test("OutgoingFlight.compose() fills datagrams of any length exactly, and all of it arrives", () => {
  const lens = fc.integer({ min: 1, max: 1500 });
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 1500 }), lens, lens, lens, (limit, hello, second, third) => {
      const messages = [message(0, 0, hello), message(2, 1, second), message(2, 2, third)];
      const datagrams = new OutgoingFlight(messages).compose(maker(), { limit, exact: true });
      assert.deepEqual([...new Set(datagrams.map(({ length }) => length))], [limit]);
      const reassembly = new Reassembly(0);
      read(datagrams, reassembly, new EpochKeys(suite, secret, 2));
      for (const { body } of messages) {
        assert.deepEqual(reassembly.peek()?.body, body);
        reassembly.advance();
      }
    }),
  );
});

Deno.test("OutgoingFlight.compose() without padding never exceeds its limit", () => {
  const messages = [message(0, 0, 130), message(2, 1, 3000)];
  const datagrams = new OutgoingFlight(messages).compose(maker(), { limit: 1200, exact: false });
  assert.deepEqual(datagrams.map(({ length }) => length), [25 + 130, 1200, 1200, 3000 + 3 * 34 - 2400]);
});

Deno.test("OutgoingFlight.compose() without padding has no datagram with both clear and protected records", () => {
  const messages = [message(0, 0, 1300), message(2, 1, 20), message(2, 2, 32)];
  const datagrams = new OutgoingFlight(messages).compose(maker(), { limit: 1200, exact: false });
  const kinds = datagrams.map((datagram) => splitDatagram(datagram).map(({ kind }) => kind));
  assert.deepEqual(kinds, [["plaintext"], ["plaintext"], ["ciphertext", "ciphertext"]]);
});

Deno.test("OutgoingFlight.acknowledge() leaves what was not named to be sent again, in new records", () => {
  const flight = new OutgoingFlight([message(0, 0, 150), message(2, 1, 500), message(2, 2, 32)]);
  const records = maker();
  const keys = new EpochKeys(suite, secret, 2);
  const first = flight.compose(records, { limit: 200, exact: true });
  assert.equal(first.length, 5);
  const arrived = read([first[0], first[2], first[4]], new Reassembly(0), keys);
  assert.equal(flight.acknowledge(arrived), true);
  assert.equal(flight.acknowledge(arrived), false); // nothing new
  const second = flight.compose(records, { limit: 200, exact: true });
  assert.equal(second.length, 2);
  const again = read(second, new Reassembly(0), keys);
  assert.deepEqual(again.map(({ epoch }) => epoch), [2, 2]);
  assert.ok(
    again.every(({ sequenceNumber }) => arrived.every((old) => old.sequenceNumber !== sequenceNumber)),
  );
  assert.equal(flight.isAcked, false);
  flight.acknowledge(again);
  assert.equal(flight.isAcked, true);
  assert.deepEqual(flight.compose(records, { limit: 200, exact: true }), []);
});

Deno.test("OutgoingFlight.acknowledge() ignores numbers that were never sent", () => {
  const flight = new OutgoingFlight([message(2, 0, 32)]);
  flight.compose(maker(), { limit: 200, exact: true });
  assert.equal(flight.acknowledge([{ epoch: 0, sequenceNumber: 0 }, { epoch: 2, sequenceNumber: 9 }]), false);
  assert.equal(flight.isAcked, false);
});
