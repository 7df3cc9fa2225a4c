/** TLS records in the segments of one direction of a connection, as an observer cuts them: by sequence numbers, from the
 * first record's header on, each of one length. Pure. */

import type { TcpSegment } from "./tcp_segment.ts";

/** Of any number of parts of a run. */
export class RecordCounts {
  records = 0;
  /** Records that were exactly one segment. */
  alone = 0;
  /** Segments all of whose bytes had been seen before. */
  retransmitted = 0;
  /** Bytes of the stream that were not seen. */
  missedLen = 0;
  /** Lengths of records by their headers, where one was seen; 0: no header stood where a record has to begin. */
  readonly lengths = new Set<number>();
}

/** One part: from where the observer began to look to where it stopped. */
export class RecordStream {
  readonly #counts: RecordCounts;
  #recordLen = 0;
  /** First byte of some record; the byte after the last that was seen. On one axis, which does not wrap. */
  #base = 0;
  #next = 0;

  constructor(counts: RecordCounts) {
    this.#counts = counts;
  }

  /** Takes a segment with payload. Returns how many records have left with it to their last byte. */
  add(segment: TcpSegment): number {
    const { sequence, payloadLen, recordLen } = segment;
    if (this.#recordLen === 0) {
      if (recordLen === undefined || recordLen === 0) return 0; // of a record whose start was not seen
      this.#recordLen = recordLen;
      this.#base = this.#next = sequence + 2 ** 32;
    }
    const from = this.#next + ((sequence - this.#next % 2 ** 32) | 0);
    const to = from + payloadLen;
    if (to <= this.#next) {
      this.#counts.retransmitted++;
      return 0;
    }
    const fresh = Math.max(from, this.#next);
    this.#counts.missedLen += fresh - this.#next;
    this.#next = to;
    return fresh === from && recordLen === payloadLen
      ? this.#alone(recordLen, to)
      : this.#cut(segment, fresh, to);
  }

  /** By its own header one record, whatever was before it: what follows begins another one. */
  #alone(recordLen: number, to: number): number {
    this.#counts.lengths.add(recordLen);
    this.#counts.records++;
    this.#counts.alone++;
    this.#base = to;
    return 1;
  }

  #cut({ payloadLen, recordLen }: TcpSegment, from: number, to: number): number {
    const counts = this.#counts;
    const isStart = (from - this.#base) % this.#recordLen === 0;
    if (isStart && recordLen !== undefined) counts.lengths.add(recordLen);
    const records = this.#wholeUntil(to) - this.#wholeUntil(from);
    counts.records += records;
    // A header behind many options was not kept.
    if (isStart && recordLen === undefined && payloadLen === this.#recordLen) counts.alone++;
    return records;
  }

  #wholeUntil(at: number): number {
    return Math.floor((at - this.#base) / this.#recordLen);
  }
}
