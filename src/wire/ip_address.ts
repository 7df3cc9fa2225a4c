/** IPv4 and IPv6 addresses and prefixes as text and bytes (network order). RFC 4291 §2.2, RFC 5952. */

import { assert } from "../base/mod.ts";

/** 4 or 16 bytes, and how many of the bits count. Bits beyond may be set: an interface's own address. */
export interface IpPrefix {
  readonly ip: Uint8Array;
  readonly prefixLen: number;
}

/** 4 or 16 bytes, or `undefined`. No zone, no leading zeros in IPv4 (they have meant octal). */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  const valid = parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  return valid && parts.length === 4 ? Uint8Array.from(parts, Number) : undefined;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const shortened = halves.length === 2;
  if (shortened && halves[0].includes(".")) return undefined; // the IPv4 form ends the address
  const head = groupBytes(halves[0]);
  const tail = shortened ? groupBytes(halves[1]) : [];
  if (head === undefined || tail === undefined) return undefined;
  // RFC 4291 §2.2: "::" stands for one or more groups of zeros; without it all are there.
  const len = head.length + tail.length;
  if (shortened ? len > 14 : len !== 16) return undefined;
  const ip = new Uint8Array(16);
  ip.set(head);
  ip.set(tail, 16 - tail.length);
  return ip;
}

/** Bytes of `a:b:c` or `a:b:1.2.3.4`; none of empty text. */
function groupBytes(text: string): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (index === groups.length - 1 && group.includes(".")) {
      const ipv4 = parseIpv4(group);
      if (ipv4 === undefined) return undefined;
      bytes.push(...ipv4);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

/** The usual text; IPv6 as RFC 5952 §4. */
export function formatIp(ip: Uint8Array): string {
  assert(ip.length === 4 || ip.length === 16, "an IP address has 4 or 16 bytes");
  if (ip.length === 4) return ip.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => ip[2 * i] << 8 | ip[2 * i + 1]);
  const { start, count } = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  if (count < 2) return hex.join(":"); // RFC 5952 §4.2.2: one group of zeros is not shortened
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + count).join(":")}`;
}

/** RFC 5952 §4.2.3: the longest run, the first of several. */
function longestZeros(groups: readonly number[]): { start: number; count: number } {
  let best = { start: 0, count: 0 };
  for (let start = 0; start < groups.length; start++) {
    let count = 0;
    while (start + count < groups.length && groups[start + count] === 0) count++;
    if (count > best.count) best = { start, count };
  }
  return best;
}

/** `10.0.0.2/24`; without a length, all bits count. `undefined` for anything else. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const match = /^([^/]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text);
  const ip = match === null ? undefined : parseIp(match[1]);
  if (match === null || ip === undefined) return undefined;
  const prefixLen = match[2] === undefined ? ip.length * 8 : Number(match[2]);
  return prefixLen <= ip.length * 8 ? { ip, prefixLen } : undefined;
}

export function formatPrefix(prefix: IpPrefix): string {
  return `${formatIp(prefix.ip)}/${prefix.prefixLen}`;
}

/** Whether the `ipLen` bytes at `bytes[off]` are an address within the prefix. No allocation. */
export function prefixHolds(prefix: IpPrefix, bytes: Uint8Array, off: number, ipLen: number): boolean {
  const { ip, prefixLen } = prefix;
  if (ip.length !== ipLen) return false;
  const whole = prefixLen >> 3;
  for (let i = 0; i < whole; i++) if (bytes[off + i] !== ip[i]) return false;
  const rest = prefixLen & 7;
  return rest === 0 || ((bytes[off + whole] ^ ip[whole]) >> (8 - rest)) === 0;
}

const MAPPED: IpPrefix = {
  ip: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0),
  prefixLen: 96,
};

/** IPv4 addresses in their own form, also where they came as IPv6 ones (RFC 4291 §2.5.5.2). */
export function plainAddress(ip: Uint8Array): Uint8Array {
  return prefixHolds(MAPPED, ip, 0, ip.length) ? ip.slice(12) : ip;
}
