/** What a server of version 0 reports of its client's packets, where the client asked for it. */

import { readU64, V0_TYPE } from "../wire/v0_message.ts";
import { Arrivals, StatusReports, wallTime } from "./packet_fates.ts";
import type { ServerLine } from "./server_inner.ts";

export class ServerMonitorV0 {
  readonly #line: ServerLine;
  readonly #wallBaseNs: number;
  readonly #arrivals: Arrivals;
  readonly #reports = new StatusReports();
  /** Of the record that is being read; -1: not to be counted. */
  #number = -1;
  #droppedTold = 0;

  /** For one session. `lostAfter`: as of Arrivals. */
  constructor(line: ServerLine, wallBaseNs: number, lostAfter: number) {
    this.#line = line;
    this.#wallBaseNs = wallBaseNs;
    this.#arrivals = new Arrivals(lostAfter);
  }

  /** A message of a data record: its body at `off`. */
  message(type: number, off: number): void {
    const { memory: { u8 } } = this.#line;
    if (type === V0_TYPE.sequenceNumber) this.#number = readU64(u8, off);
    else if (type === V0_TYPE.ack) this.#reports.acked(readU64(u8, off), readU64(u8, off + 8));
    else if (type === V0_TYPE.sendTime && this.#number >= 0) this.#arrived(u8, off);
  }

  #arrived(u8: Uint8Array, off: number): void {
    if (this.#arrivals.receive(this.#number)) {
      const at = this.#reports.add(this.#number);
      if (at >= 0) {
        this.#reports.bytes.set(u8.subarray(off, off + 8), at);
        wallTime(this.#wallBaseNs, this.#line.nowNs, this.#reports.bytes, at + 8);
      }
    }
    for (let lost = this.#arrivals.nextLost(); lost >= 0; lost = this.#arrivals.nextLost()) {
      this.#reports.add(lost);
    }
  }

  counted(token: number, count: number): void {
    this.#reports.counted(token, count);
  }

  keep(): void {
    const emitter = this.#line.peer.train?.emitter;
    if (emitter === undefined) return;
    emitter.collect();
    this.#reports.send(
      emitter.frameRoom,
      this.#line.nowNs,
      (statuses, token) => emitter.control(statuses, token),
    );
    this.#line.counters.add("monitor_dropped", this.#reports.dropped - this.#droppedTold);
    this.#droppedTold = this.#reports.dropped;
  }
}
