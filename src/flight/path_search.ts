/* How long a datagram may be on this path, found by what arrives and nothing else (RFC 8899, and 8085 §3.2): messages
 * of ICMP are not believed. A probe is a first ClientHello, which the server answers without state and as long as it
 * was, so an answer proves both directions at once. An answer has the number of the probe's record, 48 random bits: who
 * does not see the probes cannot answer them.
 * 1 the longest and the shortest · 2 once an answer has come and the longest's is late, those between · 3 what has no
 * answer again, until the timer has run out often enough. */

import { assert } from "../base/mod.ts";
import type { Entropy } from "../handshake/types.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import {
  parsePlaintextHeader,
  PLAINTEXT_HEADER_LEN,
  PlaintextHeader,
} from "../wire/dtls_plaintext_header.ts";
import { HANDSHAKE_HEADER_LEN, HANDSHAKE_TYPE, parseHandshakeHeader } from "../wire/handshake_header.ts";
import { isRetryRandom, parseServerHello } from "../wire/server_hello.ts";

// Set by a standard.
/** RFC 8899 §5.1.2: MAX_PROBES. */
const TRIES_MAX = 3;
/** RFC 8899 §5.1.1: PROBE_TIMER is not shorter. */
const PROBE_TIMER_NS = 1e9;
// Chosen here.
/** The longest probe's answer is waited for this much longer than the first answer took. */
const LATE_NS = 50e6;
const NUMBER_LEN = 6;

export interface PathSearchOptions {
  /** Of datagrams, in bytes, the longest first; one at least. */
  readonly lengths: readonly number[];
  /** A first ClientHello of so many bytes, in a record of this number. */
  readonly hello: (datagramLen: number, sequenceNumber: number) => Uint8Array;
  readonly entropy: Entropy;
}

interface Probe {
  readonly len: number;
  readonly sequenceNumber: number;
  readonly datagram: Uint8Array;
  tries: number;
  hasFailed: boolean;
}

export class PathSearch {
  /** The longest length that passes both ways; 0: nothing was answered. Undefined while the search goes on. */
  result: number | undefined;
  /** Probes sent so far. */
  sent = 0;
  readonly #options: PathSearchOptions;
  readonly #probes: Probe[];
  readonly #out: Uint8Array[] = [];
  readonly #header = new PlaintextHeader();
  readonly #startNs: number;
  #best = 0;
  #isWide: boolean;
  #wideAtNs = Infinity;
  #roundAtNs: number;

  constructor(options: PathSearchOptions, nowNs: number) {
    assert(options.lengths.length > 0, "there is a length to try");
    this.#options = options;
    const { lengths } = options;
    this.#isWide = lengths.length <= 2;
    const ends = new Set([lengths[0], lengths[lengths.length - 1]]);
    this.#probes = [...ends].map((len) => this.#newProbe(len));
    this.#startNs = nowNs;
    this.#roundAtNs = nowNs + PROBE_TIMER_NS;
    for (const probe of this.#probes) this.#try(probe);
  }

  /** The next probe to be sent now. */
  nextDatagram(): Uint8Array | undefined {
    return this.#out.shift();
  }

  receive(datagram: Uint8Array, nowNs: number): void {
    if (this.result !== undefined) return;
    const probe = this.#answered(datagram);
    if (probe === undefined || probe.len <= this.#best) return;
    this.#best = probe.len;
    if (this.#best === this.#options.lengths[0]) this.#end();
    else if (!this.#isWide) this.#wideAtNs = Math.min(this.#wideAtNs, 2 * nowNs - this.#startNs + LATE_NS);
    this.#endIfDone();
  }

  nextTimeoutNs(): number {
    return this.result === undefined ? Math.min(this.#wideAtNs, this.#roundAtNs) : Infinity;
  }

  handleTimeout(nowNs: number): void {
    if (this.result !== undefined) return;
    const isRound = nowNs >= this.#roundAtNs;
    if (!isRound && nowNs < this.#wideAtNs) return;
    if (isRound) this.#round();
    if (this.#best > 0) this.#widen();
    this.#roundAtNs = nowNs + PROBE_TIMER_NS; // all that is under way has a whole one
    this.#endIfDone();
  }

  #round(): void {
    for (const probe of this.#open) {
      if (probe.tries === TRIES_MAX) probe.hasFailed = true;
      else this.#try(probe);
    }
  }

  #widen(): void {
    this.#wideAtNs = Infinity;
    if (this.#isWide) return;
    this.#isWide = true;
    for (const len of this.#options.lengths.slice(1, -1)) {
      const probe = this.#newProbe(len);
      this.#probes.push(probe);
      if (len > this.#best) this.#try(probe);
    }
  }

  #newProbe(len: number): Probe {
    const bytes = new Uint8Array(NUMBER_LEN);
    this.#options.entropy.fill(bytes);
    const sequenceNumber = bytes.reduce((number, byte) => number * 256 + byte, 0);
    const datagram = this.#options.hello(len, sequenceNumber);
    return { len, sequenceNumber, datagram, tries: 0, hasFailed: false };
  }

  #try(probe: Probe): void {
    probe.tries++;
    this.sent++;
    this.#out.push(probe.datagram);
  }

  /** Those that may still raise the result. */
  get #open(): Probe[] {
    return this.#probes.filter(({ len, hasFailed }) => len > this.#best && !hasFailed);
  }

  #endIfDone(): void {
    const isAll = this.#isWide || this.#best === 0;
    if (this.result === undefined && isAll && this.#open.length === 0) this.#end();
  }

  #end(): void {
    this.result = this.#best;
    this.#out.length = 0;
  }

  /** The probe that this is the answer to: a HelloRetryRequest of its number and length. */
  #answered(datagram: Uint8Array): Probe | undefined {
    const record = this.#header;
    if (!parsePlaintextHeader(datagram, 0, datagram.length, record)) return undefined;
    if (record.contentType !== CONTENT_TYPE.handshake || record.epoch !== 0) return undefined;
    const probe = this.#probes.find(({ sequenceNumber, len }) =>
      sequenceNumber === record.sequenceNumber && len === datagram.length
    );
    if (probe === undefined) return undefined;
    const content = datagram.subarray(PLAINTEXT_HEADER_LEN, PLAINTEXT_HEADER_LEN + record.bodyLen);
    const header = parseHandshakeHeader(content);
    if (header?.type !== HANDSHAKE_TYPE.serverHello) return undefined;
    const hello = parseServerHello(content.subarray(HANDSHAKE_HEADER_LEN));
    return hello !== undefined && isRetryRandom(hello.random) ? probe : undefined;
  }
}
