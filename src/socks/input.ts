/** Reads whole messages of a client that may be slow, hostile or gone. */

import { concat } from "../base/mod.ts";
import type { ByteConnection, Timers } from "../ports/sockets.ts";
import type { Read } from "../wire/socks5.ts";

// Chosen here.
const READ_LEN = 2048;

export type ClientFault = "malformed" | "slow" | "gone";

/** Why a client was not understood, and what it is to be told before its connection ends. */
export class ClientError extends Error {
  override readonly name = "ClientError";

  constructor(readonly kind: ClientFault, readonly words: Uint8Array | undefined = undefined) {
    super(`the client's request is ${kind}`);
  }
}

export class Input {
  readonly #connection: ByteConnection;
  readonly #slow: Promise<"slow">;
  readonly #callOff: () => void;
  #bytes: Uint8Array = new Uint8Array();

  /** All messages together have to be there within `ms`. */
  constructor(connection: ByteConnection, timers: Timers, ms: number) {
    this.#connection = connection;
    const { promise, resolve } = Promise.withResolvers<"slow">();
    this.#slow = promise;
    this.#callOff = timers.after(ms, () => resolve("slow"));
  }

  /** The first byte, which stays. */
  async first(): Promise<number> {
    while (this.#bytes.length === 0) await this.#more();
    return this.#bytes[0];
  }

  /** The next message, which `read` finds in all bytes that are there, and bounds. Rejects with ClientError, with
   * `words` for what is wrong. */
  async message<T>(
    read: (bytes: Uint8Array) => Read<T>,
    words: (fault: ClientFault) => Uint8Array,
  ): Promise<T> {
    for (;;) {
      const found = read(this.#bytes);
      if (found === "malformed") throw new ClientError("malformed", words("malformed"));
      if (found !== "more") {
        this.#bytes = this.#bytes.slice(found.len);
        return found;
      }
      await this.#more(words);
    }
  }

  /** Ends the waiting; gives what has come behind the last message. */
  rest(): Uint8Array {
    this.#callOff();
    return this.#bytes;
  }

  async #more(words?: (fault: ClientFault) => Uint8Array): Promise<void> {
    const buffer = new Uint8Array(READ_LEN);
    const count = await Promise.race([this.#slow, this.#connection.read(buffer).catch(() => null)]);
    if (count === "slow") throw new ClientError("slow", words?.("slow"));
    if (count === null) throw new ClientError("gone");
    this.#bytes = concat(this.#bytes, buffer.subarray(0, count));
  }
}
