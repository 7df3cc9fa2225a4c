/** Counters of the data path: one f64 each in a block of shared native memory, written by the Worker, read by the
 * main isolate at any time. Every kind of drop has its own. */

import type { Memory } from "../ports/mod.ts";

export const COUNTER_NAMES = [
  "datagrams_in",
  "datagrams_truncated",
  "datagrams_unknown_sender",
  "datagrams_unexpected",
  "datagrams_malformed",
  "datagrams_handshake",
  "handshake_dropped_busy",
  "handshake_limited",
  "hello_replied",
  "hello_dropped",
  "hello_limited",
  "records_in",
  "records_opened",
  "records_failed",
  "records_replayed",
  "records_no_epoch",
  "records_late_number_found",
  "inner_malformed",
  "inner_unknown_type",
  "inner_fragments_dropped",
  "inner_source_refused",
  "inner_destination_refused",
  "inner_packets_in",
  "inner_bytes_in",
  "inner_packets_out",
  "inner_bytes_out",
  "inner_dropped_queue_full",
  "inner_dropped_late",
  "inner_marked_late",
  "inner_dropped_congested",
  "inner_marked_congested",
  "inner_dropped_no_session",
  "inner_dropped_no_route",
  "inner_dropped_malformed",
  "tun_write_failed",
  "control_dropped",
  "control_malformed",
  "orders_dropped",
  "monitor_dropped",
  "socket_dropped",
  "socket_receive_errors",
  "tun_read_dropped",
  "tun_read_errors",
  "slots_refilled",
  "streams_open",
  "streams_refused",
  "streams_packets_lost",
  "streams_datagrams_dropped",
  "moves_probed",
  "moves_proved",
  "moves_failed",
  "moves_without_id",
  "tcp_connections",
  "tcp_accepted",
  "tcp_refused",
  "tcp_malformed",
  "tcp_handshakes_late",
  "tcp_handshakes_dropped",
] as const;

export type CounterName = typeof COUNTER_NAMES[number];

const INDEX: ReadonlyMap<CounterName, number> = new Map(COUNTER_NAMES.map((name, index) => [name, index]));
/** Bytes of a counters block. */
export const COUNTERS_LEN = COUNTER_NAMES.length * 8;

export class DataCounters {
  readonly #f64: Float64Array;
  readonly #base: number;

  /** `off`: a block of COUNTERS_LEN bytes in `memory`. */
  constructor(memory: Memory, off: number) {
    this.#f64 = memory.f64;
    this.#base = off >> 3;
  }

  add(name: CounterName, amount = 1): void {
    this.#f64[this.#base + INDEX.get(name)!] += amount;
  }

  set(name: CounterName, value: number): void {
    this.#f64[this.#base + INDEX.get(name)!] = value;
  }

  get(name: CounterName): number {
    return this.#f64[this.#base + INDEX.get(name)!];
  }

  /** All counters by name. */
  snapshot(): Record<CounterName, number> {
    const out = {} as Record<CounterName, number>;
    COUNTER_NAMES.forEach((name, index) => out[name] = this.#f64[this.#base + index]);
    return out;
  }
}
