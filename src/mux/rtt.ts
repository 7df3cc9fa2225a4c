/** Round-trip time of packets, RFC 9002 §5. Times in nanoseconds. */

// Set by a standard.
/** Taken for the round trip before there is a sample (RFC 9002 §6.2.2). */
const FIRST_NS = 333e6;
/** RFC 9002 §6.1.2: the finest time that is told apart. */
const GRANULARITY_NS = 1e6;
const TIME_THRESHOLD = 9 / 8;

export class RoundTrip {
  smoothedNs = FIRST_NS;
  variationNs = FIRST_NS / 2;
  latestNs = 0;
  #leastNs = Infinity;

  /** From a packet's sending to its ack, of which the receiver waited `delayNs`. */
  sample(ns: number, delayNs: number): void {
    const first = this.#leastNs === Infinity;
    this.#leastNs = Math.min(this.#leastNs, ns);
    this.latestNs = ns - this.#leastNs >= delayNs ? ns - delayNs : ns; // RFC 9002 §5.3
    if (first) {
      this.smoothedNs = this.latestNs;
      this.variationNs = this.latestNs / 2;
      return;
    }
    this.variationNs = 3 / 4 * this.variationNs + 1 / 4 * Math.abs(this.smoothedNs - this.latestNs);
    this.smoothedNs = 7 / 8 * this.smoothedNs + 1 / 8 * this.latestNs;
  }

  /** After this long a packet is lost, if one sent later has arrived (RFC 9002 §6.1.2). */
  get lossDelayNs(): number {
    return Math.max(TIME_THRESHOLD * Math.max(this.smoothedNs, this.latestNs), GRANULARITY_NS);
  }

  /** After this long without an ack something is sent again (RFC 9002 §6.2.1), the receiver's waiting not counted. */
  get probeDelayNs(): number {
    return this.smoothedNs + Math.max(4 * this.variationNs, GRANULARITY_NS);
  }
}
