import { deepEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { fromHex, toHex } from "../../../src/base/mod.ts";
import { FRAME_ERROR, InnerFrame } from "../../../src/wire/inner_frame.ts";
import {
  ACK_LEN,
  CLIENT_HANDSHAKE_LEN,
  type ClientHandshakeV0,
  emitAckV0,
  emitClientHandshakeV0,
  emitServerHandshakeV0,
  isV0Message,
  parseClientHandshakeV0,
  parseServerHandshakeV0,
  parseV0Frame,
  readU64,
  writeU64,
} from "../../../src/wire/v0_message.ts";

const HANDSHAKE: ClientHandshakeV0 = {
  protocolVersion: 0,
  oldestVersion: 0,
  monitorPackets: true,
  s2cPacketLen: 1400,
  s2cIntervalMinNs: 10_500_000,
  s2cIntervalMaxNs: 17_500_000,
  c2sIntervalMinNs: 750_000,
  s2cFinalizeDeltaNs: 1_000_000,
  serverTimeoutNs: 10_000_000_000,
};
const HANDSHAKE_HEX = "01" + "14051405" + "00000000" + "00000000" + "00000000" + "00000001" + "0578" +
  "0000000000a037a0" + "00000000010b0760" + "00000000000b71b0" + "00000000000f4240" + "00000002540be400";

const u64 = fc.maxSafeNat();
const handshakes = fc.record({
  protocolVersion: fc.nat(0xffffffff),
  oldestVersion: fc.nat(0xffffffff),
  monitorPackets: fc.boolean(),
  s2cPacketLen: fc.nat(0xffff),
  s2cIntervalMinNs: fc.nat(1e9),
  s2cIntervalMaxNs: fc.integer({ min: 1e9, max: Number.MAX_SAFE_INTEGER }),
  c2sIntervalMinNs: u64,
  s2cFinalizeDeltaNs: u64,
  serverTimeoutNs: u64,
});

function parse(hex: string, end = hex.length / 2) {
  const frame = new InnerFrame();
  const error = parseV0Frame(fromHex(hex), 0, end, frame);
  const { type, bodyOff, bodyLen, end: frameEnd } = frame;
  return error === FRAME_ERROR.none ? [type, bodyOff, bodyLen, frameEnd] : error;
}

Deno.test("emitClientHandshakeV0() writes the 63 bytes of docs/protocol.md", () => {
  const message = emitClientHandshakeV0(HANDSHAKE);
  equal(message.length, CLIENT_HANDSHAKE_LEN);
  equal(toHex(message), HANDSHAKE_HEX);
});

Deno.test("parseClientHandshakeV0() reads what emitClientHandshakeV0() wrote", () => {
  fc.assert(fc.property(handshakes, (handshake) => {
    deepEqual(parseClientHandshakeV0(emitClientHandshakeV0(handshake).subarray(1)), handshake);
  }));
});

Deno.test("parseClientHandshakeV0() refuses another magic or serialization, an interval turned round, and every other length", () => {
  const body = fromHex(HANDSHAKE_HEX).subarray(1);
  for (const at of [0, 3, 7]) equal(parseClientHandshakeV0(body.with(at, 0x99)), undefined, `byte ${at}`);
  equal(parseClientHandshakeV0(body.with(22, 0xff)), undefined, "minimum above maximum");
  for (let len = 0; len < body.length; len++) equal(parseClientHandshakeV0(body.subarray(0, len)), undefined);
  equal(parseClientHandshakeV0(fromHex(HANDSHAKE_HEX + "00").subarray(1)), undefined);
});

Deno.test("parseClientHandshakeV0() takes a timeout without end for the longest", () => {
  const endless = parseClientHandshakeV0(fromHex(HANDSHAKE_HEX).fill(0xff, -8).subarray(1));
  equal(endless?.serverTimeoutNs, Number.MAX_SAFE_INTEGER);
});

Deno.test("emitServerHandshakeV0() and parseServerHandshakeV0() agree on 10 bytes", () => {
  equal(toHex(emitServerHandshakeV0({ protocolVersion: 0, success: true })), "02140514050000000001");
  for (const success of [true, false]) {
    const message = emitServerHandshakeV0({ protocolVersion: 7, success });
    deepEqual(parseServerHandshakeV0(message.subarray(1)), { protocolVersion: 7, success });
    for (let len = 0; len < 9; len++) equal(parseServerHandshakeV0(message.subarray(1, 1 + len)), undefined);
  }
  for (const hex of ["140514060000000001", "140514050000000002"]) {
    equal(parseServerHandshakeV0(fromHex(hex)), undefined, hex);
  }
});

Deno.test("parseV0Frame() knows the length of each type, and refuses it shortened at every byte", () => {
  const lens = [["01", 62], ["02", 9], ["03", 16], ["04", 8], ["05", 8], ["06", 24]] as const;
  for (const [type, len] of lens) {
    const hex = type + "ab".repeat(len) + "00";
    deepEqual(parse(hex), [Number(type), 1, len, 1 + len]);
    for (let end = 0; end <= len; end++) equal(parse(hex, end), FRAME_ERROR.truncated, `${type} ${end}`);
    equal(isV0Message(Number(type)), true);
  }
  deepEqual(parse("100003aabbcc"), [0x10, 3, 3, 6]);
  deepEqual(parse("21123401000001aa"), [0x21, 7, 1, 8]);
  deepEqual(parse("00aabb"), [0, 1, 2, 3]);
});

Deno.test("parseV0Frame() refuses every other type: those of version 1, too", () => {
  const known = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x20, 0x21];
  for (let type = 0; type < 256; type++) {
    if (known.includes(type)) continue;
    const hex = type.toString(16).padStart(2, "0") + "00".repeat(70);
    equal(parse(hex), FRAME_ERROR.unknownType, hex.slice(0, 2));
  }
});

Deno.test("writeU64() and readU64() agree on whole numbers, and a larger one is -1", () => {
  fc.assert(fc.property(u64, (value) => {
    const bytes = new Uint8Array(10).fill(0xa5);
    writeU64(bytes, 1, value);
    equal(readU64(bytes, 1), value);
    deepEqual([bytes[0], bytes[9]], [0xa5, 0xa5]);
  }));
  equal(readU64(fromHex("0020000000000000"), 0), -1);
  equal(readU64(fromHex("ffffffffffffffff"), 0), -1);
});

Deno.test("emitAckV0() writes 17 bytes", () => {
  const out = new Uint8Array(20).fill(0xa5);
  equal(emitAckV0(out, 1, 0x0102, 0x1_0000_0001), ACK_LEN);
  equal(toHex(out), "a5" + "03" + "0000000000000102" + "0000000100000001" + "a5a5");
});
