/* Connecting to a host that has several addresses (RFC 8305): 1 families take turns · 2 an attempt begins when the one
 * before has failed, or has not succeeded in 250 ms · 3 the first that succeeds wins, the others are given up. */

import type { EndpointAddress } from "../ports/mod.ts";
import type { ByteConnection, Sockets, Timers } from "../ports/sockets.ts";
import { SocketError } from "../ports/sockets.ts";
import { RESET_REASON } from "../ports/streams.ts";
import { reasonOf } from "./local_stream.ts";

// Set by a standard.
const ATTEMPT_DELAY_MS = 250; // RFC 8305 §8
// Chosen here.
const ATTEMPTS_MAX = 16;

/** RFC 8305 §4: the family of the first address begins; order within a family is kept. */
export function interleaved(addresses: readonly Uint8Array[]): Uint8Array[] {
  const first = addresses.filter((ip) => ip.length === addresses[0].length);
  const second = addresses.filter((ip) => ip.length !== addresses[0].length);
  const order: Uint8Array[] = [];
  for (let i = 0; i < Math.max(first.length, second.length); i++) {
    order.push(...first.slice(i, i + 1), ...second.slice(i, i + 1));
  }
  return order;
}

/** Rejects with SocketError: of the last attempt that failed, or timedOut after `ms`. */
export function connectFirst(
  sockets: Pick<Sockets, "connect">,
  timers: Timers,
  addresses: readonly Uint8Array[],
  port: number,
  ms: number,
): Promise<ByteConnection> {
  const places = interleaved(addresses).slice(0, ATTEMPTS_MAX).map((ip) => ({ ip, port }));
  return new Race(sockets, timers, places).run(ms);
}

class Race {
  readonly #sockets: Pick<Sockets, "connect">;
  readonly #timers: Timers;
  readonly #waiting: EndpointAddress[];
  readonly #givenUp = new AbortController();
  readonly #result = Promise.withResolvers<ByteConnection>();
  #running = 0;
  #isOver = false;
  #callOffNext = () => {};

  constructor(sockets: Pick<Sockets, "connect">, timers: Timers, places: readonly EndpointAddress[]) {
    this.#sockets = sockets;
    this.#timers = timers;
    this.#waiting = [...places];
  }

  async run(ms: number): Promise<ByteConnection> {
    const callOff = this.#timers.after(ms, () => {
      this.#result.reject(new SocketError(RESET_REASON.timedOut, "no address answered in time"));
    });
    this.#next(new SocketError(RESET_REASON.hostUnreachable, "there is no address"));
    try {
      return await this.#result.promise;
    } finally {
      this.#isOver = true;
      callOff();
      this.#callOffNext();
      this.#givenUp.abort();
    }
  }

  /** Begins the next attempt; without one, and when none is running, `error` is the result. */
  #next(error: unknown): void {
    this.#callOffNext();
    const place = this.#waiting.shift();
    if (place === undefined) {
      if (this.#running === 0) this.#result.reject(error);
      return;
    }
    this.#running++;
    this.#callOffNext = this.#timers.after(ATTEMPT_DELAY_MS, () => this.#next(error));
    this.#sockets.connect({ kind: "tcp", ...place }, this.#givenUp.signal).then(
      (connection) => {
        if (this.#isOver) connection.close();
        this.#isOver = true;
        this.#result.resolve(connection);
      },
      (failure: unknown) => {
        this.#running--;
        if (!this.#isOver) this.#next(new SocketError(reasonOf(failure), "the last address failed"));
      },
    );
  }
}
