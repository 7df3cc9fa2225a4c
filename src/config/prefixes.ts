/** Relations between prefixes that the checks of a configuration need. */

import { type IpPrefix, prefixHolds } from "../wire/ip_address.ts";

/** The same prefix with its host bits zero, in a new array. */
export function networkOf(prefix: IpPrefix): IpPrefix {
  const ip = prefix.ip.slice();
  for (let i = 0; i < ip.length; i++) {
    const bits = Math.min(8, Math.max(0, prefix.prefixLen - 8 * i));
    ip[i] &= 0xff00 >> bits;
  }
  return { ip, prefixLen: prefix.prefixLen };
}

/** Whether the two have an address in common. */
export function prefixesOverlap(a: IpPrefix, b: IpPrefix): boolean {
  const [wide, narrow] = a.prefixLen <= b.prefixLen ? [a, b] : [b, a];
  return prefixHolds(wide, narrow.ip, 0, narrow.ip.length);
}

/** A prefix of one address. */
export function hostPrefix(ip: Uint8Array): IpPrefix {
  return { ip, prefixLen: ip.length * 8 };
}
