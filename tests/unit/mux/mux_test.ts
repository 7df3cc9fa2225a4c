/** A mux and its local side against a peer that writes packets by hand: what an honest peer may do, and what a hostile
 * one may try. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { Mux, type MuxLimits } from "../../../src/mux/mux.ts";
import type { StreamAddress, StreamEvents, StreamKind } from "../../../src/ports/mod.ts";
import { RESET_REASON, SEND_CREDIT } from "../../../src/ports/mod.ts";
import { emitWireAddress, wireAddressLen } from "../../../src/wire/stream_address.ts";
import * as wire from "../../../src/wire/stream_frames.ts";

const TARGET: StreamAddress = { host: "example.org", port: 443 };
const PEER_INSTANCE = new Uint8Array(8).fill(9);
const NOBODY = new Uint8Array(8);
const FILL_OFF = 64;
const RECEIVE_OFF = 4096;

/** Writes down what happens, one line each. */
class Local implements StreamEvents {
  readonly lines: string[] = [];
  opening(id: number, kind: StreamKind, { host, port }: StreamAddress): void {
    this.lines.push(`opening ${id} ${kind} ${host}:${port}`);
  }
  accepted(id: number): void {
    this.lines.push(`accepted ${id}`);
  }
  data(id: number, bytes: Uint8Array, off: number, len: number): void {
    this.lines.push(`data ${id} ${bytes.slice(off, off + len)}`);
  }
  finished(id: number): void {
    this.lines.push(`finished ${id}`);
  }
  reset(id: number, reason: number): void {
    this.lines.push(`reset ${id} ${reason}`);
  }
  sent(id: number, count: number): void {
    this.lines.push(`sent ${id} ${count}`);
  }
  datagram(id: number, { host, port }: StreamAddress, bytes: Uint8Array, off: number, len: number): void {
    this.lines.push(`datagram ${id} ${host}:${port} ${bytes.slice(off, off + len)}`);
  }
  lost(reason: number): void {
    this.lines.push(`lost ${reason}`);
  }
  /** The lines since the last call. */
  take(): string[] {
    return this.lines.splice(0);
  }
}

type Emit = (bytes: Uint8Array, off: number) => number;

const hello = (own: Uint8Array, known: Uint8Array): Emit => (b, o) => wire.emitHello(b, o, own, known);
const open = (id: number, window = 1000, kind = 0): Emit => (b, o) =>
  wire.emitOpen(b, o, id, kind, window, TARGET);
const opened = (id: number, window = 1000): Emit => (b, o) => wire.emitOpened(b, o, id, window, TARGET);
const reset = (id: number, reason: number): Emit => (b, o) => wire.emitReset(b, o, id, reason);
const credit = (id: number, limit: number): Emit => (b, o) => wire.emitCredit(b, o, id, limit);
const ack = (...bounds: number[]): Emit => (b, o) => wire.emitAck(b, o, 0, bounds, 32);
const data = (id: number, offset: number, bytes: readonly number[], last = false): Emit => (b, o) => {
  const len = wire.emitDataHead(b, o, id, offset, bytes.length, last);
  b.set(bytes, o + len);
  return len + bytes.length;
};
const datagramBody = (payload: readonly number[]) => {
  const body = new Uint8Array(wireAddressLen(TARGET) + payload.length);
  body.set(payload, emitWireAddress(body, 0, TARGET));
  return body;
};
const datagram = (id: number, payload: readonly number[]): Emit => (b, o) => {
  const body = datagramBody(payload);
  const len = wire.emitDatagramHead(b, o, id, body.length);
  b.set(body, o + len);
  return len + body.length;
};

class Bench {
  readonly local = new Local();
  readonly mux: Mux;
  nowNs = 0;
  number = 0;
  readonly #u8 = new Uint8Array(65_536);

