/** Which client an inner address belongs to. Longest prefix first; host addresses by a hash table, so that a lookup
 * costs the same for one client and for a thousand. Reads addresses where they lie in a packet. */

import { assert } from "../base/mod.ts";

export interface InnerPrefix {
  /** 4 or 16 bytes. */
  readonly ip: Uint8Array;
  readonly prefixLen: number;
}

interface Entry extends InnerPrefix {
  readonly client: number;
}

const V4_SOURCE = 12;
const V4_DESTINATION = 16;
const V6_SOURCE = 8;
const V6_DESTINATION = 24;
const V4_HEADER_LEN = 20;
const V6_HEADER_LEN = 40;

export class InnerRoutes {
  readonly #u8: Uint8Array;
  readonly #hosts = new Map<number, Entry[]>();
  readonly #prefixes: Entry[] = [];

  /** Looks into packets that lie in `u8`. */
  constructor(u8: Uint8Array) {
    this.#u8 = u8;
  }

  add(prefix: InnerPrefix, client: number): void {
    assert(prefix.ip.length === 4 || prefix.ip.length === 16, "an IP address has 4 or 16 bytes");
    const entry = { ip: prefix.ip, prefixLen: prefix.prefixLen, client };
    if (prefix.prefixLen === prefix.ip.length * 8) {
      const hash = hashOf(prefix.ip, 0, prefix.ip.length);
      this.#hosts.set(hash, [...this.#hosts.get(hash) ?? [], entry]);
    } else {
      this.#prefixes.push(entry);
      this.#prefixes.sort((a, b) => b.prefixLen - a.prefixLen);
    }
  }

  /** The client whose address is the packet's source, or -1. */
  bySource(off: number, len: number): number {
    return this.#find(off, len, V4_SOURCE, V6_SOURCE);
  }

  byDestination(off: number, len: number): number {
    return this.#find(off, len, V4_DESTINATION, V6_DESTINATION);
  }

  #find(off: number, len: number, v4At: number, v6At: number): number {
    const version = len > 0 ? this.#u8[off] >> 4 : 0;
    if (version === 4 && len >= V4_HEADER_LEN) return this.#lookup(off + v4At, 4);
    if (version === 6 && len >= V6_HEADER_LEN) return this.#lookup(off + v6At, 16);
    return -1;
  }

  #lookup(at: number, ipLen: number): number {
    const hosts = this.#hosts.get(hashOf(this.#u8, at, ipLen));
    if (hosts !== undefined) {
      for (let i = 0; i < hosts.length; i++) if (this.#matches(hosts[i], at, ipLen)) return hosts[i].client;
    }
    for (let i = 0; i < this.#prefixes.length; i++) {
      if (this.#matches(this.#prefixes[i], at, ipLen)) return this.#prefixes[i].client;
    }
    return -1;
  }

  #matches(entry: Entry, at: number, ipLen: number): boolean {
    if (entry.ip.length !== ipLen) return false;
    const whole = entry.prefixLen >> 3;
    for (let i = 0; i < whole; i++) if (this.#u8[at + i] !== entry.ip[i]) return false;
    const rest = entry.prefixLen & 7;
    return rest === 0 || ((this.#u8[at + whole] ^ entry.ip[whole]) >> (8 - rest)) === 0;
  }
}

/** FNV-1a over the bytes, 32 bits. */
function hashOf(bytes: Uint8Array, at: number, len: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < len; i++) hash = Math.imul(hash ^ bytes[at + i], 0x01000193);
  return hash >>> 0;
}
