import { deepEqual, equal, ok } from "node:assert/strict";
import { PACKET_MAX_LEN, Reassembler, RECORDS_APART_MAX } from "../../../src/framing/reassembler.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";

type Step = readonly [id: number, offset: number, len: number, last: boolean, number?: number];

/** Byte i of every packet is i & 0xff, so that a fragment's bytes follow from its offset. */
function setup(places?: number) {
  const memory = new HeapMemory(64 + 64 * 2048 + 4096);
  const reassembler = new Reassembler(memory, places);
  const source = memory.alloc(4096);
  for (let i = 0; i < 4096; i++) memory.u8[source + i] = i & 0xff;
  const add = ([id, offset, len, last, number = 0]: Step) => {
    const off = reassembler.add(id, offset, source + offset, len, last, number);
    if (off === 0) return 0;
    ok(reassembler.holds(off));
    const packet = memory.u8.slice(off, off + reassembler.completedLen);
    deepEqual(packet, Uint8Array.from(packet, (_, i) => i & 0xff));
    return packet.length;
  };
  const run = (...steps: Step[]) => steps.map(add);
  const dropped = () =>
    Object.fromEntries(Object.entries(reassembler.counters).filter(([, count]) => count > 0));
  return { memory, reassembler, run, dropped };
}

Deno.test("Reassembler.add() completes a packet whose fragments come in any order", () => {
  const fragments: Step[] = [[1, 0, 100, false], [1, 100, 50, false], [1, 150, 1, false], [1, 151, 49, true]];
  const orders = permutations([0, 1, 2, 3]);
  equal(orders.length, 24);
  for (const order of orders) {
    const { run, reassembler } = setup();
    deepEqual(run(...order.map((i) => fragments[i])), [0, 0, 0, 200], order.join());
    deepEqual([reassembler.counters.completed, reassembler.inFlight, reassembler.droppedCount], [1, 0, 0]);
  }
});

Deno.test("Reassembler.add() keeps packets of different ids apart", () => {
  const { run } = setup();
  const results = run([1, 0, 10, false], [2, 0, 20, false], [2, 20, 5, true], [1, 10, 5, true], [
    1,
    0,
    5,
    false,
  ], [1, 5, 5, true]);
  deepEqual(results, [0, 0, 25, 15, 0, 10]);
});

Deno.test("Reassembler.add() drops the whole packet when fragments overlap, and swallows the rest of it", () => {
  const overlaps: Step[][] = [
    [[1, 0, 10, false], [1, 0, 10, false]],
    [[1, 0, 10, false], [1, 9, 10, false]],
    [[1, 10, 10, false], [1, 5, 6, false]],
    [[1, 10, 10, false], [1, 5, 30, false]],
    [[1, 10, 10, false], [1, 12, 2, false]],
    [[1, 0, 5, false], [1, 10, 5, false], [1, 4, 6, false]],
  ];
  for (const steps of overlaps) {
    const { run, dropped } = setup();
    deepEqual(run(...steps, [1, 100, 10, true]), [...steps.map(() => 0), 0]);
    deepEqual(dropped(), { overlap: 1, late: 1 });
  }
});

Deno.test("Reassembler.add() drops the whole packet when fragments contradict its end", () => {
  const contradictions: Step[][] = [
    [[1, 10, 10, true], [1, 20, 5, true]],
    [[1, 10, 10, true], [1, 15, 10, false]],
    [[1, 10, 10, true], [1, 30, 5, false]],
    [[1, 30, 10, false], [1, 10, 10, true]],
    [[1, 10, 10, true], [1, 0, 5, true]],
  ];
  for (const steps of contradictions) {
    const { run, dropped } = setup();
    deepEqual(run(...steps), steps.map(() => 0));
    deepEqual(dropped(), { inconsistent: 1 });
  }
});

Deno.test("Reassembler.add() refuses bytes past the largest packet, and takes exactly that much", () => {
  const { run, dropped } = setup();
  deepEqual(
    run([1, 0, PACKET_MAX_LEN + 1, false], [1, PACKET_MAX_LEN, 1, true], [1, 65535, 65535, true], [
      1,
      5,
      0,
      true,
    ]),
    [
      0,
      0,
      0,
      0,
    ],
  );
  deepEqual(dropped(), { badRange: 4 });
  deepEqual(run([1, 0, 48, false], [1, 48, PACKET_MAX_LEN - 48, true]), [0, PACKET_MAX_LEN]);
});

