/* Bytes between a socket and a stream, both ways side by side: 1 what the socket gives goes into the stream as far as
 * its credit reaches, and no more is read before there is some · 2 what the stream gives is written, and acknowledged
 * when the socket has taken it · 3 an end of one direction is handed on as one, an error of either side ends both. */

import type { ByteConnection, Timers } from "../ports/sockets.ts";
import { RESET_REASON } from "../ports/streams.ts";
import { IdleWatch } from "./idle_watch.ts";
import { type LocalStream, reasonOf } from "./local_stream.ts";

// Chosen here. Many connections are idle, so that each begins with a small buffer.
const READ_LEN_MIN = 2048;
const READ_LEN_MAX = 65_536;
/** For a client that has its answer to close, before the socket is closed under what it may still send. */
const LINGER_MS = 3000;

/** What happens to bytes on their way; without it they pass as they are. */
export interface Filter {
  /** From the socket. Returns how many go into the stream, the others being dropped; -1 ends all. */
  out?(bytes: Uint8Array): number;
  /** From the stream: what is to be written. */
  in?(bytes: Uint8Array): Uint8Array;
  /** The stream has ended: what is to be written last. */
  inEnd?(): Uint8Array;
}

export interface RelayOptions {
  readonly filter?: Filter;
  /** For one answer: the end of what the socket gives is not handed on, and the end of what the stream gives ends all. */
  readonly oneAnswer?: boolean;
  /** Ends a stream that has carried nothing for so long. */
  readonly idleMs?: number;
}

export class Relay {
  readonly #connection: ByteConnection;
  readonly #stream: LocalStream;
  readonly #timers: Timers;
  readonly #options: RelayOptions;
  readonly #idle: IdleWatch | undefined;
  #callOffLinger = () => {};

  constructor(connection: ByteConnection, stream: LocalStream, timers: Timers, options: RelayOptions = {}) {
    this.#connection = connection;
    this.#stream = stream;
    this.#timers = timers;
    this.#options = options;
    if (options.idleMs !== undefined) {
      this.#idle = new IdleWatch(timers, options.idleMs, () => this.fail(RESET_REASON.timedOut));
    }
  }

  /** Puts `early`, which the socket gave before, and all that follows into the stream. Never rejects. */
  async out(early: Uint8Array): Promise<void> {
    try {
      for (let rest = early; rest.length > 0;) {
        const count = Math.min(await this.#stream.credit(), rest.length);
        this.#put(rest.subarray(0, count));
        rest = rest.subarray(count);
      }
      await this.#readAll();
      if (this.#options.oneAnswer !== true) this.#stream.finish();
    } catch (error) {
      this.fail(reasonOf(error));
    }
  }

  async #readAll(): Promise<void> {
    let buffer = new Uint8Array(READ_LEN_MIN);
    for (;;) {
      const credit = await this.#stream.credit();
      const count = await this.#connection.read(buffer.subarray(0, Math.min(credit, buffer.length)));
      if (count === null) return;
      this.#idle?.touch();
      this.#put(buffer.subarray(0, count));
      if (count === buffer.length && count < READ_LEN_MAX) buffer = new Uint8Array(2 * count);
      else if (count < buffer.length / 8 && buffer.length > READ_LEN_MIN) {
        buffer = new Uint8Array(buffer.length / 2);
      }
    }
  }

  #put(bytes: Uint8Array): void {
    const count = this.#options.filter?.out?.(bytes) ?? bytes.length;
    if (count < 0) throw new Error("what came was no such message");
    this.#stream.write(bytes.subarray(0, count));
  }

  /** Writes all that the stream gives; then nothing more is to be said. Never rejects. */
  async in(): Promise<void> {
    try {
      for (;;) {
        const bytes = await this.#stream.read();
        if (bytes === undefined) break;
        await this.#connection.write(this.#options.filter?.in?.(bytes) ?? bytes);
        this.#stream.consumed(bytes.length);
        this.#idle?.touch();
      }
      const last = this.#options.filter?.inEnd?.();
      if (last !== undefined) await this.#connection.write(last);
      await this.#connection.closeWrite();
      if (this.#options.oneAnswer === true) this.#linger();
    } catch (error) {
      this.fail(reasonOf(error));
    }
  }

  /** Both ways, until both have ended; then the socket is closed. */
  async run(early: Uint8Array): Promise<void> {
    await Promise.all([this.out(early), this.in()]);
    this.end();
  }

  /** Ends both ways at once. */
  fail(reason: number): void {
    this.#stream.reset(reason);
    this.#connection.reset();
    this.#idle?.stop();
  }

  end(): void {
    this.#connection.close();
    this.#idle?.stop();
    this.#callOffLinger();
  }

  #linger(): void {
    this.#stream.finish();
    this.#callOffLinger = this.#timers.after(LINGER_MS, () => this.#connection.close());
  }
}
