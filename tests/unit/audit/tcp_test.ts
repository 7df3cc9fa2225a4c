import assert from "node:assert/strict";
import { exitCodeOf, type Gate } from "../../../src/audit/gate.ts";
import { gatesOf } from "../../../src/audit/judge.ts";
import type { Round } from "../../../src/audit/lab.ts";
import { evidenceFor } from "../../../src/audit/tcp_evidence.ts";
import { RecordCounts, RecordStream } from "../../../src/audit/tcp_records.ts";
import { parseSegment, type TcpSegment } from "../../../src/audit/tcp_segment.ts";
import type { SeenFrame } from "../../../src/demo/seen_file.ts";
import { INTERVAL_NS, seeded } from "./fixture.ts";

const DELAY_NS = 4000;
const HEADERS_LEN = 52; // with the time stamps option
const RECORD_LEN = 1348;
const SLOTS = 8_200;
const WINDOW = 512;

interface Made {
  readonly up?: boolean;
  readonly sequence?: number;
  readonly payloadLen?: number;
  /** What the record's header says of its length, header included; 0: no record begins the payload. */
  readonly recordLen?: number;
  readonly window?: number;
  readonly flags?: number;
  readonly identification?: number;
  readonly change?: Readonly<Record<number, number>>;
}

/** The first 64 bytes of an IPv4 packet with a TCP segment of a connection between ports 40000 and 1405. */
function headOf(made: Made): Uint8Array {
  const { up = true, sequence = 0, payloadLen = RECORD_LEN, recordLen = RECORD_LEN } = made;
  const head = new Uint8Array(64);
  const view = new DataView(head.buffer);
  const ends = [[192, 0, 2, 2], [198, 51, 100, 2]];
  head.set([0x45, 0]);
  view.setUint16(2, HEADERS_LEN + payloadLen);
  view.setUint16(4, made.identification ?? 7);
  view.setUint16(6, 0x4000);
  head.set([64, 6], 8);
  head.set([...ends[up ? 0 : 1], ...ends[up ? 1 : 0]], 12);
  view.setUint16(20, up ? 40_000 : 1405);
  view.setUint16(22, up ? 1405 : 40_000);
  view.setUint32(24, sequence);
  head[32] = 8 << 4;
  head[33] = made.flags ?? 0x18;
  view.setUint16(34, made.window ?? WINDOW);
  head.set([1, 1, 8, 10], 40);
  if (payloadLen > 0 && recordLen > 0) {
    head.set([23, 3, 3], 52);
    view.setUint16(55, recordLen - 5);
  }
  for (const [at, value] of Object.entries(made.change ?? {})) head[Number(at)] = value;
  return head;
}

function frameOf(timeNs: number, made: Made): SeenFrame {
  const { up = true, payloadLen = RECORD_LEN } = made;
  return { interfaceIndex: 0, outgoing: !up, timeNs, len: HEADERS_LEN + payloadLen, head: headOf(made) };
}

function segment(made: Made): TcpSegment {
  return parseSegment(headOf(made), HEADERS_LEN + (made.payloadLen ?? RECORD_LEN))!;
}

Deno.test("parseSegment() reads ports, payload, window, flags and the record's header", () => {
  const read = segment({ sequence: 0xfffffff0, window: 300 });
  assert.deepEqual([read.sourcePort, read.destinationPort, read.sequence], [40_000, 1405, 0xfffffff0]);
  assert.deepEqual([read.payloadLen, read.recordLen, read.window], [RECORD_LEN, RECORD_LEN, 300]);
  assert.deepEqual([read.flags, read.isEdge, read.hasSack], ["PSH ACK", false, false]);
  assert.equal(segment({ flags: 0x14 }).isEdge, true);
  assert.equal(segment({ payloadLen: 0 }).recordLen, undefined);
  assert.equal(segment({ recordLen: 0 }).recordLen, 0);
  assert.equal(segment({ change: { 42: 5 } }).hasSack, true);
});

Deno.test("parseSegment() takes nothing else for a segment, however it is cut", () => {
  const head = headOf({});
  for (const [at, value] of [[0, 0x60], [9, 17], [6, 0x20], [32, 0x40], [32, 0xf0]]) {
    const other = head.slice();
    other[at] = value;
    assert.equal(parseSegment(other, at === 32 && value === 0xf0 ? 50 : 1400), undefined, `byte ${at}`);
  }
  for (let len = 0; len <= head.length; len++) parseSegment(head.subarray(0, len), 1400);
  assert.equal(parseSegment(head.subarray(0, 39), 1400), undefined);
});

