/** The server's side of a TLS 1.3 handshake over a byte stream. */

import { ServerHandshake } from "../handshake/server_handshake.ts";
import type { Entropy, Failure, HandshakeEpoch, PskLookup } from "../handshake/types.ts";
import { TlsEndpoint } from "./tls_endpoint.ts";

export interface TlsServerOptions {
  readonly lookup: PskLookup;
  /** In order of preference. */
  readonly suites: readonly number[];
  readonly groups: readonly number[];
  readonly entropy: Entropy;
}

export class TlsServer extends TlsEndpoint {
  protected readonly role = "server";
  protected readonly machine: ServerHandshake;

  constructor(options: TlsServerOptions) {
    super();
    this.machine = new ServerHandshake({ protocol: "tls", ...options });
  }

  /** RFC 8446 §6.2: an unknown name and a wrong key get the same alert, decrypt_error. */
  protected message(epoch: HandshakeEpoch, type: number, body: Uint8Array): Failure | undefined {
    this.machine.receive(epoch, type, body);
    return this.machine.failure;
  }
}
