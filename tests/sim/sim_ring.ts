/** A ring in simulated time: the RING struct with its blocks in a Memory, and what is the pacer's own. */

import type { Aside, EndpointAddress, Memory, Numbering, RingConfig } from "../../src/ports/mod.ts";
import { BUF, RECORD, RING, TRACE } from "../../src/ports/mod.ts";

const TAG_LEN = 16;
const STAMP_LEN = 8;
const REPEAT_NS = 1e9;
const CONTENT_APPLICATION_DATA = 23;
const BURST_MAX = 64;
const BURST_LEN_MAX = 65_000;
const RECORD_MAX_LEN = 2048;

export interface KeySet extends Numbering {
  readonly key: number;
  readonly header: Uint8Array;
  readonly firstSlot: number;
  /** Absent: stays as it is. */
  readonly destination?: Destination;
}

export interface Destination {
  readonly fd: number;
  readonly to: EndpointAddress;
  readonly from?: EndpointAddress;
}

/** The plaintext is a copy; credit is what is left. */
export interface SimAside extends Omit<Aside, "plaintext"> {
  readonly plaintext: Uint8Array;
  credit: number;
}

export class SimRing {
  readonly plaintextLen: number;
  readonly stride: number;
  readonly off: number;
  readonly blocks: readonly { off: number; len: number }[];
  /** One plaintext, one descriptor, one record. */
  readonly plain: number;
  readonly job: number;
  readonly sealed: number;
  /** Planned times of the last slots, for the repeat rule. */
  readonly history: Float64Array;
  keys: KeySet | undefined;
  keysNext: KeySet | undefined;
  destination: Destination;
  destinationNext: Destination | undefined;
  aside: SimAside | undefined;
  /** Undefined: no change. */
  asideNext: { readonly aside: SimAside | undefined } | undefined;
  sequenceNumber = 0;
  /** Of the stamps: what the next record gets. */
  count = 0;
  slot = 0;
  timeNs = 0;
  timeDry = false;
  taken = 0;
  started = false;
  freed = false;
  /** Of the frozen slot. */
  dataRecords = 0;
  keyless = false;
  away = false;
  records: Uint8Array[] = [];

  constructor(readonly memory: Memory, readonly config: RingConfig) {
    this.plaintextLen = config.datagramLen - config.hdrLen - TAG_LEN;
    this.stride = Math.ceil((BUF.headLen + config.datagramLen) / 64) * 64;
    const blocks: { off: number; len: number }[] = [];
    const alloc = (len: number) => {
      try {
        blocks.push({ off: memory.alloc(len), len });
      } catch (error) {
        for (const block of blocks) memory.free(block.off, block.len);
        throw error;
      }
      return blocks[blocks.length - 1].off;
    };
    this.off = alloc(RING.size);
    this.setU32(RING.bufs, alloc(config.bufCount * this.stride));
    this.setU32(RING.times, alloc(config.timesCount * 8));
    if (config.traceCount > 0) this.setU32(RING.trace, alloc(config.traceCount * TRACE.size));
    this.setU32(RING.chaff, alloc(this.plaintextLen));
    this.plain = alloc(this.plaintextLen);
    this.sealed = alloc(config.datagramLen);
    this.job = alloc(RECORD.size);
    this.blocks = blocks;
    this.setU32(RING.bufStride, this.stride);
    this.setU32(RING.bufCount, config.bufCount);
    this.setU32(RING.plaintextLen, this.plaintextLen);
    this.setU32(RING.timesCount, config.timesCount);
    this.setU32(RING.traceCount, config.traceCount);
    // RFC 8446 §5.4: a plaintext is never all zeros.
    memory.u8[this.u32(RING.chaff) + this.plaintextLen - 1] = CONTENT_APPLICATION_DATA;
    this.history = new Float64Array(
      Math.min(config.timesCount, Math.max(1, Math.floor(REPEAT_NS / config.intervalNs))),
    );
    this.destination = { fd: config.fd, to: config.to, from: config.from };
  }

  u32(field: number): number {
    return this.memory.u32[(this.off + field) >> 2];
  }

  setU32(field: number, value: number): void {
    this.memory.u32[(this.off + field) >> 2] = value;
  }

  f64(field: number): number {
    return this.memory.f64[(this.off + field) >> 3];
  }

  setF64(field: number, value: number): void {
    this.memory.f64[(this.off + field) >> 3] = value;
  }

  /** Numbers and count as the key set in `keys` wants them. */
  number(): void {
    const { first, firstCount } = this.keys!;
    this.sequenceNumber = first;
    if (firstCount !== undefined) this.count = firstCount;
    this.setF64(RING.seqNext, first);
  }

  add(field: number, amount = 1): void {
    this.setF64(field, this.f64(field) + amount);
  }

  timeAt(slot: number): number {
    return this.memory.f64[(this.u32(RING.times) >> 3) + slot % this.config.timesCount];
  }
}

/** As ring.c has it. */
export function configSound(config: RingConfig): boolean {
  const { datagramLen, hdrLen, seqOff, seqLen, burst, bufCount, timesCount, traceCount, intervalNs } = config;
  const powerOfTwo = (n: number) => Number.isInteger(n) && n > 0 && (n & (n - 1)) === 0;
  return config.fd >= 0 && datagramLen <= RECORD_MAX_LEN && hdrLen > 0 && datagramLen > hdrLen + TAG_LEN &&
    seqLen <= 2 && seqOff + seqLen <= hdrLen && burst > 0 && burst <= BURST_MAX &&
    burst * datagramLen <= BURST_LEN_MAX &&
    powerOfTwo(bufCount) && powerOfTwo(timesCount) && (traceCount === 0 || powerOfTwo(traceCount)) &&
    intervalNs >= 1000 && intervalNs <= 1e12 && stampsSound(config);
}

function stampsSound({ datagramLen, hdrLen, stamps }: RingConfig): boolean {
  if (stamps === undefined) return true;
  const { countOff, timeOff, wallBaseNs } = stamps;
  const last = datagramLen - hdrLen - TAG_LEN - 1 - STAMP_LEN;
  const apart = timeOff === 0 || Math.abs(timeOff - countOff) >= STAMP_LEN;
  return countOff > 0 && countOff <= last && timeOff <= last && apart && wallBaseNs >= 0 && wallBaseNs < 9e18;
}
