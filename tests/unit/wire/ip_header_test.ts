import { equal, ok } from "node:assert/strict";
import { fromHex } from "../../../src/base/mod.ts";
import { formatIp, parseIp, parsePrefix, prefixHolds } from "../../../src/wire/ip_address.ts";
import { destinationOff, ipLenOf, parseVersion, protocolOf, sourceOff } from "../../../src/wire/ip_header.ts";

const V4 = "4500001c000040004011aabb0a8c05020a8c0501" + "0001000200080000";
const V6 = "6000000000083a40" + "fd000000000000000000000000000002" + "fd000000000000000000000000000001" +
  "8000aabb00010001";

Deno.test("parseVersion() tells whole IPv4 and IPv6 packets from anything else", () => {
  const at3 = (hex: string) => fromHex("a5a5a5" + hex);
  const version = (hex: string, len = hex.length / 2) => parseVersion(at3(hex), 3, len);
  equal(version(V4), 4);
  equal(version(V6), 6);
  equal(version(V4, 27), 0, "total length above what is there");
  equal(version(V4 + "00"), 0, "bytes after the packet");
  equal(version(V6, 47), 0);
  equal(version(V6 + "00"), 0);
  equal(version("44" + V4.slice(2)), 0, "header length below 20");
  equal(version("4f" + V4.slice(2)), 0, "header length above the packet's");
  equal(version("55" + V4.slice(2)), 0, "version 5");
  equal(version(V6.slice(0, 60)), 0, "IPv6 header cut");
  for (let len = 0; len < 20; len++) equal(version(V4, len), 0);
});

Deno.test("sourceOff(), destinationOff(), protocolOf() find the fields of both versions", () => {
  const v4 = fromHex(V4), v6 = fromHex(V6);
  equal(formatIp(v4.subarray(sourceOff(0, 4), sourceOff(0, 4) + ipLenOf(4))), "10.140.5.2");
  equal(formatIp(v4.subarray(destinationOff(0, 4), destinationOff(0, 4) + ipLenOf(4))), "10.140.5.1");
  equal(formatIp(v6.subarray(sourceOff(0, 6), sourceOff(0, 6) + ipLenOf(6))), "fd00::2");
  equal(formatIp(v6.subarray(destinationOff(0, 6), destinationOff(0, 6) + ipLenOf(6))), "fd00::1");
  equal(protocolOf(v4, 0, 4), 17);
  equal(protocolOf(v6, 0, 6), 58);
});

Deno.test("prefixHolds() compares the prefix's bits and the family only", () => {
  const holds = (prefix: string, ip: string) => {
    const bytes = parseIp(ip)!;
    return prefixHolds(parsePrefix(prefix)!, new Uint8Array([0xa5, ...bytes]), 1, bytes.length);
  };
  ok(holds("10.140.5.1/24", "10.140.5.99"));
  ok(!holds("10.140.5.1/24", "10.140.6.1"));
  ok(holds("10.140.5.2", "10.140.5.2"));
  ok(!holds("10.140.5.2", "10.140.5.3"));
  ok(holds("10.128.0.0/9", "10.255.0.1"));
  ok(!holds("10.128.0.0/9", "10.127.0.1"));
  ok(holds("0.0.0.0/0", "1.2.3.4"));
  ok(!holds("0.0.0.0/0", "::"));
  ok(holds("fd00::/63", "fd00:0:0:1::5"));
  ok(!holds("fd00::/63", "fd00:0:0:2::5"));
});
