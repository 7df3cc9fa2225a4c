/** What leaves in one direction: rate, length and jitter, checked against each other. */

import type { JitterLaw } from "../schedule/mod.ts";
import { JITTER_REACH, jitterSdDefaultNs, jitterSdMaxNs } from "../schedule/mod.ts";
import type { JitterSetting } from "./kinds.ts";

export interface DirectionConfig {
  /** Of outer IP packets; undefined when the interval is given instead. */
  readonly speedBitsPerS: number | undefined;
  readonly intervalNs: number | undefined;
  /** Length of outer IP packets in bytes; undefined: the path's MTU. */
  readonly packetLength: number | undefined;
  /** undefined: 12 %, Gaussian, or as much of it as the interval has room for. */
  readonly jitter: JitterSetting | undefined;
  /** Packets in each slot; undefined: one, or as many as leave BURST_INTERVAL_NS between slots of that speed. */
  readonly burst: number | undefined;
}

/** A direction with nothing left open. */
export interface Direction {
  /** Mean time between slots. */
  readonly intervalNs: number;
  /** Of outer IP packets, bytes. */
  readonly packetLength: number;
  readonly jitterLaw: JitterLaw;
  readonly jitterSdNs: number;
  readonly burst: number;
  /** The smallest distance of two slots that this jitter leaves room for. */
  readonly gapMinNs: number;
}

// Chosen here.
export const SPEED_DEFAULT_BITS_PER_S = 1e6;
const INTERVAL_MIN_NS = 20_000;
const INTERVAL_MAX_NS = 10e9;
/** 1.5 × (seal + send): a call costs some 5 µs, each record of it 1 µs. */
const GAP_NS = 8_000;
const GAP_PER_RECORD_NS = 1_500;
/** From here on one more packet in a slot costs little, and one more slot a wake-up. */
const BURST_INTERVAL_NS = 250_000;
/** What every server takes. */
const BURST_CHOSEN_MAX = 44;
/** Payload that one UDP_SEGMENT call takes: 65,535 minus IPv4 and UDP headers. */
const BURST_LEN_MAX = 65_507;

/** A rate or a length that cannot be kept, with the remedy. */
export class DirectionError extends RangeError {
  override readonly name = "DirectionError";
}

/** How far apart slots stay at least, so that one is sent before the next is due. */
export function slotGapMinNs(burst: number): number {
  return GAP_NS + burst * GAP_PER_RECORD_NS;
}

/** Packets in each slot at that speed: their number depends on configuration alone. */
function burstOf(direction: DirectionConfig, packetLength: number, speedBitsPerS: number): number {
  if (direction.burst !== undefined) return direction.burst;
  if (direction.intervalNs !== undefined) return 1;
  const wanted = Math.ceil(BURST_INTERVAL_NS * speedBitsPerS / (packetLength * 8e9));
  return Math.max(1, Math.min(wanted, BURST_CHOSEN_MAX, Math.floor(BURST_LEN_MAX / packetLength)));
}

/** Settles `direction` for a path of `pathMtu` bytes. Throws DirectionError for a rate or a length that
 * cannot be kept; `name` is "up" or "down", for the message. */
export function resolveDirection(name: string, direction: DirectionConfig, pathMtu: number): Direction {
  const packetLength = direction.packetLength ?? pathMtu;
  const speed = direction.speedBitsPerS ?? SPEED_DEFAULT_BITS_PER_S;
  const burst = burstOf(direction, packetLength, speed);
  if (packetLength > pathMtu) {
    throw new DirectionError(
      `${name}.packet_length = ${packetLength} does not fit the path's MTU of ${pathMtu}; use ${pathMtu} or less`,
    );
  }
  if (burst * packetLength > BURST_LEN_MAX) {
    const most = Math.floor(BURST_LEN_MAX / packetLength);
    throw new DirectionError(
      `${name}.burst = ${burst} packets of ${packetLength} bytes are too many for one call; use ${most} or fewer`,
    );
  }
  const intervalNs = direction.intervalNs ?? packetLength * 8e9 * burst / speed;
  const gapMinNs = slotGapMinNs(burst);
  const minNs = Math.max(INTERVAL_MIN_NS, 1.5 * gapMinNs);
  checkInterval(name, direction, { intervalNs, packetLength, burst }, minNs);
  return { intervalNs, packetLength, burst, gapMinNs, ...jitterOf(name, direction, intervalNs, gapMinNs) };
}

function checkInterval(
  name: string,
  direction: DirectionConfig,
  { intervalNs, packetLength, burst }: Pick<Direction, "intervalNs" | "packetLength" | "burst">,
  minNs: number,
): void {
  const given = direction.intervalNs === undefined ? `${name}.speed` : `${name}.interval`;
  const what = `${given} means one slot of ${burst} × ${packetLength} bytes every ${
    microseconds(intervalNs)
  }`;
  if (!(intervalNs >= minNs)) {
    const limit = `at least ${microseconds(minNs)} (${megabits(packetLength * 8e9 * burst / minNs)})`;
    const remedy = burst >= BURST_CHOSEN_MAX ? "lower the speed" : `lower the speed or raise ${name}.burst`;
    throw new DirectionError(`${what}, but a slot of this size takes ${limit}; ${remedy}`);
  }
  if (!(intervalNs <= INTERVAL_MAX_NS)) {
    throw new DirectionError(
      `${what}, but the longest interval is ${INTERVAL_MAX_NS / 1e9} s; raise the speed`,
    );
  }
}

function jitterOf(name: string, direction: DirectionConfig, intervalNs: number, gapMinNs: number) {
  if (direction.jitter === undefined) {
    return {
      jitterLaw: "gaussian" as const,
      jitterSdNs: jitterSdDefaultNs("gaussian", intervalNs, gapMinNs),
    };
  }
  const { law, sdRatio, sdNs = 0 } = direction.jitter;
  const jitterSdNs = sdRatio * intervalNs + sdNs;
  const mostNs = jitterSdMaxNs(law, intervalNs, gapMinNs);
  if (law !== "none" && jitterSdNs > mostNs) {
    const share = Math.floor(mostNs / intervalNs * 1000) / 10;
    const reach = JITTER_REACH[law].toFixed(1);
    throw new DirectionError(
      `${name}.jitter is so large that slots could cross (${law}: up to ${reach} times it to either side); use ${share}% or less`,
    );
  }
  return { jitterLaw: law, jitterSdNs };
}

const microseconds = (ns: number) => `${Number((ns / 1e3).toPrecision(4))} µs`;
const megabits = (bitsPerS: number) => `${Number((bitsPerS / 1e6).toPrecision(3))} Mbit/s`;