  constructor(client = false, limits?: MuxLimits, carrier: "ordered" | "datagrams" = "datagrams") {
    this.mux = new Mux({
      ...{ client, carrier, u8: this.#u8, events: this.local, limits },
      ...{ instance: new Uint8Array(8).fill(1), peerIntervalNs: 1e6, packetsMax: 256 },
    });
    this.mux.newSession();
    this.peer(hello(PEER_INSTANCE, NOBODY));
    this.local.take();
  }

  /** A packet from the other side. */
  peer(...frames: Emit[]): string[] {
    return this.peerBytes(this.number++, ...frames);
  }

  peerBytes(number: number, ...frames: Emit[]): string[] {
    let at = RECEIVE_OFF;
    wire.emitU48(this.#u8, at, number);
    at += 6;
    for (const emit of frames) at += emit(this.#u8, at);
    this.mux.receive(RECEIVE_OFF, at - RECEIVE_OFF, this.nowNs);
    return this.local.take();
  }

  /** The types and ids of the frames that leave now, hellos and acks left out. */
  sent(len = 1350): string[] {
    const used = this.mux.fill(FILL_OFF, len, this.nowNs);
    const out: string[] = [];
    const frame = new wire.StreamFrame();
    for (let at = FILL_OFF + wire.STREAMS_HEAD_LEN; at < FILL_OFF + used; at = frame.end) {
      ok(wire.parseStreamFrame(this.#u8, at, FILL_OFF + used, frame), "what is sent can be read");
      const name = Object.keys(wire.STREAM_FRAME).find((key) =>
        wire.STREAM_FRAME[key as keyof typeof wire.STREAM_FRAME] === frame.type
      );
      if (name === "hello" || name === "ack") continue;
      const detail = name === "data" || name === "dataLast"
        ? ` ${frame.offset}+${frame.bodyLen}`
        : name === "reset"
        ? ` ${frame.reason}`
        : name === "credit"
        ? ` ${frame.limit}`
        : "";
      out.push(name === "ping" ? name : `${name} ${frame.id}${detail}`);
    }
    return out;
  }

  get counters() {
    return this.mux.snapshot().counters;
  }
}

const BYTES = Uint8Array.from({ length: 70_000 }, (_, i) => i);

Deno.test("a stream: opened, answered, both ways, half closed, forgotten when all is acknowledged and read", () => {
  const bench = new Bench(true);
  bench.sent();
  bench.mux.open(1, "stream", TARGET);
  equal(bench.local.take(), ["sent 1 61440"]);
  bench.mux.write(1, BYTES, 0, 5);
  equal(bench.sent(), ["open 1"], "bytes wait for the answer");
  equal(bench.peer(opened(1, 1000)), ["accepted 1"]);
  bench.mux.finish(1);
  equal(bench.sent(), ["dataLast 1 0+5"]);
  equal(bench.peer(data(1, 0, [7, 8])), ["data 1 7,8"]);
  equal(bench.peer(data(1, 2, [9], true)), ["data 1 9", "finished 1"]);
  equal(bench.peer(ack(0, 3)), []);
  equal(bench.mux.snapshot().streams, 1, "not all is read");
  bench.mux.consumed(1, 3);
  equal(bench.mux.snapshot().streams, 0);
  equal(bench.mux.snapshot().bufferLen, 0);
});

Deno.test("small writes share a packet, and no more is sent than the other side's window", () => {
  const bench = new Bench(true);
  bench.mux.open(1, "stream", TARGET);
  bench.mux.open(3, "stream", TARGET);
  bench.sent();
  bench.peer(opened(1, 10), opened(3, 10));
  for (const id of [1, 3]) for (let i = 0; i < 3; i++) bench.mux.write(id, BYTES, 0, 5);
  equal(bench.sent(), ["data 1 0+10", "data 3 0+10"]);
  equal(bench.sent(), []);
  bench.peer(credit(3, 12), credit(1, 5));
  equal(bench.sent(), ["data 3 10+2"]);
});

Deno.test("what is lost leaves again: open, bytes, end, reset; of bytes only what is missing", () => {
  const bench = new Bench(true);
  bench.sent(); // number 0: hello
  bench.mux.open(1, "stream", TARGET);
  equal(bench.sent(), ["open 1"]);
  for (let i = 0; i < 3; i++) bench.mux.ping(), bench.sent();
  bench.peer(ack(2, 5)); // 1 is three behind
  equal(bench.sent(), ["open 1"]);
  bench.peer(opened(1, 5000));
  for (let i = 0; i < 5; i++) bench.mux.write(1, BYTES, 0, 100), bench.sent();
  equal(bench.mux.snapshot().packetsInFlight, 6);
  bench.peer(ack(0, 1, 5, 7, 8, 9, 10, 11));
  equal(bench.sent(), ["data 1 100+100"], "8 is acknowledged, 7 is lost, 9 may come");
  bench.mux.finish(1);
  bench.sent();
  bench.mux.reset(1, RESET_REASON.timedOut);
  equal(bench.sent(), ["reset 1 16"]);
  bench.nowNs += 10e9;
  equal(bench.sent(), [], "bytes of a stream that is over need not leave again");
  equal(bench.sent(), ["ping"], "after silence");
  bench.nowNs += 1e9;
  equal(bench.peer(ack(15, 16)), []);
  equal(bench.sent(), ["reset 1 16"]);
  equal(bench.peer(ack(0, 17)), []);
  equal(bench.mux.snapshot().streams, 0);
});

Deno.test("wants() that says no has moved deadlineNs on, or nothing is left to wait for", () => {
  const bench = new Bench(true);
  bench.mux.open(1, "stream", TARGET);
  bench.mux.ping();
  bench.sent();
  bench.peer(opened(1));
  for (let i = 0; i < 100; i++) {
    bench.nowNs = Math.max(bench.nowNs + 1, Math.min(bench.mux.deadlineNs, 1e15));
    if (bench.mux.wants(bench.nowNs)) bench.sent();
    else ok(bench.mux.deadlineNs > bench.nowNs, `at ${bench.nowNs}: ${bench.mux.deadlineNs}`);
  }
});

Deno.test("a session that begins anew sends again what was on its way, and streams go on", () => {
  for (const carrier of ["ordered", "datagrams"] as const) {
    const bench = new Bench(true, undefined, carrier);
    bench.mux.open(1, "stream", TARGET);
    bench.sent();
    bench.peer(opened(1, 5000), ack(0, 1));
    bench.mux.write(1, BYTES, 0, 300);
    equal(bench.sent(), ["data 1 0+300"]);
    bench.mux.newSession();
    equal(bench.sent(), ["data 1 0+300"]);
    equal(bench.peer(data(1, 0, [1])), [], "nothing counts before the hello");
    equal(bench.counters.beforeHello, 1);
    equal(bench.peer(hello(PEER_INSTANCE, new Uint8Array(8).fill(1)), data(1, 0, [1])), ["data 1 1"]);
  }
});

Deno.test("another instance on the other side: each stream is reset, then lost, and ids never come twice", () => {
  const bench = new Bench();
  equal(bench.peer(open(1), open(3)), [
    "opening 1 stream example.org:443",
    "opening 3 stream example.org:443",
  ]);
  bench.mux.accept(1, TARGET);
  bench.mux.newSession();
  bench.local.take();
  equal(bench.peer(hello(new Uint8Array(8).fill(8), NOBODY), open(1)), [
    ...["reset 1 20", "reset 3 20", "lost 20", "opening 5 stream example.org:443"],
  ]);
  bench.mux.write(1, BYTES, 0, 4); // what was under way from the local side reaches nobody
  bench.mux.accept(1, TARGET);
  equal(bench.sent(), []);
  bench.mux.accept(5, TARGET);
  equal(bench.sent(), ["opened 1"]);
});

Deno.test("after end() nothing is left, and another instance can be used", () => {
  const bench = new Bench(true);
  bench.mux.open(1, "stream", TARGET);
  bench.local.take();
  bench.mux.end(RESET_REASON.sessionLost, new Uint8Array(8).fill(2));
  equal(bench.local.take(), ["reset 1 20", "lost 20"]);
  bench.mux.newSession();
  bench.mux.open(3, "stream", TARGET);
  equal(bench.sent(), ["open 3"]);
});

Deno.test("bytes may come in any order and again; each is handed on once", () => {
  const bench = new Bench();
  bench.peer(open(1));
  bench.mux.accept(1, TARGET);
  bench.local.take();
  equal(bench.peer(data(1, 4, [4, 5], true)), []);
  equal(bench.peer(data(1, 2, [2, 3, 4])), []);
  equal(bench.peer(data(1, 0, [0, 1, 2])), ["data 1 0,1,2", "data 1 3,4,5", "finished 1"]);
  equal(bench.peer(data(1, 0, [0, 1, 2]), data(1, 4, [4, 5], true)), []);
  equal(bench.counters.violations, 0);
});

Deno.test("bytes that overtake the answer to an open wait for it", () => {
  const bench = new Bench(true);
  bench.mux.open(1, "stream", TARGET);
  bench.local.take();
  equal(bench.peer(data(1, 0, [1, 2], true)), []);
  equal(bench.peer(opened(1)), ["accepted 1", "data 1 1,2", "finished 1"]);
});

Deno.test("a packet that comes twice counts once", () => {
  const bench = new Bench();
  const first = bench.peerBytes(50, open(1, 1000, 1));
  equal(first, ["opening 1 datagrams example.org:443"]);
  bench.mux.accept(1, TARGET);
  equal(bench.peerBytes(51, datagram(1, [5])), ["datagram 1 example.org:443 5"]);
  equal(bench.peerBytes(51, datagram(1, [5])), []);
  equal(bench.counters.duplicates, 1);
});

Deno.test("an open that comes late again opens nothing", () => {
  const bench = new Bench();
  bench.peer(open(1), reset(1, 1));
  bench.peer(reset(3, 1)); // overtakes its open
  equal(bench.peer(open(1), open(3)), []);
  equal(bench.mux.snapshot().streams, 0);
});

Deno.test("data past the window, or against the end, ends that stream and no other", () => {
  const window = SEND_CREDIT;
  const limits = { streamsMax: 10, sharedLen: 0 };
  const cases: [string, Emit[]][] = [
    ["past the window", [data(1, window - 1, [1, 2])]],
    ["past the end", [data(1, 0, [1, 2], true), data(1, 2, [3])]],
    ["two ends", [data(1, 0, [1, 2], true), data(1, 0, [1], true)]],
    ["an end before what was sent", [data(1, 5, [1, 2]), data(1, 0, [1], true)]],
    ["opened by who asked", [opened(1)]],
  ];
  for (const [name, frames] of cases) {
    const bench = new Bench(false, limits);
    bench.peer(open(1), open(3));
    bench.mux.accept(1, TARGET);
    bench.mux.accept(3, TARGET);
    bench.sent();
    const lines = bench.peer(...frames);
    ok(lines.includes("reset 1 19"), name);
    equal(bench.sent(), ["reset 1 19"], name);
    equal(bench.peer(data(1, 0, [1]), data(3, 0, [7])), ["data 3 7"], name);
    equal(bench.counters.violations, 1);
  }
});

Deno.test("data before the stream is accepted, and data for an association, break the rules", () => {
  const bench = new Bench();
  bench.peer(open(1), open(3, 1000, 1));
  bench.mux.accept(3, TARGET);
  bench.sent();
  equal(bench.peer(data(1, 0, [1]), data(3, 0, [1])), ["reset 1 19", "reset 3 19"]);
  equal(bench.sent(), ["reset 1 19", "reset 3 19"]);
});

Deno.test("streams that never were: bytes are answered by a reset, all else is counted", () => {
  const bench = new Bench();
  bench.sent();
  equal(bench.peer(data(1, 0, [1]), credit(5, 9), opened(4), reset(7, 1), datagram(9, [1])), []);
  equal(bench.sent(), ["reset 1 19"]);
  equal(bench.counters.strays, 5);
  equal(bench.peer(data(1, 0, [1])), [], "once is enough");
  equal(bench.sent(), []);
});

Deno.test("opens beyond the limit, of the wrong side, or again are refused; resets twice are nothing", () => {
  const bench = new Bench(false, { streamsMax: 2, sharedLen: 0 });
  bench.sent();
  equal(bench.peer(open(1), open(3), open(5), open(4), open(0), open(1)).length, 2);
  equal(bench.sent(), ["reset 5 18"]);
  equal([bench.counters.violations, bench.counters.strays, bench.counters.refused], [2, 1, 1]);
  equal(bench.peer(reset(1, 5), reset(1, 5), reset(3, 99)), ["reset 1 5", "reset 3 1"]);
  equal(bench.peer(open(7)).length, 1);
});

Deno.test("a peer that opens without end is refused without end, and holds no memory", () => {
  const bench = new Bench(false, { streamsMax: 100, sharedLen: 0 });
  for (let id = 1; id < 20_000; id += 2) bench.peer(open(id));
  const snapshot = bench.mux.snapshot();
  equal([snapshot.streams, snapshot.bufferLen], [100, 0]);
  ok(snapshot.counters.notNow > 0, "an open whose refusal cannot be kept is not acknowledged");
});

Deno.test("a peer that sends every second byte is not acknowledged for long, and loses nothing when it fills the gaps", () => {
  const bench = new Bench(false, { streamsMax: 10, sharedLen: 0 });
  bench.peer(open(1));
  bench.mux.accept(1, TARGET);
  for (let offset = 1; offset < SEND_CREDIT; offset += 2) bench.peer(data(1, offset, [offset]));
  equal(bench.counters.notNow, SEND_CREDIT / 2 - 128);
  ok(bench.mux.snapshot().bufferLen <= SEND_CREDIT);
  bench.local.take();
  bench.peer(data(1, 0, [...BYTES.subarray(0, 256)]));
  equal(bench.peer(data(1, 256, [0, 1])), ["data 1 0,1"]);
});

Deno.test("a local side that opens too many, or to nowhere, is told", () => {
  const bench = new Bench(true, { streamsMax: 1, sharedLen: 0 });
  bench.mux.open(1, "stream", TARGET);
  bench.mux.open(3, "stream", TARGET);
  equal(bench.local.take(), ["reset 3 18"]);
  bench.mux.reset(1, 1);
  bench.sent();
  bench.peer(ack(0, 1));
  bench.mux.open(5, "stream", { host: "two words", port: 1 });
  equal(bench.local.take(), ["reset 5 8"]);
});

Deno.test("a local side that writes more than its credit loses the stream", () => {
  const bench = new Bench(true, { streamsMax: 9, sharedLen: 0 });
  bench.mux.open(1, "stream", TARGET);
  bench.mux.write(1, BYTES, 0, SEND_CREDIT);
  equal(bench.local.take(), []);
  bench.mux.write(1, BYTES, 0, 1);
  equal(bench.local.take(), ["reset 1 1"]);
  equal(bench.counters.overCredit, 1);
});

Deno.test("credit comes back with the acks, and the other side gets more as the reader takes", () => {
  const bench = new Bench(true, { streamsMax: 9, sharedLen: 0 });
  bench.mux.open(1, "stream", TARGET);
  bench.sent();
  bench.peer(opened(1, 100_000));
  bench.mux.write(1, BYTES, 0, SEND_CREDIT);
  while (bench.sent().length > 0) { /* all of it */ }
  equal(bench.peer(ack(0, 2)), ["sent 1 1310"]);
  equal(bench.peer(ack(0, 5)), ["sent 1 1310", "sent 1 1310", "sent 1 166"]);
  bench.peer(data(1, 0, [...BYTES.subarray(0, 1024)]));
  bench.mux.consumed(1, 1000);
  equal(bench.sent(), []);
  bench.mux.consumed(1, 24);
  equal(bench.sent(), ["credit 1 5120"]);
});

Deno.test("datagrams: whole, in parts where they are longer than a packet, or refused", () => {
  const bench = new Bench(true);
  bench.mux.open(1, "datagrams", TARGET);
  bench.sent();
  bench.peer(datagram(1, [1]));
  equal(bench.counters.datagramsRefused, 1, "not open yet");
  bench.peer(opened(1));
  bench.mux.datagram(1, TARGET, BYTES, 0, 100);
  bench.mux.datagram(1, TARGET, BYTES, 0, 900);
  equal(bench.sent(600), ["datagram 1", "datagramPart 1"]);
  equal(bench.sent(600), ["datagramPart 1"]);
  equal(bench.sent(600), []);
  equal(bench.peer(datagram(1, [1, 2])), ["datagram 1 example.org:443 1,2"]);
  const body = datagramBody([1, 2, 3]);
  const part = (number: number, from: number, to: number): Emit => (b, o) => {
    const len = wire.emitDatagramPartHead(b, o, 1, number, body.length, from, to - from);
    b.set(body.subarray(from, to), o + len);
    return len + to - from;
  };
  equal(bench.peer(part(7, 0, 4), part(7, 4, body.length)), ["datagram 1 example.org:443 1,2,3"]);
  bench.mux.datagram(1, TARGET, BYTES, 0, 65_535);
  equal(bench.mux.snapshot().datagramsDropped, 1);
  bench.mux.finish(1);
  bench.mux.write(1, BYTES, 0, 1);
  equal(bench.sent(), []);
});

Deno.test("acks of packets that were never sent, and more than one ack in a packet, do nothing", () => {
  const bench = new Bench(true);
  bench.mux.open(1, "stream", TARGET);
  bench.sent();
  bench.peer(ack(0, 100));
  bench.peer(ack(5, 6), ack(0, 1));
  equal(bench.counters.violations, 3);
  equal(bench.mux.snapshot().packetsInFlight, 1);
});

Deno.test("a packet that makes no sense is not acknowledged, what came before its bad frame counts", () => {
  const bench = new Bench();
  const number = bench.number++;
  const noise: Emit = (b, o) => {
    b[o] = 0xee;
    return 1;
  };
  equal(bench.peerBytes(number, open(1), noise), ["opening 1 stream example.org:443"]);
  equal(bench.counters.malformed, 1);
  equal(bench.peerBytes(number, open(1), open(3)), ["opening 3 stream example.org:443"]);
  bench.mux.receive(RECEIVE_OFF, 3, 0);
  equal(bench.counters.malformed, 2);
});

Deno.test("an interactive stream leaves with the next packet while others have megabytes to send", () => {
  const bench = new Bench(true);
  const ids = Array.from({ length: 20 }, (_, i) => 2 * i + 1);
  for (const id of ids) bench.mux.open(id, "stream", TARGET);
  bench.sent();
  bench.peer(...ids.map((id) => opened(id, 1e6)));
  bench.peer(ack(0, 2));
  for (const id of ids.slice(1)) bench.mux.write(id, BYTES, 0, 60_000);
  const sent = new Map<string, number>();
  for (let packet = 0; packet < 100; packet++) {
    // At first all are new.
    if (packet > 40 && packet % 10 === 5) bench.mux.write(1, BYTES, 0, 50);
    const frames = bench.sent();
    if (packet > 40 && packet % 10 === 5) {
      ok(frames.some((line) => line.startsWith("data 1 ")), frames.join());
    }
    for (const line of frames) {
      const [, id, range] = line.split(" ");
      sent.set(id, (sent.get(id) ?? 0) + Number(range.split("+")[1]));
    }
  }
  sent.delete("1");
  const shares = [...sent.values()];
  ok(Math.max(...shares) - Math.min(...shares) <= 1400 * 2, shares.join());
});

Deno.test("a stream that stops and goes gets no more than its share", () => {
  const bench = new Bench(true);
  for (const id of [1, 3, 5]) bench.mux.open(id, "stream", TARGET);
  bench.sent();
  bench.peer(opened(1, 1e6), opened(3, 1e6), opened(5, 1e6), ack(0, 1));
  for (const id of [3, 5]) bench.mux.write(id, BYTES, 0, 60_000);
  const sent = new Map<string, number>();
  for (let packet = 0; packet < 40; packet++) {
    bench.mux.write(1, BYTES, 0, 1300);
    for (const line of bench.sent()) {
      const [, id, range] = line.split(" ");
      sent.set(id, (sent.get(id) ?? 0) + Number(range.split("+")[1]));
    }
  }
  ok(sent.get("1")! < 2.2 * sent.get("3")!, JSON.stringify([...sent]));
});

Deno.test("the other side may leave out the hello only when it has been heard", () => {
  const bench = new Bench();
  bench.mux.newSession();
  equal(bench.peer(open(1)), []);
  equal(bench.peer(hello(PEER_INSTANCE, new Uint8Array(8).fill(0xee)), open(1)), [], "meant for another one");
  equal(bench.peer(hello(PEER_INSTANCE, NOBODY), open(1)).length, 1);
  equal(bench.counters.beforeHello, 2);
});
