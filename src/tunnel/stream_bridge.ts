/* Streams across isolates: the local side (sockets) in the main isolate, the multiplexer in the data Worker. What one
 * says to the other (`src/ports/streams.ts`) is a message in one of two rings. When a ring is full, its writer keeps
 * messages in order itself: the credit of streams bounds them, and datagrams are dropped and counted. */

import { assert } from "../base/mod.ts";
import type { StreamAddress, StreamCommands, StreamEvents, StreamKind } from "../ports/streams.ts";
import type { StreamRing } from "./stream_ring.ts";

// Chosen here.
export const BRIDGE_RING_LEN = 1 << 21;
/** Of the payload of one message; a longer write becomes several. */
const PIECE_LEN_MAX = 1 << 16;

// A message: type u8, flag u8, client u16, id f64, then what its type has.
const FLAG_AT = 1;
const CLIENT_AT = 2;
const ID_AT = 4;
const BODY_AT = 12;
const ADDRESS_LEN_MAX = 4 + 255;
const MESSAGE_LEN_MAX = BODY_AT + ADDRESS_LEN_MAX + PIECE_LEN_MAX;

/** Commands and events are the same messages. */
const TYPE = { open: 1, accept: 2, reset: 3, data: 4, finish: 5, count: 6, datagram: 7, lost: 8 } as const;
const FLAG_DATAGRAMS = 1; // of open
const HOST_NAME = 0; // else the length of an address

/** One end. What is put in never waits; `wake` is called when the other end has something to do, at most once until it
 * has begun to read. Little-endian, both ends being one process. */
export class BridgeEnd {
  /** Datagrams that found no room. */
  datagramsDropped = 0;
  readonly #out: StreamRing;
  readonly #in: StreamRing;
  readonly #wake: () => void;
  /** Messages that are to go before all others, the oldest first from `#backlogFirst` on. */
  #backlog: Uint8Array[] = [];
  #backlogFirst = 0;
  #at = 0;
  #view: DataView;
  #u8: Uint8Array;
  #kept: Uint8Array | undefined;

  constructor(out: StreamRing, incoming: StreamRing, wake: () => void) {
    assert(out.messageLenMax >= MESSAGE_LEN_MAX, "the longest message fits the ring");
    this.#out = out;
    this.#in = incoming;
    this.#wake = wake;
    this.#view = out.view;
    this.#u8 = out.u8;
  }

  /** Messages that wait for room. */
  get waiting(): number {
    return this.#backlog.length - this.#backlogFirst;
  }