/** Records that each segment completed, and the counts. */
function cut(...segments: Made[]): [number[], RecordCounts] {
  const counts = new RecordCounts();
  const stream = new RecordStream(counts);
  return [segments.map((made) => stream.add(segment(made))), counts];
}

Deno.test("RecordStream: one segment a record, over the wrap of numbers too", () => {
  const first = 2 ** 32 - RECORD_LEN;
  const [records, counts] = cut({ sequence: first }, { sequence: 0 }, { sequence: RECORD_LEN });
  assert.deepEqual(records, [1, 1, 1]);
  assert.deepEqual([counts.records, counts.alone, counts.retransmitted, counts.missedLen], [3, 3, 0, 0]);
});

Deno.test("RecordStream: two records in a segment, one in two segments, sent again, not seen, and before the first", () => {
  const [records, counts] = cut(
    { sequence: 500, recordLen: 0, payloadLen: 500 },
    { sequence: 1000 },
    { sequence: 1000 + RECORD_LEN, payloadLen: 2 * RECORD_LEN },
    { sequence: 1000 },
    { sequence: 1000 + 3 * RECORD_LEN, payloadLen: 600 },
    { sequence: 1600 + 3 * RECORD_LEN, payloadLen: RECORD_LEN - 600, recordLen: 0 },
    { sequence: 1000 + 5 * RECORD_LEN },
  );
  assert.deepEqual(records, [0, 1, 2, 0, 0, 1, 1]);
  assert.deepEqual([counts.records, counts.alone, counts.retransmitted], [5, 2, 1]);
  assert.equal(counts.missedLen, RECORD_LEN);
  assert.deepEqual([...counts.lengths], [RECORD_LEN]);
});

Deno.test("RecordStream: a record of another length is seen, and those after it are cut right", () => {
  const [records, counts] = cut(
    { sequence: 0 },
    { sequence: RECORD_LEN, payloadLen: RECORD_LEN - 1, recordLen: RECORD_LEN - 1 },
    { sequence: 2 * RECORD_LEN - 1 },
  );
  assert.deepEqual(records, [1, 1, 1]);
  assert.deepEqual([...counts.lengths], [RECORD_LEN, RECORD_LEN - 1]);
});

/** Whether a slot of the round lies in a block with load. */
const isBusy = (index: number) => Math.floor((index - 10) / 100) % 2 === 1;

type Change = (made: Made, index: number) => readonly Made[];

/** What `change` makes of a connection with a record up and one down in each slot. */
function judged(change: Change = (made) => [made], isSender = false): Gate[] {
  const blocks = Array.from({ length: 80 }, (_, i) => ({
    load: i % 2 === 0 ? "idle" as const : "slow reader" as const,
    fromMs: 10 + i * 100,
    toMs: 110 + i * 100,
  }));
  const slots = Array.from({ length: SLOTS }, (_, slot) => ({
    slot,
    plannedNs: slot * INTERVAL_NS,
    actualNs: slot * INTERVAL_NS + 50,
    sentNs: slot * INTERVAL_NS + 50,
    dataRecords: slot % 2,
    skipped: false,
    late: false,
    refused: false,
  }));
  const frames = slots.flatMap(({ actualNs }, index) => {
    const sequence = (2 ** 32 - 1e6 + index * RECORD_LEN) % 2 ** 32;
    const own = change({ sequence }, index).map((made, i) => frameOf(actualNs + DELAY_NS + i, made));
    const all = [...own, frameOf(actualNs + 3e5, { up: false, sequence })];
    return isSender ? all.map((frame) => ({ ...frame, outgoing: !frame.outgoing })) : all;
  });
  const evidence = evidenceFor("tcp", {
    from: "client",
    interfaceIndex: 0,
    serverPort: 1405,
    intervalNs: INTERVAL_NS,
    isSender,
  });
  const traces = { client: { wallBaseNs: 0, slots }, server: { wallBaseNs: 0, slots: [] } };
  evidence.add({ blocks, seen: { wallBaseNs: 0, frames }, traces } as Round);
  const judgement = evidence.judge({
    packetLen: HEADERS_LEN + RECORD_LEN,
    isOwnLink: true,
    jitter: { law: "none", sdNs: 0 },
    random: seeded(3),
  });
  assert.match(
    judgement.note ?? "",
    /the kernel added \d+ acknowledgements without data and \d+ retransmissions/,
  );
  return gatesOf(judgement);
}

