import { deepStrictEqual as equal, ok } from "node:assert/strict";
import fc from "fast-check";
import {
  emitWireAddress,
  isWireAddress,
  parseWireAddress,
  STREAM_ADDRESS_MAX_LEN,
  type WireAddress,
  wireAddressLen,
} from "../../../src/wire/stream_address.ts";
import * as frames from "../../../src/wire/stream_frames.ts";

const NAME: WireAddress = { host: "example.org", port: 443 };
const IPV4: WireAddress = { host: Uint8Array.of(192, 0, 2, 1), port: 80 };
const IPV6: WireAddress = { host: new Uint8Array(16).fill(0xfd), port: 65535 };

const written = (emit: (bytes: Uint8Array, off: number) => number) => {
  const bytes = new Uint8Array(400).fill(0xa5);
  const len = emit(bytes, 5);
  ok(bytes[4] === 0xa5 && bytes[5 + len] === 0xa5, "nothing is written beside the frame");
  return bytes.slice(5, 5 + len);
};
const parsed = (bytes: Uint8Array) => {
  const frame = new frames.StreamFrame();
  return frames.parseStreamFrame(bytes, 0, bytes.length, frame) ? frame : undefined;
};
const U48 = 2 ** 48 - 1;

Deno.test("addresses of streams come back as they were written, and the bytes are those of docs/protocol.md", () => {
  for (const address of [NAME, IPV4, IPV6, { host: "x".repeat(255), port: 0 }]) {
    const bytes = written((out, off) => emitWireAddress(out, off, address));
    equal(bytes.length, wireAddressLen(address));
    ok(bytes.length <= STREAM_ADDRESS_MAX_LEN);
    equal(parseWireAddress(bytes, 0, bytes.length), address);
    for (let end = 0; end < bytes.length; end++) equal(parseWireAddress(bytes, 0, end), undefined);
  }
  equal([...written((out, off) => emitWireAddress(out, off, IPV4))], [4, 192, 0, 2, 1, 0, 80]);
  equal([...written((out, off) => emitWireAddress(out, off, { host: "a.b", port: 258 }))], [
    ...[1, 3, 97, 46, 98, 1, 2],
  ]);
});

Deno.test("isWireAddress() refuses names with spaces or beyond ASCII, other lengths of addresses, other ports", () => {
  for (const host of ["", "a b", "tüv.de", "a\0", "x".repeat(256), new Uint8Array(5), new Uint8Array(0)]) {
    ok(!isWireAddress({ host, port: 1 }));
  }
  for (const port of [-1, 65536, 1.5, NaN]) ok(!isWireAddress({ host: "a", port }));
  equal(parseWireAddress(Uint8Array.of(1, 2, 0x61, 0x20, 0, 80), 0, 6), undefined);
  equal(parseWireAddress(Uint8Array.of(1, 0, 0, 80), 0, 4), undefined);
  equal(parseWireAddress(Uint8Array.of(9, 1, 2, 3, 4, 0, 80), 0, 7), undefined);
});

Deno.test("each frame of streams comes back as it was written, and no shorter part of it is a frame", () => {
  const cases: [Uint8Array, Partial<frames.StreamFrame>][] = [
    [written((b, o) => frames.emitPing(b, o)), { type: 0x03 }],
    [written((b, o) => frames.emitOpen(b, o, 7, 1, 65536, NAME)), {
      ...{ type: 0x10, id: 7, kind: 1, window: 65536, address: NAME },
    }],
    [written((b, o) => frames.emitOpened(b, o, 2 ** 32 - 1, 4096, IPV6)), {
      ...{ type: 0x11, id: 2 ** 32 - 1, window: 4096, address: IPV6 },
    }],
    [written((b, o) => frames.emitDataHead(b, o, 8, 2 ** 40 + 5, 0, true)), {
      ...{ type: 0x13, id: 8, offset: 2 ** 40 + 5, bodyLen: 0 },
    }],
    [written((b, o) => frames.emitCredit(b, o, 9, U48)), { type: 0x14, id: 9, limit: U48 }],
    [written((b, o) => frames.emitReset(b, o, 10, 5)), { type: 0x15, id: 10, reason: 5 }],
    [written((b, o) => frames.emitHello(b, o, new Uint8Array(8).fill(1), new Uint8Array(8))), { type: 0x01 }],
  ];
  for (const [bytes, expected] of cases) {
    const frame = parsed(bytes);
    ok(frame !== undefined && frame.end === bytes.length);
    for (const [key, value] of Object.entries(expected)) {
      equal(frame[key as keyof frames.StreamFrame], value, key);
    }
    for (let len = 0; len < bytes.length; len++) equal(parsed(bytes.subarray(0, len)), undefined);
  }
});

