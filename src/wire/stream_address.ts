/** Addresses in stream frames: kind u8 (4 or 6: so many bits of address; 1: a name), the address (4 or 16 bytes; or
 * length u8 and that many bytes of printable ASCII), port u16. */

import { assert } from "../base/mod.ts";

const KIND_NAME = 1;
const KIND_IPV4 = 4;
const KIND_IPV6 = 6;
const HOST_MAX_LEN = 255;
/** The longest address on the wire. */
export const STREAM_ADDRESS_MAX_LEN = 1 + 1 + HOST_MAX_LEN + 2;

/** As `StreamAddress` of ports: a name, or 4 or 16 bytes. */
export interface WireAddress {
  readonly host: string | Uint8Array;
  readonly port: number;
}

/** Whether the address can be written: a name of 1 to 255 printable ASCII characters without spaces, or an IP
 * address, and a port of 16 bits. */
export function isWireAddress({ host, port }: WireAddress): boolean {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) return false;
  if (typeof host !== "string") return host.length === 4 || host.length === 16;
  return host.length <= HOST_MAX_LEN && /^[\x21-\x7e]+$/.test(host);
}

export function wireAddressLen({ host }: WireAddress): number {
  return (typeof host === "string" ? 2 : 1) + host.length + 2;
}

/** Writes the address at `off` and returns its length. */
export function emitWireAddress(bytes: Uint8Array, off: number, address: WireAddress): number {
  const { host, port } = address;
  assert(isWireAddress(address), "an address of a stream can be written");
  let at = off;
  if (typeof host === "string") {
    bytes[at++] = KIND_NAME;
    bytes[at++] = host.length;
    for (let i = 0; i < host.length; i++) bytes[at++] = host.charCodeAt(i);
  } else {
    bytes[at++] = host.length === 4 ? KIND_IPV4 : KIND_IPV6;
    bytes.set(host, at);
    at += host.length;
  }
  bytes[at++] = port >> 8;
  bytes[at++] = port;
  return at - off;
}

/** The address that begins at `off` and ends before `end`, a copy; its length is `wireAddressLen`. `undefined` for
 * anything else. */
export function parseWireAddress(bytes: Uint8Array, off: number, end: number): WireAddress | undefined {
  if (end - off < 2) return undefined;
  const kind = bytes[off];
  const named = kind === KIND_NAME;
  const hostLen = named ? bytes[off + 1] : kind === KIND_IPV4 ? 4 : kind === KIND_IPV6 ? 16 : 0;
  const hostOff = off + (named ? 2 : 1);
  const portOff = hostOff + hostLen;
  if (hostLen === 0 || portOff + 2 > end) return undefined;
  const ip = bytes.slice(hostOff, portOff);
  const host = named ? String.fromCharCode(...ip) : ip;
  const address = { host, port: bytes[portOff] << 8 | bytes[portOff + 1] };
  return isWireAddress(address) ? address : undefined;
}
