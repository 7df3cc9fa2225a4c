import assert from "node:assert/strict";
import {
  firstByteText,
  identificationRule,
  isDataRecord,
  parseOuterPacket,
} from "../../../src/demo/outer_packet.ts";
import { headOf, type HeadOptions, PACKET_LEN } from "./world.ts";

const parse = (options: HeadOptions = {}) => parseOuterPacket(headOf(options), options.len ?? PACKET_LEN);

Deno.test("parseOuterPacket() writes out every field that has to be constant", () => {
  assert.equal(
    parse()!.fields,
    "192.0.2.2:40000 to 198.51.100.2:1405, TTL 64, DSCP 0, ECN 0, DF on, UDP checksum present",
  );
  assert.equal(parse()!.recordLen, PACKET_LEN - 33);
  assert.equal(parse({ firstByte: 0x3f })!.recordLen, PACKET_LEN - 41);
});

Deno.test("parseOuterPacket() shows a change of any field", () => {
  const usual = parse()!.fields;
  const changed = (change: (head: Uint8Array) => void, len = PACKET_LEN) => {
    const head = headOf();
    change(head);
    return parseOuterPacket(head, len)?.fields;
  };
  const bytes = [1, 2, 3, 6, 8, 12, 15, 16, 19, 20, 21, 22, 23, 24, 25];
  for (const at of bytes) assert.notEqual(changed((head) => head[at] ^= 0x40), usual, `byte ${at}`);
  assert.notEqual(changed((head) => head.fill(0, 26, 28)), usual, "no UDP checksum");
  assert.notEqual(changed(() => {}, PACKET_LEN - 1), usual, "another length on the wire");
});

Deno.test("parseOuterPacket() takes nothing but unfragmented UDP over IPv4 without options", () => {
  const broken = (at: number, byte: number) => {
    const head = headOf();
    head[at] = byte;
    return parseOuterPacket(head, PACKET_LEN);
  };
  assert.equal(broken(0, 0x46), undefined, "options");
  assert.equal(broken(0, 0x60), undefined, "IPv6");
  assert.equal(broken(9, 1), undefined, "ICMP");
  assert.equal(broken(6, 0x60), undefined, "more fragments");
  assert.equal(broken(7, 1), undefined, "a later fragment");
  assert.equal(parseOuterPacket(headOf().subarray(0, 28), 28), undefined, "no payload");
});

Deno.test("isDataRecord() tells records of epoch 3 on from hellos and handshake records", () => {
  const of = (firstByte: number) => isDataRecord(parse({ firstByte })!);
  assert.deepEqual([0x2f, 0x2c, 0x2d, 0x3f].map(of), [true, true, true, true]);
  assert.deepEqual([0x16, 0x2e, 0x3e, 0x0f].map(of), [false, false, false, false]);
  assert.equal(parse({ firstByte: 0x16 })!.recordLen, undefined);
});

Deno.test("identificationRule() names the rule", () => {
  assert.equal(identificationRule([]), "constant 0");
  assert.equal(identificationRule([7, 7, 7]), "constant 7");
  assert.equal(identificationRule([0xfffe, 0xffff, 0, 1]), "counts up");
  assert.equal(identificationRule([2, 0, 1, 2, 0], 3), "counts up to 3 in each burst");
  assert.equal(identificationRule([0, 1, 2, 1, 2], 3), "irregular");
  assert.equal(identificationRule([0, 1, 0, 1]), "irregular");
  assert.equal(identificationRule([1, 2, 4]), "irregular");
});

Deno.test("firstByteText() writes two digits", () => {
  assert.equal(firstByteText(0x0f), "0x0f");
});