Deno.test("data and datagrams reach as far as they say, and what says something impossible is refused", () => {
  const data = new Uint8Array(20);
  frames.emitDataHead(data, 0, 1, 100, 7, false);
  const frame = parsed(data);
  equal([frame?.bodyOff, frame?.bodyLen, frame?.end], [13, 7, 20]);
  equal(parsed(data.subarray(0, 19)), undefined);
  equal(
    parsed(written((b, o) => frames.emitDataHead(b, o, 1, 100, 0, false))),
    undefined,
    "no bytes, no end",
  );
  const far = new Uint8Array(14);
  frames.emitDataHead(far, 0, 1, U48, 1, false);
  equal(parsed(far), undefined, "beyond the last offset");
  const part = new Uint8Array(17);
  frames.emitDatagramPartHead(part, 0, 1, 2, 100, 96, 4);
  const got = parsed(part);
  equal([got?.number, got?.datagramLen, got?.offset, got?.bodyLen], [2, 100, 96, 4]);
  frames.emitDatagramPartHead(part, 0, 1, 2, 100, 97, 4);
  equal(parsed(part), undefined, "a part beyond its datagram");
  for (const type of [0x00, 0x04, 0x0f, 0x18, 0xff]) {
    equal(parsed(new Uint8Array(64).fill(type, 0, 1)), undefined, `type ${type}`);
  }
});

Deno.test("emitStreamsHead() writes type, length and number in front of the frames", () => {
  const bytes = new Uint8Array(32);
  frames.emitStreamsHead(bytes, 2, 20, 0x0102_0304_0506);
  equal([...bytes.subarray(2, 11)], [0x50, 0, 15, 1, 2, 3, 4, 5, 6]);
  equal(frames.parseU48(bytes, 5), 0x0102_0304_0506);
});

Deno.test("an ack says its newest ranges, exactly", () => {
  const lens = fc.array(fc.tuple(fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 1, max: 70_000 })), {
    ...{ minLength: 1, maxLength: 40 },
  });
  fc.assert(fc.property(lens, fc.integer({ min: 1, max: 64 }), (pairs, rangesMax) => {
    const bounds: number[] = [];
    let at = 2 ** 33;
    for (const [gap, len] of pairs) bounds.push(at += gap, at += len);
    const bytes = written((out, off) => frames.emitAck(out, off, 1_234_567, bounds, rangesMax));
    const frame = parsed(bytes)!;
    equal(frame.end, bytes.length);
    equal(frame.delayNs, 1_235_000);
    const told: number[] = [];
    frames.eachAckRange(bytes, frame, (first, last) => void told.unshift(first, last + 1));
    ok(told.length <= 2 * rangesMax);
    const newest = bounds.slice(bounds.length - told.length);
    // Only the oldest range told may be cut, and only at its older end.
    equal(told.slice(1), newest.slice(1));
    ok(told[0] === newest[0] || told[1] - told[0] === 0xffff);
  }));
});

Deno.test("eachAckRange() never goes below number 0", () => {
  const bytes = new Uint8Array(64);
  const len = frames.emitAck(bytes, 0, 0, [3, 5], 1);
  bytes[len - 1] = 200; // so many numbers up to 4
  const frame = new frames.StreamFrame();
  ok(frames.parseStreamFrame(bytes, 0, len, frame));
  frames.eachAckRange(bytes, frame, () => ok(false, "no range is told"));
});
