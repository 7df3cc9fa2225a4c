import assert from "node:assert/strict";
import fc from "fast-check";
import { Codel, type CodelLine } from "../../../src/tunnel/codel.ts";

const MS = 1e6;
const PARAMETERS = { targetNs: 5 * MS, intervalNs: 100 * MS, bytesMin: 1514 };

/** A line of packets of 1,000 bytes; it notes what becomes of each. */
class Line implements CodelLine {
  readonly packets: { readonly inNs: number; readonly ect: boolean }[] = [];
  readonly dropsNs: number[] = [];
  readonly marksNs: number[] = [];
  nowNs = 0;
  #taken = { inNs: 0, ect: false };

  get bytes(): number {
    return 1000 * this.packets.length;
  }
  take(): boolean {
    const packet = this.packets.shift();
    if (packet !== undefined) this.#taken = packet;
    return packet !== undefined;
  }
  get takenNs(): number {
    return this.#taken.inNs;
  }
  mark(): boolean {
    if (this.#taken.ect) this.marksNs.push(this.nowNs);
    return this.#taken.ect;
  }
  drop(): void {
    this.dropsNs.push(this.nowNs);
  }
}

/** Takes one packet each ms for `durationNs` off a line in which packets wait for `waitNs(now)`. */
function serve(durationNs: number, waitNs: (nowNs: number) => number, ect = false, line = new Line()) {
  const codel = new Codel();
  let served = 0;
  for (let now = 0; now < durationNs; now += MS) {
    line.nowNs = now;
    line.packets.length = 0;
    for (let i = 0; i < 20; i++) line.packets.push({ inNs: now - waitNs(now), ect });
    if (codel.next(line, now, PARAMETERS)) served++;
  }
  return { line, served };
}

Deno.test("Codel drops nothing while packets wait for less than the target, or too long for less than an interval", () => {
  assert.deepEqual(serve(5000 * MS, () => 4.9 * MS).line.dropsNs, []);
  const now90Of100 = serve(5000 * MS, (now) => now % (100 * MS) < 90 * MS ? 50 * MS : MS);
  assert.deepEqual(now90Of100.line.dropsNs, []);
});

Deno.test("Codel drops after an interval, and then at intervals that shrink with the root of their count (RFC 8289)", () => {
  const { line: { dropsNs }, served } = serve(1000 * MS, () => 50 * MS);
  // 100 ms, then 100/√1, 100/√2, 100/√3 ... later; each at the first ms that has come.
  const expected = [100 * MS];
  for (let at = 200, count = 2; at < 1000; at += 100 / Math.sqrt(count++)) {
    expected.push(Math.ceil(at - 1e-9) * MS);
  }
  assert.deepEqual(dropsNs, expected);
  assert.equal(served, 1000, "something leaves all the same");
});

Deno.test("Codel begins at the pace at which it stopped a short while ago, and slowly after a long one", () => {
  const drops = (quietNs: number) => {
    const isQuiet = (now: number) => now >= 2000 * MS && now < 2000 * MS + quietNs;
    const { dropsNs } = serve(5000 * MS, (now) => isQuiet(now) ? 0 : 50 * MS).line;
    const again = dropsNs.filter((atNs) => atNs > 2000 * MS + quietNs);
    return again[1] - again[0];
  };
  assert.ok(drops(200 * MS) < 30 * MS, `${drops(200 * MS)}`);
  assert.equal(drops(1900 * MS), 100 * MS);
});

Deno.test("Codel marks instead of dropping where a packet takes that, at the same times", () => {
  const dropped = serve(1000 * MS, () => 50 * MS).line;
  const marked = serve(1000 * MS, () => 50 * MS, true).line;
  assert.deepEqual(marked.marksNs, dropped.dropsNs);
  assert.deepEqual(marked.dropsNs, []);
});

Deno.test("Codel leaves a line of one packet alone, however long it has waited", () => {
  const codel = new Codel();
  const line = new Line();
  for (let now = 0; now < 5000 * MS; now += 10 * MS) {
    line.packets.push({ inNs: now - 1000 * MS, ect: false }, { inNs: now - 1000 * MS, ect: false });
    assert.ok(codel.next(line, now, PARAMETERS));
    line.packets.length = 0;
  }
  assert.deepEqual(line.dropsNs, []);
});

Deno.test("Codel always finds a packet in a line that has some, and says when there is none", () => {
  const step = fc.record({ comes: fc.nat(8), waitsMs: fc.nat(1000), laterMs: fc.nat(60), ect: fc.boolean() });
  fc.assert(fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
    const codel = new Codel();
    const line = new Line();
    let now = 1e12;
    for (const { comes, waitsMs, laterMs, ect } of steps) {
      for (let i = 0; i < comes; i++) line.packets.push({ inNs: now - waitsMs * MS, ect });
      line.nowNs = now += laterMs * MS;
      const had = line.packets.length;
      const before = line.dropsNs.length;
      assert.equal(codel.next(line, now, PARAMETERS), had > 0);
      assert.equal(line.packets.length, Math.max(0, had - 1 - (line.dropsNs.length - before)));
    }
  }));
});
