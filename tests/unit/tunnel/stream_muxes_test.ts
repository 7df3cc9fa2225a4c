import assert, { deepEqual, equal } from "node:assert/strict";
import type { StreamEvents } from "../../../src/ports/streams.ts";
import { BRIDGE_RING_LEN, BridgeEnd } from "../../../src/tunnel/stream_bridge.ts";
import { StreamMuxes } from "../../../src/tunnel/stream_muxes.ts";
import { StreamRing } from "../../../src/tunnel/stream_ring.ts";
import { InnerFrame, parseFrame } from "../../../src/wire/inner_frame.ts";

const TARGET = { host: "example.org", port: 443 };
const INTERVAL_NS = 1e6;
const CONTENT_LEN = 1000;

/** The data Worker's multiplexers and the main isolate's end of their bridge; nothing carries records. */
function muxes(client: boolean) {
  const down = StreamRing.create(BRIDGE_RING_LEN);
  const up = StreamRing.create(BRIDGE_RING_LEN);
  const nobody = () => {};
  const main = new BridgeEnd(down, up, nobody);
  const bridge = new BridgeEnd(new StreamRing(up.buffer), new StreamRing(down.buffer), nobody);
  const entropy = {
    fill: (bytes: Uint8Array) => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
  };
  const u8 = new Uint8Array(4096);
  return { main, u8, made: new StreamMuxes({ client, carrier: "ordered", u8, entropy, bridge }) };
}

/** By the main isolate, of peer 0. */
function open(main: BridgeEnd, id: number): void {
  main.commands(0).open(id, "stream", TARGET);
  main.flush();
}

/** Body of a first frame of a client: its hello, and a stream that it opens. */
function openingFrame(): Uint8Array {
  const { main, u8, made } = muxes(true);
  made.make(0, INTERVAL_NS, INTERVAL_NS, 0);
  made.begin(0);
  open(main, 1);
  made.drain();
  const frame = new InnerFrame();
  made.pump(() => ({
    pumpFrames: (source) => void parseFrame(u8, 0, source.fill(0, CONTENT_LEN, 0), frame),
    nextRoomNs: () => 0,
  }), 0);
  return u8.slice(frame.bodyOff, frame.bodyOff + frame.bodyLen);
}

Deno.test("StreamMuxes: streams opened before a client has a multiplexer wait for it", () => {
  const { main, made } = muxes(true);
  open(main, 1);
  open(main, 3);
  made.drain();
  made.make(0, INTERVAL_NS, INTERVAL_NS, 0);
  made.drain();
  equal(made.count().streams, 2);
});

Deno.test("StreamMuxes: what a server says to a peer that is gone is dropped", () => {
  const { main, made } = muxes(false);
  open(main, 2);
  made.drain();
  made.make(0, INTERVAL_NS, INTERVAL_NS, 0);
  made.drain();
  equal(made.count().streams, 0);
});

Deno.test("StreamMuxes.end() keeps nothing of a peer, whose later streams have other ids here", () => {
  const { main, made, u8 } = muxes(false);
  const seen: unknown[] = [];
  const events = {
    opening: (id: number) => void seen.push(["opening", id]),
    reset: (id: number) => void seen.push(["reset", id]),
    lost: () => void seen.push(["lost"]),
  } as unknown as StreamEvents;
  for (let i = 0; i < 2; i++) {
    made.make(0, INTERVAL_NS, INTERVAL_NS, 0);
    made.begin(0);
    const frame = openingFrame();
    u8.set(frame);
    made.receive(0, 0, frame.length, 0);
    equal(made.count().streams, 1);
    made.end(0);
    equal(made.count().streams, 0);
    made.receive(0, 0, frame.length, 0);
    equal(made.count().streams, 0);
    made.pump(() => ({ pumpFrames: () => assert.fail("nothing is there"), nextRoomNs: () => 0 }), 0);
  }
  main.drainEvents(() => events);
  deepEqual(seen, [["opening", 1], ["reset", 1], ["lost"], ["opening", 3], ["reset", 3], ["lost"]]);
});
