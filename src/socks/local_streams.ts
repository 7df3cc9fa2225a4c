/** All streams of one tunnel, as their local side sees them. */

import { BufferPool } from "../mux/byte_ring.ts";
import type { StreamAddress, StreamCommands, StreamEvents, StreamKind } from "../ports/streams.ts";
import { LocalStream } from "./local_stream.ts";

// Chosen here.
/** Of buffers for what comes, kept for the next stream that needs some. */
const KEPT_BUFFERS_LEN = 1 << 20;

export type OpeningHandler = (stream: LocalStream, kind: StreamKind, target: StreamAddress) => void;

export class LocalStreams {
  /** What the multiplexer says of them. */
  readonly events: StreamEvents;
  readonly #commands: StreamCommands;
  readonly #streams = new Map<number, LocalStream>();
  readonly #pool = new BufferPool(KEPT_BUFFERS_LEN);
  #idNext: number;

  /** `onOpening` answers each stream that the other side opens, now or later, by `accept` or `reset`. */
  constructor(side: "client" | "server", commands: StreamCommands, onOpening: OpeningHandler) {
    this.#idNext = side === "client" ? 1 : 2;
    this.#commands = commands;
    this.events = eventsOf(this.#streams, (id, kind, target) => onOpening(this.#add(id), kind, target));
  }

  /** Streams that have not ended. */
  get count(): number {
    return this.#streams.size;
  }

  open(kind: StreamKind, target: StreamAddress): LocalStream {
    const id = this.#idNext;
    this.#idNext += 2;
    const stream = this.#add(id);
    this.#commands.open(id, kind, target);
    return stream;
  }

  #add(id: number): LocalStream {
    const stream = new LocalStream(id, this.#commands, this.#pool, () => this.#streams.delete(id));
    this.#streams.set(id, stream);
    return stream;
  }

  /** Ends all. */
  reset(reason: number): void {
    for (const stream of [...this.#streams.values()]) stream.reset(reason);
  }
}

/** Events to the streams that they are about. */
function eventsOf(
  streams: ReadonlyMap<number, LocalStream>,
  opening: StreamEvents["opening"],
): StreamEvents {
  return {
    opening,
    accepted: (id, bound) => streams.get(id)?.onAccepted(bound),
    data: (id, bytes, off, len) => streams.get(id)?.onData(bytes, off, len),
    finished: (id) => streams.get(id)?.onFinished(),
    reset: (id, reason) => streams.get(id)?.onReset(reason),
    sent: (id, count) => streams.get(id)?.onSent(count),
    datagram: (id, address, bytes, off, len) =>
      streams.get(id)?.onDatagram(address, bytes.slice(off, off + len)),
    lost: (reason) => {
      for (const stream of [...streams.values()]) stream.onReset(reason);
    },
  };
}
