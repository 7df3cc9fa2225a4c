/** The status document: what `i405 status` shows, and others read from the status socket. */

import type { Shim } from "../../ffi/mod.ts";
import type { StatusConfig } from "../config/mod.ts";
import { RING, TRACE } from "../ports/mod.ts";
import type { Log } from "../status/log.ts";
import { type SlotTraceEntry, SlotTraceFile } from "../status/slot_trace.ts";
import { StatusServer } from "../status/status_server.ts";
import { callsOf, deviationOf, transmitsOf } from "./deviations.ts";
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

/** STAMPS of the shim when `config` wants transmissions stamped; before the first socket is opened. */
export function stampsOf(config: StatusConfig, shim: Shim): number | undefined {
  return config.transmitStamps ? shim.stampTransmits() : undefined;
}

/** The whole document, ready for JSON. `stamps`: from stampsOf. */
export function statusOf(
  role: "client" | "server",
  shim: Shim,
  runtimes: readonly Runtime[],
  handshakes: Readonly<Record<string, number>>,
  peers: readonly PeerStatus[],
  stamps?: number,
) {
  return {
    role,
    version: VERSION,
    uptime_s: Number((shim.clock.nowNs() / 1e9).toFixed(3)),
    pid: Deno.pid,
    memory: { rss: Deno.memoryUsage().rss, unlocked: shim.unlockedLen() },
    timing: runtimes[0].pacer,
    ...(stamps === undefined ? {} : { transmit: deviationOf(shim, transmitsOf(stamps)) }),
    handshakes,
    counters: sumOf(runtimes.map(({ counters }) => counters.snapshot())),
    peers: peers.map(({ index, ...peer }) => {
      const view = ringsOf(runtimes).get(index);
      if (view === undefined) return peer;
      return {
        ...peer,
        interval_ns: view.intervalNs,
        slots: slotsOf(shim, view.ring),
        /** Of the send call from the planned time, since the ring's start. */
        deviation: deviationOf(shim, callsOf(view.ring)),
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
      : [logDeviations(config, config.deviationEveryNs, shim, runtimes, log, document)]),
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
  config: StatusConfig,
  everyNs: number,
  shim: Shim,
  runtimes: readonly Runtime[],
  log: Log,
  document: () => { readonly peers: readonly { readonly name: string }[] },
): () => void {
  const deviations = new DeviationLog(shim, log, stampsOf(config, shim));
  const timer = setInterval(
    () => deviations.write(ringsOf(runtimes), (index) => document().peers[index]?.name ?? String(index)),
    Math.max(DEVIATION_EVERY_MIN_MS, everyNs / 1e6),
  );
  return () => clearInterval(timer);
}
