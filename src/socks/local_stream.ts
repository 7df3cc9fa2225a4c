/** One stream as its local side sees it: what is read from a socket goes in as there is credit, what comes out waits for
 * the socket to take it. */

import { assert } from "../base/mod.ts";
import type { BufferPool } from "../mux/byte_ring.ts";
import { RESET_REASON, SEND_CREDIT, type StreamAddress, type StreamCommands } from "../ports/streams.ts";
import { Inbox } from "./inbox.ts";

/** A stream that ended before its time; `reason` is a RESET_REASON. */
export class StreamReset extends Error {
  override readonly name = "StreamReset";

  constructor(readonly reason: number) {
    super(`the stream was reset (reason ${reason})`);
  }
}

export type DatagramHandler = (address: StreamAddress, data: Uint8Array) => void;

export class LocalStream {
  /** Takes datagrams of an association, as copies. */
  onDatagram: DatagramHandler = () => {};
  readonly #commands: StreamCommands;
  readonly #forget: () => void;
  #credit = SEND_CREDIT;
  #accepted: StreamAddress | undefined;
  #resetBy: number | undefined;
  #finishedOut = false;
  #finishedIn = false;
  readonly #inbox: Inbox;
  #waiting: (() => void)[] = [];

  /** `forget` is called once nothing more can be said about the stream; `pool` has buffers for what comes. */
  constructor(readonly id: number, commands: StreamCommands, pool: BufferPool, forget: () => void) {
    this.#commands = commands;
    this.#inbox = new Inbox(pool);
    this.#forget = forget;
  }

  /** The RESET_REASON, once it has been reset from either side. */
  get resetReason(): number | undefined {
    return this.#resetBy;
  }

  /** The opener's: the address that the far end's socket has. Rejects with StreamReset where it was refused. */
  async accepted(): Promise<StreamAddress> {
    while (this.#accepted === undefined) await this.#change();
    return this.#accepted;
  }

  /** The acceptor's. */
  accept(bound: StreamAddress): void {
    if (this.#resetBy === undefined) this.#commands.accept(this.id, bound);
  }

  /** How many bytes may be written now, at least 1. Rejects with StreamReset. */
  async credit(): Promise<number> {
    while (this.#credit <= 0 || this.#resetBy !== undefined) await this.#change();
    return this.#credit;
  }

  /** At most as many as there is credit for. Nothing happens once the stream is reset. */
  write(bytes: Uint8Array): void {
    if (this.#resetBy !== undefined || bytes.length === 0) return;
    assert(bytes.length <= this.#credit && !this.#finishedOut, "what is written has credit");
    this.#credit -= bytes.length;
    this.#commands.write(this.id, bytes, 0, bytes.length);
  }

  finish(): void {
    if (this.#resetBy !== undefined || this.#finishedOut) return;
    this.#finishedOut = true;
    this.#commands.finish(this.id);
    if (this.#finishedIn) this.#forget();
  }

  /** Ends it in both directions, unless it has ended. */
  reset(reason: number): void {
    if (this.#resetBy !== undefined || (this.#finishedOut && this.#finishedIn)) return;
    this.#commands.reset(this.id, reason);
    this.#end(reason);
  }

  /** What has come, at most 64 KiB, good until the next call; undefined at the end. It has to be acknowledged by
   * `consumed`. Rejects with StreamReset. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const bytes = this.#inbox.take();
      if (bytes !== undefined || (this.#finishedIn && this.#resetBy === undefined)) return bytes;
      await this.#change();
    }
  }

  consumed(count: number): void {
    if (this.#resetBy === undefined && count > 0) this.#commands.consumed(this.id, count);
  }

  datagram(address: StreamAddress, data: Uint8Array): void {
    if (this.#resetBy === undefined) this.#commands.datagram(this.id, address, data, 0, data.length);
  }

  /** The multiplexer's word, from here on. */
  onAccepted(bound: StreamAddress): void {
    this.#accepted = bound;
    this.#wake();
  }

  onSent(count: number): void {
    this.#credit += count;
    this.#wake();
  }

  /** `len` bytes at `off` of `bytes`, which are copied. */
  onData(bytes: Uint8Array, off: number, len: number): void {
    this.#inbox.put(bytes, off, len);
    this.#wake();
  }

  onFinished(): void {
    this.#finishedIn = true;
    if (this.#finishedOut) this.#forget();
    this.#wake();
  }

  onReset(reason: number): void {
    if (this.#resetBy === undefined) this.#end(reason);
  }

  #end(reason: number): void {
    this.#resetBy = reason;
    this.#inbox.clear();
    this.#forget();
    this.#wake();
  }

  #wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Until something has changed. */
  async #change(): Promise<void> {
    if (this.#resetBy === undefined) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#resetBy !== undefined) throw new StreamReset(this.#resetBy);
  }
}

/** The reason for whatever a stream's local side has failed with. */
export function reasonOf(error: unknown, otherwise: number = RESET_REASON.peerReset): number {
  const reason = (error as { readonly reason?: unknown } | undefined)?.reason;
  return typeof reason === "number" ? reason : otherwise;
}
