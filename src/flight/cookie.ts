/** The cookie of a HelloRetryRequest: all that the server needs to go on, under a MAC, so that it remembers nothing of
 * an address that has not answered. RFC 9147 §5.1, RFC 8446 §4.2.2. */

import { assert, concat, equalsConstantTime } from "../base/mod.ts";
import { findSuite, hmacOf, Sha256Mac } from "../crypto/suites.ts";
import { HELLO_DIGEST_LEN, type RetryState } from "../handshake/hello_retry.ts";
import { u16, vector8 } from "../wire/vectors.ts";

// Chosen here.
const MAC_LEN = 16;
/** A cookie is good in the period in which it was made and in the next. */
const PERIOD_NS = 30e9;
const FIXED_LEN = 9; // flags, period, suite, group
const NAMED_GROUP_FLAG = 1;
const encoder = new TextEncoder();

/** A cookie lost its meaning: why, for counters. */
export type CookieFault = "malformed cookie" | "old cookie" | "forged cookie";

/** Makes and checks cookies. All holders of one secret and one clock understand each other's. */
export class CookieJar {
  readonly #secret: Uint8Array;
  #keyed: Sha256Mac | undefined;
  #keyPeriod = 0;

  /** `secret`: at least 16 random bytes, kept by reference. */
  constructor(secret: Uint8Array) {
    assert(secret.length >= 16, "a cookie secret has at least 16 bytes");
    this.#secret = secret;
  }

  /** A cookie for `address` (any bytes that tell addresses and ports apart), with `padLen` bytes of no meaning. */
  make(state: RetryState, address: Uint8Array, nowNs: number, padLen = 0): Uint8Array {
    const period = periodOf(nowNs);
    const body = concat(
      Uint8Array.of(state.namedGroup ? NAMED_GROUP_FLAG : 0),
      u16(period >>> 16, period & 0xffff),
      u16(state.suite, state.group),
      state.helloDigest,
      state.helloHash,
      new Uint8Array(padLen),
    );
    return concat(body, this.#mac(body, address, period));
  }

  /** What `cookie` says, with `sessionId` to be echoed, if it was made for this address less than two periods ago. */
  check(
    cookie: Uint8Array,
    address: Uint8Array,
    nowNs: number,
    sessionId: Uint8Array = new Uint8Array(0),
  ): RetryState | CookieFault {
    if (cookie.length < FIXED_LEN + HELLO_DIGEST_LEN + MAC_LEN) return "malformed cookie";
    const number16 = (at: number) => cookie[at] << 8 | cookie[at + 1];
    const period = (number16(1) * 2 ** 16 + number16(3)) >>> 0;
    const age = periodOf(nowNs) - period;
    if (age !== 0 && age !== 1) return "old cookie";
    const body = cookie.subarray(0, cookie.length - MAC_LEN);
    const mac = cookie.subarray(cookie.length - MAC_LEN);
    if (!equalsConstantTime(this.#mac(body, address, period), mac)) return "forged cookie";
    const suite = findSuite(number16(5));
    const hashAt = FIXED_LEN + HELLO_DIGEST_LEN;
    assert(suite !== undefined && body.length >= hashAt + suite.hashLen, "an authentic cookie was made here");
    return {
      suite: suite.id,
      group: number16(7),
      namedGroup: (cookie[0] & NAMED_GROUP_FLAG) !== 0,
      helloDigest: cookie.slice(FIXED_LEN, hashAt),
      helloHash: cookie.slice(hashAt, hashAt + suite.hashLen),
      cookie: cookie.slice(),
      sessionId: sessionId.slice(),
    };
  }

  /** A key for each period: what leaks or is guessed of one serves no other. */
  #mac(body: Uint8Array, address: Uint8Array, period: number): Uint8Array {
    if (this.#keyed === undefined || this.#keyPeriod !== period) {
      const label = concat(encoder.encode("i405 cookie"), u16(period >>> 16, period & 0xffff));
      this.#keyed = new Sha256Mac(hmacOf("sha256", this.#secret, label));
      this.#keyPeriod = period;
    }
    return this.#keyed.of(concat(vector8(address), body)).subarray(0, MAC_LEN);
  }
}

function periodOf(nowNs: number): number {
  return Math.floor(nowNs / PERIOD_NS) >>> 0;
}
