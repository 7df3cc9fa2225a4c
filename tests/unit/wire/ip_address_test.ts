import { deepEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { fromHex, toHex } from "../../../src/base/mod.ts";
import { formatIp, formatPrefix, parseIp, parsePrefix, plainAddress } from "../../../src/wire/ip_address.ts";

Deno.test("parseIp() reads IPv4 and every form of IPv6 (RFC 4291 §2.2)", () => {
  const table: [string, string][] = [
    ["192.0.2.1", "c0000201"],
    ["0.0.0.0", "00000000"],
    ["255.255.255.255", "ffffffff"],
    ["2001:DB8:0:0:8:800:200C:417A", "20010db80000000000080800200c417a"],
    ["2001:db8::8:800:200c:417a", "20010db80000000000080800200c417a"],
    ["::", "00".repeat(16)],
    ["::1", "00".repeat(15) + "01"],
    ["fe80::", "fe80" + "00".repeat(14)],
    ["::ffff:129.144.52.38", "00".repeat(10) + "ffff81903426"],
    ["64:ff9b::192.0.2.33", "0064ff9b0000000000000000c0000221"],
    ["1:2:3:4:5:6:1.2.3.4", "00010002000300040005000601020304"],
  ];
  for (const [text, hex] of table) equal(toHex(parseIp(text)!), hex, text);
});

Deno.test("parseIp() refuses what is no address", () => {
  const wrong = [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4",
    "1.2.3.4 ",
    "1..2.3",
    "-1.2.3.4",
    "a.b.c.d",
  ];
  wrong.push(
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::",
    "::1%eth0",
    "1:2:3:4:5:6:7::8",
  );
  wrong.push("1.2.3.4::", "::1.2.3", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", ":1:2:3:4:5:6:7", "[::1]");
  for (const text of wrong) equal(parseIp(text), undefined, text);
});

Deno.test("formatIp() writes IPv6 as RFC 5952 §4", () => {
  const table: [string, string][] = [
    ["c0000201", "192.0.2.1"],
    ["00".repeat(16), "::"],
    ["00".repeat(15) + "01", "::1"],
    ["20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
    ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
    ["20010000000000010000000000000001", "2001:0:0:1::1"],
    ["fe80" + "00".repeat(14), "fe80::"],
    ["0001000200030004000500060007000a", "1:2:3:4:5:6:7:a"],
  ];
  for (const [hex, text] of table) equal(formatIp(fromHex(hex)), text);
});

Deno.test("parseIp() reads what formatIp() wrote", () => {
  const bytes = (len: number) =>
    fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: len, maxLength: len });
  fc.assert(fc.property(fc.oneof(bytes(4), bytes(16)), (array) => {
    deepEqual(parseIp(formatIp(Uint8Array.from(array))), Uint8Array.from(array));
  }));
});

Deno.test("parsePrefix() takes an address with or without a length that fits", () => {
  for (const text of ["10.140.5.1/24", "0.0.0.0/0", "192.0.2.1/32", "2001:db8::1/64", "::/0", "::1/128"]) {
    equal(formatPrefix(parsePrefix(text)!), text);
  }
  equal(formatPrefix(parsePrefix("10.0.0.1")!), "10.0.0.1/32");
  equal(formatPrefix(parsePrefix("fd00::1")!), "fd00::1/128");
  for (
    const text of [
      "10.0.0.1/33",
      "::/129",
      "10.0.0.1/",
      "10.0.0.1/-1",
      "10.0.0.1/08",
      "/8",
      "10.0.0.1/8/8",
      "",
    ]
  ) {
    equal(parsePrefix(text), undefined, text);
  }
});

Deno.test("plainAddress() gives IPv4 addresses their own form and leaves others", () => {
  for (
    const [text, plain] of [["::ffff:10.0.0.1", "10.0.0.1"], ["10.0.0.1", "10.0.0.1"], [
      "::10.0.0.1",
      "::a00:1",
    ]]
  ) {
    equal(formatIp(plainAddress(parseIp(text)!)), plain);
  }
});
