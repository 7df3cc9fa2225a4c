import { deepEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { checkedHost, formatDestination, hostOf, parseDestination } from "../../../src/wire/host_port.ts";
import { formatIp } from "../../../src/wire/ip_address.ts";

Deno.test("checkedHost() takes names and addresses, these in their usual text", () => {
  const good: [text: string, host: string][] = [
    ["a", "a"],
    ["A-b_c.Example.", "A-b_c.Example."],
    ["10.0.0.1", "10.0.0.1"],
    ["2001:DB8:0::1", "2001:db8::1"],
    ["x".repeat(255), "x".repeat(255)],
  ];
  for (const [text, host] of good) equal(checkedHost(text), host, text);
  for (
    const text of ["", ".", "a..b", ".a", "10.0.0.256", "1.2.3", "a b", "a:b", "é", "a\0", "x".repeat(256)]
  ) {
    equal(checkedHost(text), undefined, text);
  }
});

Deno.test("hostOf() takes what checkedHost() takes, of 1 to 255 bytes", () => {
  equal(hostOf(new TextEncoder().encode("a.example")), "a.example");
  for (const bytes of [new Uint8Array(), Uint8Array.of(0xc3, 0xa9), new Uint8Array(256).fill(97)]) {
    equal(hostOf(bytes), undefined);
  }
});

Deno.test("parseDestination() reads host:port, with brackets around IPv6", () => {
  deepEqual(parseDestination("a.example:80"), { host: "a.example", port: 80 });
  deepEqual(parseDestination("[::1]:65535"), { host: "::1", port: 65_535 });
  deepEqual(parseDestination("[::1]", 80), { host: "::1", port: 80 });
  deepEqual(parseDestination("a", 80), { host: "a", port: 80 });
  for (
    const text of [
      "",
      "a",
      ":80",
      "a:0",
      "a:65536",
      "a:80x",
      "::1:80",
      "[a]:80",
      "[1.2.3.4]:80",
      "a:80:80",
      "[::1",
    ]
  ) {
    equal(parseDestination(text), undefined, text);
  }
});

Deno.test("parseDestination() reads what formatDestination() writes", () => {
  const ip = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  const host = fc.oneof(ip.map(formatIp), fc.domain());
  fc.assert(fc.property(host, fc.integer({ min: 1, max: 65_535 }), (host, port) => {
    deepEqual(parseDestination(formatDestination({ host, port })), { host, port });
  }));
});
