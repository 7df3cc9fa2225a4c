import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { shimCoalesce, shimSplit } from "./offload.ts";
import * as reference from "./offload_reference.ts";
import { flow, type FlowShape, type Segment } from "./offload_samples.ts";

const NO_OFFLOAD = { needsCheck: false, gsoType: 0, headerLen: 0, gsoSize: 0, checkStart: 0, checkOffset: 0 };
const FAMILIES = [true, false];
const TCP_FLAGS = { ack: 0x10, fin: 0x11, psh: 0x18, syn: 0x12, rst: 0x14, cwr: 0x90, ece: 0x50 } as const;

/** Numbers that tests need not choose. */
function counter(): () => number {
  let state = 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}
const shape = (v4: boolean, tcp: boolean, more: Partial<FlowShape> = {}): FlowShape => {
  return { v4, tcp, host: 1, port: 1, ...more };
};
const segments = (...lens: number[]): Segment[] => lens.map((payloadLen) => ({ payloadLen }));

function verify(packets: readonly Uint8Array[]): void {
  for (const packet of packets) {
    const headers = reference.headersOf(packet)!;
    ok(reference.isCheckValid(packet, headers), "checksum");
  }
}

for (const v4 of FAMILIES) {
  const name = v4 ? "IPv4" : "IPv6";

  Deno.test(`Reading cuts a TCP packet into segments as a stack would: ${name}`, () => {
    const sent = flow(shape(v4, true, { optionsLen: 12 }), [
      { payloadLen: 1000, flags: TCP_FLAGS.cwr },
      ...segments(1000, 1000),
      { payloadLen: 7, flags: TCP_FLAGS.fin | TCP_FLAGS.psh },
    ], counter());
    const whole = reference.join(sent);
    deepStrictEqual(shimSplit(whole), sent);
    deepStrictEqual(reference.split(whole), sent);
    verify(sent);
    const [first, second, , last] = sent.map((packet) => packet[reference.headersOf(packet)!.l4 + 13]);
    deepStrictEqual(
      [first, second, last],
      [0x90, 0x10, 0x19],
      "CWR with the first, FIN and PSH with the last",
    );
    if (v4) deepStrictEqual(sent.map((packet) => reference.get16(packet, 4)), [0xfffe, 0xffff, 0, 1]);
  });

  Deno.test(`Reading cuts a UDP packet into datagrams: ${name}`, () => {
    const sent = flow(shape(v4, false), segments(1200, 1200, 1200, 1), counter());
    deepStrictEqual(shimSplit(reference.join(sent)), sent);
    verify(sent);
  });

  Deno.test(`Reading completes a checksum that was left to the device: ${name}`, () => {
    for (const tcp of [true, false]) {
      for (const len of [1, 2, 3, 555, 1400]) {
        const [packet] = flow(shape(v4, tcp), segments(len), counter());
        const { l4 } = reference.headersOf(packet)!;
        const partial = packet.slice();
        const at = l4 + (tcp ? 16 : 6);
        reference.put16(partial, at, reference.pseudoSum(packet, tcp ? 6 : 17, packet.length - l4));
        const header = { ...NO_OFFLOAD, needsCheck: true, checkStart: l4, checkOffset: at - l4 };
        deepStrictEqual(shimSplit({ header, packet: partial }), [packet]);
      }
    }
  });

  Deno.test(`Writing joins segments of one flow, and reading gives them back: ${name}`, () => {
    for (const tcp of [true, false]) {
      const sent = flow(
        shape(v4, tcp, { optionsLen: tcp ? 12 : 0 }),
        segments(1200, 1200, 1200, 30),
        counter(),
      );
      const written = shimCoalesce(sent);
      strictEqual(written.length, 1);
      deepStrictEqual(written, [reference.join(sent)]);
      deepStrictEqual(shimSplit(written[0]), sent);
      deepStrictEqual(shimCoalesce(sent, 0).map(({ packet }) => packet), sent, "not without offloads");
    }
  });

  Deno.test(`Writing keeps flows apart and the order within each: ${name}`, () => {
    const [a, b] = [1, 2].map((port) => flow(shape(v4, true, { port }), segments(900, 900, 900), counter()));
    const udp = flow(shape(v4, false), segments(500, 500), counter());
    const mixed = [a[0], b[0], udp[0], a[1], b[1], udp[1], a[2], b[2]];
    deepStrictEqual(shimCoalesce(mixed), [reference.join(a), reference.join(b), reference.join(udp)]);
  });
}

