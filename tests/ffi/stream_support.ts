/** What the tests of TCP share: connections over the loopback, what is told of them, stream rings. */

import { type EndpointAddress, IO, RING, RX, RX_FLAG, STREAM_EVENT } from "../../src/ports/mod.ts";
import {
  ANY_PORT,
  type KeyBytes,
  memory,
  newKey,
  publishTimes,
  randomKey,
  RECORD_LEN,
  ringConfig,
  ringU32,
  shim,
  SUITES,
  writeRecord,
} from "./support.ts";
import { RECORD } from "../../src/ports/mod.ts";

export const streams = shim.streams();
export const RECORD_HDR = Uint8Array.of(23, 3, 3, (RECORD_LEN - 5) >> 8, (RECORD_LEN - 5) & 0xff);
export const UPDATE = Uint8Array.of(24, 0, 0, 1, 0, 22);

export interface Told {
  readonly id: number;
  readonly event: keyof typeof STREAM_EVENT;
  /** Of a record its bytes; of an end its errno. */
  readonly bytes: Uint8Array;
  readonly len: number;
}

const EVENTS = Object.keys(STREAM_EVENT) as (keyof typeof STREAM_EVENT)[];

/** Polls streams and keeps what they tell. */
export class Poller {
  readonly told: Told[] = [];
  readonly #io;

  constructor(rxCap = 64) {
    this.#io = shim.newIo({ udpFds: [], epollFd: streams.epollFd, rxCap, tunCap: 0 });
  }

  /** One call, which waits at most `ms`. */
  poll(ms: number): void {
    const { io } = this.#io;
    memory.f64[(io + IO.timeoutNs) >>> 3] = ms * 1e6;
    this.#io.poll();
    const descs = memory.u32[(io + IO.rxDescs) >>> 2];
    for (let i = 0; i < memory.u32[(io + IO.rxCount) >>> 2]; i++) {
      const rx = descs + i * RX.size;
      const [off, len] = [memory.u32[(rx + RX.off) >>> 2], memory.u32[(rx + RX.len) >>> 2]];
      const flags = memory.u32[(rx + RX.flags) >>> 2];
      if ((flags & RX_FLAG.stream) === 0) throw new Error("something that is no stream's");
      const event = EVENTS[flags >>> RX_FLAG.eventShift & 15];
      const bytes = event === "record" ? memory.u8.slice(off, off + len) : new Uint8Array(0);
      this.told.push({ id: memory.i32[(rx + RX.peer) >>> 2], event, bytes, len });
    }
  }

  /** Until `done`, or 5 s have passed. */
  until(done: () => boolean): void {
    const end = shim.clock.nowNs() + 5e9;
    while (!done()) {
      if (shim.clock.nowNs() > end) {
        throw new Error(`Waited 5 s; told: ${this.told.map(({ event }) => event)}`);
      }
      this.poll(20);
    }
  }

  records(id: number): Uint8Array[] {
    return this.told.filter((one) => one.id === id && one.event === "record").map(({ bytes }) => bytes);
  }

  close(): void {
    this.#io.free();
  }
}

export interface Pair {
  /** Added under ids 1 and 2; both paused. */
  readonly client: number;
  readonly server: number;
  close(): void;
}

/** Two ends of one connection over the loopback. */
export function connectPair(poller: Poller, address: EndpointAddress = ANY_PORT): Pair {
  const listener = shim.tcpListen(address);
  const client = streams.connect(listener.address);
  streams.add(client, 1, "connecting");
  poller.until(() => poller.told.some(({ event }) => event === "connected"));
  poller.told.length = 0;
  const server = streams.accept(listener.fd)!.fd;
  streams.add(server, 2, "paused");
  shim.close(listener.fd);
  const close = () => {
    for (const fd of [client, server]) {
      try {
        streams.remove(fd);
      } catch { /* removed by the test */ }
      streams.close(fd);
    }
  };
  return { client, server, close };
}

/** A started stream ring without a connection: `count` slots from 20 ms ahead. */
export function startStreamRing(count: number, intervalNs = 1e6, over = {}): number {
  const nowhere = { ip: new Uint8Array(0), port: 0 };
  const config = ringConfig(-1, nowhere, { seqOff: 0, seqLen: 0, stream: true, intervalNs, ...over });
  const ring = shim.pacer.newRing(config);
  memory.u8.set(UPDATE, ringU32(ring, RING.update));
  publishTimes(ring, shim.clock.nowNs() + 2e7, intervalNs, count);
  shim.pacer.ringStart(ring);
  return ring;
}

export interface LinkKey {
  readonly bytes: KeyBytes;
  readonly id: number;
}

export function linkKey(suite: number = SUITES.aes128): LinkKey {
  const bytes = randomKey(suite);
  return { bytes, id: newKey(bytes) };
}

/** Links the ring to `fd` under `key`; fd -1 takes the connection away. */
export function link(ring: number, fd: number, key?: LinkKey): boolean {
  const hdr = memory.alloc(RECORD_HDR.length);
  memory.u8.set(RECORD_HDR, hdr);
  try {
    return shim.pacer.ringLink(ring, fd, key?.id ?? 0, key === undefined ? 0 : hdr);
  } finally {
    memory.free(hdr, RECORD_HDR.length);
  }
}

/** Opens records in the order of their implicit numbers; undefined where one fails. */
export function openStream(
  records: readonly Uint8Array[],
  key: KeyBytes,
  first = 0,
): (Uint8Array | undefined)[] {
  const id = newKey(key);
  const [src, dst, record] = [2048, 2048, RECORD.size].map((len) => memory.alloc(len));
  const opened = records.map((bytes, index) => {
    memory.u8.set(bytes, src);
    const seq = BigInt(first + index);
    writeRecord(record, { src, dst, len: bytes.length, hdrLen: 5, seqOff: 0, seqLen: 0, key: id, seq });
    shim.protection.openBatch(record, 1);
    const len = memory.i32[(record + RECORD.result) >>> 2];
    return len < 0 ? undefined : memory.u8.slice(dst, dst + len);
  });
  memory.free(src, 2048);
  memory.free(dst, 2048);
  memory.free(record, RECORD.size);
  shim.protection.freeKey(id);
  return opened;
}
