/** A made-up run keeps every promise; each fault planted into it breaks the promise that it should, and no other. */
import assert from "node:assert/strict";
import { type DirectionInput, viewDirection } from "../../../src/demo/direction.ts";
import type { SeenFrame } from "../../../src/demo/seen_file.ts";
import { alikeText, judge } from "../../../src/demo/verdicts.ts";
import { frameAt, type HeadOptions, makeDirection, makeUser, PACKET_LEN, PHASES } from "./world.ts";

function broken(input: DirectionInput, user = makeUser()): string[] {
  return judge(user, [viewDirection(input)], true).filter(({ holds }) => !holds).map(({ name }) =>
    name.replace(/^.*?: /, "")
  );
}

/** `input` with the frames that `change` makes of its frames. */
function changed(input: DirectionInput, change: (frames: SeenFrame[]) => SeenFrame[]): DirectionInput {
  return { ...input, frames: change([...input.frames]) };
}

function replaced(input: DirectionInput, index: number, options: HeadOptions): DirectionInput {
  return changed(input, (frames) => frames.with(index, frameAt(frames[index].timeNs, options)));
}

const ONE_LENGTH = "every packet has one length";
const COUNT = "packets + skipped = slots";
const HEADERS = "every header field is constant";
const NOTHING_ELSE = "nothing else on the link";
const TIMES = "times idle and busy are grossly alike";

Deno.test("judge() finds every promise kept in a run without faults", () => {
  for (const from of ["client", "server"] as const) assert.deepEqual(broken(makeDirection(from)), []);
});

Deno.test("viewDirection() counts slots, packets and skipped ones, in all and by class", () => {
  const view = viewDirection(makeDirection("client"));
  // All but those after the longest pause among the last 50 packets.
  assert.equal(view.slots, view.packets + view.skipped);
  assert.ok(view.slots > 5940 && view.slots < 6000 && view.skipped === 11);
  assert.deepEqual(view.lengths, [[PACKET_LEN, view.packets]]);
  const { idle, busy } = view.classes;
  // Two seconds less two guards of 0.4 s.
  for (const part of [idle, busy]) {
    assert.ok(Math.abs(part.slots - 1200) <= 2);
    assert.equal(part.packets + part.skipped, part.slots);
    assert.ok(Math.abs(part.intervalUs.p50 - 1000) < 50);
    assert.ok(Math.abs(part.deviationUs.p50) < 1 && part.deviationUs.max < 1);
  }
  assert.deepEqual([idle.dataSlots, busy.dataSlots], [0, busy.slots]);
  assert.ok(Math.abs(view.pathDelayUs - 7.3) < 0.2);
});

Deno.test("viewDirection() counts a server's answers to the handshake apart from its train", () => {
  const view = viewDirection(makeDirection("server"));
  assert.equal(view.handshakeReplies, 2);
  assert.ok(view.packets > 5900);
});

Deno.test("viewDirection() takes an answer to a repeated hello among the slots for one until the first phase, not later", () => {
  const input = makeDirection("server");
  const answer = (index: number) =>
    changed(input, (frames) => {
      const frame = frameAt(frames[index].timeNs + 1000, { firstByte: 0x2e, ports: [1405, 40_000] });
      return frames.toSpliced(index + 1, 0, frame);
    });
  assert.equal(viewDirection(answer(100)).handshakeReplies, 3);
  assert.deepEqual(broken(answer(100)), []);
  assert.equal(viewDirection(answer(2000)).handshakeReplies, 2);
  assert.deepEqual(broken(answer(2000)), [COUNT, TIMES]); // packets and slots cannot be paired any more
});

Deno.test("viewDirection() draws the same packet rate idle and busy, and data only where it was", () => {
  const { packetRate, dataShare } = viewDirection(makeDirection("client")).plots;
  assert.equal(packetRate.length, PHASES[1].toS * 10);
  for (const [, rate] of packetRate) assert.ok(rate >= 970 && rate <= 1010);
  assert.deepEqual([dataShare[20][1], dataShare[40][1]], [0, 1]);
});

Deno.test("judge() catches one packet of another length", () => {
  assert.deepEqual(broken(replaced(makeDirection("client"), 2000, { len: 1399 })), [ONE_LENGTH]);
});

Deno.test("judge() catches one length that is not the configured one", () => {
  const input = makeDirection("client");
  assert.deepEqual(broken({ ...input, packetLen: 1401 }), [ONE_LENGTH]);
});

Deno.test("judge() catches one packet too few and one too many", () => {
  const input = makeDirection("client");
  const fewer = broken(changed(input, (frames) => frames.toSpliced(3000, 1)));
  const more = broken(changed(input, (frames) => frames.toSpliced(3000, 0, frames[3000])));
  for (const names of [fewer, more]) assert.ok(names.includes(COUNT) && !names.includes(ONE_LENGTH));
});

Deno.test("judge() catches one packet with another header field", () => {
  const faults: HeadOptions[] = [{ ttl: 63 }, { tos: 1 }, { identification: 9 }, { firstByte: 0x2c }, {
    recordLen: 1000,
  }];
  for (const fault of faults) {
    assert.deepEqual(
      broken(replaced(makeDirection("client"), 4000, fault)),
      [HEADERS],
      JSON.stringify(fault),
    );
  }
});

Deno.test("judge() catches a frame that is not the tunnel's", () => {
  const arp: SeenFrame = { interfaceIndex: 0, timeNs: 0, len: 28, outgoing: false, head: new Uint8Array(28) };
  const dns = frameAt(0, { len: 60, ports: [40_000, 53] });
  for (const other of [arp, dns]) {
    assert.deepEqual(broken(changed(makeDirection("client"), (frames) => [other, ...frames])), [
      NOTHING_ELSE,
    ]);
  }
});

Deno.test("judge() catches slots that leave 100 µs later while there is data", () => {
  const input = makeDirection("client");
  const busy = input.slots.filter((slot) => !slot.skipped).map((slot) => slot.dataRecords > 0);
  const delayed = changed(
    input,
    (frames) => frames.map((frame, i) => busy[i] ? { ...frame, timeNs: frame.timeNs + 1e5 } : frame),
  );
  assert.deepEqual(broken(delayed), [TIMES]);
});

Deno.test("judge() promises nothing about times without real-time scheduling", () => {
  const judged = (realTime: boolean) =>
    judge(makeUser(), [viewDirection(makeDirection("client"))], realTime).filter(({ name }) =>
      name.includes(TIMES)
    );
  assert.deepEqual([judged(true).length, judged(false).length], [1, 0]);
});

Deno.test("judge() calls a run in which nothing was seen broken", () => {
  const input = { ...makeDirection("client"), frames: [], slots: [] };
  assert.deepEqual(broken(input), [ONE_LENGTH, COUNT, HEADERS, TIMES]);
});

Deno.test("judge() catches bytes that changed on their way", () => {
  assert.deepEqual(broken(makeDirection("client"), makeUser(false)), ["every byte arrived as it was sent"]);
});

Deno.test("alikeText() calls nothing a difference that chance makes in such a sample", () => {
  assert.match(alikeText(0.02, 1000), /no difference/);
  assert.match(alikeText(0.09, 1000), /small/);
  assert.match(alikeText(0.2, 1000), /longer look/);
  assert.match(alikeText(0.9, 1000), /clear/);
  assert.match(alikeText(0.9, 2), /no difference/);
  assert.match(alikeText(NaN, 0), /not comparable/);
});
