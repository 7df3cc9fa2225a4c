import { equal } from "node:assert/strict";
import { DialPolicy, type DialRule } from "../../../src/socks/dial_policy.ts";
import { parseIp, parsePrefix, plainAddress } from "../../../src/wire/ip_address.ts";

const rule = (prefix: string, ...ports: [number, number][]): DialRule => ({
  prefix: parsePrefix(prefix)!,
  ports,
});

function policy(
  allow: DialRule[] = [],
  deny: DialRule[] = [],
  own: string[] = [],
): (ip: string, port?: number) => boolean {
  const made = new DialPolicy({ allow, deny }, () => own.map((text) => parsePrefix(text)!));
  return (ip, port = 443) => made.allows(plainAddress(parseIp(ip)!), port);
}

const PRIVATE = [
  ...[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.8.9.10",
    "169.254.169.254",
  ],
  ...[
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.168.1.1",
    "198.19.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
  ],
  ...[
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fdff::1",
    "ff02::1",
    "100::1",
    "2001::1",
  ],
  ...["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1"],
  ...["2002:7f00:1::", "2002:c0a8:0101::1", "64:ff9b:1::1.1.1.1"],
];
const PUBLIC = [
  ...[
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
  ],
  ...["192.167.255.255", "223.255.255.255", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"],
  ...["2002:101:101::1", "fbff::1", "2001:4860::1"],
];

Deno.test("DialPolicy.allows() public addresses alone where nothing is configured, in whatever form", () => {
  const allows = policy();
  for (const ip of PRIVATE) equal(allows(ip), false, ip);
  for (const ip of PUBLIC) equal(allows(ip), true, ip);
});

Deno.test("DialPolicy.allows() none of the server's own networks", () => {
  const allows = policy([], [], ["198.51.100.7/24", "2001:db8:5::1/64"]);
  for (
    const ip of [
      "198.51.100.7",
      "198.51.100.200",
      "::ffff:198.51.100.7",
      "2001:db8:5::99",
      "2002:c633:6407::1",
    ]
  ) {
    equal(allows(ip), false, ip);
  }
  for (const ip of ["198.51.101.1", "2001:db8:6::1"]) equal(allows(ip), true, ip);
});

Deno.test("DialPolicy.allows() goes by the longest prefix that has the port, and denies of two equal ones", () => {
  const allows = policy(
    [rule("10.0.0.0/8", [80, 80], [8000, 8100]), rule("10.9.9.9/32"), rule("192.168.0.0/16"), rule("::1")],
    [rule("10.9.0.0/16"), rule("1.0.0.0/8"), rule("192.168.0.0/16", [22, 22])],
  );
  const expected: [ip: string, port: number, allowed: boolean][] = [
    ["10.1.1.1", 80, true],
    ["10.1.1.1", 8100, true],
    ["10.1.1.1", 81, false],
    ["::ffff:10.1.1.1", 80, true],
    ["64:ff9b::10.1.1.1", 80, true],
    ["64:ff9b::10.1.1.1", 81, false],
    ["10.9.1.1", 80, false],
    ["10.9.9.9", 25, true],
    ["1.1.1.1", 443, false],
    ["2002:101:101::1", 443, false],
    ["8.8.8.8", 443, true],
    ["192.168.7.7", 22, false],
    ["192.168.7.7", 23, true],
    ["::1", 80, true],
    ["::127.0.0.1", 80, false],
  ];
  for (const [ip, port, allowed] of expected) equal(allows(ip, port), allowed, `${ip} ${port}`);
});

Deno.test("DialPolicy.allows() nothing but what is allowed where the rest is denied", () => {
  const allows = policy([rule("192.0.2.0/24")], [rule("0.0.0.0/0"), rule("::/0")]);
  equal(allows("192.0.2.9"), true);
  for (const ip of PUBLIC) equal(allows(ip), false, ip);
});
