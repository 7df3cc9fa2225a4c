import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { fromHex, toHex } from "../../../src/base/mod.ts";
import type { ClientParameters, ServerWelcome } from "../../../src/wire/inner_control.ts";
import {
  emitClientParameters,
  emitClose,
  emitServerWelcome,
  parseClientParameters,
  parseClose,
  parseServerWelcome,
} from "../../../src/wire/inner_control.ts";
import { CONTROL_HEAD_LEN } from "../../../src/wire/inner_frame.ts";

const PARAMETERS: ClientParameters = {
  protocolVersion: 1,
  oldestVersion: 1,
  flags: 0,
  s2cDatagramLen: 1372,
  s2cIntervalNs: 5_600_000,
  s2cJitterSdNs: 672_000,
  s2cJitterLaw: "gaussian",
  s2cBurst: 1,
  c2sIntervalNs: 11_200_000,
  c2sDatagramLen: 1372,
  c2sBurst: 2,
  nonce: fromHex("0102030405060708"),
};
const PARAMETERS_HEX = "400035" + "00000001" + "00000001" + "00000000" + "055c" + "0000000000557300" +
  "00000000000a4100" + "01" + "0001" + "0000000000aae600" + "055c" + "0002" + "0102030405060708";

const WELCOME: ServerWelcome = {
  protocolVersion: 1,
  status: 0,
  nonce: fromHex("0102030405060708"),
  addresses: [{ ip: fromHex("0a8c0502"), prefixLen: 24 }],
  serverAddresses: [{ ip: fromHex("20010db8000000000000000000000001"), prefixLen: 64 }],
  routes: [],
  dns: [{ ip: fromHex("0a8c0501"), prefixLen: 32 }],
  mtu: 1340,
  maxSpeedBitsPerS: 100_000_000,
  message: "grüß dich",
};

const body = (frame: Uint8Array) => frame.subarray(CONTROL_HEAD_LEN);

const prefix = fc.oneof(
  fc.record({ ip: fc.uint8Array({ minLength: 4, maxLength: 4 }), prefixLen: fc.nat(32) }),
  fc.record({ ip: fc.uint8Array({ minLength: 16, maxLength: 16 }), prefixLen: fc.nat(128) }),
);
const u64 = fc.maxSafeNat();
const u16 = fc.nat(0xffff);
const u16Positive = fc.integer({ min: 1, max: 0xffff });
const u64Positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const nonce = fc.uint8Array({ minLength: 8, maxLength: 8 });

Deno.test("emitClientParameters() writes the bytes of docs/protocol.md", () => {
  equal(toHex(emitClientParameters(PARAMETERS)), PARAMETERS_HEX);
});

Deno.test("parseClientParameters() reads what emitClientParameters() wrote", () => {
  const any = fc.record({
    protocolVersion: fc.constant(7),
    oldestVersion: fc.nat(7),
    flags: fc.nat(0xffffffff),
    s2cDatagramLen: u16,
    s2cIntervalNs: u64Positive,
    s2cJitterSdNs: u64,
    s2cJitterLaw: fc.constantFrom(
      "none" as const,
      "gaussian" as const,
      "cosine" as const,
      "classic" as const,
    ),
    s2cBurst: u16Positive,
    c2sIntervalNs: u64Positive,
    c2sDatagramLen: u16,
    c2sBurst: u16Positive,
    nonce,
  });
  fc.assert(fc.property(any, (parameters) => {
    deepEqual(parseClientParameters(body(emitClientParameters(parameters))), parameters);
  }));
});

Deno.test("parseClientParameters() refuses other lengths, laws and values without meaning", () => {
  const good = body(emitClientParameters(PARAMETERS));
  for (let len = 0; len < good.length; len++) equal(parseClientParameters(good.subarray(0, len)), undefined);
  equal(parseClientParameters(new Uint8Array([...good, 0])), undefined);
  const withBytes = (at: number, hex: string) => {
    const bytes = good.slice();
    bytes.set(fromHex(hex), at);
    return parseClientParameters(bytes);
  };
  ok(withBytes(8, "00000001") !== undefined, "an unknown flag is let through");
  equal(withBytes(4, "00000002"), undefined, "oldest version above the version");
  equal(withBytes(14, "0000000000000000"), undefined, "interval 0 of the server");
  equal(withBytes(14, "0020000000000000"), undefined, "interval above 2^53");
  equal(withBytes(30, "04"), undefined, "unknown law of jitter");
  equal(withBytes(31, "0000"), undefined, "burst 0");
  equal(withBytes(33, "0000000000000000"), undefined, "interval 0 of the client");
});

Deno.test("parseServerWelcome() reads what emitServerWelcome() wrote", () => {
  deepEqual(parseServerWelcome(body(emitServerWelcome(WELCOME))), WELCOME);
  const list = fc.array(prefix, { maxLength: 5 });
  const any = fc.record({
    protocolVersion: fc.constant(1),
    status: fc.nat(3),
    nonce,
    addresses: list,
    serverAddresses: list,
    routes: list,
    dns: list,
    mtu: u16,
    maxSpeedBitsPerS: u64,
    message: fc.string({ maxLength: 60 }).map((text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ")),
  });
  fc.assert(fc.property(any, (welcome) => {
    deepEqual(parseServerWelcome(body(emitServerWelcome(welcome))), welcome);
  }));
});

Deno.test("emitServerWelcome() writes a speed without bound as the greatest there is", () => {
  const frame = emitServerWelcome({ ...WELCOME, maxSpeedBitsPerS: Infinity });
  equal(parseServerWelcome(body(frame))?.maxSpeedBitsPerS, Number.MAX_SAFE_INTEGER);
});

Deno.test("parseServerWelcome() refuses every shortened body, trailing bytes, families and prefixes", () => {
  const good = body(emitServerWelcome(WELCOME));
  for (let len = 0; len < good.length; len++) {
    equal(parseServerWelcome(good.subarray(0, len)), undefined, `${len}`);
  }
  equal(parseServerWelcome(new Uint8Array([...good, 0])), undefined);
  for (const [at, value] of [[4, 4], [14, 5], [15, 33], [21, 4], [22, 129]]) {
    const bytes = good.slice();
    bytes[at] = value;
    equal(parseServerWelcome(bytes), undefined, `byte ${at} = ${value}`);
  }
});

Deno.test("emitServerWelcome() cuts a message at a character, parseServerWelcome() takes out what steers a terminal", () => {
  const long = emitServerWelcome({ ...WELCOME, message: "a" + "ü".repeat(200) });
  equal(parseServerWelcome(body(long))?.message, "a" + "ü".repeat(127));
  const steering = emitServerWelcome({ ...WELCOME, message: "a\u001b[2Jb\n\u202ec" });
  equal(parseServerWelcome(body(steering))?.message, "a [2Jb  c");
});

Deno.test("parseClose() reads the reason that emitClose() wrote", () => {
  equal(toHex(emitClose(1)), "42000101");
  equal(parseClose(body(emitClose(1))), 1);
  equal(parseClose(new Uint8Array(0)), undefined);
  equal(parseClose(new Uint8Array(2)), undefined);
});
