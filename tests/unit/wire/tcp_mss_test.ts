import assert from "node:assert/strict";
import { SeededRandom, seedOf } from "../../../src/base/random.ts";
import { clampMss, updateChecksum } from "../../../src/wire/tcp_mss.ts";

const MSS = (value: number) => [2, 4, value >> 8, value & 0xff];
const MORE = [4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0];

interface Shape {
  readonly version: 4 | 6;
  readonly flags?: number;
  readonly options: readonly number[];
  /** Bytes of IPv4 options, or IPv6 extension headers whose first is of type `next`. */
  readonly between?: readonly number[];
  readonly next?: number;
  readonly fragment?: number;
}

/** A packet of TCP with a right checksum, in the midst of other bytes. */
function packet(shape: Shape): { bytes: Uint8Array; off: number; len: number; tcp: number } {
  const { version, flags = 0x02, options, between = [], next = 6, fragment = 0 } = shape;
  const padded = [...options, ...new Array((4 - options.length % 4) % 4).fill(0)];
  const tcpLen = 20 + padded.length;
  const headLen = (version === 4 ? 20 : 40) + between.length;
  const off = 3;
  const bytes = new Uint8Array(off + headLen + tcpLen + 5).fill(0xa5);
  bytes.fill(0, off, off + headLen);
  const ip = bytes.subarray(off);
  if (version === 4) {
    ip.set([0x40 | headLen / 4, 0, 0, headLen + tcpLen, 0, 1, 0x40 | fragment >> 8, fragment & 255, 64, 6]);
    ip.set([10, 0, 0, 1, 10, 0, 0, 2], 12);
    ip.set(between, 20);
  } else {
    ip.set([0x60, 0, 0, 0, 0, tcpLen + between.length, next, 64]);
    ip[8 + 15] = 1;
    ip[24 + 15] = 2;
    ip.set(between, 40);
  }
  const tcp = off + headLen;
  bytes.set([0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, (tcpLen / 4) << 4, flags, 255, 255, 0, 0, 0, 0], tcp);
  bytes.set(padded, tcp + 20);
  const sum = sumOf(bytes.subarray(tcp, tcp + tcpLen));
  bytes[tcp + 16] = sum >> 8;
  bytes[tcp + 17] = sum & 255;
  return { bytes, off, len: headLen + tcpLen, tcp };
}

/** Internet checksum without pseudo header, which clamping does not touch. RFC 1071. */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] << 8 | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const lowered: readonly (readonly [string, Shape, number])[] = [
  ["IPv4", { version: 4, options: MSS(1460) }, 1300 - 40],
  ["IPv4 with options", { version: 4, options: MSS(1460), between: [1, 1, 1, 0] }, 1300 - 40],
  ["IPv6", { version: 6, options: MSS(1440) }, 1300 - 60],
  ["SYN and ACK", { version: 4, flags: 0x12, options: [...MORE, ...MSS(65_535)] }, 1300 - 40],
  ["an odd place", { version: 4, options: [1, ...MSS(1460), ...MORE] }, 1300 - 40],
  ["an odd place of IPv6", { version: 6, options: [1, ...MSS(9000)] }, 1300 - 60],
  [
    "IPv6 with extension headers",
    {
      version: 6,
      options: MSS(1440),
      next: 0,
      between: [60, 0, 0, 0, 0, 0, 0, 0, 44, 1, ...new Array(14).fill(0), 6, 0, 0, 1, 0, 0, 0, 9],
    },
    1300 - 60,
  ],
];

for (const [what, shape, mss] of lowered) {
  Deno.test(`clampMss() lowers the MSS of a SYN and keeps its checksum right: ${what}`, () => {
    const { bytes, off, len, tcp } = packet(shape);
    const before = bytes.slice();
    assert.equal(clampMss(bytes, off, len, 1300), true);
    assert.equal(sumOf(bytes.subarray(tcp, off + len)), 0);
    const at = before.findIndex((byte, i) => i >= tcp + 20 && byte === 2 && before[i + 1] === 4) + 2;
    assert.equal(bytes[at] << 8 | bytes[at + 1], mss);
    const changed = [...bytes.keys()].filter((i) => bytes[i] !== before[i]);
    assert.ok(changed.every((i) => [at, at + 1, tcp + 16, tcp + 17].includes(i)), changed.join());
    assert.equal(clampMss(bytes, off, len, 1300), false, "once is enough");
  });
}

const alone: readonly (readonly [string, Shape])[] = [
  ["an MSS that is low enough", { version: 4, options: MSS(1260) }],
  ["no SYN", { version: 4, flags: 0x10, options: MSS(1460) }],
  ["no MSS", { version: 4, options: MORE }],
  ["a later fragment", { version: 4, options: MSS(1460), fragment: 185 }],
  ["a later fragment of IPv6", {
    version: 6,
    options: MSS(1440),
    next: 44,
    between: [6, 0, 1, 0, 0, 0, 0, 9],
  }],
  ["an option of no length", { version: 4, options: [8, 0, ...MSS(1460)] }],
  ["an option beyond the end", { version: 4, options: [8, 200, ...MSS(1460)] }],
  ["an MSS behind the end of the options", { version: 4, options: [0, ...MSS(1460)] }],
  ["an MSS of another length", { version: 4, options: [2, 6, 5, 180, 0, 0] }],
  ["an unknown header of IPv6", {
    version: 6,
    options: MSS(1440),
    next: 50,
    between: [6, 0, 0, 0, 0, 0, 0, 0],
  }],
];

for (const [what, shape] of alone) {
  Deno.test(`clampMss() leaves alone: ${what}`, () => {
    const { bytes, off, len } = packet(shape);
    const before = bytes.slice();
    assert.equal(clampMss(bytes, off, len, 1300), false);
    assert.deepEqual(bytes, before);
  });
}

Deno.test("clampMss() keeps a usable MSS, whatever MTU it is told", () => {
  const { bytes, off, len, tcp } = packet({ version: 4, options: MSS(1460) });
  assert.equal(clampMss(bytes, off, len, 100), true);
  assert.equal(bytes[tcp + 22] << 8 | bytes[tcp + 23], 536);
});

Deno.test("clampMss() stays within the packet, whatever that is", () => {
  const random = new SeededRandom(seedOf(7));
  const samples = [...lowered.map(([, shape]) => shape), ...alone.map(([, shape]) => shape)];
  for (let round = 0; round < 20_000; round++) {
    const { bytes, off, len } = packet(samples[round % samples.length]);
    for (let flips = random.below(4); flips > 0; flips--) {
      bytes[off + random.below(len)] ^= 1 << random.below(8);
    }
    const cut = random.below(len + 1);
    const before = bytes.slice();
    clampMss(bytes, off, cut, 1300);
    assert.deepEqual(bytes.subarray(0, off), before.subarray(0, off));
    assert.deepEqual(bytes.subarray(off + cut), before.subarray(off + cut));
  }
});

Deno.test("updateChecksum() gives what summing anew gives", () => {
  const random = new SeededRandom(seedOf(9));
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from({ length: 20 }, () => random.below(256));
    bytes.fill(0, 2, 4);
    const sum = sumOf(bytes);
    bytes.set([sum >> 8, sum & 255], 2);
    const was = bytes[8] << 8 | bytes[9];
    const is = round % 3 === 0 ? 0xffff * (round & 1) : random.below(65_536);
    bytes.set([is >> 8, is & 255], 8);
    updateChecksum(bytes, 2, was, is);
    assert.equal(sumOf(bytes), 0);
  }
});
