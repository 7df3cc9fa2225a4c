/** Where a server's client is, RFC 9853. A record newer than all before that comes from elsewhere starts a probe; while
 * that lasts the same slots are split: the new address gets challenges, and no more bytes than came from it, the proved
 * one all the rest. One probe at a time, which turns to where the newest record comes from; after one that failed it is
 * quiet for a while, longer each time, so that who copies records from elsewhere costs a small share of the slots. The
 * answer may come after the time of the probe, where a round trip takes longer: no slot goes there meanwhile. */

import { equalsConstantTime } from "../base/mod.ts";
import type { EndpointAddress, Memory } from "../ports/mod.ts";
import { ADDR, equalAddresses, writeAddress } from "../ports/mod.ts";
import { addressKey } from "./address_table.ts";

// Chosen here.
/** RFC 9853 §5.5: a second where the round trip is not known; beside it some slots of both, which may be far apart. */
const PROBE_NS = 1e9;
const PROBE_INTERVALS = 4;
const QUIET_NS = 1e9;
/** Until an answer comes, after the time of its probe: more than any round trip. */
const LATE_NS = 10e9;
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
  /** The last one, if its time was over and nothing has told that the client is not there. */
  #late: Probe | undefined;
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
    this.#probe = this.#late = undefined;
  }

  get isProbing(): boolean {
    return this.#probe !== undefined;
  }

  /** Whether this is the cookie that was sent to the place that is being probed, or was the last time. */
  isAnswer(cookie: Uint8Array): boolean {
    const asked = this.#probe ?? this.#late;
    return asked !== undefined && equalsConstantTime(asked.cookie, cookie);
  }

  /** Whether the address struct at `from` is that of the proved place. */
  isHome(from: number): boolean {
    return equalAddresses(this.#memory, from, this.#home);
  }

  isProbed(from: number): boolean {
    return this.#probe !== undefined && equalAddresses(this.#memory, from, this.#elsewhere);
  }

  /** Whether the address struct at `from` is that of a place whose probe is over and which may answer still. */
  isLate(from: number, nowNs: number): boolean {
    return this.#late !== undefined && nowNs < this.#late.untilNs + LATE_NS &&
      equalAddresses(this.#memory, from, this.#elsewhere);
  }

  /** Whether a probe may begin, or turn to another place: the time that a probe has is not longer for that. */
  mayProbe(nowNs: number): boolean {
    return this.#probe === undefined ? nowNs >= this.#quietUntilNs : nowNs < this.#probe.untilNs;
  }

  /** `fresh`: 8 random bytes, never used before. `intervalsNs`: a slot of each side together. Returns the cookie for the
   * challenges: the one before where the same place is asked again, so that the answer to that one counts. */
  begin(place: Place, fresh: Uint8Array, intervalsNs: number, nowNs: number): Uint8Array {
    const before = this.#late;
    writeAddress(this.#memory, this.#elsewhere, place.address);
    const untilNs = this.#probe?.untilNs ?? nowNs + PROBE_NS + PROBE_INTERVALS * intervalsNs;
    const isAgain = before !== undefined && nowNs < before.untilNs + LATE_NS &&
      addressKey(before.place.address) === addressKey(place.address);
    const cookie = isAgain ? before.cookie : fresh;
    this.#probe = { place, cookie, untilNs };
    this.#late = undefined;
    return cookie;
  }

  isOverdue(nowNs: number): boolean {
    return this.#probe !== undefined && nowNs >= this.#probe.untilNs;
  }

  /** The cookie came back from the probed place, or from the late one: the client is there. */
  prove(): Place {
    const { place } = (this.#probe ?? this.#late)!;
    this.settle(place.address);
    this.#quietNs = QUIET_NS;
    this.#quietUntilNs = 0;
    return place;
  }

  /** No answer has come from where the probe went; `mayAnswer`: nor anything else that tells where the client is. */
  fail(nowNs: number, mayAnswer: boolean): void {
    this.#late = mayAnswer ? this.#probe : undefined;
    this.#probe = undefined;
    this.#quietUntilNs = nowNs + this.#quietNs;
    this.#quietNs = Math.min(QUIET_MAX_NS, 2 * this.#quietNs);
  }
}