Deno.test("evidenceFor() tcp: a clean run is found clean, with gates of ACKs and windows", () => {
  const gates = judged();
  assert.deepEqual(gates.filter(({ verdict }) => verdict === "fails"), []);
  assert.ok(gates.filter(({ id }) => id === "G0").every(({ verdict }) => verdict === "holds"));
  const acks = gates.filter(({ id }) => id === "ACK");
  assert.equal(acks.length, 2 * 5, "of any load, and of the one that there was");
  assert.ok(acks.filter(({ name }) => !name.includes("forest")).every(({ verdict }) => verdict === "holds"));
});

Deno.test("evidenceFor() tcp: the same at the sender's own interface, where its segments go out", () => {
  const gates = judged((made, i) => isBusy(i) && i % 10 === 0 ? [made, ACK] : [made], true);
  assert.ok(gates.filter(({ id }) => id === "G0").every(({ verdict }) => verdict === "holds"));
  const failing = gates.filter(({ id, verdict }) => id === "ACK" && verdict === "fails").map(({ name }) =>
    name
  );
  assert.match(failing.join("\n"), /acknowledgements without data a segment/);
});

const ACK: Made = { payloadLen: 0, flags: 0x10 };
const FAULTS: Readonly<Record<string, readonly [RegExp, Change]>> = {
  "two records a segment now and then": [
    /exactly one segment/,
    (made, i) => i % 40 === 0 ? [{ ...made, payloadLen: 2 * RECORD_LEN }] : i % 40 === 1 ? [] : [made],
  ],
  "a record that is a byte shorter": [
    /records of one length/,
    (made, i) => i === 4321 ? [{ ...made, payloadLen: RECORD_LEN - 1, recordLen: RECORD_LEN - 1 }] : [made],
  ],
  "bytes that are no record": [
    /records of one length/,
    (made, i) => [i === 4321 ? { ...made, recordLen: 0 } : made],
  ],
  "an inner ECN copied out": [
    /header fields/,
    (made, i) => [i === 4321 ? { ...made, change: { 1: 2 } } : made],
  ],
  "a segment without PSH": [/flags/, (made, i) => [i === 4321 ? { ...made, flags: 0x10 } : made]],
  "a second connection": [
    /one connection/,
    (made, i) => [i === 4321 ? { ...made, change: { 21: 1 } } : made],
  ],
  "a reset": [/one connection/, (made, i) => i === 4321 ? [made, { ...ACK, flags: 0x14 }] : [made]],
  "a record that is not sent": [
    /each record is a slot/,
    (made, i) =>
      i === 4321 ? [] : [{ ...made, sequence: made.sequence! - (i > 4321 ? RECORD_LEN : 0) >>> 0 }],
  ],
  "another frame": [
    /nothing else/,
    (made, i) => i === 4321 ? [made, { ...ACK, change: { 23: 80 } }] : [made],
  ],
  "acknowledgements without data under load": [
    /acknowledgements without data a segment/,
    (made, i) => isBusy(i) && i % 10 === 0 ? [made, ACK] : [made],
  ],
  "a window that a slow reader closes": [
    /advertised window, median/,
    (made, i) => [{ ...made, window: isBusy(i) ? WINDOW / 2 : WINDOW }],
  ],
  "unread records under load": [
    /smaller window/,
    (made, i) => [{ ...made, window: WINDOW - (isBusy(i) && i % 10 === 0 ? 1 : 0) }],
  ],
};
for (const [name, [pattern, change]] of Object.entries(FAULTS)) {
  Deno.test(`evidenceFor() tcp catches ${name}`, () => {
    const gates = judged(change);
    assert.equal(exitCodeOf(gates), 1);
    const failing = gates.filter(({ verdict }) => verdict === "fails").map(({ name }) => name).join("\n");
    assert.match(failing, pattern);
  });
}

Deno.test("evidenceFor() tcp: segments sent again are told, and fail nothing", () => {
  const gates = judged((made, i) => i % 100 === 50 ? [made, made] : [made]);
  assert.deepEqual(gates.filter(({ verdict }) => verdict === "fails"), []);
});
