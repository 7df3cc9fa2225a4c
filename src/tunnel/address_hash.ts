/** Numbers that stand for outer addresses in tables of fixed size, made with a secret: nobody can choose addresses that
 * fall together. Works on address structs (ADDR) in Memory and allocates nothing. */

import { assert } from "../base/mod.ts";
import { ADDR, type EndpointAddress, type Entropy, type Memory } from "../ports/mod.ts";

/** How much of an address counts. A network: /24 of IPv4, /56 of IPv6. A host: the address, and of IPv6 the /64, since
 * one host has all of it. An endpoint: all, the port too. */
export type Scope = "network" | "host" | "endpoint";

const IP = ADDR.ip >> 2;
const PORT_SHIFT = 16;

export class AddressHash {
  readonly #memory: Uint32Array;
  readonly #secret = new Uint32Array(4);
  readonly #own = new Uint32Array(ADDR.size / 4);

  constructor(memory: Memory, entropy: Entropy) {
    assert(ADDR.port === 2 && ADDR.size === 24, "family and port share the first word");
    this.#memory = memory.u32;
    entropy.fill(new Uint8Array(this.#secret.buffer));
  }

  /** 32 bits of the address struct at `at`. */
  of(at: number, scope: Scope): number {
    return this.#hash(this.#memory, at >> 2, scope);
  }

  /** The same of an address outside Memory. */
  ofAddress({ ip, port, scope: zone }: EndpointAddress, scope: Scope): number {
    this.#own.fill(0);
    new Uint8Array(this.#own.buffer).set(ip, ADDR.ip);
    this.#own[0] = (ip.length === 4 ? 4 : 6) | port << PORT_SHIFT;
    this.#own[ADDR.scope >> 2] = zone ?? 0;
    return this.#hash(this.#own, 0, scope);
  }

  #hash(words: Uint32Array, word: number, scope: Scope): number {
    const secret = this.#secret;
    const isV4 = (words[word] & 0xff) === 4;
    // Bytes of an address in network order are words of little-endian: its first bytes are the low ones.
    const isNetwork = scope === "network";
    let hash = mix(secret[0] ^ (words[word + IP] & (isNetwork && isV4 ? 0x00ffffff : 0xffffffff)), secret[1]);
    if (!isV4) hash = mix(hash ^ (words[word + IP + 1] & (isNetwork ? 0x00ffffff : 0xffffffff)), secret[2]);
    if (scope !== "endpoint") return hash;
    if (!isV4) hash = mix(mix(hash ^ words[word + IP + 2], secret[1]) ^ words[word + IP + 3], secret[2]);
    return mix(hash ^ words[word] >>> PORT_SHIFT ^ Math.imul(words[word + 1], 0x9e3779b1), secret[3]);
  }
}

/** Spreads a change of any bit over all of them; the constants are those of MurmurHash3's end. */
function mix(value: number, secret: number): number {
  let hash = Math.imul(value ^ value >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13 ^ secret, 0xc2b2ae35);
  return (hash ^ hash >>> 16) >>> 0;
}
