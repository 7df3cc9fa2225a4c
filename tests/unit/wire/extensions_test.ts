import assert from "node:assert/strict";
import fc from "fast-check";
import { concat, fromHex, toHex } from "../../../src/base/mod.ts";
import * as x from "../../../src/wire/extensions.ts";

const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const u16s = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 1, maxLength: 9 });
const shares = fc.array(
  fc.record({ group: fc.integer({ min: 0, max: 0xffff }), share: bytes(1, 70) }, { noNullPrototype: true }),
  {
    maxLength: 3,
  },
);

/** A parser's result for what its emitter wrote, for it cut short, and with a byte more. */
function assertRoundTrip<T>(parse: (body: Uint8Array) => T | undefined, body: Uint8Array, expected: T): void {
  assert.deepEqual(parse(body), expected);
  for (let len = 0; len < body.length; len++) {
    assert.equal(parse(body.subarray(0, len)), undefined, `${toHex(body)} cut to ${len}`);
  }
  assert.equal(parse(concat(body, Uint8Array.of(0))), undefined);
}

Deno.test("extension parsers read what was written, and nothing shorter or longer", () => {
  fc.assert(fc.property(u16s, shares, bytes(1, 80), (numbers, list, some) => {
    assertRoundTrip(x.parseClientVersions, x.emitClientVersions(numbers).body, numbers);
    assertRoundTrip(x.parseGroups, x.emitGroups(numbers).body, numbers);
    assertRoundTrip(x.parseClientShares, x.emitClientShares(list).body, list);
    if (list.length > 0) assertRoundTrip(x.parseServerShare, x.emitServerShare(list[0]).body, list[0]);
    assertRoundTrip(x.parseOneU16, x.emitOneU16(43, numbers[0]).body, numbers[0]);
    assertRoundTrip(x.parseCookie, x.emitCookie(some).body, some);
    assertRoundTrip(x.parseConnectionId, x.emitConnectionId(some).body, some);
    assertRoundTrip(x.parsePskModes, x.emitPskModes([...some]).body, some);
  }));
});

Deno.test("parseOfferedPsks() reads what emitOfferedPsks() wrote, with binders at the end", () => {
  fc.assert(fc.property(fc.array(bytes(0, 90), { minLength: 1, maxLength: 3 }), (identities) => {
    const lens = identities.map((_, index) => index % 2 === 0 ? 32 : 48);
    const { body } = x.emitOfferedPsks(identities, lens);
    assertRoundTrip(x.parseOfferedPsks, body, {
      identities: identities.map((identity) => ({ identity, obfuscatedTicketAge: 0 })),
      binders: lens.map((len) => new Uint8Array(len)),
      bindersLen: 2 + lens.reduce((sum, len) => sum + 1 + len, 0),
    });
  }));
});

Deno.test("parseOfferedPsks() refuses binders shorter than 32 bytes", () => {
  const { body } = x.emitOfferedPsks([Uint8Array.of(1)], [31]);
  assert.equal(x.parseOfferedPsks(body), undefined);
});

Deno.test("parseExtensions() keeps unknown ones in order and refuses one type twice", () => {
  const list = [{ type: 0x2a2a, body: Uint8Array.of(1, 2) }, { type: 43, body: new Uint8Array(0) }];
  assertRoundTripOfBlock(list);
  const twice = x.emitExtensions([list[0], list[1], list[0]]);
  assert.equal(x.parseExtensions(twice.subarray(2)), undefined);
});

function assertRoundTripOfBlock(list: x.Extension[]): void {
  const block = x.emitExtensions(list);
  assert.equal(block[0] << 8 | block[1], block.length - 2);
  assert.deepEqual(x.parseExtensions(block.subarray(2)), list);
  assert.equal(x.parseExtensions(block.subarray(2, block.length - 1)), undefined);
}

Deno.test("parseExtensions() refuses more than 128", () => {
  const block = concat(...Array.from({ length: 129 }, (_, type) => Uint8Array.of(1, type, 0, 0)));
  assert.equal(x.parseExtensions(block), undefined);
  assert.equal(x.parseExtensions(block.subarray(4))?.length, 128);
});

Deno.test("extension parsers refuse empty lists and odd lengths", () => {
  assert.equal(x.parseGroups(fromHex("0000")), undefined);
  assert.equal(x.parseGroups(fromHex("0003 001d 00")), undefined);
  assert.equal(x.parseClientVersions(fromHex("00")), undefined);
  assert.equal(x.parsePskModes(fromHex("00")), undefined);
  assert.equal(x.parseCookie(fromHex("0000")), undefined);
  assert.deepEqual(x.parseClientShares(fromHex("0000")), []);
  assert.equal(x.parseClientShares(fromHex("0004 001d 0000")), undefined);
});