Deno.test("Writing joins at most 64 KiB and 64 packets", () => {
  for (const [len, most] of [[1400, 46], [100, 64]]) {
    const sent = flow(shape(true, true), Array<Segment>(150).fill({ payloadLen: len }), counter());
    const written = shimCoalesce(sent);
    deepStrictEqual(written[0], reference.join(sent.slice(0, most)));
    deepStrictEqual(written.flatMap((one) => shimSplit(one)!), sent);
  }
});

Deno.test("Writing does not join what cutting would not give back", () => {
  const kinds: Record<string, (packets: Uint8Array[]) => unknown> = {
    "a gap": (packets) => packets.splice(1, 1),
    "other order": (packets) => packets.reverse(),
    "another window": (packets) => packets[1][20 + 15]++,
    "another acknowledgement": (packets) => packets[1][20 + 11]++,
    "other options": (packets) => packets[1][20 + 20] = 0,
    "another TTL": (packets) => packets[1][8]--,
    "a congestion mark": (packets) => packets[1][1] = 3,
    "another identification": (packets) => packets[1][5]++,
    "PSH before the last": (packets) => packets[0][20 + 13] = TCP_FLAGS.psh,
    "FIN before the last": (packets) => packets[0][20 + 13] = TCP_FLAGS.fin,
    "CWR behind the first": (packets) => packets[1][20 + 13] = TCP_FLAGS.cwr,
    "ECE behind the first": (packets) => packets[1][20 + 13] = TCP_FLAGS.ece,
    "SYN": (packets) => packets.forEach((packet) => packet[20 + 13] = TCP_FLAGS.syn),
    "RST": (packets) => packets.forEach((packet) => packet[20 + 13] = TCP_FLAGS.rst),
    "no ACK": (packets) => packets.forEach((packet) => packet[20 + 13] = 0),
    "fragments": (packets) => packets.forEach((packet) => packet[6] = 0x20),
    "another port": (packets) => packets[1][20]++,
    "another address": (packets) => packets[1][19]++,
  };
  for (const [kind, spoil] of Object.entries(kinds)) {
    const packets = flow(shape(true, true, { optionsLen: 12 }), segments(700, 700, 700), counter()).slice(
      0,
      3,
    );
    spoil(packets);
    packets.forEach((packet) => reference.finish(packet, 20, true));
    const written = shimCoalesce(packets.slice(0, 2));
    deepStrictEqual(written.map(({ packet }) => packet), packets.slice(0, 2), kind);
    for (const { header } of written) deepStrictEqual(header, NO_OFFLOAD, kind);
  }
});

Deno.test("Writing leaves a wrong checksum wrong, and a missing one missing", () => {
  for (const wrong of [0, 1]) {
    const sent = flow(shape(true, true), segments(700, 700), counter());
    sent[wrong][500] ^= 1;
    deepStrictEqual(shimCoalesce(sent).map(({ packet }) => packet), sent);
  }
  const udp = flow(shape(true, false), segments(700, 700), counter());
  for (const packet of udp) packet.fill(0, 26, 28);
  deepStrictEqual(shimCoalesce(udp).map(({ packet }) => packet), udp);
  const ip = flow(shape(true, true), segments(700, 700), counter());
  ip[1][10] ^= 1;
  deepStrictEqual(shimCoalesce(ip).map(({ packet }) => packet), ip, "of the IPv4 header");
});

