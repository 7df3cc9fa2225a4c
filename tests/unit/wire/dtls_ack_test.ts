import { deepStrictEqual as equal, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { fromHex, toHex } from "../../../src/base/mod.ts";
import { ALERT, alertName, emitAlert, parseAlert } from "../../../src/wire/alert.ts";
import { ACK_NUMBERS_MAX, ackNumbersFitting, emitAck, parseAck } from "../../../src/wire/dtls_ack.ts";

const recordNumber = fc.record({ epoch: fc.maxSafeNat(), sequenceNumber: fc.maxSafeNat() }, {
  noNullPrototype: true,
});

Deno.test("parseAck() inverts emitAck(), and refuses a byte more or less", () => {
  fc.assert(fc.property(fc.array(recordNumber, { maxLength: 20 }), (numbers) => {
    const emitted = emitAck(numbers);
    equal(parseAck(emitted), numbers);
    strictEqual(parseAck(emitted.subarray(0, -1)), undefined);
    const longer = new Uint8Array(emitted.length + 1);
    longer.set(emitted);
    strictEqual(parseAck(longer), undefined);
  }));
});

Deno.test("ackNumbersFitting() is the most that emitAck() writes into so many bytes", () => {
  for (const [len, count] of [[0, 0], [17, 0], [18, 1], [33, 1], [34, 2], [100_000, ACK_NUMBERS_MAX]]) {
    strictEqual(ackNumbersFitting(len), count);
    const numbers = Array.from({ length: count }, (_, index) => ({ epoch: 2, sequenceNumber: index }));
    strictEqual(count === 0 || emitAck(numbers).length <= len, true);
  }
});

Deno.test("emitAck() writes RFC 9147 §7's layout", () => {
  const ack = emitAck([{ epoch: 2, sequenceNumber: 0x1_0000_0203 }]);
  strictEqual(toHex(ack), "0010" + "0000000000000002" + "0000000100000203");
});

Deno.test("parseAck() takes an empty ACK and leaves impossible numbers out", () => {
  equal(parseAck(Uint8Array.of(0, 0)), []);
  equal(parseAck(fromHex("0020" + "ff".repeat(16) + "00".repeat(16))), [{ epoch: 0, sequenceNumber: 0 }]);
});

Deno.test("parseAck() refuses lengths that are no multiple of 16", () => {
  strictEqual(parseAck(new Uint8Array(0)), undefined);
  strictEqual(parseAck(Uint8Array.of(0)), undefined);
  strictEqual(parseAck(fromHex("000f" + "00".repeat(15))), undefined);
});

Deno.test("emitAck() holds 4,095 numbers and throws for one more, or for one that is none", () => {
  const numbers = new Array(ACK_NUMBERS_MAX).fill({ epoch: 1, sequenceNumber: 2 });
  strictEqual(parseAck(emitAck(numbers))!.length, 4095);
  throws(() => emitAck([...numbers, numbers[0]]), /Defect/);
  throws(() => emitAck([{ epoch: -1, sequenceNumber: 0 }]), /Defect/);
  throws(() => emitAck([{ epoch: 0, sequenceNumber: 2 ** 53 }]), /Defect/);
});

Deno.test("parseAlert() inverts emitAlert(); closing is a warning, all else fatal", () => {
  equal(parseAlert(emitAlert(ALERT.closeNotify)), { level: 1, description: 0 });
  equal(parseAlert(emitAlert(ALERT.userCanceled)), { level: 1, description: 90 });
  equal(parseAlert(emitAlert(ALERT.illegalParameter)), { level: 2, description: 47 });
});

Deno.test("parseAlert() keeps unknown alerts and refuses other lengths", () => {
  equal(parseAlert(Uint8Array.of(9, 250)), { level: 9, description: 250 });
  strictEqual(parseAlert(Uint8Array.of(1)), undefined);
  strictEqual(parseAlert(Uint8Array.of(1, 0, 0)), undefined);
});

Deno.test("alertName() writes names as the RFC does", () => {
  strictEqual(alertName(ALERT.unknownPskIdentity), "unknown_psk_identity");
  strictEqual(alertName(ALERT.closeNotify), "close_notify");
  strictEqual(alertName(250), "alert 250");
});
