import { deepEqual, equal } from "node:assert/strict";
import { fromHex, toHex } from "../../../src/base/mod.ts";
import {
  emitControl,
  emitFragmentHead,
  emitPacketHead,
  FRAME_ERROR,
  InnerFrame,
  parseFrame,
} from "../../../src/wire/inner_frame.ts";

function parse(hex: string, end = hex.length / 2) {
  const frame = new InnerFrame();
  const error = parseFrame(fromHex(hex), 0, end, frame);
  return error === FRAME_ERROR.none ? { ...frame } : error;
}

Deno.test("parseFrame() reads each type of frame", () => {
  deepEqual(parse("100003aabbcc"), { type: 0x10, id: 0, fragmentOffset: 0, bodyOff: 3, bodyLen: 3, end: 6 });
  deepEqual(parse("1112340002aabb"), {
    type: 0x11,
    id: 0x1234,
    fragmentOffset: 0,
    bodyOff: 5,
    bodyLen: 2,
    end: 7,
  });
  deepEqual(parse("20123401000001aa"), {
    type: 0x20,
    id: 0x1234,
    fragmentOffset: 0x100,
    bodyOff: 7,
    bodyLen: 1,
    end: 8,
  });
  deepEqual(parse("21ffffffff0001aa"), {
    type: 0x21,
    id: 0xffff,
    fragmentOffset: 0xffff,
    bodyOff: 7,
    bodyLen: 1,
    end: 8,
  });
  deepEqual(parse("420001aa"), { type: 0x42, id: 0, fragmentOffset: 0, bodyOff: 3, bodyLen: 1, end: 4 });
  deepEqual(parse("ff0000"), { type: 0xff, id: 0, fragmentOffset: 0, bodyOff: 3, bodyLen: 0, end: 3 });
  deepEqual(parse("00aabb"), { type: 0, id: 0, fragmentOffset: 0, bodyOff: 1, bodyLen: 2, end: 3 });
});

Deno.test("parseFrame() refuses each frame shortened at every byte", () => {
  for (const hex of ["100003aabbcc", "1112340002aabb", "20123401000001aa", "21123401000001aa", "420001aa"]) {
    for (let end = 0; end < hex.length / 2; end++) {
      equal(parse(hex, end), FRAME_ERROR.truncated, `${hex} ${end}`);
    }
  }
});

Deno.test("parseFrame() refuses types without meaning and empty bodies", () => {
  for (const hex of ["01000000", "0f000000", "12000100", "1f000100", "22000100", "3f000100"]) {
    equal(parse(hex), FRAME_ERROR.unknownType, hex);
  }
  for (const hex of ["100000aa", "1100010000aa", "2000010001 0000aa"]) {
    equal(parse(hex.replace(" ", "")), FRAME_ERROR.empty, hex);
  }
});

Deno.test("emitPacketHead(), emitFragmentHead(), emitControl() write what parseFrame() reads, and no byte more", () => {
  const out = new Uint8Array(12).fill(0xa5);
  equal(emitPacketHead(out, 1, 0x1234), 3);
  equal(toHex(out.subarray(0, 6)), "a5101234a5a5");
  equal(emitFragmentHead(out, 1, 0xabcd, 0, 0x1234, false), 5);
  equal(toHex(out.subarray(0, 8)), "a511abcd1234a5a5");
  equal(emitFragmentHead(out, 1, 0xabcd, 0x55, 0x1234, false), 7);
  equal(toHex(out.subarray(0, 9)), "a520abcd00551234a5");
  equal(emitFragmentHead(out, 1, 0xabcd, 0x55, 0x1234, true), 7);
  equal(toHex(out.subarray(0, 9)), "a521abcd00551234a5");
  equal(toHex(emitControl(0x42, new Uint8Array([7]))), "42000107");
});