Deno.test("Writing does not move a packet past one whose flow cannot be told", () => {
  const tcp = flow(shape(true, true), segments(700, 700, 700, 700), counter());
  const icmp = tcp[0].slice();
  icmp[9] = 1;
  reference.put16(icmp, 10, 0);
  reference.put16(icmp, 10, ~reference.wordSum(icmp.subarray(0, 20)));
  const written = shimCoalesce([tcp[0], tcp[1], icmp, tcp[2], tcp[3]]);
  deepStrictEqual(written, [
    reference.join(tcp.slice(0, 2)),
    { header: NO_OFFLOAD, packet: icmp },
    reference.join(tcp.slice(2)),
  ]);
});

Deno.test("Writing takes no notice of what is no packet", () => {
  const [packet] = flow(shape(true, true), segments(1), counter());
  const rubbish = [Uint8Array.of(0x45), new Uint8Array(19).fill(0x45), new Uint8Array(39).fill(0x60)];
  const cut = Array.from({ length: packet.length - 1 }, (_, i) => packet.slice(0, i + 1));
  for (const one of [...rubbish, ...cut]) {
    deepStrictEqual(shimCoalesce([one, one]).map((written) => written.packet), [one, one]);
  }
});

const segment = fc.record({
  payloadLen: fc.oneof({ weight: 6, arbitrary: fc.constant(300) }, fc.integer({ min: 0, max: 400 })),
  flags: fc.oneof(
    { weight: 12, arbitrary: fc.constant<number>(TCP_FLAGS.ack) },
    fc.constantFrom<number>(...Object.values(TCP_FLAGS)),
  ),
});
const oneFlow = fc.record({
  v4: fc.boolean(),
  tcp: fc.boolean(),
  host: fc.integer({ min: 0, max: 2 }),
  port: fc.integer({ min: 0, max: 2 }),
  optionsLen: fc.constantFrom(0, 12, 40),
  atomic: fc.boolean(),
  segments: fc.array(segment, { maxLength: 12 }),
});

Deno.test("Writing joins as the reference does; reading it again gives the packets of each flow in order", () => {
  let joined = 0;
  fc.assert(
    fc.property(fc.array(oneFlow, { maxLength: 4 }), fc.infiniteStream(fc.nat(0xffff)), (flows, numbers) => {
      const random = () => numbers.next().value / 0x10000;
      const queues = flows.map((shape) => flow(shape, shape.segments, random));
      const mixed: Uint8Array[] = [];
      while (queues.some((queue) => queue.length > 0)) {
        const packet = queues[Math.floor(random() * queues.length)].shift();
        if (packet === undefined) continue;
        if (random() < 0.05) packet[Math.floor(random() * packet.length)] ^= 1 << (random() * 8);
        mixed.push(packet);
      }
      const written = shimCoalesce(mixed);
      deepStrictEqual(written, reference.coalesce(mixed));
      joined += mixed.length - written.length;
      const again = written.flatMap((one) => shimSplit(one)!);
      deepStrictEqual(inFlows(again), inFlows(mixed));
    }),
    { numRuns: 300 },
  );
  ok(joined > 100, `${joined} packets were joined to others`);
});

/** Packets by flow, identification of atomic datagrams left out (RFC 6864 §4.1). */
function inFlows(packets: readonly Uint8Array[]): Map<string, Uint8Array[]> {
  const flows = new Map<string, Uint8Array[]>();
  for (const packet of packets) {
    const headers = reference.headersOf(packet);
    const name = headers === undefined ? "" : reference.flowOf(packet, headers);
    const same = packet.slice();
    if (headers?.v4 && (packet[6] & 0x40) !== 0) same.fill(0, 4, 6), same.fill(0, 10, 12);
    flows.set(name, [...flows.get(name) ?? [], same]);
  }
  return new Map([...flows].sort());
}
