/** A host and a port as proxies and forwards name them. */

import { formatIp, parseIp } from "./ip_address.ts";

// Set by a standard.
export const HOST_LEN_MAX = 255; // RFC 1928 §5: one byte for the length

/** Where a stream or a datagram goes: `host` is an address as text without brackets, or a name of 1 to 255 characters
 * for the far end to resolve. */
export interface Destination {
  readonly host: string;
  readonly port: number;
}

/** The bytes of a name as text; `undefined` for what cannot be a name or an address. */
export function hostOf(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0 || bytes.length > HOST_LEN_MAX) return undefined;
  return checkedHost(String.fromCharCode(...bytes));
}

/** An address in its usual text; a name as it is when it has only letters, digits, `-`, `_` and dots. */
export function checkedHost(text: string): string | undefined {
  const ip = parseIp(text);
  if (ip !== undefined) return formatIp(ip);
  const isName = text.length <= HOST_LEN_MAX && /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(text) &&
    !/^[\d.]*$/.test(text) && !text.includes("..");
  return isName ? text : undefined;
}

/** `host:port` or `[address]:port`; `undefined` for anything else. Without a port it is `portDefault`. */
export function parseDestination(text: string, portDefault?: number): Destination | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const host = checkedHost(match[1] ?? match[2]);
  const port = match[3] === undefined ? portDefault : Number(match[3]);
  const isBracketed = match[1] !== undefined;
  if (host === undefined || host.includes(":") !== isBracketed) return undefined;
  if (port === undefined || port < 1 || port > 65_535) return undefined;
  return { host, port };
}

/** As parseDestination reads it. */
export function formatDestination({ host, port }: Destination): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
