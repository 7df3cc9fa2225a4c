/** Hosts of streams that are about remote forwards. No name or address begins with `@`.
 *
 *   @listen/ADDRESS    client to server: listen at that address and the target's port, for as long as the stream lives
 *   @incoming/ID       server to client: a connection came to the listener of stream ID */

import { formatIp, parseIp } from "./ip_address.ts";

const LISTEN = "@listen/";
const INCOMING = "@incoming/";

export function listenHost(ip: Uint8Array): string {
  return LISTEN + formatIp(ip);
}

/** The address (4 or 16 bytes) that is to be listened at; `undefined` for any other host. */
export function parseListenHost(host: string): Uint8Array | undefined {
  return host.startsWith(LISTEN) ? parseIp(host.slice(LISTEN.length)) : undefined;
}

export function incomingHost(id: number): string {
  return INCOMING + id;
}

/** The id of the listener's stream; `undefined` for any other host. */
export function parseIncomingHost(host: string): number | undefined {
  const match = host.startsWith(INCOMING) ? /^[1-9]\d{0,15}$/.exec(host.slice(INCOMING.length)) : null;
  return match === null ? undefined : Number(match[0]);
}
