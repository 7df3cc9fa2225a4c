/** The other participant of TCP mode as the data Worker knows it: its connection of now, and its train, which
 * outlives connections. */

import type { EndpointAddress } from "../ports/mod.ts";
import type { TlsSession } from "../session/tls_session.ts";
import type { TcpEmitter } from "./tcp_emitter.ts";

/** One TCP connection. */
export interface TcpConnection {
  readonly id: number;
  readonly fd: number;
  readonly from: EndpointAddress;
  /** Until then a session has to be there. */
  readonly deadlineNs: number;
  /** Undefined during the handshake, and once the connection is over. */
  session: TlsSession | undefined;
  /** Of a session. */
  peer: TcpPeer | undefined;
  /** It has said that it is over, and ends then; undefined: it has not. */
  retiring: { readonly reason: string; readonly atNs: number } | undefined;
}

export class TcpPeer {
  connection: TcpConnection | undefined;
  emitter: TcpEmitter | undefined;
  /** Streams may flow: schedule and parameters of the connection are settled. */
  open = false;
  /** Nothing is left of its train and its streams. */
  away = true;
  lastAuthenticNs = 0;

  constructor(readonly index: number) {}
}