  /** Moves what waits into the ring, as far as there is room. To be called when woken. */
  flush(): void {
    const before = this.#backlogFirst;
    while (this.waiting > 0 && this.#move(this.#backlog[this.#backlogFirst])) this.#backlogFirst++;
    if (this.#backlogFirst === before) return;
    // Let go of what was moved, at a cost that does not grow with what waits.
    if (this.waiting <= this.#backlogFirst) {
      this.#backlog = this.#backlog.slice(this.#backlogFirst);
      this.#backlogFirst = 0;
    }
    if (this.#out.needsWake()) this.#wake();
  }

  #move(message: Uint8Array): boolean {
    let at = this.#out.begin(message.length);
    if (at < 0 && this.#out.stall(message.length)) at = this.#out.begin(message.length);
    if (at < 0) return false;
    this.#out.u8.set(message, at);
    this.#out.commit();
    return true;
  }

  /** Where the main isolate says what it wants of the multiplexer of `client`. */
  commands(client: number): StreamCommands {
    return {
      open: (id, kind, target) => this.#putOpen(client, id, kind, target),
      accept: (id, bound) => this.#putAddress(TYPE.accept, client, id, bound),
      reset: (id, reason) => this.#putNumber(TYPE.reset, client, id, reason),
      write: (id, bytes, off, len) => this.#putData(client, id, bytes, off, len),
      finish: (id) => this.#putNumber(TYPE.finish, client, id, 0),
      consumed: (id, count) => this.#putNumber(TYPE.count, client, id, count),
      datagram: (id, address, bytes, off, len) => this.#putDatagram(client, id, address, bytes, off, len),
    };
  }

  /** Where the multiplexer of `client` says what has happened. */
  events(client: number): StreamEvents {
    return {
      opening: (id, kind, target) => this.#putOpen(client, id, kind, target),
      accepted: (id, bound) => this.#putAddress(TYPE.accept, client, id, bound),
      reset: (id, reason) => this.#putNumber(TYPE.reset, client, id, reason),
      data: (id, bytes, off, len) => this.#putData(client, id, bytes, off, len),
      finished: (id) => this.#putNumber(TYPE.finish, client, id, 0),
      sent: (id, count) => this.#putNumber(TYPE.count, client, id, count),
      datagram: (id, address, bytes, off, len) => this.#putDatagram(client, id, address, bytes, off, len),
      lost: (reason) => this.#putNumber(TYPE.lost, client, 0, reason),
    };
  }

  /** Hands what the other end has put in to the commands of each client; what is for nobody is dropped. Reads as much
   * as there is at the start; returns whether more has come since. */
  drainCommands(of: (client: number) => StreamCommands | undefined): boolean {
    return this.#drain((client, type, id, off, len) => {
      const to = of(client);
      if (to !== undefined) this.#command(to, type, id, off, len);
    });
  }

  /** As drainCommands, for events. */
  drainEvents(of: (client: number) => StreamEvents | undefined): boolean {
    return this.#drain((client, type, id, off, len) => {
      const to = of(client);
      if (to !== undefined) this.#event(to, type, id, off, len);
    });
  }

  #drain(take: (client: number, type: number, id: number, off: number, len: number) => void): boolean {
    this.flush();
    const ring = this.#in;
    ring.beginReading();
    const message = (off: number, len: number) => {
      const client = ring.view.getUint16(off + CLIENT_AT, true);
      const id = ring.view.getFloat64(off + ID_AT, true);
      take(client, ring.u8[off], id, off, len);
    };
    for (let left = ring.pending; left > 0;) left -= ring.read(message);
    if (ring.wasStalled()) this.#wake();
    return ring.pending > 0;
  }

  #command(to: StreamCommands, type: number, id: number, off: number, len: number): void {
    const { u8 } = this.#in;
    switch (type) {
      case TYPE.open:
        return to.open(id, this.#kindAt(off), this.#addressAt(off + BODY_AT));
      case TYPE.accept:
        return to.accept(id, this.#addressAt(off + BODY_AT));
      case TYPE.reset:
        return to.reset(id, this.#numberAt(off));
      case TYPE.data:
        return to.write(id, u8, off + BODY_AT, len - BODY_AT);
      case TYPE.finish:
        return to.finish(id);
      case TYPE.count:
        return to.consumed(id, this.#numberAt(off));
      case TYPE.datagram: {
        const at = off + BODY_AT;
        const data = at + this.#addressLenAt(at);
        return to.datagram(id, this.#addressAt(at), u8, data, off + len - data);
      }
    }
  }

  #event(to: StreamEvents, type: number, id: number, off: number, len: number): void {
    const { u8 } = this.#in;
    switch (type) {
      case TYPE.open:
        return to.opening(id, this.#kindAt(off), this.#addressAt(off + BODY_AT));
      case TYPE.accept:
        return to.accepted(id, this.#addressAt(off + BODY_AT));
      case TYPE.reset:
        return to.reset(id, this.#numberAt(off));
      case TYPE.data:
        return to.data(id, u8, off + BODY_AT, len - BODY_AT);
      case TYPE.finish:
        return to.finished(id);
      case TYPE.count:
        return to.sent(id, this.#numberAt(off));
      case TYPE.datagram: {
        const at = off + BODY_AT;
        const data = at + this.#addressLenAt(at);
        return to.datagram(id, this.#addressAt(at), u8, data, off + len - data);
      }
      case TYPE.lost:
        return to.lost(this.#numberAt(off));
    }
  }

  #kindAt(off: number): StreamKind {
    return this.#in.u8[off + FLAG_AT] === FLAG_DATAGRAMS ? "datagrams" : "stream";
  }

  #numberAt(off: number): number {
    return this.#in.view.getUint32(off + BODY_AT, true);
  }

  /** Port u16, form u8, length u8, host. */
  #addressAt(at: number): StreamAddress {
    const { u8, view } = this.#in;
    const bytes = u8.slice(at + 4, at + this.#addressLenAt(at));
    const host = u8[at + 2] === HOST_NAME ? String.fromCharCode(...bytes) : bytes;
    return { host, port: view.getUint16(at, true) };
  }

  #addressLenAt(at: number): number {
    return 4 + this.#in.u8[at + 3];
  }

  #putOpen(client: number, id: number, kind: StreamKind, target: StreamAddress): void {
    this.#begin(TYPE.open, client, id, addressLen(target));
    this.#u8[this.#at + FLAG_AT] = kind === "datagrams" ? FLAG_DATAGRAMS : 0;
    this.#writeAddress(target);
    this.#end();
  }

  #putAddress(type: number, client: number, id: number, address: StreamAddress): void {
    this.#begin(type, client, id, addressLen(address));
    this.#writeAddress(address);
    this.#end();
  }

  #putNumber(type: number, client: number, id: number, value: number): void {
    this.#begin(type, client, id, 4);
    this.#view.setUint32(this.#at + BODY_AT, value, true);
    this.#end();
  }

  #putData(client: number, id: number, bytes: Uint8Array, off: number, len: number): void {
    for (let at = 0; at < len; at += PIECE_LEN_MAX) {
      const count = Math.min(len - at, PIECE_LEN_MAX);
      this.#begin(TYPE.data, client, id, count);
      this.#u8.set(bytes.subarray(off + at, off + at + count), this.#at + BODY_AT);
      this.#end();
    }
  }

  #putDatagram(
    client: number,
    id: number,
    address: StreamAddress,
    bytes: Uint8Array,
    off: number,
    len: number,
  ): void {
    const headLen = addressLen(address);
    if (!this.#begin(TYPE.datagram, client, id, headLen + len, false)) {
      this.datagramsDropped++;
      return;
    }
    this.#writeAddress(address);
    this.#u8.set(bytes.subarray(off, off + len), this.#at + BODY_AT + headLen);
    this.#end();
  }

  /** Finds room for a message with `bodyLen` bytes after its head: in the ring, else, if `keep`, beside it. */
  #begin(type: number, client: number, id: number, bodyLen: number, keep = true): boolean {
    const len = BODY_AT + bodyLen;
    const at = this.waiting > 0 ? -1 : this.#out.begin(len);
    if (at < 0 && !keep) return false;
    this.#kept = at < 0 ? new Uint8Array(len) : undefined;
    this.#at = Math.max(at, 0);
    this.#u8 = this.#kept ?? this.#out.u8;
    this.#view = this.#kept === undefined ? this.#out.view : new DataView(this.#kept.buffer);
    this.#u8[this.#at] = type;
    this.#u8[this.#at + FLAG_AT] = 0;
    this.#view.setUint16(this.#at + CLIENT_AT, client, true);
    this.#view.setFloat64(this.#at + ID_AT, id, true);
    return true;
  }

  #end(): void {
    if (this.#kept !== undefined) {
      this.#backlog.push(this.#kept);
      if (this.waiting === 1) this.flush(); // asks for a wake-up, too
    } else {
      this.#out.commit();
      if (this.#out.needsWake()) this.#wake();
    }
  }

  #writeAddress({ host, port }: StreamAddress): void {
    const at = this.#at + BODY_AT;
    this.#view.setUint16(at, port, true);
    this.#u8[at + 2] = typeof host === "string" ? HOST_NAME : host.length;
    this.#u8[at + 3] = host.length;
    for (let i = 0; i < host.length; i++) {
      this.#u8[at + 4 + i] = typeof host === "string" ? host.charCodeAt(i) : host[i];
    }
  }
}

function addressLen({ host }: StreamAddress): number {
  assert(host.length <= 255, "a host has at most 255 bytes");
  return 4 + host.length;
}
