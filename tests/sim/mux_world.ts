/** Two muxes on a seeded network, each with slots and a local side that writes and checks patterns. What lies between
 * a mux and the network (records, keys) is left out: a streams frame is a datagram, with its session in front. */

import { assert, concat } from "../../src/base/mod.ts";
import { Mux, type MuxLimits } from "../../src/mux/mux.ts";
import type {
  Clock,
  EndpointAddress,
  StreamAddress,
  StreamCommands,
  StreamEvents,
  StreamKind,
} from "../../src/ports/mod.ts";
import { SEND_CREDIT } from "../../src/ports/mod.ts";
import { type NetworkConditions, SimNetwork } from "./network.ts";
import { VirtualTime } from "./virtual_time.ts";

const FILL_OFF = 64;
const RECEIVE_OFF = 32_768;
const MEMORY_LEN = 65_536;
const CHUNK_LEN = 16_384;

export const ANYWHERE: StreamAddress = { host: Uint8Array.of(0, 0, 0, 0), port: 0 };

/** The byte at `offset` of what `key` stands for. */
export function patternAt(key: number, offset: number): number {
  return (offset * 31 + key * 7 + (offset >>> 8)) & 0xff;
}

/** What a stream carries, known to both sides by the target's port. */
export interface Job {
  readonly up: number;
  readonly down: number;
  /** Who reads never, and who at once. */
  readonly stalled?: "opener" | "acceptor";
}

export interface LocalStream {
  readonly id: number;
  readonly key: number;
  readonly out: number;
  readonly expected: number;
  readonly stalled: boolean;
  credit: number;
  written: number;
  finishedHere: boolean;
  received: number;
  state: "open" | "accepted" | "finished" | "reset";
  reason: number;
  openedNs: number;
  firstByteNs: number;
  lastByteNs: number;
}

/** A local side: opens streams, answers all that come, writes what the jobs say, and checks each byte. */
export class LocalSide implements StreamEvents {
  readonly streams = new Map<number, LocalStream>();
  readonly jobs: Map<number, Job>;
  readonly datagrams: { id: number; address: StreamAddress; bytes: Uint8Array }[] = [];
  lostCount = 0;
  readonly #commands: () => StreamCommands;
  readonly #time: Clock;
  readonly #chunk = new Uint8Array(CHUNK_LEN);
  #nextId: number;

  constructor(
    commands: () => StreamCommands,
    time: Clock,
    jobs: Map<number, Job>,
    client: boolean,
  ) {
    this.#commands = commands;
    this.#time = time;
    this.jobs = jobs;
    this.#nextId = client ? 1 : 2;
  }

  /** Opens a stream for a job. */
  open(key: number, kind: StreamKind = "stream"): LocalStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const job = this.jobs.get(key) ?? { up: 0, down: 0 };
    const stream = this.#add(id, key, job.up, job.down, job.stalled === "opener");
    this.#commands().open(id, kind, { host: `job${key}.test`, port: key });
    this.pump(stream);
    return stream;
  }

  opening(id: number, kind: StreamKind, target: StreamAddress): void {
    assert(!this.streams.has(id), "no id comes twice");
    const key = target.port;
    assert(target.host === `job${key}.test`, "a target comes as it was given");
    const job = this.jobs.get(key) ?? { up: 0, down: 0 };
    const stream = this.#add(id, key, job.down, job.up, job.stalled === "acceptor");
    this.#commands().accept(id, ANYWHERE);
    stream.state = "accepted";
    if (kind === "stream") this.pump(stream);
  }

  accepted(id: number): void {
    this.streams.get(id)!.state = "accepted";
  }

  data(id: number, bytes: Uint8Array, off: number, len: number): void {
    const stream = this.streams.get(id)!;
    assert(stream.state === "accepted", `bytes come after accepted and before the end: ${stream.state}`);
    assert(stream.received + len <= stream.expected, "no byte too many");
    for (let i = 0; i < len; i++) {
      const expected = patternAt(stream.key, stream.received + i);
      if (bytes[off + i] !== expected) {
        throw new Error(`byte ${stream.received + i} of stream ${id} is wrong`);
      }
    }
    if (stream.received === 0) stream.firstByteNs = this.#time.nowNs();
    stream.lastByteNs = this.#time.nowNs();
    stream.received += len;
    if (!stream.stalled) this.#commands().consumed(id, len);
  }

  finished(id: number): void {
    const stream = this.streams.get(id)!;
    assert(stream.received === stream.expected, `stream ${id} ends when all of it has come`);
    stream.state = "finished";
  }

  reset(id: number, reason: number): void {
    const stream = this.streams.get(id)!;
    assert(stream.state !== "reset", "a stream is reset once");
    stream.state = "reset";
    stream.reason = reason;
  }

  sent(id: number, count: number): void {
    const stream = this.streams.get(id)!;
    stream.credit += count;
    this.pump(stream);
  }

  datagram(id: number, address: StreamAddress, bytes: Uint8Array, off: number, len: number): void {
    this.datagrams.push({ id, address, bytes: bytes.slice(off, off + len) });
  }

  lost(): void {
    this.lostCount++;
  }

  /** Writes as much as there is credit for. */
  pump(stream: LocalStream): void {
    if (stream.state === "reset" || stream.finishedHere) return;
    while (stream.credit > 0 && stream.written < stream.out) {
      const len = Math.min(stream.credit, stream.out - stream.written, CHUNK_LEN);
      for (let i = 0; i < len; i++) this.#chunk[i] = patternAt(stream.key, stream.written + i);
      stream.written += len;
      stream.credit -= len;
      this.#commands().write(stream.id, this.#chunk, 0, len);
    }
    if (stream.written === stream.out) {
      stream.finishedHere = true;
      this.#commands().finish(stream.id);
    }
  }

  #add(id: number, key: number, out: number, expected: number, stalled: boolean): LocalStream {
    const stream: LocalStream = {
      id,
      key,
      out,
      expected,
      stalled,
      credit: SEND_CREDIT,
      written: 0,
      finishedHere: false,
      received: 0,
      state: "open",
      reason: 0,
      openedNs: this.#time.nowNs(),
      firstByteNs: Infinity,
      lastByteNs: 0,
    };
    this.streams.set(id, stream);
    return stream;
  }
}

