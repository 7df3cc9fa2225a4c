/** Two muxes and a network in the test's hands, against a model that is as simple as can be: of each direction of each
 * stream, how much was written and whether it was ended. Whatever is done in whatever order, what comes out is what the
 * model says; and once the network carries everything, all of it comes out. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Mux, type MuxLimits } from "../../../src/mux/mux.ts";
import type { StreamAddress, StreamEvents, StreamKind } from "../../../src/ports/mod.ts";
import { RESET_REASON, SEND_CREDIT } from "../../../src/ports/mod.ts";

const RECORD_LEN = 600;
const FILL_OFF = 64;
const RECEIVE_OFF = 2048;
const LIMITS: MuxLimits = { streamsMax: 12, sharedLen: 20_000 };
const BOUND: StreamAddress = { host: Uint8Array.of(0, 0, 0, 0), port: 0 };

const byteAt = (key: number, from: number, offset: number) => (key * 13 + from * 101 + offset * 7) & 0xff;

/** One direction of the model. */
interface Flow {
  written: number;
  finished: boolean;
  read: number;
  readEnd: boolean;
}

/** One stream of the model; `flows[i]` is what side i writes. */
interface Modelled {
  readonly key: number;
  readonly ids: [number, number];
  readonly credit: [number, number];
  readonly over: [boolean, boolean];
  readonly flows: [Flow, Flow];
  resetBy: boolean;
}

class Side implements StreamEvents {
  readonly mux: Mux;
  readonly u8 = new Uint8Array(8192);
  readonly byId = new Map<number, Modelled>();
  /** Given and not consumed, by id. */
  readonly waiting = new Map<number, number>();
  readonly #index: number;
  readonly #world: World;

  constructor(world: World, index: number) {
    this.#world = world;
    this.#index = index;
    this.mux = new Mux({
      ...{ client: index === 0, carrier: "datagrams", u8: this.u8, events: this, limits: LIMITS },
      ...{ instance: new Uint8Array(8).fill(1 + index), peerIntervalNs: 1e6, packetsMax: 64 },
    });
    this.mux.newSession();
  }

