import assert from "node:assert/strict";
import fc from "fast-check";
import { HELLO_PART, peekHello } from "../../../src/wire/hello_peek.ts";
import { plaintextRecord } from "../../../src/record/handshake_records.ts";
import { emitHandshakeFragment, parseHandshakeHeader } from "../../../src/wire/handshake_header.ts";

const body = new Uint8Array(300);
const part = (type: number, messageSeq: number, start: number, end: number, contentType = 22) => {
  const datagram = plaintextRecord(contentType, 5, emitHandshakeFragment(type, messageSeq, body, start, end));
  return { datagram, part: peekHello(datagram, 0, datagram.length) };
};

Deno.test("peekHello() tells first hellos, second ones and what follows them apart, and all else", () => {
  assert.equal(part(1, 0, 0, 300).part, HELLO_PART.first);
  assert.equal(part(1, 0, 0, 100).part, HELLO_PART.first);
  assert.equal(part(1, 1, 0, 300).part, HELLO_PART.second);
  assert.equal(part(1, 1, 0, 10).part, HELLO_PART.second);
  assert.equal(part(1, 1, 10, 300).part, HELLO_PART.continuation);
  assert.equal(part(1, 0, 10, 300).part, HELLO_PART.none); // RFC 9147 §5.1: a first hello is whole
  assert.equal(part(1, 2, 0, 300).part, HELLO_PART.none);
  assert.equal(part(2, 0, 0, 300).part, HELLO_PART.none);
  assert.equal(part(1, 0, 0, 300, 21).part, HELLO_PART.none);
  const ofEpoch2 = part(1, 0, 0, 300).datagram;
  ofEpoch2[4] = 2;
  assert.equal(peekHello(ofEpoch2, 0, ofEpoch2.length), HELLO_PART.none);
});

Deno.test("peekHello() reads within its bounds, wherever the datagram lies", () => {
  const { datagram } = part(1, 0, 0, 300);
  for (let end = 0; end < datagram.length; end++) assert.equal(peekHello(datagram, 0, end), HELLO_PART.none);
  const moved = new Uint8Array(1000).fill(22);
  moved.set(datagram, 333);
  assert.equal(peekHello(moved, 333, 333 + datagram.length), HELLO_PART.first);
});

Deno.test("peekHello() calls nothing a hello that a parser would call another message", () => {
  fc.assert(fc.property(fc.nat(24), fc.nat(255), (at, byte) => {
    const { datagram } = part(1, 1, 0, 20);
    datagram[at] = byte;
    const told = peekHello(datagram, 0, datagram.length);
    const header = parseHandshakeHeader(datagram.subarray(13));
    if (told === HELLO_PART.none || header === undefined) return;
    assert.equal(header.type, 1);
    assert.equal(header.messageSeq, told === HELLO_PART.first ? 0 : 1);
    assert.equal(header.fragmentOffset > 0, told === HELLO_PART.continuation);
  }));
});
