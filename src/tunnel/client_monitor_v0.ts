/** What a client of version 0 learns of each packet, both ways: of the server's by what comes, of its own by the server's
 * reports. Each report is acknowledged, since the server repeats it until then. */

import { ReplayWindow } from "../record/replay_window.ts";
import { ACK_LEN, emitAckV0, readU64, V0_TYPE } from "../wire/v0_message.ts";
import type { ClientLine } from "./client_inner.ts";
import { Arrivals, FateRows, ROW_DIRECTION } from "./packet_fates.ts";

// Chosen here.
const REPORTS_WINDOW = 16_384;
/** Ranges of records to be acknowledged; older ones are reported again. */
const ACKS_MAX = 64;
const ACKS_PER_RECORD = 16;

export class ClientMonitorV0 {
  readonly #line: ClientLine;
  readonly #wallBaseNs: number;
  readonly #rows = new FateRows();
  readonly #arrivals: Arrivals;
  readonly #reported = new ReplayWindow(REPORTS_WINDOW);
  /** First and last number of each range, the oldest first. */
  #acks: { first: number; last: number }[] = [];
  /** Of the record that is being read; -1: not to be counted. */
  #number = -1;
  #droppedTold = 0;

  /** For one session. `lostAfter`: as of Arrivals. */
  constructor(line: ClientLine, wallBaseNs: number, lostAfter: number) {
    this.#line = line;
    this.#wallBaseNs = wallBaseNs;
    this.#arrivals = new Arrivals(lostAfter);
  }

  /** A message of a data record: its body at `off`. */
  message(type: number, off: number): void {
    const { memory: { u8 } } = this.#line;
    if (type === V0_TYPE.sequenceNumber) this.#number = readU64(u8, off);
    else if (this.#number < 0) return;
    else if (type === V0_TYPE.sendTime) this.#arrived(u8, off);
    else if (type === V0_TYPE.packetStatus) this.#report(u8, off);
  }

  #arrived(u8: Uint8Array, off: number): void {
    if (this.#arrivals.receive(this.#number)) {
      this.#rows.add(ROW_DIRECTION.s2c, this.#number, u8, off, this.#wallBaseNs, this.#line.nowNs);
    }
    for (let lost = this.#arrivals.nextLost(); lost >= 0; lost = this.#arrivals.nextLost()) {
      this.#rows.addLost(ROW_DIRECTION.s2c, lost);
    }
    if (this.#rows.isHalfFull) this.#tell();
  }

  #report(u8: Uint8Array, off: number): void {
    this.#owe(this.#number);
    const number = readU64(u8, off);
    if (number < 0 || this.#reported.check(number) !== "fresh") return;
    this.#reported.mark(number);
    this.#rows.addReported(ROW_DIRECTION.c2s, number, u8, off + 8);
  }

  #owe(number: number): void {
    const newest = this.#acks.at(-1);
    if (newest !== undefined && number >= newest.first && number <= newest.last + 1) {
      newest.last = Math.max(newest.last, number);
      return;
    }
    if (this.#acks.length === ACKS_MAX) this.#acks.shift();
    this.#acks.push({ first: number, last: number });
  }

  keep(): void {
    this.#tell();
    const { counters, emitter } = this.#line;
    counters.add("monitor_dropped", this.#rows.dropped - this.#droppedTold);
    this.#droppedTold = this.#rows.dropped;
    while (this.#acks.length > 0) {
      const acks = this.#acks.slice(0, Math.min(ACKS_PER_RECORD, Math.floor(emitter.frameRoom / ACK_LEN)));
      const frame = new Uint8Array(acks.length * ACK_LEN);
      acks.forEach(({ first, last }, index) => emitAckV0(frame, index * ACK_LEN, first, last));
      if (!emitter.control(frame)) return; // later
      this.#acks = this.#acks.slice(acks.length);
    }
  }

  #tell(): void {
    const rows = this.#rows.take();
    if (rows !== undefined) this.#line.tell({ type: "packets", client: 0, rows });
  }
}
