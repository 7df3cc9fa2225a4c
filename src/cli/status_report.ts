/** The status document: what `i405 status` shows, and others read from the status socket. */

import type { Shim } from "../../ffi/mod.ts";
import { histogramBucketNs, histogramQuantile } from "../../ffi/mod.ts";
import type { StatusConfig } from "../config/mod.ts";
import { HIST_BUCKETS, RING, TRACE } from "../ports/mod.ts";
import type { Log } from "../status/log.ts";
import { type SlotTraceEntry, SlotTraceFile } from "../status/slot_trace.ts";
import { StatusServer } from "../status/status_server.ts";
import { DeviationLog } from "./deviation_log.ts";
import type { RingView, Runtime } from "./runtime.ts";
import { VERSION } from "./version.ts";

// Chosen here.
const TRACE_COUNT = 1 << 17;
const TRACE_EVERY_MS = 200;
const DEVIATION_EVERY_MIN_MS = 100;

export interface PeerStatus {
  readonly index: number;
  readonly name: string;
  readonly address: string;
  readonly state: string;
  readonly suite: string;
  readonly group: string;
  readonly reconnects: number;
}

const SLOT_FIELDS = {
  slots: RING.slots,
  records: RING.records,
  data_records: RING.dataRecords,
  skipped: RING.skipped,
  late: RING.late,
  send_errors: RING.sendErrors,
  dry: RING.dry,
  keyless: RING.keyless,
  socket_full: RING.socketFull,
  short_writes: RING.shortWrites,
} as const;

/** The counters of one ring by name; slots × burst = records + send_errors + (skipped + keyless + socket_full) ×
 * burst. */
export function slotsOf(shim: Shim, ring: number): Record<keyof typeof SLOT_FIELDS, number> {
  const out = {} as Record<keyof typeof SLOT_FIELDS, number>;
  for (const [name, off] of Object.entries(SLOT_FIELDS)) {
    out[name as keyof typeof SLOT_FIELDS] = shim.memory.f64[(ring + off) >> 3];
  }
  return out;
}

/** Deviation of the send call from the planned time, ns, since the ring's start. */
function deviationOf(shim: Shim, ring: number) {
  const { f64, u32 } = shim.memory;
  const hist = u32.slice((ring + RING.hist) >> 2, ((ring + RING.hist) >> 2) + HIST_BUCKETS);
  const sent = hist.reduce((sum, count) => sum + count, 0);
  const at = (off: number) => f64[(ring + off) >> 3];
  const mean = sent === 0 ? 0 : at(RING.devSumNs) / sent;
  // A bucket's end can lie beyond the largest value in it, which is known.
  const largest = Math.max(at(RING.devMaxNs), -at(RING.devMinNs));
  const quantile = (q: number) => sent === 0 ? 0 : Math.min(largest, histogramQuantile(hist, q));
  return {
    count: sent,
    p50_ns: quantile(0.5),
    p90_ns: quantile(0.9),
    p99_ns: quantile(0.99),
    p999_ns: quantile(0.999),
    max_ns: at(RING.devMaxNs),
    min_ns: at(RING.devMinNs),
    mean_ns: mean,
    sd_ns: sent === 0 ? 0 : Math.sqrt(Math.max(0, at(RING.devSum2) / sent - mean * mean)),
    /** [from ns, count] of each bucket of the absolute deviation that holds something. */
    histogram: [...hist].flatMap((count, bucket) => count === 0 ? [] : [[histogramBucketNs(bucket), count]]),
  };
}

/** The whole document, ready for JSON. */
export function statusOf(
  role: "client" | "server",
  shim: Shim,
  runtimes: readonly Runtime[],
  handshakes: Readonly<Record<string, number>>,
  peers: readonly PeerStatus[],
) {
  return {
    role,
    version: VERSION,
    uptime_s: Number((shim.clock.nowNs() / 1e9).toFixed(3)),
    pid: Deno.pid,
    memory: { rss: Deno.memoryUsage().rss, unlocked: shim.unlockedLen() },
    timing: runtimes[0].pacer,
    handshakes,
    counters: sumOf(runtimes.map(({ counters }) => counters.snapshot())),
    peers: peers.map(({ index, ...peer }) => {
      const view = ringsOf(runtimes).get(index);
      if (view === undefined) return peer;
      return {
        ...peer,
        interval_ns: view.intervalNs,
        slots: slotsOf(shim, view.ring),
        deviation: deviationOf(shim, view.ring),
      };
    }),
  };
}

