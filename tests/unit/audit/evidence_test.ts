import assert from "node:assert/strict";
import fc from "fast-check";
import { blockOrder, parseLoads } from "../../../src/audit/blocks.ts";
import { DirectionEvidence } from "../../../src/audit/evidence.ts";
import { exitCodeOf } from "../../../src/audit/gate.ts";
import { gatesOf, judgeDirection, tellText } from "../../../src/audit/judge.ts";
import type { Round } from "../../../src/audit/lab.ts";
import { auditPage } from "../../../src/audit/page.ts";
import { pairPackets, pathDelayNs, type PlannedSlot } from "../../../src/audit/pairing.ts";
import { pcapOf } from "../../../src/audit/pcap.ts";
import { plotsOf } from "../../../src/audit/plots.ts";
import type { AuditResult } from "../../../src/audit/result.ts";
import { usualLoads } from "../../../src/audit/session.ts";
import { auditText } from "../../../src/audit/text.ts";
import type { SeenFrame } from "../../../src/demo/seen_file.ts";
import { INTERVAL_NS, seeded } from "./fixture.ts";

const DELAY_NS = 4000;

function slotsOf(count: number, skipped: readonly number[] = []): PlannedSlot[] {
  return Array.from({ length: count }, (_, i) => ({
    plannedNs: i * INTERVAL_NS,
    actualNs: skipped.includes(i) ? 0 : i * INTERVAL_NS + 50,
    dataRecords: i % 2,
    skipped: skipped.includes(i),
    refused: false,
  }));
}

const packetsOf = (slots: readonly PlannedSlot[]) =>
  slots.filter(({ skipped }) => !skipped).map(({ actualNs }) => actualNs + DELAY_NS);

Deno.test("pairPackets() pairs each packet with its slot and counts what is skipped", () => {
  const slots = slotsOf(100, [3, 50]);
  const { pairs, skippedNs, missing, unscheduled } = pairPackets(packetsOf(slots), slots, 1000);
  assert.equal(pairs.length, 97);
  assert.deepEqual([...skippedNs], [3 * INTERVAL_NS, 50 * INTERVAL_NS]);
  assert.deepEqual([missing, unscheduled], [0, 0]);
  assert.ok(pairs.every(({ plannedNs, hasData }) => hasData === (plannedNs / INTERVAL_NS % 2 === 1)));
  assert.equal(pathDelayNs(pairs), DELAY_NS + 50);
});

Deno.test("pairPackets() judges what both cover, wherever the one begins and the other ends", () => {
  const slots = slotsOf(100);
  const packets = packetsOf(slots);
  fc.assert(fc.property(fc.nat(40), fc.nat(40), fc.nat(40), fc.nat(40), (a, b, c, d) => {
    const result = pairPackets(packets.slice(a, 100 - b), slots.slice(c, 100 - d), 1000);
    assert.deepEqual([result.missing, result.unscheduled], [0, 0]);
    // A trace's last slot is not judged: a packet behind it may be of one that is not in the trace.
    assert.equal(result.pairs.length, 100 - Math.max(a, c) - Math.max(b, d + 1));
  }));
});

Deno.test("pairPackets() finds a packet too many, one too few, and packets stamped late", () => {
  const slots = slotsOf(100);
  const packets = packetsOf(slots);
  const twice = packets.toSpliced(20, 0, packets[20] + 100);
  assert.equal(pairPackets(twice, slots, 1000).unscheduled, 1);
  assert.equal(pairPackets(packets.toSpliced(20, 1), slots, 1000).missing, 1);
  for (const lateNs of [0.9, 1.5, 20.5]) {
    const late = packets.map((time, i) => i < 20 ? time : Math.max(time, packets[20] + lateNs * INTERVAL_NS));
    const { pairs, missing, unscheduled } = pairPackets(late, slots, 1000);
    assert.deepEqual([pairs.length, missing, unscheduled], [99, 0, 0]);
    assert.ok(pairs.every(({ plannedNs }, i) => plannedNs === i * INTERVAL_NS));
  }
});

Deno.test("pairPackets() counts the slots that could have been sent: one skipped before one in time, one refused", () => {
  const needless = (change: Record<number, Partial<PlannedSlot>>) => {
    const slots = slotsOf(100, [3, 50, 51]).map((slot, i) => ({ ...slot, ...change[i] }));
    return pairPackets(packetsOf(slots), slots, 1000).needless;
  };
  assert.equal(needless({}), 3);
  const late = (i: number) => ({ [i]: { actualNs: i * INTERVAL_NS + 900 } });
  assert.equal(needless({ ...late(4), ...late(52) }), 0);
  assert.equal(needless({ ...late(4), ...late(52), 70: { refused: true } }), 1);
  assert.equal(needless({ ...late(52), 3: { skipped: true, actualNs: 0, socketFull: true } }), 0);
});

