/** What happens to one tunnel in its life, drawn from a seed: which one it is, and what mishaps come over it. */

import { SeededRandom, seedOf } from "../../src/base/random.ts";
import type { TrainParameters } from "../../src/tunnel/messages.ts";
import type { NetworkConditions } from "./network.ts";
import { TRAIN, type WorldOptions } from "./world.ts";

export type MishapKind =
  /** Other loss, delay, disorder, copies and damage from now on. */
  | "weather"
  /** Nothing comes through for a while: both ways, or one. */
  | "outage"
  | "deaf client"
  | "deaf server"
  /** Another address: for good (a translator forgot the client, or it moved), or there and back again. */
  | "move"
  | "move and back"
  /** The client sends from another socket. */
  | "socket"
  /** The process dies, and another one begins. */
  | "server restart"
  | "client restart"
  /** As a client restart, and it wants another schedule. */
  | "other schedule"
  /** The client says goodbye, and comes again. */
  | "goodbye"
  /** The machine sleeps, its clock with it; or only the process does, and finds the clock far ahead. */
  | "client suspended"
  | "server suspended"
  | "client stalled"
  | "server stalled"
  /** Many packets at once. */
  | "load"
  | "quiet";

export const MISHAPS: readonly MishapKind[] = [
  ...["weather", "outage", "deaf client", "deaf server", "move", "move and back", "socket"] as const,
  ...["server restart", "client restart", "other schedule", "goodbye"] as const,
  ...["client suspended", "server suspended", "client stalled", "server stalled", "load", "quiet"] as const,
];

export interface Mishap {
  readonly kind: MishapKind;
  /** From 0 to 1: how bad, by the measure of its kind. */
  readonly strength: number;
  /** Until the next one comes. */
  readonly durationNs: number;
  readonly weather: NetworkConditions;
}

export interface Story {
  readonly seed: number;
  readonly options: WorldOptions;
  readonly mishaps: readonly Mishap[];
  /** What the network comes back to: the tunnel has to work then. */
  readonly calm: NetworkConditions;
}

// Chosen here.
const MISHAPS_MAX = 5;
const INTERVALS_NS = [15e6, 25e6, 40e6];
const REKEY_RECORDS = [100, 200, 500, 2 ** 23];
const LOSS_MAX = 0.4;
const DELAY_MAX_NS = 2e9;

export function storyOf(seed: number): Story {
  const random = new SeededRandom(seedOf(seed));
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)];
  const rare = random.below(20);
  const options: WorldOptions = {
    seed,
    // X25519 is cheap; the others have the same messages, and two more sizes.
    groups: rare === 0 ? [0x11ec] : rare === 1 ? [0x17] : [0x1d],
    suites: pick([[0x1301], [0x1303], [0x1302], [0x1301, 0x1303, 0x1302]]),
    up: train(random),
    down: train(random),
    rekeyRecords: pick(REKEY_RECORDS),
    network: weather(random),
  };
  const mishaps = Array.from({ length: random.below(MISHAPS_MAX + 1) }, () => ({
    kind: pick(MISHAPS),
    strength: random.unit(),
    durationNs: 0.2e9 + random.unit() * 1.5e9,
    weather: weather(random),
  }));
  return { seed, options, mishaps, calm: { delayMeanNs: longTailed(random) * DELAY_MAX_NS / 2 } };
}

function train(random: SeededRandom): TrainParameters {
  const intervalNs = INTERVALS_NS[random.below(INTERVALS_NS.length)];
  return {
    ...TRAIN,
    intervalNs,
    jitterSdNs: 0.12 * intervalNs * random.unit(),
    burst: random.below(8) === 0 ? 2 : 1,
    datagramLen: TRAIN.datagramLen + random.below(200),
  };
}

/** Mostly small, at most 1. */
function longTailed(random: SeededRandom): number {
  return random.unit() ** 4;
}

function weather(random: SeededRandom): NetworkConditions {
  const delayMeanNs = 2e6 + longTailed(random) * DELAY_MAX_NS;
  return {
    lossRatio: random.below(3) === 0 ? 0 : random.unit() * LOSS_MAX,
    delayMeanNs,
    delayJitterNs: random.unit() * delayMeanNs / 2,
    reorderRatio: random.unit() * 0.3,
    reorderDelayNs: random.unit() * 100e6,
    duplicateRatio: random.unit() * 0.2,
    corruptRatio: random.unit() * 0.1,
  };
}