/** Counters of several, added up by name. */
export function sumOf(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const counters of all) {
    for (const [name, value] of Object.entries(counters)) sum[name] = (sum[name] ?? 0) + value;
  }
  return sum;
}

function ringsOf(runtimes: readonly Runtime[]): ReadonlyMap<number, RingView> {
  return new Map(runtimes.flatMap(({ rings }) => [...rings]));
}

/** Trace entries of a ring that have come since the last call; those that were overwritten meanwhile are missing. */
export class RingTraceReader {
  readonly #shim: Shim;
  #ring = 0;
  #next = 0;

  constructor(shim: Shim) {
    this.#shim = shim;
  }

  *read(ring: number): Generator<SlotTraceEntry> {
    const { f64, u32 } = this.#shim.memory;
    if (ring !== this.#ring) {
      this.#ring = ring;
      this.#next = 0;
    }
    const trace = u32[(ring + RING.trace) >> 2];
    const count = u32[(ring + RING.traceCount) >> 2];
    const end = f64[(ring + RING.slotNext) >> 3];
    if (trace === 0) return;
    for (let slot = Math.max(this.#next, end - count + 64); slot < end; slot++) {
      const at = trace + (slot & (count - 1)) * TRACE.size;
      if (f64[(at + TRACE.slot) >> 3] !== slot) continue;
      yield {
        slot,
        plannedNs: f64[(at + TRACE.plannedNs) >> 3],
        actualNs: f64[(at + TRACE.actualNs) >> 3],
        dataRecords: u32[(at + TRACE.dataRecords) >> 2],
        flags: u32[(at + TRACE.flags) >> 2],
      };
    }
    this.#next = end;
  }
}

export interface OpenStatus {
  /** Entries for each ring's trace: 0 when nobody wants one. */
  readonly traceCount: number;
  close(): Promise<void>;
}

/** Opens what `[status]` asks for: the socket, the trace of the first peer's slots, the deviations in the log. */
export async function openStatus(
  config: StatusConfig,
  shim: Shim,
  runtimes: readonly Runtime[],
  log: Log,
  document: () => { readonly peers: readonly { readonly name: string }[] },
): Promise<OpenStatus> {
  const server = config.socket === undefined
    ? undefined
    : await StatusServer.open(config.socket, document, log);
  const closers = [
    ...(config.slotTrace === undefined ? [] : [traceSlots(config.slotTrace, shim, runtimes)]),
    ...(config.deviationEveryNs === undefined
      ? []
      : [logDeviations(config.deviationEveryNs, shim, runtimes, log, document)]),
  ];
  return {
    traceCount: config.slotTrace === undefined ? 0 : TRACE_COUNT,
    close: async () => {
      for (const close of closers) close();
      await server?.close();
    },
  };
}

/** Both return what ends them. */
function traceSlots(path: string, shim: Shim, runtimes: readonly Runtime[]): () => void {
  const file = SlotTraceFile.open(path, shim.clock.wallBaseNs());
  const reader = new RingTraceReader(shim);
  const write = () => {
    const view = ringsOf(runtimes).get(0);
    if (view !== undefined) file.write(reader.read(view.ring));
  };
  const timer = setInterval(write, TRACE_EVERY_MS);
  return () => {
    clearInterval(timer);
    write();
    file.close();
  };
}

function logDeviations(
  everyNs: number,
  shim: Shim,
  runtimes: readonly Runtime[],
  log: Log,
  document: () => { readonly peers: readonly { readonly name: string }[] },
): () => void {
  const deviations = new DeviationLog(shim, log);
  const timer = setInterval(
    () => deviations.write(ringsOf(runtimes), (index) => document().peers[index]?.name ?? String(index)),
    Math.max(DEVIATION_EVERY_MIN_MS, everyNs / 1e6),
  );
  return () => clearInterval(timer);
}
