/** Reading state of one epoch of one session: its key, the number expected next, the replay window. */

import type { RecordProtection } from "../ports/mod.ts";
import { ReplayWindow } from "../record/replay_window.ts";

/** Opens that may fail under one key before it must not be used any more, RFC 9147 §4.5.3 (2^36 for the AEADs here). */
const FAILED_OPENS_MAX = 2 ** 36;

export class ReceiveEpoch {
  readonly window: ReplayWindow;
  /** One more than the highest authenticated number; moved by authenticated records only. */
  expected = 0;
  /** Place of its record 0 among the records of all epochs, in `Peer.placeOf`'s count; -1 until a record has come. */
  firstPlace = -1;
  /** When the last authentic record of this epoch came; the epoch's start before that. */
  lastAuthenticNs: number;
  /** Records that came with this epoch's bits and did not open. */
  failedOpens = 0;
  authenticated = 0;

  constructor(
    readonly epoch: number,
    readonly key: number,
    windowLen: number,
    nowNs: number,
  ) {
    this.window = new ReplayWindow(windowLen);
    this.lastAuthenticNs = nowNs;
  }

  /** The low two bits of the epoch, as they stand in the unified header. */
  get bits(): number {
    return this.epoch & 3;
  }

  get exhausted(): boolean {
    return this.failedOpens >= FAILED_OPENS_MAX;
  }

  /** To be called for a record that has been authenticated. False if it is a replay: drop it then.
   * RFC 9147 §4.5.1: the window moves only after the record has been authenticated. */
  accept(number: number, nowNs: number): boolean {
    if (this.window.check(number) !== "fresh") return false;
    this.window.mark(number);
    if (number >= this.expected) this.expected = number + 1;
    this.lastAuthenticNs = nowNs;
    this.authenticated++;
    return true;
  }

  /** Whether `number`, which was accepted, is the highest so far. */
  isHighest(number: number): boolean {
    return this.expected === number + 1;
  }

  close(protection: RecordProtection): void {
    protection.freeKey(this.key);
  }
}
