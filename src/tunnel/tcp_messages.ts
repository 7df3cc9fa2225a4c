/** What the main isolate and the data Worker say to each other about TCP connections: main makes the handshakes, the
 * Worker has the connections. A connection is known by a number, which is used once. */

import type { DirectionConfig } from "../config/mod.ts";
import type { PlainAddress, ServerWorkerClient } from "./messages.ts";

/** Main to Worker; the byte arrays ride beside. */
export type TcpOrder =
  /** bytes: what is to be sent, perhaps nothing. Then the next record is read, or the connection closed. */
  | { readonly type: "tls"; readonly connection: number; readonly then: "read" | "close" }
  /** The handshake is done. bytes: what is to be sent first, send secret, receive secret. */
  | {
    readonly type: "tls session";
    readonly connection: number;
    readonly client: number;
    readonly suite: number;
  };

/** Worker to main. */
export type TcpEvent =
  /** A handshake may begin. */
  | { readonly type: "tls open"; readonly connection: number; readonly from: PlainAddress }
  /** One record of a handshake, header included. The next one comes after an order. */
  | { readonly type: "tls record"; readonly connection: number; readonly record: Uint8Array }
  /** A connection without a session is over. */
  | { readonly type: "tls end"; readonly connection: number; readonly reason: string }
  /** A client's connection is over; its streams wait for the next one. */
  | { readonly type: "tls gone"; readonly client: number; readonly reason: string }
  /** Something has been put into the bridge. */
  | { readonly type: "streams" };

/** Both rings of the bridge, as shared memory. */
export interface BridgeBuffers {
  readonly commands: SharedArrayBuffer;
  readonly events: SharedArrayBuffer;
}

export interface TcpClientSettings {
  readonly role: "tcp client";
  readonly peer: PlainAddress;
  readonly up: DirectionConfig;
  readonly down: DirectionConfig;
  readonly nonce: Uint8Array;
  readonly bridge: BridgeBuffers;
}

export interface TcpServerSettings {
  readonly role: "tcp server";
  readonly listeners: readonly number[];
  readonly clients: readonly Pick<ServerWorkerClient, "name" | "maxSpeedBitsPerS">[];
  readonly bridge: BridgeBuffers;
}
