/** Takes connections at a listener, up to a bound, and hands each to `serve`. */

import type { ByteConnection, ConnectionListener } from "../ports/sockets.ts";

/** Places for connections, shared by several listeners. */
export class Places {
  readonly #max: number;
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get taken(): number {
    return this.#taken;
  }

  take(): boolean {
    if (this.#taken >= this.#max) return false;
    this.#taken++;
    return true;
  }

  give(): void {
    this.#taken--;
  }
}

export interface Acceptor {
  readonly places: Places;
  /** Settles when the connection is done with; never rejects. */
  serve(connection: ByteConnection): Promise<void>;
  /** A connection came and there was no place. */
  refused(): void;
}

/** Settles when the listener is closed. */
export async function acceptAll(listener: ConnectionListener, acceptor: Acceptor): Promise<void> {
  for (let one = await listener.accept(); one !== undefined; one = await listener.accept()) {
    if (acceptor.places.take()) void acceptor.serve(one).finally(() => acceptor.places.give());
    else {
      acceptor.refused();
      one.reset();
    }
  }
}