/** Events of a mux that reach their local side only now and then, all at once: a main isolate that is busy. */
class Stepwise implements StreamEvents {
  readonly #local: StreamEvents;
  #waiting: (() => void)[] = [];

  constructor(local: StreamEvents, time: VirtualTime, stepNs: number) {
    this.#local = local;
    const step = () => {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const event of waiting) event();
      time.after(stepNs, step);
    };
    step();
  }

  opening(id: number, kind: StreamKind, target: StreamAddress): void {
    this.#waiting.push(() => this.#local.opening(id, kind, target));
  }

  accepted(id: number, bound: StreamAddress): void {
    this.#waiting.push(() => this.#local.accepted(id, bound));
  }

  data(id: number, bytes: Uint8Array, off: number, len: number): void {
    const copy = bytes.slice(off, off + len);
    this.#waiting.push(() => this.#local.data(id, copy, 0, len));
  }

  finished(id: number): void {
    this.#waiting.push(() => this.#local.finished(id));
  }

  reset(id: number, reason: number): void {
    this.#waiting.push(() => this.#local.reset(id, reason));
  }

  sent(id: number, count: number): void {
    this.#waiting.push(() => this.#local.sent(id, count));
  }

  datagram(id: number, address: StreamAddress, bytes: Uint8Array, off: number, len: number): void {
    const copy = bytes.slice(off, off + len);
    this.#waiting.push(() => this.#local.datagram(id, address, copy, 0, len));
  }

  lost(reason: number): void {
    this.#waiting.push(() => this.#local.lost(reason));
  }
}

export interface EndOptions {
  readonly name: string;
  readonly client: boolean;
  readonly carrier: "ordered" | "datagrams";
  readonly intervalNs: number;
  readonly recordLen: number;
  readonly limits?: MuxLimits;
  /** The local side hears of events only so often; 0, or left out: at once. */
  readonly localStepNs?: number;
}

/** A mux in its slots. */
export class MuxEnd {
  mux: Mux;
  readonly local: LocalSide;
  readonly u8 = new Uint8Array(MEMORY_LEN);
  readonly time: VirtualTime;
  readonly options: EndOptions;
  slots = 0;
  used = 0;
  running = true;
  /** Where frames go. */
  send: (bytes: Uint8Array) => void = () => {};
  readonly #events: StreamEvents;
  #instance: number;

  constructor(time: VirtualTime, options: EndOptions, jobs: Map<number, Job>, instance: number) {
    this.time = time;
    this.options = options;
    this.local = new LocalSide(() => this.mux, time, jobs, options.client);
    const { localStepNs = 0 } = options;
    this.#events = localStepNs > 0 ? new Stepwise(this.local, time, localStepNs) : this.local;
    this.#instance = instance;
    this.mux = this.#newMux();
    this.#slot(time.nowNs());
  }

  /** The process starts anew: another mux that knows nothing. */
  restart(): void {
    this.mux = this.#newMux();
    this.local.streams.clear();
  }

