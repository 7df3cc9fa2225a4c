/** Destinations of proxies and addresses of sockets as targets of streams, and back. */

import type { EndpointAddress } from "../ports/mod.ts";
import type { StreamAddress } from "../ports/streams.ts";
import type { Destination } from "../wire/host_port.ts";
import { formatIp, parseIp } from "../wire/ip_address.ts";

export function targetOf({ host, port }: Destination): StreamAddress {
  return { host: parseIp(host) ?? host, port };
}

export function destinationOf({ host, port }: StreamAddress): Destination {
  return { host: typeof host === "string" ? host : formatIp(host), port };
}

/** Zeros for a socket without an address. */
export function addressOf(endpoint: EndpointAddress | undefined): StreamAddress {
  return endpoint === undefined
    ? { host: new Uint8Array(4), port: 0 }
    : { host: endpoint.ip, port: endpoint.port };
}
