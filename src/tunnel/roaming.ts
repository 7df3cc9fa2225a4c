/** Where a server's client is, RFC 9853. A record newer than all before that comes from elsewhere starts a probe; while
 * that lasts the same slots are split: the new address gets challenges, and no more bytes than came from it, the proved
 * one all the rest. One probe at a time, which turns to where the newest record comes from; after one that failed it is quiet for a while, longer each time, so that who
 * copies records from elsewhere costs a small share of the slots. */

import type { EndpointAddress, Memory } from "../ports/mod.ts";
import { ADDR, equalAddresses, writeAddress } from "../ports/mod.ts";

// Chosen here.
/** RFC 9853 §5.5: a second where the round trip is not known; beside it some slots of both, which may be far apart. */
const PROBE_NS = 1e9;
const PROBE_INTERVALS = 4;
const QUIET_NS = 1e9;
const QUIET_MAX_NS = 30e9;

/** Where slots would go. */
export interface Place {
  readonly fd: number;
  readonly address: EndpointAddress;
  readonly local: EndpointAddress | undefined;
}

interface Probe {
  readonly place: Place;
  readonly cookie: Uint8Array;
  readonly untilNs: number;
}

export class Roaming {
  readonly #memory: Memory;
  /** Two address structs: the proved place's, the probed one's. */
  readonly #home: number;
  readonly #elsewhere: number;
  #probe: Probe | undefined;
  #quietNs = QUIET_NS;
  #quietUntilNs = 0;

  constructor(memory: Memory) {
    this.#memory = memory;
    this.#home = memory.alloc(2 * ADDR.size);
    this.#elsewhere = this.#home + ADDR.size;
  }

  /** The client is there, as a handshake or a probe has proved. Ends a probe. */
  settle(address: EndpointAddress): void {
    writeAddress(this.#memory, this.#home, address);
    this.#probe = undefined;
  }

  /** Of the place that is being probed. */
  get cookie(): Uint8Array | undefined {
    return this.#probe?.cookie;
  }

  /** Whether the address struct at `from` is that of the proved place. */
  isHome(from: number): boolean {
    return equalAddresses(this.#memory, from, this.#home);
  }

  isProbed(from: number): boolean {
    return this.#probe !== undefined && equalAddresses(this.#memory, from, this.#elsewhere);
  }

  /** Whether a probe may begin, or turn to another place: the time that a probe has is not longer for that. */
  mayProbe(nowNs: number): boolean {
    return this.#probe === undefined ? nowNs >= this.#quietUntilNs : nowNs < this.#probe.untilNs;
  }

  /** `cookie`: 8 random bytes, never used before. `intervalsNs`: a slot of each side together. */
  begin(place: Place, cookie: Uint8Array, intervalsNs: number, nowNs: number): void {
    writeAddress(this.#memory, this.#elsewhere, place.address);
    const untilNs = this.#probe?.untilNs ?? nowNs + PROBE_NS + PROBE_INTERVALS * intervalsNs;
    this.#probe = { place, cookie, untilNs };
  }

  isOverdue(nowNs: number): boolean {
    return this.#probe !== undefined && nowNs >= this.#probe.untilNs;
  }

  /** The cookie came back from the probed place: the client is there. */
  prove(): Place {
    const { place } = this.#probe!;
    this.settle(place.address);
    this.#quietNs = QUIET_NS;
    this.#quietUntilNs = 0;
    return place;
  }

  /** The client is not where the probe went. */
  fail(nowNs: number): void {
    this.#probe = undefined;
    this.#quietUntilNs = nowNs + this.#quietNs;
    this.#quietNs = Math.min(QUIET_MAX_NS, 2 * this.#quietNs);
  }
}
