import assert from "node:assert/strict";
import { SEEN } from "../../../src/ports/mod.ts";
import {
  emitSeenEntry,
  emitSeenHeader,
  parseSeenFile,
  SEEN_ENTRY_LEN,
  SEEN_HEADER_LEN,
} from "../../../src/demo/seen_file.ts";
import { parseTraceFile } from "../../../src/demo/trace_file.ts";

function seenStruct(timeNs: number, len: number, direction: number): Uint8Array {
  const struct = new Uint8Array(SEEN.size);
  const view = new DataView(struct.buffer);
  view.setFloat64(SEEN.timeNs, timeNs, true);
  view.setUint32(SEEN.len, len, true);
  view.setUint32(SEEN.direction, direction, true);
  for (let i = 0; i < SEEN.headLen; i++) struct[SEEN.head + i] = i;
  return struct;
}

function seenFile(): Uint8Array {
  const out = new Uint8Array(SEEN_HEADER_LEN + 2 * SEEN_ENTRY_LEN).fill(0xa5);
  let at = emitSeenHeader(1.7e18, out);
  at += emitSeenEntry(0, seenStruct(5.5, 1400, 0), out.subarray(at));
  at += emitSeenEntry(1, seenStruct(7, 20, 4), out.subarray(at));
  assert.equal(at, out.length);
  return out;
}

Deno.test("parseSeenFile() reads what was emitted", () => {
  const { wallBaseNs, frames } = parseSeenFile(seenFile());
  assert.equal(wallBaseNs, 1.7e18);
  const { head, ...rest } = frames[0];
  assert.deepEqual(rest, { interfaceIndex: 0, timeNs: 5.5, len: 1400, outgoing: false });
  assert.deepEqual([...head], Array.from({ length: 64 }, (_, index) => index));
  assert.equal(frames[1].outgoing, true);
  assert.equal(frames[1].head.length, 20, "no bytes beyond the frame's own");
});

Deno.test("parseSeenFile() leaves out an entry that was cut short", () => {
  const bytes = seenFile();
  assert.equal(parseSeenFile(bytes.subarray(0, bytes.length - 1)).frames.length, 1);
  assert.equal(parseSeenFile(bytes.subarray(0, SEEN_HEADER_LEN)).frames.length, 0);
});

Deno.test("parseSeenFile() refuses any other file", () => {
  assert.throws(() => parseSeenFile(new Uint8Array(100)), RangeError);
  assert.throws(() => parseSeenFile(seenFile().subarray(0, SEEN_HEADER_LEN - 1)), RangeError);
});

Deno.test("parseTraceFile() reads slots, flags and the time base", () => {
  const { wallBaseNs, slots } = parseTraceFile(
    "# slot planned_ns actual_ns data_records flags; wall_base_ns=1700000000000000000\n0 100 101.5 1 0\n1 200 0 0 1\n2 300 150300 0 2\n3 400 401 0 8\n",
  );
  assert.equal(wallBaseNs, 1.7e18);
  assert.deepEqual(slots, [
    { slot: 0, plannedNs: 100, actualNs: 101.5, dataRecords: 1, skipped: false, late: false, refused: false },
    { slot: 1, plannedNs: 200, actualNs: 0, dataRecords: 0, skipped: true, late: false, refused: false },
    { slot: 2, plannedNs: 300, actualNs: 150300, dataRecords: 0, skipped: false, late: true, refused: false },
    { slot: 3, plannedNs: 400, actualNs: 401, dataRecords: 0, skipped: false, late: false, refused: true },
  ]);
});

Deno.test("parseTraceFile() leaves out a last line without its end and names a broken one", () => {
  assert.equal(parseTraceFile("0 1 2 0 0\n1 2 3 0 0").slots.length, 1);
  assert.ok(Number.isNaN(parseTraceFile("").wallBaseNs));
  assert.throws(() => parseTraceFile("0 1 2 0 0\n1 2 x 0 0\n"), /line 2/);
  assert.throws(() => parseTraceFile("0 1 2 0\n"), /line 1/);
});