  opening(id: number, _kind: StreamKind, target: StreamAddress): void {
    const stream = this.#world.streams[target.port];
    ok(stream.ids[this.#index] === 0, "a stream is opened once");
    this.#know(id, stream);
    if (target.port % 5 === 4) this.#world.reset(this.#index, stream);
    else this.mux.accept(id, BOUND);
  }

  accepted(): void {}

  data(id: number, bytes: Uint8Array, off: number, len: number): void {
    const stream = this.#live(id);
    const flow = stream.flows[1 - this.#index];
    ok(flow.read + len <= flow.written && !flow.readEnd, "what is read was written, before the end");
    for (let i = 0; i < len; i++) {
      equal(bytes[off + i], byteAt(stream.key, 1 - this.#index, flow.read + i));
    }
    flow.read += len;
    this.waiting.set(id, (this.waiting.get(id) ?? 0) + len);
  }

  finished(id: number): void {
    const flow = this.#live(id).flows[1 - this.#index];
    ok(flow.finished && flow.read === flow.written && !flow.readEnd, "the end comes once, after everything");
    flow.readEnd = true;
  }

  reset(id: number, reason: number): void {
    const stream = this.#live(id);
    ok(
      stream.resetBy || reason === RESET_REASON.limit,
      "a stream is reset when somebody did it, or for a limit",
    );
    stream.resetBy = true;
    stream.over[this.#index] = true;
  }

  sent(id: number, count: number): void {
    this.#live(id).credit[this.#index] += count;
  }

  datagram(): void {
    ok(false, "nobody sends datagrams here");
  }

  lost(): void {
    ok(false, "nobody begins anew here");
  }

  open(stream: Modelled): void {
    const id = 2 * (this.#world.opened[this.#index]++) + (this.#index === 0 ? 1 : 2);
    this.#know(id, stream);
    this.mux.open(id, "stream", { host: "m", port: stream.key });
  }

  #know(id: number, stream: Modelled): void {
    stream.ids[this.#index] = id;
    this.byId.set(id, stream);
  }

  #live(id: number): Modelled {
    const stream = this.byId.get(id)!;
    ok(!stream.over[this.#index], "nothing is said about a stream that is over");
    return stream;
  }
}

class World {
  readonly streams: Modelled[] = [];
  readonly opened: [number, number] = [0, 0];
  readonly net: [Uint8Array[], Uint8Array[]] = [[], []];
  nowNs = 0;
  readonly sides: readonly [Side, Side];

  constructor() {
    this.sides = [new Side(this, 0), new Side(this, 1)];
  }

  open(side: number): void {
    if (this.streams.length >= 40) return;
    const flow = () => ({ written: 0, finished: false, read: 0, readEnd: false });
    const stream: Modelled = {
      key: this.streams.length,
      ...{ ids: [0, 0], credit: [SEND_CREDIT, SEND_CREDIT], over: [false, false], flows: [flow(), flow()] },
      resetBy: false,
    };
    this.streams.push(stream);
    this.sides[side].open(stream);
  }

  write(side: number, stream: Modelled, wanted: number): void {
    const flow = stream.flows[side];
    if (stream.ids[side] === 0 || stream.over[side] || flow.finished) return;
    const len = Math.min(wanted, stream.credit[side]);
    const bytes = Uint8Array.from({ length: len }, (_, i) => byteAt(stream.key, side, flow.written + i));
    flow.written += len;
    stream.credit[side] -= len;
    this.sides[side].mux.write(stream.ids[side], bytes, 0, len);
  }

  finish(side: number, stream: Modelled): void {
    if (stream.ids[side] === 0 || stream.over[side]) return;
    stream.flows[side].finished = true;
    this.sides[side].mux.finish(stream.ids[side]);
  }

  reset(side: number, stream: Modelled): void {
    if (stream.ids[side] === 0 || stream.over[side]) return;
    stream.resetBy = true;
    stream.over[side] = true;
    this.sides[side].mux.reset(stream.ids[side], RESET_REASON.peerReset);
  }

  consume(side: number, stream: Modelled, share: number): void {
    const { mux, waiting } = this.sides[side];
    const id = stream.ids[side];
    const all = waiting.get(id) ?? 0;
    const count = Math.ceil(all * share);
    waiting.set(id, all - count);
    mux.consumed(id, count);
  }

  /** A record of this side leaves: the network holds it. */
  fill(side: number): boolean {
    const { mux, u8 } = this.sides[side];
    const len = mux.fill(FILL_OFF, RECORD_LEN, this.nowNs);
    if (len > 0) this.net[side].push(u8.slice(FILL_OFF, FILL_OFF + len));
    return len > 0;
  }

  /** The network hands over what side `from` has sent as its `pick`-th that is on its way. */
  deliver(from: number, pick: number, keep: boolean): void {
    const packets = this.net[from];
    if (packets.length === 0) return;
    const at = pick % packets.length;
    const packet = packets[at];
    if (!keep) packets.splice(at, 1);
    const { mux, u8 } = this.sides[1 - from];
    u8.set(packet, RECEIVE_OFF);
    mux.receive(RECEIVE_OFF + 3, packet.length - 3, this.nowNs);
  }

  newSession(): void {
    this.net[0].length = this.net[1].length = 0;
    for (const { mux } of this.sides) mux.newSession();
  }

  checkBounds(): void {
    for (const { mux, waiting } of this.sides) {
      const { receiveLeft, sendLeft, streams } = mux.snapshot();
      ok(receiveLeft >= 0 && sendLeft >= 0 && streams <= 2 * LIMITS.streamsMax);
      const unread = [...waiting.values()].reduce((sum, count) => sum + count, 0);
      ok(unread <= LIMITS.sharedLen + this.streams.length * SEND_CREDIT);
    }
  }

  /** The network carries all, readers read all, until nothing moves any more. */
  settle(): void {
    for (let quiet = 0; quiet < 40;) {
      this.nowNs += 50e6;
      let moved = false;
      for (const side of [0, 1]) {
        for (const stream of this.streams) this.consume(side, stream, 1);
        while (this.fill(side)) moved = true;
        while (this.net[side].length > 0) this.deliver(side, 0, false);
      }
      quiet = moved ? 0 : quiet + 1;
    }
  }
}

interface Step {
  readonly what: string;
  readonly side: number;
  readonly pick: number;
  readonly amount: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom(
    ...["open", "write", "write", "write", "finish", "reset", "consume", "consume"],
    ...["fill", "fill", "fill", "fill", "deliver", "deliver", "deliver", "drop", "repeat", "wait", "session"],
  ),
  side: fc.constantFrom(0, 1),
  pick: fc.nat(1000),
  amount: fc.nat(6000),
});

function act(world: World, { what, side, pick, amount }: Step): void {
  const stream = world.streams[pick % Math.max(1, world.streams.length)];
  if (what === "open") world.open(side);
  else if (what === "fill") world.fill(side);
  else if (what === "deliver") world.deliver(side, pick % 4, false);
  else if (what === "repeat") world.deliver(side, pick, true);
  else if (what === "drop") world.net[side].splice(pick % 8, 1);
  else if (what === "wait") world.nowNs += amount * 1e5;
  else if (what === "session" && pick % 4 === 0) world.newSession();
  if (stream === undefined) return;
  if (what === "write") world.write(side, stream, amount);
  else if (what === "finish" && pick % 3 === 0) world.finish(side, stream);
  else if (what === "reset" && pick % 5 === 0) world.reset(side, stream);
  else if (what === "consume") world.consume(side, stream, (amount % 5) / 4);
}

Deno.test("what comes out of two muxes is what a trivial model says, for any order of things", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600, size: "max" }), (steps) => {
      const world = new World();
      for (const one of steps) {
        act(world, one);
        world.checkBounds();
      }
      world.settle();
      for (const stream of world.streams) {
        const over = stream.over[0] || stream.over[1];
        if (over) {
          ok(
            stream.ids.every((id, side) => id === 0 || stream.over[side] || hasEnded(stream, side)),
            "both know that it is over",
          );
        } else {
          for (const { written, read, finished, readEnd } of stream.flows) {
            equal([read, readEnd], [written, finished], "all that was written was read, up to the end");
          }
        }
      }
      const [a, b] = world.sides.map(({ mux }) => mux.snapshot());
      equal(a.streams, b.streams, "both sides hold the same streams");
      for (const { bufferLen, packetsInFlight, counters } of [a, b]) {
        equal([bufferLen, packetsInFlight, counters.violations, counters.malformed, counters.overCredit], [
          ...[0, 0, 0, 0, 0],
        ]);
      }
    }),
    { numRuns: 300, endOnFailure: true },
  );
});

/** Whether this side has said and read everything, and may have forgotten the stream before a reset came. */
function hasEnded(stream: Modelled, side: number): boolean {
  return stream.flows[side].finished && stream.flows[1 - side].readEnd;
}