Deno.test("pairPackets() pairs the packets of burst slots, and gives the gaps within them", () => {
  const slots = slotsOf(100, [3]);
  const packets = packetsOf(slots).flatMap((time) => [time, time + 500, time + 1200]);
  const { pairs, missing, unscheduled } = pairPackets(packets, slots, 1000, 3);
  // The first slot may be a part of one, the last has no window.
  assert.deepEqual([pairs.length, missing, unscheduled], [97, 0, 0]);
  assert.ok(pairs.every(({ seenNs, calledNs }) => seenNs === calledNs + DELAY_NS));
  assert.ok(pairs.every(({ gapsNs }) => gapsNs?.join() === "500,700"));
  assert.equal(pairPackets(packets.toSpliced(60, 1), slots, 1000, 3).missing, 1);
  assert.equal(pairPackets(packets.toSpliced(60, 0, packets[60] + 10), slots, 1000, 3).unscheduled, 1);
  const late = packets.map((time, i) => i < 60 ? time : Math.max(time, packets[60] + 2.5 * INTERVAL_NS));
  const found = pairPackets(late, slots, 1000, 3);
  assert.deepEqual([found.pairs.length, found.missing, found.unscheduled], [97, 0, 0]);
});

Deno.test("blockOrder() has every load equally often and as many idle blocks, in a random order", () => {
  const loads = usualLoads("tun");
  const order = blockOrder(96, loads, seeded(1));
  assert.equal(order.length, 96);
  assert.equal(order.filter((load) => load === "idle").length, 48);
  for (const load of loads) assert.equal(order.filter((name) => name === load).length, 8);
  assert.notDeepEqual(order, blockOrder(96, loads, seeded(2)));
});

Deno.test("usualLoads() has those of a proxy where there is one", () => {
  assert.deepEqual(usualLoads("tcp").filter((load) => !usualLoads("tun").includes(load)), [
    "short requests",
    "slow reader",
  ]);
  assert.deepEqual(usualLoads("udp"), usualLoads("tcp"));
});

Deno.test("parseLoads() reads names and says which there are", () => {
  assert.deepEqual(parseLoads("bulk-up, host-busy"), ["bulk up", "host busy"]);
  assert.throws(() => parseLoads("idle"), /bulk-up, bulk-down, one-in-flight/);
});

/** An IPv4 packet of 1,400 bytes from port 40000 to 1405 with a data record inside, as far as an observer keeps it. */
function headOf(change: Record<number, number> = {}): Uint8Array {
  const head = new Uint8Array(64);
  const view = new DataView(head.buffer);
  head.set([0x45, 0]);
  view.setUint16(2, 1400);
  view.setUint16(6, 0x4000);
  head.set([64, 17], 8);
  head.set([192, 0, 2, 2, 198, 51, 100, 2], 12);
  view.setUint16(20, 40_000);
  view.setUint16(22, 1405);
  view.setUint16(24, 1380);
  view.setUint16(26, 7);
  head[28] = 0x2f;
  view.setUint16(31, 1367);
  for (const [at, value] of Object.entries(change)) head[Number(at)] = value;
  return head;
}

/** A round of 100 blocks, idle and bulk in turn, without a fault but what `change` makes of a frame. */
function roundOf(change: (frame: SeenFrame, index: number) => SeenFrame | undefined): Round {
  const blocks = Array.from({ length: 80 }, (_, i) => ({
    load: i % 2 === 0 ? "idle" as const : "bulk up" as const,
    fromMs: 10 + i * 100,
    toMs: 110 + i * 100,
  }));
  const slots = slotsOf(8_200).map((slot, index) => ({ ...slot, slot: index, late: false }));
  const frames = slots.map(({ actualNs }): SeenFrame => ({
    interfaceIndex: 0,
    outgoing: false,
    timeNs: actualNs + DELAY_NS,
    len: 1400,
    head: headOf(),
  }));
  return {
    blocks,
    seen: { wallBaseNs: 0, frames: frames.map(change).filter((frame) => frame !== undefined) },
    traces: { client: { wallBaseNs: 0, slots }, server: { wallBaseNs: 0, slots: [] } },
  };
}

function judged(change: (frame: SeenFrame, index: number) => SeenFrame | undefined) {
  const evidence = new DirectionEvidence({
    from: "client",
    interfaceIndex: 0,
    serverPort: 1405,
    intervalNs: INTERVAL_NS,
  });
  evidence.add(roundOf(change));
  const judgement = judgeDirection(evidence.exact, evidence.sessions, {
    packetLen: 1400,
    isOwnLink: true,
    jitter: { law: "none", sdNs: 0 },
    random: seeded(3),
  });
  return { judgement, evidence };
}

/** Whether a slot of the round lies in a block with load. */
const isBusy = (index: number) => Math.floor((index - 10) / 100) % 2 === 1;

