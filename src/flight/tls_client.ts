/** The client's side of a TLS 1.3 handshake over a byte stream. */

import { ClientHandshake } from "../handshake/client_handshake.ts";
import { type LongTermKey, pskOffers } from "../handshake/psk_directory.ts";
import type { Entropy, Failure, HandshakeEpoch } from "../handshake/types.ts";
import { TlsEndpoint } from "./tls_endpoint.ts";

export interface TlsClientOptions {
  readonly key: LongTermKey;
  /** In order of preference. A share of the first group is in the first hello. */
  readonly suites: readonly number[];
  readonly groups: readonly number[];
  readonly entropy: Entropy;
}

export class TlsClient extends TlsEndpoint {
  protected readonly role = "client";
  protected readonly machine: ClientHandshake;

  /** Its ClientHello is the first output. */
  constructor({ key, suites, groups, entropy }: TlsClientOptions) {
    super();
    const offers = pskOffers(key, "tls", suites, entropy);
    const shareGroups = groups.slice(0, 1);
    this.machine = new ClientHandshake({ protocol: "tls", suites, groups, shareGroups, entropy, offers });
    this.machine.start();
    this.advance();
  }

  protected message(epoch: HandshakeEpoch, type: number, body: Uint8Array): Failure | undefined {
    const failure = this.machine.receive(epoch, type, body);
    if (failure !== undefined) this.machine.fail(failure); // nobody else can have sent it here
    return failure;
  }
}
