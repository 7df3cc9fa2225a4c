/** Sockets in memory, and a clock that moves when a test says so. */

import type { EndpointAddress } from "../../../src/ports/mod.ts";
import {
  type ByteConnection,
  type ConnectionListener,
  type PacketSocket,
  SocketError,
  type SocketPlace,
  type Sockets,
  type Timers,
} from "../../../src/ports/sockets.ts";
import { RESET_REASON } from "../../../src/ports/streams.ts";
import { concat } from "../../../src/base/mod.ts";

/** Lets everything that waits for nothing but promises go on. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 200; i++) await Promise.resolve();
}

export class FakeTimers implements Timers {
  #nowMs = 0;
  readonly #due = new Set<{ readonly atMs: number; readonly run: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void): () => void {
    const entry = { atMs: this.#nowMs + ms, run };
    this.#due.add(entry);
    return () => void this.#due.delete(entry);
  }

  /** Timers that have not run out or been called off. */
  get pending(): number {
    return this.#due.size;
  }

  /** Time goes on by `ms`, from timer to timer. */
  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settled();
    for (;;) {
      const next = [...this.#due].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#due.delete(next);
      next.run();
      await settled();
    }
    this.#nowMs = endMs;
  }
}

/** Bytes from one end to the other, with a bound on what waits. */
class Pipe {
  #chunks: Uint8Array[] = [];
  #ended = false;
  #broken = false;
  #wake: (() => void)[] = [];

  get waiting(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  async put(bytes: Uint8Array): Promise<void> {
    if (this.#broken || this.#ended) throw new SocketError(RESET_REASON.peerReset, "nobody reads");
    if (bytes.length > 0) this.#chunks.push(bytes.slice());
    this.#changed();
    while (this.waiting > 65_536 && !this.#broken) await this.change();
  }

  async take(out: Uint8Array): Promise<number | null> {
    while (this.#chunks.length === 0 && !this.#ended && !this.#broken) await this.change();
    if (this.#broken) throw new SocketError(RESET_REASON.peerReset, "reset");
    const all = concat(...this.#chunks);
    const count = Math.min(out.length, all.length);
    if (all.length === 0) return out.length === 0 ? 0 : null;
    out.set(all.subarray(0, count));
    this.#chunks = count < all.length ? [all.subarray(count)] : [];
    this.#changed();
    return count;
  }

  end(): void {
    this.#ended = true;
    this.#changed();
  }

  break(): void {
    this.#broken = true;
    this.#changed();
  }

  change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

export class FakeConnection implements ByteConnection {
  local: EndpointAddress | undefined = { ip: Uint8Array.of(127, 0, 0, 1), port: 1080 };
  remote: EndpointAddress | undefined = { ip: Uint8Array.of(127, 0, 0, 1), port: 50_000 };
  isClosed = false;
  wasReset = false;
  readonly #in: Pipe;
  readonly #out: Pipe;

  constructor(incoming: Pipe, outgoing: Pipe) {
    this.#in = incoming;
    this.#out = outgoing;
  }

  static pair(): [FakeConnection, FakeConnection] {
    const [a, b] = [new Pipe(), new Pipe()];
    return [new FakeConnection(a, b), new FakeConnection(b, a)];
  }

  read(out: Uint8Array): Promise<number | null> {
    return this.#in.take(out);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#out.put(bytes);
  }

  closeWrite(): Promise<void> {
    this.#out.end();
    return Promise.resolve();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#out.end();
    this.#in.break();
  }

  reset(): void {
    if (this.isClosed) return;
    this.isClosed = this.wasReset = true;
    this.#out.break();
    this.#in.break();
  }

  /** All that comes up to the end; throws when it is reset. */
  async readToEnd(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    const buffer = new Uint8Array(4096);
    for (let count = await this.read(buffer); count !== null; count = await this.read(buffer)) {
      parts.push(buffer.slice(0, count));
    }
    return concat(...parts);
  }

  /** Exactly `len` bytes. */
  async readExactly(len: number): Promise<Uint8Array> {
    const out = new Uint8Array(len);
    for (let at = 0; at < len;) {
      const count = await this.read(out.subarray(at));
      if (count === null) throw new Error(`the end came after ${at} of ${len} bytes`);
      at += count;
    }
    return out;
  }
}

export type Datagram = { readonly data: Uint8Array; readonly from: EndpointAddress };

export class FakePackets implements PacketSocket {
  readonly sent: { readonly data: Uint8Array; readonly to: EndpointAddress }[] = [];
  isClosed = false;
  readonly #came: Datagram[] = [];
  #wake: () => void = () => {};

  constructor(readonly address: EndpointAddress) {}

  come(data: Uint8Array, from: EndpointAddress): void {
    this.#came.push({ data, from });
    this.#wake();
  }

  async receive(): Promise<Datagram | undefined> {
    while (this.#came.length === 0 && !this.isClosed) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.isClosed ? undefined : this.#came.shift();
  }

  send(data: Uint8Array, to: EndpointAddress): Promise<void> {
    this.sent.push({ data, to });
    return Promise.resolve();
  }

  close(): void {
    this.isClosed = true;
    this.#wake();
  }
}

class FakeListener implements ConnectionListener {
  readonly #waiting: ByteConnection[] = [];
  #wake: () => void = () => {};
  isClosed = false;

  constructor(readonly address: EndpointAddress | undefined) {}

  come(connection: ByteConnection): void {
    this.#waiting.push(connection);
    this.#wake();
  }

  async accept(): Promise<ByteConnection | undefined> {
    while (this.#waiting.length === 0 && !this.isClosed) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.isClosed ? undefined : this.#waiting.shift();
  }

  close(): void {
    this.isClosed = true;
    this.#wake();
  }
}

export type Answer = (place: SocketPlace, signal: AbortSignal) => Promise<ByteConnection>;

/** What was asked for is kept; `answer` decides about connections. */
export class FakeSockets implements Sockets {
  readonly tried: SocketPlace[] = [];
  readonly opened: FakePackets[] = [];
  readonly listeners: FakeListener[] = [];
  /** Far ends of the connections that were made. */
  readonly far: FakeConnection[] = [];

  constructor(public answer: Answer = () => this.connected()) {}

  connected(): Promise<ByteConnection> {
    const [near, far] = FakeConnection.pair();
    this.far.push(far);
    return Promise.resolve(near);
  }

  listen(place: SocketPlace): Promise<ConnectionListener> {
    const listener = new FakeListener(place.kind === "tcp" ? place : undefined);
    this.listeners.push(listener);
    return Promise.resolve(listener);
  }

  connect(place: SocketPlace, signal: AbortSignal): Promise<ByteConnection> {
    this.tried.push(place);
    return this.answer(place, signal);
  }

  packets(address: EndpointAddress): Promise<PacketSocket> {
    const socket = new FakePackets({ ...address, port: 40_000 + this.opened.length });
    this.opened.push(socket);
    return Promise.resolve(socket);
  }
}

export function refuse(reason: number): Answer {
  return () => Promise.reject(new SocketError(reason, "refused"));
}
