import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { concat, fromHex, toHex } from "../../../src/base/mod.ts";
import { formatIp } from "../../../src/wire/ip_address.ts";
import * as socks from "../../../src/wire/socks5.ts";

type Reader = (bytes: Uint8Array) => socks.Read<unknown>;

/** Every beginning of `hex` asks for more, all of it is `expected`, and bytes behind it change nothing. */
function reads(read: Reader, hex: string, expected: object): void {
  const bytes = fromHex(hex);
  for (let len = 0; len < bytes.length; len++) {
    equal(read(bytes.subarray(0, len)), "more", `${len} of ${hex}`);
  }
  for (const behind of [0, 3]) {
    deepEqual(read(concat(bytes, new Uint8Array(behind).fill(0xff))), { ...expected, len: bytes.length });
  }
}

function refuses(read: Reader, ...texts: string[]): void {
  for (const hex of texts) equal(read(fromHex(hex)), "malformed", hex);
}

Deno.test("readGreeting() reads the methods (RFC 1928 §3)", () => {
  reads(socks.readGreeting, "050100", { methods: fromHex("00") });
  reads(socks.readGreeting, "0503000102", { methods: fromHex("000102") });
  refuses(socks.readGreeting, "04", "0500", "16030100");
});

Deno.test("readCredentials() reads name and password, empty ones too (RFC 1929 §2)", () => {
  reads(socks.readCredentials, "010161026263", { user: fromHex("61"), password: fromHex("6263") });
  reads(socks.readCredentials, "010000", { user: fromHex(""), password: fromHex("") });
  refuses(socks.readCredentials, "05", "00");
});

Deno.test("readRequest() reads addresses and names, and says which reply an unknown kind gets (RFC 1928 §4)", () => {
  reads(socks.readRequest, "05010001c00002010050", { command: 1, to: { host: "192.0.2.1", port: 80 } });
  reads(socks.readRequest, "05030003056120622e630035", {
    command: 3,
    to: socks.REPLY.hostUnreachable,
  });
  reads(socks.readRequest, "0501000309612e6578616d706c6501bb", {
    command: 1,
    to: { host: "a.example", port: 443 },
  });
  reads(socks.readRequest, "0502000420010db8000000000000000000000001ffff", {
    command: 2,
    to: { host: "2001:db8::1", port: 65_535 },
  });
  reads(socks.readRequest, "050100030331302e0001", { command: 1, to: socks.REPLY.hostUnreachable });
  refuses(socks.readRequest, "04", "01");
  const unknown = socks.readRequest(fromHex("0501000501020304"));
  ok(typeof unknown === "object" && unknown.to === socks.REPLY.addressTypeNotSupported);
});

Deno.test("readRequest4() reads version 4 and 4A", () => {
  const user = new Uint8Array();
  reads(socks.readRequest4, "04010050c000020100", { command: 1, user, to: { host: "192.0.2.1", port: 80 } });
  reads(socks.readRequest4, "0401005000000001616200612e6200", {
    command: 1,
    user: fromHex("6162"),
    to: { host: "a.b", port: 80 },
  });
  reads(socks.readRequest4, "0401005000000001002000", { command: 1, user, to: socks.REPLY.hostUnreachable });
  refuses(
    socks.readRequest4,
    "05",
    "04010050c0000201" + "61".repeat(256),
    "040100500000000100" + "61".repeat(256),
  );
});

Deno.test("emitReply() and emitDatagram() write what RFC 1928 §6 and §7 show", () => {
  equal(toHex(socks.emitReply(socks.REPLY.notAllowed)), "05020001000000000000");
  equal(
    toHex(socks.emitReply(0, { host: "2001:db8::1", port: 258 })),
    "0500000420010db80000000000000000000000010102",
  );
  equal(toHex(socks.emitDatagram({ host: "a.b", port: 53 }, fromHex("77"))), "0000000303612e62003577");
  equal(toHex(socks.emitMethod(2)), "0502");
  equal(toHex(socks.emitCredentialsStatus(true)) + toHex(socks.emitCredentialsStatus(false)), "01000101");
  equal(toHex(socks.emitReply4(socks.SOCKS4_REPLY.granted)), "005a000000000000");
});

Deno.test("parseDatagram() reads what emitDatagram() writes, and nothing cut", () => {
  const ip = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  const host = fc.oneof(ip.map(formatIp), fc.domain());
  fc.assert(fc.property(host, fc.nat(65_535), fc.uint8Array(), (host, port, data) => {
    const datagram = socks.emitDatagram({ host, port }, data);
    deepEqual(socks.parseDatagram(datagram), { fragment: 0, to: { host, port }, data });
    const headLen = datagram.length - data.length;
    for (let len = 0; len < headLen; len++) equal(socks.parseDatagram(datagram.subarray(0, len)), undefined);
  }));
  for (const hex of ["000100010102030400350a", "010000010102030400350a", "0000000201020304003500"]) {
    equal(socks.parseDatagram(fromHex(hex)), undefined, hex);
  }
});
