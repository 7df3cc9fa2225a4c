/** The multiplexer alone: two of them in one process, records of 1,350 bytes carried at once. Time per record for one
 * bulk stream; time per message as streams grow from 1 to 10,000, each writing 100 bytes in turn; memory of 10,000
 * streams that are open and idle. Before measuring, the bytes that arrive are proved equal to those written.
 * deno run -A --v8-flags=--expose-gc bench/micro/mux.ts [messages per run] [runs] [most streams] */

import { assert } from "../../src/base/mod.ts";
import { Mux } from "../../src/mux/mux.ts";
import type { StreamAddress, StreamEvents } from "../../src/ports/mod.ts";
import { SEND_CREDIT } from "../../src/ports/mod.ts";

const RECORD_LEN = 1350;
const MESSAGE_LEN = 100;
const STREAMS = [1, 10, 100, 1000, 10_000];
const PLACE: StreamAddress = { host: Uint8Array.of(192, 0, 2, 1), port: 80 };
const SLOT_NS = 10e3;

class Local implements StreamEvents {
  mux: Mux | undefined;
  received = 0;
  readonly credit = new Map<number, number>();
  check: ((bytes: Uint8Array, off: number, len: number) => void) | undefined;
  opening(id: number): void {
    this.mux!.accept(id, PLACE);
  }
  accepted(): void {}
  data(id: number, bytes: Uint8Array, off: number, len: number): void {
    this.check?.(bytes, off, len);
    this.received += len;
    this.mux!.consumed(id, len);
  }
  finished(): void {}
  reset(): void {
    assert(false, "no stream is reset here");
  }
  sent(id: number, count: number): void {
    this.credit.set(id, (this.credit.get(id) ?? SEND_CREDIT) + count);
  }
  datagram(): void {}
  lost(): void {}
}

/** A client and a server mux over one block of bytes; `slot` carries one record each way. */
class Pair {
  readonly client: Mux;
  readonly server: Mux;
  readonly up = new Local();
  readonly down = new Local();
  records = 0;
  #nowNs = 0;
  readonly #u8 = new Uint8Array(4096);

  constructor() {
    const make = (client: boolean, events: Local) =>
      events.mux = new Mux({
        ...{ client, carrier: "datagrams", u8: this.#u8, events, packetsMax: 1024 },
        ...{ instance: new Uint8Array(8).fill(client ? 1 : 2), peerIntervalNs: SLOT_NS },
      });
    this.client = make(true, this.up);
    this.server = make(false, this.down);
    this.client.newSession();
    this.server.newSession();
  }

  open(count: number): void {
    for (let i = 0; i < count; i++) this.client.open(2 * i + 1, "stream", PLACE);
    for (let quiet = 0; quiet < 300; quiet++) if (this.slot()) quiet = 0;
  }

  /** Whether something was carried. */
  slot(): boolean {
    this.#nowNs += SLOT_NS;
    const up = this.#carry(this.client, this.server);
    const down = this.#carry(this.server, this.client);
    return up || down;
  }

  #carry(from: Mux, to: Mux): boolean {
    const len = from.fill(64, RECORD_LEN, this.#nowNs);
    if (len === 0) return false;
    to.receive(64 + 3, len - 3, this.#nowNs);
    this.records++;
    return true;
  }

  write(id: number, bytes: Uint8Array, len: number): void {
    const credit = this.up.credit.get(id) ?? SEND_CREDIT;
    const now = Math.min(len, credit);
    if (now === 0) return;
    this.up.credit.set(id, credit - now);
    this.client.write(id, bytes, 0, now);
  }
}

const SOURCE = Uint8Array.from({ length: 65_536 }, (_, i) => i * 7);

/** Bytes of one stream, and what a record of them costs both sides together. */
function bulkNs(records: number): number {
  const pair = new Pair();
  pair.open(1);
  let next = 0;
  pair.down.check = (bytes, off, len) => {
    for (let i = 0; i < len; i++) assert(bytes[off + i] === SOURCE[next++ % 4096], "bytes arrive as written");
  };
  for (let i = 0; i < 20; i++) {
    pair.write(1, SOURCE, 4096);
    while (pair.down.received < (i + 1) * 4096) pair.slot();
  }
  pair.down.check = undefined;
  const first = pair.records;
  const start = performance.now();
  while (pair.records - first < records) {
    pair.write(1, SOURCE, 16_384);
    pair.slot();
  }
  return (performance.now() - start) * 1e6 / (pair.records - first);
}

/** Cost of a message of 100 bytes, both sides together, when each stream in turn has one. */
function messageNs(streams: number, messages: number): number {
  const pair = new Pair();
  pair.open(streams);
  const round = (count: number) => {
    const before = pair.down.received;
    for (let i = 0; i < count; i++) pair.write(2 * (i % streams) + 1, SOURCE, MESSAGE_LEN);
    while (pair.down.received - before < count * MESSAGE_LEN) pair.slot();
  };
  const perRound = Math.min(1000, streams === 1 ? 10 : streams);
  round(perRound);
  const start = performance.now();
  let done = 0;
  for (; done < messages; done += perRound) round(perRound);
  return (performance.now() - start) * 1e6 / done;
}

/** Bytes for each stream that is open and idle, one end. */
function idleBytes(streams: number): number {
  const heap = () => {
    (globalThis as unknown as { gc: () => void }).gc();
    return Deno.memoryUsage().heapUsed + Deno.memoryUsage().external;
  };
  const pair = new Pair();
  const before = heap();
  pair.open(streams);
  const bytes = heap() - before;
  assert(pair.client.snapshot().streams === streams, "all streams are open");
  return bytes / streams / 2;
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];

if (import.meta.main) {
  const messages = Number(Deno.args[0] ?? 200_000);
  const runs = Number(Deno.args[1] ?? 5);
  const most = Number(Deno.args[2] ?? 10_000);
  const times = (work: () => number) => median(Array.from({ length: runs }, work));
  console.log(
    `mux, records of ${RECORD_LEN} B, ${messages} records or messages a run, median of ${runs} runs`,
  );
  console.log(`one bulk stream: ${times(() => bulkNs(messages)).toFixed(0)} ns a record, both ends together`);
  console.log(`streams   ns a message of ${MESSAGE_LEN} B`);
  for (const streams of STREAMS.filter((count) => count <= most)) {
    const ns = times(() => messageNs(streams, messages));
    console.log(`${String(streams).padStart(7)}${ns.toFixed(0).padStart(8)}`);
  }
  console.log(`an idle stream: ${idleBytes(most).toFixed(0)} bytes an end`);
}
