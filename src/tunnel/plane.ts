/* One turn of a data Worker, whatever it carries: 1 orders from main · 2 plaintexts for the slots to come · 3 wait for
 * something to come in, or for room · 4 take that in · 5 now and then: slot times, key changes, silence. */

import type { Clock, Entropy, Memory, Pacer, PacketIo, RecordProtection } from "../ports/mod.ts";
import { IO } from "../ports/mod.ts";
import type { DataCounters } from "./counters.ts";
import type { Mail, Mailbox } from "./mailbox.ts";
import type { Order, WorkerEvent } from "./messages.ts";
import type { FrameTaker, StreamMuxes } from "./stream_muxes.ts";

// Chosen here.
const HOUSEKEEPING_NS = 100e6;
/** Events that main has not handled: beyond these, what anybody can cause is dropped. */
const EVENTS_IN_FLIGHT_MAX = 256;

export interface PlanePorts {
  readonly memory: Memory;
  readonly protection: RecordProtection;
  readonly pacer: Pacer;
  readonly io: PacketIo;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly mailbox: Mailbox<Order>;
  readonly counters: DataCounters;
  /** Int32[1] shared with main: events that it has not handled yet. */
  readonly eventsInFlight: Int32Array;
  /** Left out where there are no streams. */
  readonly streams?: StreamMuxes;
  post(event: WorkerEvent): void;
}

export abstract class Plane<Ports extends PlanePorts = PlanePorts> {
  protected readonly ports: Ports;
  protected readonly memory: Memory;
  protected readonly counters: DataCounters;
  /** Offset of the IO struct. */
  protected readonly io: number;
  protected nowNs: number;
  protected stopped = false;
  #housekeepingAtNs = 0;

  constructor(ports: Ports) {
    this.ports = ports;
    this.memory = ports.memory;
    this.counters = ports.counters;
    this.io = ports.io.io;
    this.nowNs = ports.clock.nowNs();
  }

  protected abstract order(mail: Mail<Order>): void;
  /** What takes the frames of this peer's streams now, if they may flow. */
  protected abstract takerOf(peer: number): FrameTaker | undefined;
  /** Makes other plaintexts ready; returns when to be called again at the latest, whatever comes in. */
  protected abstract beforeWait(): number;
  /** Takes in what the poll has brought. */
  protected abstract afterWait(): void;
  protected abstract housekeeping(): void;

  /** One turn; false once stopped. */
  turn(): boolean {
    this.nowNs = this.ports.clock.nowNs(); // not the last turn's, which came when there was data to move
    this.#orders();
    if (this.stopped) return false;
    const wakeNs = Math.min(this.beforeWait(), this.#pumpStreams());
    const { f64 } = this.memory;
    const waitNs = Math.min(wakeNs, this.#housekeepingAtNs) - this.ports.clock.nowNs();
    f64[(this.io + IO.timeoutNs) >> 3] = Math.max(0, waitNs);
    this.ports.io.poll();
    this.nowNs = f64[(this.io + IO.nowNs) >> 3];
    this.afterWait();
    if (this.nowNs >= this.#housekeepingAtNs) {
      this.#housekeepingAtNs = this.nowNs + HOUSEKEEPING_NS;
      this.housekeeping();
    }
    return true;
  }

  #pumpStreams(): number {
    const { streams, clock } = this.ports;
    if (streams === undefined) return Infinity;
    const isMore = streams.drain();
    const wakeNs = streams.pump((peer) => this.takerOf(peer), clock.nowNs());
    return isMore ? 0 : wakeNs;
  }

  /** Brings the totals of the streams into the common block. */
  protected countStreams(): void {
    const counts = this.ports.streams?.count();
    if (counts === undefined) return;
    this.counters.set("streams_open", counts.streams);
    this.counters.set("streams_packets_lost", counts.packetsLost);
    this.counters.set("streams_datagrams_dropped", counts.datagramsDropped);
  }

  #orders(): void {
    for (let mail = this.ports.mailbox.take(); mail !== undefined; mail = this.ports.mailbox.take()) {
      this.order(mail);
      for (const part of mail.bytes) part.fill(0);
    }
  }

  /** Whether main is so far behind that what anybody can cause is not to be told. */
  protected get mainIsBusy(): boolean {
    return Atomics.load(this.ports.eventsInFlight, 0) >= EVENTS_IN_FLIGHT_MAX;
  }

  /** Tells main. */
  protected tell(event: WorkerEvent): void {
    Atomics.add(this.ports.eventsInFlight, 0, 1);
    this.ports.post(event);
  }

  protected u32At(off: number): number {
    return this.memory.u32[off >> 2];
  }
}