Deno.test("Reassembler.add() forgets a packet after a count of records, and its id is new again", () => {
  const { run, dropped, reassembler } = setup();
  run([1, 0, 10, false, 0], [2, 0, 10, false, RECORDS_APART_MAX]);
  equal(reassembler.inFlight, 2);
  deepEqual(run([1, 10, 5, true, RECORDS_APART_MAX + 1]), [0], "one record too late");
  deepEqual(dropped(), { timedOut: 1 });
  deepEqual(run([2, 10, 5, true, 2 * RECORDS_APART_MAX]), [15], "just in time");
  deepEqual(run([1, 0, 10, false, RECORDS_APART_MAX + 2]), [15], "in any order");
});

Deno.test("Reassembler.add() never joins fragments of two packets of one id across a long gap", () => {
  const { run, dropped } = setup();
  deepEqual(run([7, 0, 10, false, 100], [7, 10, 10, true, 100 + 65_536]), [0, 0]);
  deepEqual(dropped(), { timedOut: 1 });
});

Deno.test("Reassembler.add() gives up the oldest packet when all places are taken", () => {
  const { run, dropped, reassembler } = setup(4);
  run([1, 0, 10, false, 11], [2, 0, 10, false, 10], [3, 0, 10, false, 12], [4, 0, 10, false, 13]);
  run([5, 0, 10, false, 14]);
  equal(reassembler.inFlight, 4);
  deepEqual(dropped(), { evicted: 1 });
  deepEqual(run([1, 10, 1, true, 15], [3, 10, 1, true, 15], [4, 10, 1, true, 15], [5, 10, 1, true, 15]), [
    11,
    11,
    11,
    11,
  ]);
  deepEqual(run([2, 10, 1, true, 15]), [0], "packet 2 was the one");
});

Deno.test("Reassembler.add() keeps a bounded count of separate stretches", () => {
  const { run, dropped } = setup();
  const stretches = (count: number): Step[] => Array.from({ length: count }, (_, i) => [1, 10 * i, 5, false]);
  run(...stretches(16));
  deepEqual(dropped(), {});
  run([1, 500, 5, false]);
  deepEqual(dropped(), { scattered: 1 });
});

Deno.test("Reassembler.reset() forgets everything, and counts it", () => {
  const { run, reassembler, dropped } = setup(64);
  run([1, 0, 10, false], [1, 0, 10, false], [2, 0, 10, false]);
  reassembler.reset();
  equal(reassembler.inFlight, 0);
  deepEqual(dropped(), { overlap: 1, timedOut: 1 });
  deepEqual(run([1, 0, 10, false], [1, 10, 1, true], [2, 10, 1, true]), [0, 11, 0]);
});

Deno.test("Reassembler.rest() gives the block back when nothing is incomplete, and the next fragment takes one again", () => {
  const { memory, run, reassembler, dropped } = setup(64);
  const isFree = () => {
    try {
      memory.free(memory.alloc(64 * 2048), 64 * 2048);
      return true;
    } catch {
      return false;
    }
  };
  equal(isFree(), true);
  run([1, 0, 10, false]);
  reassembler.rest();
  reassembler.rest();
  equal(isFree(), false, "a packet is incomplete");
  deepEqual(run([1, 10, 1, true]), [11]);
  reassembler.rest();
  equal(isFree(), false, "a fragment has just come");
  reassembler.rest();
  equal(isFree(), true);
  deepEqual(run([2, 0, 10, false], [2, 10, 1, true]), [0, 11]);
  reassembler.rest();
  reassembler.rest();
  const taken = memory.alloc(64 * 2048);
  deepEqual(run([3, 0, 10, false]), [0]);
  deepEqual(dropped(), { completed: 2, noMemory: 1 });
  memory.free(taken, 64 * 2048);
});

function permutations(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest])
  );
}
