/** Which addresses a server connects to for a client. Names play no part: what counts is the address that is connected
 * to, so a name that changes its address gains nothing. */

import { type IpPrefix, parsePrefix, prefixHolds } from "../wire/ip_address.ts";
import { assert } from "../base/mod.ts";

export interface DialRule {
  readonly prefix: IpPrefix;
  /** Ranges with their ends; empty: all ports. */
  readonly ports: readonly (readonly [from: number, to: number])[];
}

export interface DialRules {
  readonly allow: readonly DialRule[];
  readonly deny: readonly DialRule[];
}

const prefixOf = (text: string): IpPrefix => {
  const prefix = parsePrefix(text);
  assert(prefix !== undefined, `${text} is a prefix`);
  return prefix;
};

/** Of the IANA special-purpose registries (RFC 6890 and those after it), what is not a host in the public network. */
const NOT_PUBLIC: readonly IpPrefix[] = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"],
  ...["::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "fc00::/7", "fe80::/10", "fec0::/10"],
  "ff00::/8",
].map(prefixOf);

/** Prefixes behind which a packet goes to an IPv4 address, and where that stands: NAT64 (RFC 6052), 6to4 (RFC 3056). */
const EMBEDDING = [
  { prefix: prefixOf("64:ff9b::/96"), at: 12 },
  { prefix: prefixOf("2002::/16"), at: 2 },
];

const holds = (prefix: IpPrefix, ip: Uint8Array) => prefixHolds(prefix, ip, 0, ip.length);

export class DialPolicy {
  readonly #rules: DialRules;
  readonly #own: () => readonly IpPrefix[];

  /** `own`: addresses of this machine with the prefixes of their networks, as of now. */
  constructor(rules: DialRules, own: () => readonly IpPrefix[]) {
    this.#rules = rules;
    this.#own = own;
  }

  /** Of an address as `plainAddress` gives it. */
  allows(ip: Uint8Array, port: number): boolean {
    if (!this.#allowsAs(ip, port)) return false;
    const inner = EMBEDDING.find(({ prefix }) => holds(prefix, ip));
    return inner === undefined || this.#allowsAs(ip.slice(inner.at, inner.at + 4), port);
  }

  /** The rule with the longest prefix decides, of two equal ones that which denies. */
  #allowsAs(ip: Uint8Array, port: number): boolean {
    const allowed = longest(this.#rules.allow, ip, port);
    const denied = longest(this.#rules.deny, ip, port);
    if (allowed >= 0 || denied >= 0) return allowed > denied;
    return ![...NOT_PUBLIC, ...this.#own()].some((prefix) => holds(prefix, ip));
  }
}

/** Length of the longest prefix among the rules that fit; -1: none. */
function longest(rules: readonly DialRule[], ip: Uint8Array, port: number): number {
  let found = -1;
  for (const { prefix, ports } of rules) {
    const fits = ports.length === 0 || ports.some(([from, to]) => from <= port && port <= to);
    if (fits && holds(prefix, ip)) found = Math.max(found, prefix.prefixLen);
  }
  return found;
}
