/** What a peer with a valid key may write into a streams frame. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { Mux, type MuxLimits } from "../../../src/mux/mux.ts";
import type { StreamAddress, StreamEvents } from "../../../src/ports/mod.ts";
import { SEND_CREDIT } from "../../../src/ports/mod.ts";
import { emitWireAddress, parseWireAddress, wireAddressLen } from "../../../src/wire/stream_address.ts";
import * as wire from "../../../src/wire/stream_frames.ts";
import type { FuzzTarget } from "../harness.ts";

const NAME: StreamAddress = { host: "example.org", port: 443 };
const IPV6: StreamAddress = { host: new Uint8Array(16).fill(0x20), port: 53 };
const PEER = new Uint8Array(8).fill(9);
const NOBODY = new Uint8Array(8);
const LIMITS: MuxLimits = { streamsMax: 4, sharedLen: 10_000 };
const RECORD_LEN = 1350;
const FILL_OFF = 64;
const RECEIVE_OFF = 2048;

function written(...emits: ((bytes: Uint8Array, off: number) => number)[]): Uint8Array {
  const bytes = new Uint8Array(1500);
  return bytes.slice(0, emits.reduce((at, emit) => at + emit(bytes, at), 0));
}

const hello = written((b, o) => wire.emitHello(b, o, PEER, NOBODY));
const data = (id: number, offset: number, len: number, last: boolean) =>
  written((b, o) => wire.emitDataHead(b, o, id, offset, len, last) + len);
const body = concat(written((b, o) => emitWireAddress(b, o, NAME)), Uint8Array.of(1, 2, 3));
const FRAMES: readonly Uint8Array[] = [
  hello,
  written((b, o) => wire.emitAck(b, o, 1e6, [0, 2, 3, 4], 8)),
  written((b, o) => wire.emitPing(b, o)),
  written((b, o) => wire.emitOpen(b, o, 7, 0, 5000, NAME)),
  written((b, o) => wire.emitOpen(b, o, 9, 1, 5000, IPV6)),
  written((b, o) => wire.emitOpened(b, o, 2, 5000, IPV6)),
  data(1, 0, 30, false),
  data(1, 40, 5, false),
  data(1, 30, 10, true),
  data(2, 0, 4, true),
  written((b, o) => wire.emitCredit(b, o, 1, 9000)),
  written((b, o) => wire.emitReset(b, o, 2, 5)),
  concat(written((b, o) => wire.emitDatagramHead(b, o, 5, body.length)), body),
  concat(written((b, o) => wire.emitDatagramPartHead(b, o, 5, 1, body.length, 0, 10)), body.subarray(0, 10)),
  concat(
    written((b, o) => wire.emitDatagramPartHead(b, o, 5, 1, body.length, 10, body.length - 10)),
    body.subarray(10),
  ),
];

const address: FuzzTarget = {
  name: "stream-address",
  samples: () => [NAME, IPV6].map((one) => written((b, o) => emitWireAddress(b, o, one))),
  lenMax: 300,
  read(input) {
    const parsed = parseWireAddress(input, 0, input.length);
    if (parsed === undefined) return "refused";
    const len = wireAddressLen(parsed);
    ok(len <= input.length);
    equal(written((b, o) => emitWireAddress(b, o, parsed)), input.slice(0, len));
    return typeof parsed.host === "string" ? "name" : parsed.host.length;
  },
};

/** Answers as a local side would that accepts everything and reads all but of stream 3. */
class Local implements StreamEvents {
  mux: Mux | undefined;
  readonly given = new Map<number, number>();
  readonly over = new Set<number>();
  opening(id: number): void {
    ok(!this.given.has(id), "no id comes twice");
    this.given.set(id, 0);
    if (id % 4 === 1) this.mux!.accept(id, NAME);
  }
  accepted(id: number): void {
    this.#live(id);
  }
  data(id: number, bytes: Uint8Array, off: number, len: number): void {
    this.#live(id);
    ok(len > 0 && off >= 0 && off + len <= bytes.length, "bytes lie within what they lie in");
    this.given.set(id, (this.given.get(id) ?? 0) + len);
    ok(this.given.get(id)! <= LIMITS.sharedLen + SEND_CREDIT, "unread bytes are bounded");
  }
  finished(id: number): void {
    this.#live(id);
  }
  reset(id: number): void {
    this.#live(id);
    this.over.add(id);
  }
  sent(id: number): void {
    this.#live(id);
  }
  datagram(id: number, _from: StreamAddress, bytes: Uint8Array, off: number, len: number): void {
    this.#live(id);
    ok(len >= 0 && off + len <= bytes.length);
  }
  lost(): void {}
  #live(id: number): void {
    ok(!this.over.has(id), "nothing is said about a stream that is over");
  }
}

function prepared(): { mux: Mux; u8: Uint8Array; packet: (frames: Uint8Array, number: number) => void } {
  const u8 = new Uint8Array(8192);
  const local = new Local();
  const mux = new Mux({
    ...{ client: false, carrier: "datagrams", u8, events: local, limits: LIMITS },
    ...{ instance: new Uint8Array(8).fill(1), peerIntervalNs: 1e6, packetsMax: 16 },
  });
  local.mux = mux;
  mux.newSession();
  const packet = (frames: Uint8Array, number: number) => {
    wire.emitU48(u8, RECEIVE_OFF, number);
    u8.set(frames, RECEIVE_OFF + 6);
    mux.receive(RECEIVE_OFF, frames.length + 6, number * 1e6);
  };
  const open = (id: number, kind: number) => written((b, o) => wire.emitOpen(b, o, id, kind, 5000, NAME));
  packet(concat(hello, open(1, 0), open(3, 0), open(5, 1)), 0);
  mux.open(2, "stream", NAME);
  mux.write(1, new Uint8Array(3000), 0, 3000);
  for (let i = 0; i < 4; i++) mux.fill(FILL_OFF, RECORD_LEN, 1e6);
  return { mux, u8, packet };
}

/** Each input is taken apart into three packets at its thirds. */
const packets: FuzzTarget = {
  name: "streams",
  samples: () => [...FRAMES, concat(...FRAMES.slice(6)), concat(...FRAMES)],
  dictionary: FRAMES.map((frame) => frame.subarray(0, 12)),
  lenMax: 1400,
  share: 0.2,
  read(input) {
    const { mux, u8, packet } = prepared();
    const cut = [0, Math.floor(input.length / 3), Math.floor(2 * input.length / 3), input.length];
    for (let i = 0; i < 3; i++) packet(input.subarray(cut[i], cut[i + 1]), i + 1);
    packet(input, 4);
    const frame = new wire.StreamFrame();
    for (let i = 0; i < 8; i++) {
      const len = mux.fill(FILL_OFF, RECORD_LEN, i * 50e6);
      for (let at = FILL_OFF + wire.STREAMS_HEAD_LEN; at < FILL_OFF + len; at = frame.end) {
        ok(wire.parseStreamFrame(u8, at, FILL_OFF + len, frame), "what is sent can be read");
      }
    }
    const { streams, receiveLeft, sendLeft, bufferLen, counters } = mux.snapshot();
    ok(streams <= 2 * LIMITS.streamsMax && receiveLeft >= 0 && sendLeft >= 0);
    ok(bufferLen <= 4 * (LIMITS.sharedLen + 8 * SEND_CREDIT));
    return Object.entries(counters).filter(([, value]) => value > 0).map(([name]) => name).join() + streams;
  },
};

export const STREAM_TARGETS: readonly FuzzTarget[] = [address, packets];
