/** Sockets of this machine beside those of the tunnel: programs that use the proxy, and what a server connects to. All
 * asynchronous; the main isolate's. */

import type { EndpointAddress } from "./mod.ts";

/** A byte stream. Reading and writing go on side by side, but one read and one write at a time. */
export interface ByteConnection {
  /** Undefined of a socket in the file system. */
  readonly local: EndpointAddress | undefined;
  readonly remote: EndpointAddress | undefined;
  /** At most `out.length` bytes; null at the end. Rejects when the other side has reset it, or it was closed. */
  read(out: Uint8Array): Promise<number | null>;
  /** All of `bytes`. Rejects when the other side takes no more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing more will be written. */
  closeWrite(): Promise<void>;
  /** What was written is still delivered. A second call does nothing. */
  close(): void;
  /** Closes so that the other side is told of an error, where the kind of socket can. */
  reset(): void;
}

export interface ConnectionListener {
  /** Where it really listens; undefined of a socket in the file system. */
  readonly address: EndpointAddress | undefined;
  /** undefined once it is closed. */
  accept(): Promise<ByteConnection | undefined>;
  close(): void;
}

export interface PacketSocket {
  readonly address: EndpointAddress;
  /** undefined once it is closed. `data` is the caller's. */
  receive(): Promise<{ readonly data: Uint8Array; readonly from: EndpointAddress } | undefined>;
  /** Rejects with SocketError. */
  send(data: Uint8Array, to: EndpointAddress): Promise<void>;
  close(): void;
}

/** An address and a port, or a path in the file system. Never a name. */
export type SocketPlace =
  | ({ readonly kind: "tcp" } & EndpointAddress)
  | { readonly kind: "unix"; readonly path: string };

/** What the system refused; `reason` is a RESET_REASON. */
export class SocketError extends Error {
  override readonly name = "SocketError";

  constructor(readonly reason: number, message: string) {
    super(message);
  }
}

/** Rejections are SocketErrors. There is no way to a resolver here: that is `Resolver`. */
export interface Sockets {
  listen(place: SocketPlace): Promise<ConnectionListener>;
  /** `signal` gives it up. */
  connect(place: SocketPlace, signal: AbortSignal): Promise<ByteConnection>;
  /** Port 0 takes any. */
  packets(address: EndpointAddress): Promise<PacketSocket>;
}

/** Names to addresses, at the side that dials. */
export interface Resolver {
  /** Addresses of 4 or 16 bytes in the system's order of preference, never none. Rejects with SocketError. */
  lookup(name: string): Promise<readonly Uint8Array[]>;
}

export interface Timers {
  /** Does not go back. */
  nowMs(): number;
  /** Calls `run` once, after `ms`; what it returns calls that off. */
  after(ms: number, run: () => void): () => void;
}
