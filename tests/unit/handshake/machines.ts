/** Client and server state machines with messages handed over directly, each of which a test may change on its way. */

import type { Protocol } from "../../../src/crypto/key_schedule.ts";
import { ClientHandshake, type ClientHandshakeOptions } from "../../../src/handshake/client_handshake.ts";
import { PskDirectory, pskOffers } from "../../../src/handshake/psk_directory.ts";
import { ServerHandshake, type ServerHandshakeOptions } from "../../../src/handshake/server_handshake.ts";
import type { OutMessage } from "../../../src/handshake/types.ts";
import { testEntropy } from "../flight/pipe.ts";

export const KEY = { key: new Uint8Array(32).fill(7) };

/** Gives the message to be delivered in place of the `index`th from this side. */
export type Change = (from: "client" | "server", index: number, message: OutMessage) => OutMessage;

export interface Machines {
  readonly client: ClientHandshake;
  readonly server: ServerHandshake;
  /** First failure that the client reported, hellos in the clear included. */
  readonly clientFailure: { readonly alert: number; readonly reason: string } | undefined;
}

export interface PairOptions {
  readonly client?: Partial<ClientHandshakeOptions>;
  readonly server?: Partial<ServerHandshakeOptions>;
  readonly change?: Change;
}

/** Both machines, not started. */
export function newPair(
  protocol: Protocol,
  options: PairOptions,
): { readonly client: ClientHandshake; readonly server: ServerHandshake } {
  const policy = { protocol, suites: [0x1301, 0x1303, 0x1302], groups: [0x1d, 0x17] };
  const entropy = testEntropy(3);
  const directory = new PskDirectory(protocol, [KEY]);
  const suites = options.client?.suites ?? policy.suites;
  const client = new ClientHandshake({
    ...policy,
    entropy,
    offers: pskOffers(KEY, protocol, suites, entropy),
    ...options.client,
  });
  const server = new ServerHandshake({
    ...policy,
    entropy,
    lookup: (identity, hash) => directory.lookup(identity, hash),
    ...options.server,
  });
  return { client, server };
}

/** Runs a handshake until nobody has anything to say. */
export function handshake(protocol: Protocol, options: PairOptions = {}): Machines {
  const { client, server } = newPair(protocol, options);
  const change: Change = options.change ?? ((_from, _index, message) => message);
  let clientFailure: Machines["clientFailure"];
  let [clientCount, serverCount] = [0, 0];
  client.start();
  for (let turn = 0; turn < 10; turn++) {
    for (const message of client.takeMessages()) {
      const { epoch, type, body } = change("client", clientCount++, message);
      server.receive(epoch, type, body);
    }
    for (const message of server.takeMessages()) {
      const { epoch, type, body } = change("server", serverCount++, message);
      clientFailure ??= client.receive(epoch, type, body);
    }
  }
  return { client, server, clientFailure };
}