Deno.test("judgeDirection() finds a clean run clean", () => {
  const { judgement } = judged((frame) => frame);
  assert.deepEqual(gatesOf(judgement).filter(({ verdict }) => verdict === "fails"), []);
  assert.ok(judgement.exact.every(({ verdict }) => verdict === "holds"));
  assert.equal(judgement.idleSessions, 40);
  assert.deepEqual(judgement.loads.map(({ load, sessions }) => [load, sessions]), [
    ["any load", 40],
    ["bulk up", 40],
  ]);
});

const FAULTS: Readonly<Record<string, [RegExp, (frame: SeenFrame, index: number) => SeenFrame | undefined]>> =
  {
    "one packet in 8,000 a byte shorter": [/one length/, (f, i) => i === 4321 ? { ...f, len: 1399 } : f],
    "an inner ECN copied out": [/header fields/, (f, i) => i === 4321 ? { ...f, head: headOf({ 1: 2 }) } : f],
    "another record form": [/one form/, (f, i) => i === 4321 ? { ...f, head: headOf({ 32: 1 }) } : f],
    "an epoch that goes and comes back": [
      /epochs change/,
      (f, i) => i === 4321 ? { ...f, head: headOf({ 28: 0x2c }) } : f,
    ],
    "a packet that is not sent": [/each packet is a slot/, (f, i) => i === 4321 ? undefined : f],
    "another frame": [/nothing else/, (f, i) => i === 4321 ? { ...f, head: new Uint8Array(64) } : f],
    "2 µs later under load": [/decile/, (f, i) => isBusy(i) ? { ...f, timeNs: f.timeNs + 2000 } : f],
    "data 300 ns later": [
      /with data against/,
      (f, i) => isBusy(i) && i % 2 === 1 ? { ...f, timeNs: f.timeNs + 300 } : f,
    ],
    "wider under load": [
      /times alone/,
      (f, i) => ({ ...f, timeNs: f.timeNs + (isBusy(i) ? 900 : 600) * Math.sin(i * i) }),
    ],
  };
for (const [name, [pattern, change]] of Object.entries(FAULTS)) {
  Deno.test(`judgeDirection() catches ${name}`, () => {
    const gates = gatesOf(judged(change).judgement);
    assert.equal(exitCodeOf(gates), 1);
    const failing = gates.filter(({ verdict }) => verdict === "fails").map(({ name }) => name).join("\n");
    assert.match(failing, pattern);
  });
}

Deno.test("pcapOf() writes a file that tcpdump's format describes", () => {
  const frame = {
    interfaceIndex: 0,
    outgoing: false,
    timeNs: 1.5e9,
    len: 1400,
    head: Uint8Array.of(0x45, 1),
  };
  const view = new DataView(pcapOf([frame], 7e9 + 5).buffer);
  assert.equal(view.getUint32(0, true), 0xa1b23c4d);
  assert.equal(view.getUint32(20, true), 101);
  const words = [24, 28, 32, 36].map((at) => view.getUint32(at, true));
  assert.deepEqual(words, [8, 500_000_005, 2, 1400]);
  assert.equal(view.byteLength, 24 + 16 + 2);
});

Deno.test("tellText() gives times that people read", () => {
  assert.equal(
    tellText({ packets: 5000, packetsLow: 100, packetsHigh: Infinity, biasNats: 0 }, INTERVAL_NS),
    "T99 5.0 s (0.10 s to ∞), 5.0e+3 packets",
  );
  assert.match(
    tellText({ packets: 1e12, packetsLow: 1, packetsHigh: 1, biasNats: 0 }, INTERVAL_NS),
    /32 years/,
  );
});

Deno.test("auditText() and auditPage() name every gate, its figures and the verdict", () => {
  const { judgement, evidence } = judged(FAULTS["2 µs later under load"][1]);
  const result: AuditResult = {
    version: "0",
    date: "2026-01-01T00:00:00.000Z",
    machine: { cpu: "<a cpu>", cores: 2, kernel: "6" },
    seed: 1,
    minutes: 2,
    intervalNs: INTERVAL_NS,
    burst: 1,
    packetLen: 1400,
    mode: "tun",
    pollMode: "hybrid",
    schedFifo: true,
    tunnels: [{
      jitter: "off",
      directions: [{
        name: "client to server",
        isJudged: true,
        judgement,
        plots: plotsOf(evidence.sessions, INTERVAL_NS),
      }],
    }],
    verdict: "fails",
  };
  const [text, page] = [auditText(result), auditPage(result)];
  for (const { name } of gatesOf(judgement)) {
    assert.ok(text.includes(name), name);
    assert.ok(page.includes(name.replaceAll("&", "&amp;").replaceAll("<", "&lt;")), name);
  }
  assert.match(text, /FAILS/);
  assert.match(page, /<h1>It fails<\/h1>/);
  assert.ok(!page.includes("<a cpu>"));
  assert.equal(page.match(/<svg/g)?.length, 4);
});
