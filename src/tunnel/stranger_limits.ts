/** How much of the data Worker's time strangers get, and who of them. Nothing here is told apart by an address's word
 * alone: sources can be forged, so what an address has used up costs it its rank, never every chance. */

import type { EndpointAddress, Entropy, Memory } from "../ports/mod.ts";
import { AddressHash } from "./address_hash.ts";
import { FairBucket } from "./fair_bucket.ts";
import { type Rate, RateTable } from "./rate_table.ts";

// Chosen here.
/** First hellos that are answered: each costs some hashes and a datagram, about 50 us. */
const FIRST: Rate = { perSecond: 3000, burst: 128 };
const FIRST_OF_HOST: Rate = { perSecond: 20, burst: 40 };
const FIRST_OF_NETWORK: Rate = { perSecond: 60, burst: 120 };
/** Cookies that are checked: each costs one short MAC, about 5 us. The burst is what a flood has in the socket after a
 * stall of the Worker, among which an honest client's is. */
const COOKIES: Rate = { perSecond: 40_000, burst: 4096 };
/** Hellos with a good cookie, whose address is proved: each is copied to the main isolate, may cost a handshake, and takes
 * a place that somebody else must leave when there are too many. */
const PROVED: Rate = { perSecond: 100, burst: 100 };
const PROVED_OF_HOST: Rate = { perSecond: 8, burst: 16 };
const PROVED_OF_NETWORK: Rate = { perSecond: 24, burst: 48 };
/** What follows from an address with a handshake. */
const MORE: Rate = { perSecond: 2000, burst: 256 };
const MORE_OF_HOST: Rate = { perSecond: 64, burst: 128 };
/** 128 KiB each. */
const TABLE_BITS = 14;
const SEED_LEN = 32;

export class StrangerLimits {
  readonly hash: AddressHash;
  readonly #first: FairBucket;
  readonly #firstOfHost = new RateTable(TABLE_BITS, FIRST_OF_HOST);
  readonly #firstOfNetwork = new RateTable(TABLE_BITS, FIRST_OF_NETWORK);
  readonly #cookies: FairBucket;
  readonly #proved: FairBucket;
  readonly #provedOfHost = new RateTable(TABLE_BITS, PROVED_OF_HOST);
  readonly #provedOfNetwork = new RateTable(TABLE_BITS, PROVED_OF_NETWORK);
  readonly #more: FairBucket;
  readonly #moreOfHost = new RateTable(TABLE_BITS, MORE_OF_HOST);

  constructor(memory: Memory, entropy: Entropy) {
    const bucket = (rate: Rate) => {
      const seed = new Uint8Array(SEED_LEN);
      entropy.fill(seed);
      return new FairBucket(rate, seed);
    };
    this.hash = new AddressHash(memory, entropy);
    this.#first = bucket(FIRST);
    this.#cookies = bucket(COOKIES);
    this.#proved = bucket(PROVED);
    this.#more = bucket(MORE);
  }

  /** Whether a first hello from the address struct at `from` may be answered. */
  first(from: number, nowNs: number): boolean {
    const isOfHost = this.#firstOfHost.take(this.hash.of(from, "host"), nowNs);
    const isOfNetwork = this.#firstOfNetwork.take(this.hash.of(from, "network"), nowNs);
    return this.#first.take(nowNs, isOfHost && isOfNetwork);
  }

  /** Whether another cookie may be checked. */
  cookie(nowNs: number): boolean {
    return this.#cookies.take(nowNs, true);
  }

  /** Whether a hello with a good cookie may go on. */
  proved(from: number, nowNs: number): boolean {
    return this.#isProved(this.hash.of(from, "host"), this.hash.of(from, "network"), nowNs);
  }

  /** Whether a TCP connection may begin a handshake: its address is proved as a cookie proves one. */
  connected(from: EndpointAddress, nowNs: number): boolean {
    return this.#isProved(this.hash.ofAddress(from, "host"), this.hash.ofAddress(from, "network"), nowNs);
  }

  #isProved(host: number, network: number, nowNs: number): boolean {
    return this.#provedOfHost.take(host, nowNs) && this.#provedOfNetwork.take(network, nowNs) &&
      this.#proved.take(nowNs, true);
  }

  /** Whether another datagram from an address with a handshake may go on: anybody may have forged it. */
  more(from: number, nowNs: number): boolean {
    const isOfHost = this.#moreOfHost.take(this.hash.of(from, "host"), nowNs);
    return this.#more.take(nowNs, isOfHost);
  }
}
