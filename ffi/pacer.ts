/** StreamPacer over the shim's pacer thread. */

import type {
  Aside,
  EndpointAddress,
  Memory,
  Numbering,
  PollMode,
  RingConfig,
  StreamPacer,
} from "../src/ports/mod.ts";
import { ADDR, PACER_CONFIG, PACER_FLAG, PACER_STATE, POLL_MODE, RING_CONFIG } from "../src/ports/mod.ts";
import { checked } from "./errors.ts";
import { writeAddress } from "../src/ports/mod.ts";
import type { Symbols } from "./symbols.ts";

/** `cpu`: a CPU to pin to, "auto" (the last one allowed), "none". `leadNs` is the least lead; calibration raises it up
 * to `leadMaxNs`, for which 30 % of the shortest interval is right. `calibrateMs` is time that start() takes. */
export interface PacerConfig {
  readonly pollMode: PollMode;
  readonly fifo: boolean;
  readonly cpu: number | "auto" | "none";
  readonly calibrateMs: number;
  readonly leadNs: number;
  readonly leadMaxNs: number;
}

/** What the pacer says of itself. The flags name what was asked for and not had. */
export interface PacerState {
  readonly running: boolean;
  readonly noFifo: boolean;
  readonly noLock: boolean;
  /** It had to run so long without sleep that the kernel may have taken its CPU: intervals are too short for it. */
  readonly throttled: boolean;
  /** Not pinned, or pinned to the only CPU. */
  readonly sharedCpu: boolean;
  /** -1 when not pinned. */
  readonly cpu: number;
  readonly tid: number;
  readonly leadNs: number;
  readonly wakeP50Ns: number;
  readonly wakeP99Ns: number;
  readonly wakeP999Ns: number;
  readonly stallMaxNs: number;
  readonly stalls: number;
}

export interface ShimPacer extends StreamPacer {
  /** Starts the process's one pacer thread; returns after calibration. Throws ShimError (EALREADY: it runs). */
  start(config: PacerConfig): void;
  /** Rings stay and can be freed afterwards. Throws ShimError (ESRCH: it does not run). */
  stop(): void;
  /** Meaningful in the thread that called start(); other threads are told what they need. */
  state(): PacerState;
}

function cpuNumber(cpu: PacerConfig["cpu"]): number {
  if (cpu === "auto") return -1;
  return cpu === "none" ? -2 : cpu;
}

function writeRingConfig(memory: Memory, at: number, config: RingConfig): void {
  const { u32, i32, f64 } = memory;
  i32[(at + RING_CONFIG.fd) >>> 2] = config.fd;
  u32[(at + RING_CONFIG.datagramLen) >>> 2] = config.datagramLen;
  u32[(at + RING_CONFIG.hdrLen) >>> 2] = config.hdrLen;
  u32[(at + RING_CONFIG.seqOff) >>> 2] = config.seqOff;
  u32[(at + RING_CONFIG.seqLen) >>> 2] = config.seqLen;
  u32[(at + RING_CONFIG.burst) >>> 2] = config.burst;
  u32[(at + RING_CONFIG.bufCount) >>> 2] = config.bufCount;
  u32[(at + RING_CONFIG.timesCount) >>> 2] = config.timesCount;
  u32[(at + RING_CONFIG.traceCount) >>> 2] = config.traceCount;
  u32[(at + RING_CONFIG.stream) >>> 2] = config.stream === true ? 1 : 0;
  f64[(at + RING_CONFIG.intervalNs) >>> 3] = config.intervalNs;
  u32[(at + RING_CONFIG.countOff) >>> 2] = config.stamps?.countOff ?? 0;
  u32[(at + RING_CONFIG.timeOff) >>> 2] = config.stamps?.timeOff ?? 0;
  f64[(at + RING_CONFIG.wallBaseNs) >>> 3] = config.stamps?.wallBaseNs ?? 0;
  // An empty `ip` stands for a connected socket.
  writeAddress(memory, at + RING_CONFIG.to, config.to.ip.length === 0 ? undefined : config.to);
  writeAddress(memory, at + RING_CONFIG.from, config.from);
}

function writePacerConfig(memory: Memory, at: number, config: PacerConfig): void {
  memory.u32[(at + PACER_CONFIG.pollMode) >>> 2] = POLL_MODE[config.pollMode];
  memory.u32[(at + PACER_CONFIG.fifo) >>> 2] = config.fifo ? 1 : 0;
  memory.i32[(at + PACER_CONFIG.cpu) >>> 2] = cpuNumber(config.cpu);
  memory.u32[(at + PACER_CONFIG.calibrateMs) >>> 2] = config.calibrateMs;
  memory.f64[(at + PACER_CONFIG.leadNs) >>> 3] = config.leadNs;
  memory.f64[(at + PACER_CONFIG.leadMaxNs) >>> 3] = config.leadMaxNs;
}

