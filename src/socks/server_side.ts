/** A server's local side, for one client: its streams, and what is dialled for them. */

import type { StreamCommands, StreamEvents } from "../ports/streams.ts";
import { RESET_REASON } from "../ports/streams.ts";
import { type DialContext, Dialer } from "./dialer.ts";
import { LocalStreams } from "./local_streams.ts";

export class ServerSide {
  readonly #streams: LocalStreams;

  constructor(commands: StreamCommands, context: DialContext) {
    const dialer = new Dialer(context);
    this.#streams = new LocalStreams("server", commands, (stream, kind, target) => {
      void dialer.opening(this.#streams, stream, kind, target);
    });
  }

  /** What the multiplexer says. */
  get events(): StreamEvents {
    return this.#streams.events;
  }

  /** Streams now. */
  get open(): number {
    return this.#streams.count;
  }

  close(): void {
    this.#streams.reset(RESET_REASON.peerReset);
  }
}