  receive(bytes: Uint8Array): void {
    this.u8.set(bytes, RECEIVE_OFF);
    const bodyLen = bytes[1] << 8 | bytes[2];
    assert(bytes[0] === 0x50 && bodyLen === bytes.length - 3, "a frame says its length");
    this.mux.receive(RECEIVE_OFF + 3, bodyLen, this.time.nowNs());
  }

  #newMux(): Mux {
    const { client, carrier, intervalNs, limits } = this.options;
    const instance = new Uint8Array(8);
    new DataView(instance.buffer).setUint32(0, ++this.#instance);
    return new Mux({
      client,
      carrier,
      u8: this.u8,
      instance,
      events: this.#events,
      peerIntervalNs: intervalNs,
      packetsMax: 4096,
      limits,
    });
  }

  #slot(timeNs: number): void {
    this.time.at(timeNs, () => {
      if (!this.running) return;
      this.slots++;
      this.u8.fill(0xa5, FILL_OFF, FILL_OFF + this.options.recordLen + 64);
      const len = this.mux.fill(FILL_OFF, this.options.recordLen, this.time.nowNs());
      assert(len <= this.options.recordLen, "a record is not overfilled");
      assert(this.u8[FILL_OFF + this.options.recordLen] === 0xa5, "nothing is written behind the record");
      this.used += len;
      if (len > 0) this.send(this.u8.slice(FILL_OFF, FILL_OFF + len));
      this.#slot(timeNs + this.options.intervalNs);
    });
  }
}

export interface WorldOptions {
  readonly seed: number;
  readonly carrier?: "ordered" | "datagrams";
  readonly conditions?: NetworkConditions;
  readonly intervalNs?: number;
  readonly recordLen?: number;
  readonly limits?: MuxLimits;
  readonly jobs?: readonly Job[];
  readonly localStepNs?: number;
}

const ADDRESSES: Record<string, EndpointAddress> = {
  client: { ip: Uint8Array.of(192, 0, 2, 1), port: 1 },
  server: { ip: Uint8Array.of(192, 0, 2, 2), port: 1405 },
};

/** A client and a server; job i is `jobs[i]`. */
export class MuxWorld {
  readonly time = new VirtualTime();
  readonly network: SimNetwork;
  readonly client: MuxEnd;
  readonly server: MuxEnd;
  readonly jobs = new Map<number, Job>();
  /** Stands in front of each datagram, as keys do: what belongs to an earlier session opens no more. */
  #session = 0;

  constructor(options: WorldOptions) {
    const { seed, carrier = "datagrams", conditions, intervalNs = 1e6, recordLen = 1350 } = options;
    const { limits, localStepNs } = options;
    options.jobs?.forEach((job, key) => this.jobs.set(key, job));
    this.network = new SimNetwork(this.time, seed, conditions);
    const end = (name: "client" | "server", instance: number) => {
      const isClient = name === "client";
      const common = { name, client: isClient, carrier, intervalNs, recordLen, limits, localStepNs };
      return new MuxEnd(this.time, common, this.jobs, instance);
    };
    this.client = end("client", 1000);
    this.server = end("server", 2000);
    this.#join(this.client, this.server);
    this.#join(this.server, this.client);
    this.newSession();
  }

  /** A new session or connection: what was on its way in the old one is gone. */
  newSession(): void {
    this.#session++;
    this.client.mux.newSession();
    this.server.mux.newSession();
  }

  get #conditions(): NetworkConditions {
    return this.network.conditions;
  }

  #join(from: MuxEnd, to: MuxEnd): void {
    const [own, other] = [ADDRESSES[from.options.name], ADDRESSES[to.options.name]];
    const arrive = (bytes: Uint8Array) => {
      if (bytes[0] === (this.#session & 0xff)) to.receive(bytes.subarray(1));
    };
    this.network.attach(to.options.name, other, ({ bytes }) => arrive(bytes));
    from.send = (frame) => {
      const bytes = concat(Uint8Array.of(this.#session), frame);
      if (from.options.carrier === "datagrams") this.network.send(own, other, bytes);
      else this.time.after(this.#conditions.delayMeanNs ?? 0, () => arrive(bytes));
    };
  }

  runMs(ms: number): void {
    this.time.runUntil(this.time.nowNs() + ms * 1e6);
  }

  /** Runs until `condition`, at most `ms`; false if it did not come. */
  until(condition: () => boolean, ms: number): boolean {
    const end = this.time.nowNs() + ms * 1e6;
    while (!condition()) {
      if (this.time.nowNs() >= end) return false;
      this.runMs(1);
    }
    return true;
  }

  stop(): void {
    this.client.running = this.server.running = false;
  }
}