function readState(memory: Memory, at: number): PacerState {
  const flags = memory.u32[(at + PACER_STATE.flags) >>> 2];
  const f64 = (field: number) => memory.f64[(at + field) >>> 3];
  return {
    running: Atomics.load(memory.u32, (at + PACER_STATE.running) >>> 2) === 1,
    noFifo: (flags & PACER_FLAG.noFifo) !== 0,
    noLock: (flags & PACER_FLAG.noLock) !== 0,
    throttled: (flags & PACER_FLAG.throttled) !== 0,
    sharedCpu: (flags & PACER_FLAG.sharedCpu) !== 0,
    cpu: memory.i32[(at + PACER_STATE.cpu) >>> 2],
    tid: memory.i32[(at + PACER_STATE.tid) >>> 2],
    leadNs: f64(PACER_STATE.leadNs),
    wakeP50Ns: f64(PACER_STATE.wakeP50Ns),
    wakeP99Ns: f64(PACER_STATE.wakeP99Ns),
    wakeP999Ns: f64(PACER_STATE.wakeP999Ns),
    stallMaxNs: f64(PACER_STATE.stallMaxNs),
    stalls: f64(PACER_STATE.stalls),
  };
}

const NOT_STARTED: PacerState = {
  running: false,
  noFifo: false,
  noLock: false,
  throttled: false,
  sharedCpu: false,
  cpu: -1,
  tid: 0,
  leadNs: 0,
  wakeP50Ns: 0,
  wakeP99Ns: 0,
  wakeP999Ns: 0,
  stallMaxNs: 0,
  stalls: 0,
};

/** All methods throw ShimError with the kernel's or the shim's reason. */
export function openPacer(symbols: Symbols, memory: Memory): ShimPacer {
  const config = memory.alloc(Math.max(RING_CONFIG.size, PACER_CONFIG.size));
  const to = memory.alloc(ADDR.size);
  const from = memory.alloc(ADDR.size);
  let stateOff = 0;
  return {
    newRing(ring: RingConfig): number {
      writeRingConfig(memory, config, ring);
      return checked("make a ring", symbols.i405_ring_new(config));
    },
    ringTimes(ring: number, count: number): void {
      checked(`publish ${count} slot times`, symbols.i405_ring_times(ring, count));
    },
    ringKeys(ring: number, key: number, hdr: number, firstSlot: number, numbering?: Numbering): void {
      const { first, firstCount = -1 } = numbering ?? { first: 0 };
      const result = symbols.i405_ring_keys(ring, key, hdr, firstSlot, first, firstCount);
      checked(`install key ${key} from slot ${firstSlot}`, result);
    },
    ringDest(ring: number, fd: number, address: EndpointAddress, source?: EndpointAddress): void {
      writeAddress(memory, to, address.ip.length === 0 ? undefined : address);
      writeAddress(memory, from, source);
      checked("change a ring's destination", symbols.i405_ring_dest(ring, fd, to, from));
    },
    ringMove(ring: number, fd: number, address: EndpointAddress, hdr: number, firstSlot: number): void {
      writeAddress(memory, to, address);
      checked(`move a ring from slot ${firstSlot}`, symbols.i405_ring_move(ring, fd, to, hdr, firstSlot));
    },
    ringAside(ring: number, aside: Aside | undefined): void {
      writeAddress(memory, to, aside?.to);
      writeAddress(memory, from, aside?.from);
      const off = aside === undefined ? 0 : to;
      const { fd = -1, plaintext = 0 } = aside ?? {};
      checked("let slots of a ring go aside", symbols.i405_ring_aside(ring, fd, off, from, plaintext));
    },
    ringCredit(ring: number, bytes: number): void {
      checked("give a ring credit", symbols.i405_ring_credit(ring, bytes));
    },
    ringStart(ring: number): void {
      checked("start a ring", symbols.i405_ring_start(ring));
    },
    ringFree(ring: number): void {
      checked("free a ring", symbols.i405_ring_free(ring));
    },
    ringLink(ring: number, fd: number, key: number, hdr: number): boolean {
      return checked("link a ring to a connection", symbols.i405_ring_link(ring, fd, key, hdr)) === 1;
    },
    ringUpdate(ring: number, key: number, number: number): void {
      checked(`update to key ${key} at record ${number}`, symbols.i405_ring_update(ring, key, number));
    },
    start(pacerConfig: PacerConfig): void {
      writePacerConfig(memory, config, pacerConfig);
      stateOff = checked("start the pacer", symbols.i405_pacer_start(config));
    },
    stop(): void {
      checked("stop the pacer", symbols.i405_pacer_stop());
    },
    state(): PacerState {
      return stateOff === 0 ? NOT_STARTED : readState(memory, stateOff);
    },
  };
}
