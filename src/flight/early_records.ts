/** Protected records that came before the hello which gives their key: the rest of a flight, out of order. RFC 9147
 * §4.2.1 allows to keep them. Nobody has authenticated anything in them. */

import type { CiphertextRecord } from "../record/handshake_records.ts";

// Chosen here.
/** More than the protected records of one flight. */
export const EARLY_RECORDS_MAX = 8;

export interface EarlyRecord {
  readonly record: CiphertextRecord;
  /** Of the datagram that it came in. */
  readonly datagramLen: number;
}

export class EarlyRecords {
  #kept: EarlyRecord[] = [];

  /** Keeps a copy; false: the oldest had to go for it. The newest are the likelier ones, since before them may have come
   * fillers, or anything. */
  keep({ kind, header, record }: CiphertextRecord, datagramLen: number): boolean {
    this.#kept.push({ record: { kind, header, record: record.slice() }, datagramLen });
    if (this.#kept.length <= EARLY_RECORDS_MAX) return true;
    this.#kept.shift();
    return false;
  }

  /** All of them, in the order of coming; nothing stays. */
  take(): EarlyRecord[] {
    const kept = this.#kept;
    this.#kept = [];
    return kept;
  }
}
