/** One direction of the tunnel: what the observer saw of it, held against the sender's own trace of slots.
 * Pure: files in, numbers out. */

import {
  firstByteText,
  identificationRule,
  isDataRecord,
  type OuterPacket,
  parseOuterPacket,
} from "./outer_packet.ts";
import {
  type ClassView,
  type DirectionPlots,
  type DirectionView,
  type Phase,
  type TrafficClass,
} from "./result.ts";
import type { SeenFrame } from "./seen_file.ts";
import {
  countBy,
  distributionDistance,
  distributionPoints,
  histogramPoints,
  median,
  summarize,
} from "../base/statistics.ts";
import type { TracedSlot } from "./trace_file.ts";

// Chosen here.
const RATE_BIN_S = 0.1;
const PLOT_POINTS = 240;
const INTERVAL_BINS = 80;
const END_PACKETS = 50;
/** How much of each phase's start and end is left out of its class: data still in flight from the one before. */
export const GUARD_S = 0.4;

export interface DirectionInput {
  readonly name: string;
  readonly from: "client" | "server";
  readonly intervalNs: number;
  readonly packetLen: number;
  /** UDP port by which the tunnel's packets are told from others. */
  readonly serverPort: number;
  /** Frames that came from this end, in order, on the observer's clock. */
  readonly frames: readonly SeenFrame[];
  /** The end's trace, on the end's clock, from its first slot to after the observer's last frame. */
  readonly slots: readonly TracedSlot[];
  /** Add to the observer's times to have the end's. */
  readonly clockDifferenceNs: number;
  /** The run's start on the end's clock. */
  readonly startNs: number;
  readonly phases: readonly Phase[];
}

interface Packet {
  readonly timeNs: number;
  readonly len: number;
  readonly outer: OuterPacket;
}

/** A slot that was sent, and its packet. */
interface Pair {
  readonly slot: TracedSlot;
  readonly packet: Packet;
}

export function viewDirection(input: DirectionInput): DirectionView {
  const packets = packetsOf(input);
  const sentInSlots = packets.filter((packet) => !isHandshakeReply(input, packet));
  const endNs = quietMomentNs(sentInSlots);
  const train = sentInSlots.filter((packet) => packet.timeNs <= endNs);
  const slots = input.slots.filter((slot) => slot.plannedNs <= endNs);
  const sent = slots.filter((slot) => !slot.skipped && !slot.refused);
  // UDP on a veth keeps the order, so the n-th packet is the n-th slot sent; without equal counts nothing is compared.
  const pairs = sent.length === train.length ? sent.map((slot, i) => ({ slot, packet: train[i] })) : [];
  const delayNs = median(pairs.filter(({ slot }) => classAt(input, slot.plannedNs)).map(residualNs));
  const classes = record((kind) => viewClass(input, kind, train, pairs, delayNs));
  const deviations = record((kind) => deviationsUs(input, kind, pairs, delayNs));
  return {
    name: input.name,
    from: input.from,
    intervalNs: input.intervalNs,
    packetLen: input.packetLen,
    handshakeReplies: packets.length - sentInSlots.length,
    slots: slots.length,
    skipped: slots.filter((slot) => slot.skipped).length,
    refused: slots.filter((slot) => slot.refused).length,
    packets: train.length,
    lengths: lengthsOf(train),
    headers: [...countBy(packets, (packet) => packet.outer.fields).keys()],
    identification: identificationRule(packets.map((packet) => packet.outer.identification)),
    recordHeaders: [
      ...countBy(train.filter((packet) => isDataRecord(packet.outer)), recordHeaderText).keys(),
    ],
    otherFrames: input.frames.length - packets.length,
    pathDelayUs: delayNs / 1e3,
    classes,
    deviationDistance: distributionDistance(deviations.idle, deviations.busy),
    plots: plotsOf(input, train, deviations),
  };
}

function record<T>(make: (kind: TrafficClass) => T): Record<TrafficClass, T> {
  return { idle: make("idle"), busy: make("busy") };
}

function packetsOf(input: DirectionInput): Packet[] {
  const packets: Packet[] = [];
  for (const frame of input.frames) {
    const outer = parseOuterPacket(frame.head, frame.len);
    if (outer === undefined || serverPort(input, outer) !== input.serverPort) continue;
    packets.push({ timeNs: frame.timeNs + input.clockDifferenceNs, len: frame.len, outer });
  }
  return packets;
}

function serverPort({ from }: DirectionInput, outer: OuterPacket): number {
  return from === "server" ? outer.sourcePort : outer.destinationPort;
}

/** A server answers the handshake at once, beside its train of slots, and again what a client repeats: until the first
 * phase begins. Later there is nothing to answer, and such a packet counts as one too many. */
function isHandshakeReply(input: DirectionInput, packet: Packet): boolean {
  const phasesNs = input.startNs + input.phases[0].fromS * 1e9;
  return input.from === "server" && !isDataRecord(packet.outer) && packet.timeNs < phasesNs;
}

/** The observer stops while the ends go on, so the count has to end at a moment that falls into the same place of both
 * lists: the middle of the longest pause among the last packets seen. A slot that is planned there was skipped. */
function quietMomentNs(train: readonly Packet[]): number {
  const last = train.slice(-END_PACKETS);
  let longestNs = 0;
  let middleNs = -Infinity;
  for (let i = 1; i < last.length; i++) {
    const pauseNs = last[i].timeNs - last[i - 1].timeNs;
    if (pauseNs <= longestNs) continue;
    longestNs = pauseNs;
    middleNs = last[i - 1].timeNs + pauseNs / 2;
  }
  return middleNs;
}

function recordHeaderText({ outer }: Packet): string {
  return `${firstByteText(outer.firstByte)}, length ${outer.recordLen}`;
}

function lengthsOf(packets: readonly Packet[]): [number, number][] {
  return [...countBy(packets, (packet) => packet.len)].sort((a, b) => a[0] - b[0]);
}

function residualNs({ slot, packet }: Pair): number {
  return packet.timeNs - slot.plannedNs;
}

/** The class whose phase, without its guards, holds this moment on the end's clock. */
function classAt(input: DirectionInput, timeNs: number): TrafficClass | undefined {
  const seconds = (timeNs - input.startNs) / 1e9;
  return input.phases.find((phase) => seconds >= phase.fromS + GUARD_S && seconds < phase.toS - GUARD_S)
    ?.kind;
}

function deviationsUs(
  input: DirectionInput,
  kind: TrafficClass,
  pairs: readonly Pair[],
  delayNs: number,
): number[] {
  const found: number[] = [];
  for (const pair of pairs) {
    if (classAt(input, pair.slot.plannedNs) === kind) found.push((residualNs(pair) - delayNs) / 1e3);
  }
  return found;
}

/** Distances of packets that follow each other within a phase of this class. */
function intervalsUs(input: DirectionInput, kind: TrafficClass, train: readonly Packet[]): number[] {
  const found: number[] = [];
  for (let i = 1; i < train.length; i++) {
    const [before, after] = [train[i - 1].timeNs, train[i].timeNs];
    if (
      classAt(input, before) === kind && classAt(input, after) === kind && after - before < 2 * GUARD_S * 1e9
    ) {
      found.push((after - before) / 1e3);
    }
  }
  return found;
}

function viewClass(
  input: DirectionInput,
  kind: TrafficClass,
  train: readonly Packet[],
  pairs: readonly Pair[],
  delayNs: number,
): ClassView {
  const slots = input.slots.filter((slot) => classAt(input, slot.plannedNs) === kind);
  const packets = pairs.length > 0
    ? pairs.filter(({ slot }) => classAt(input, slot.plannedNs) === kind).map(({ packet }) => packet)
    : train.filter((packet) => classAt(input, packet.timeNs) === kind);
  const sent = slots.filter((slot) => !slot.skipped);
  return {
    slots: slots.length,
    skipped: slots.length - sent.length,
    late: slots.filter((slot) => slot.late).length,
    dataSlots: slots.filter((slot) => slot.dataRecords > 0).length,
    packets: packets.length,
    lengths: lengthsOf(packets),
    intervalUs: summarize(intervalsUs(input, kind, train)),
    deviationUs: summarize(deviationsUs(input, kind, pairs, delayNs)),
    senderDeviationUs: summarize(sent.map((slot) => (slot.actualNs - slot.plannedNs) / 1e3)),
  };
}

function plotsOf(
  input: DirectionInput,
  train: readonly Packet[],
  deviations: Readonly<Record<TrafficClass, readonly number[]>>,
): DirectionPlots {
  const seconds = (timeNs: number) => (timeNs - input.startNs) / 1e9;
  const endS = Math.max(...input.phases.map((phase) => phase.toS));
  const intervalUs = input.intervalNs / 1e3;
  const planned = binned(input.slots.map((slot) => seconds(slot.plannedNs)), endS);
  const data = binned(
    input.slots.filter((slot) => slot.dataRecords > 0).map((slot) => seconds(slot.plannedNs)),
    endS,
  );
  return {
    packetRate: binned(train.map((packet) => seconds(packet.timeNs)), endS).map((count, bin) => [
      binStart(bin),
      Math.round(count / RATE_BIN_S),
    ]),
    dataShare: data.map((count, bin) => [binStart(bin), planned[bin] === 0 ? 0 : count / planned[bin]]),
    deviation: record((kind) => rounded(distributionPoints(deviations[kind], PLOT_POINTS))),
    intervals: record((kind) =>
      rounded(histogramPoints(intervalsUs(input, kind, train), 0, 2 * intervalUs, INTERVAL_BINS))
    ),
  };
}

/** x to a nanosecond, y to a millionth: no plot shows more. */
function rounded(points: readonly (readonly [number, number])[]): [number, number][] {
  return points.map(([x, y]) => [Number(x.toFixed(3)), Number(y.toFixed(6))]);
}

const binStart = (bin: number) => Number((bin * RATE_BIN_S).toFixed(3));

/** Counts of moments (in seconds) per bin, whole bins only. */
function binned(moments: readonly number[], endS: number): number[] {
  const counts = new Array<number>(Math.max(1, Math.floor(endS / RATE_BIN_S))).fill(0);
  for (const moment of moments) {
    const bin = Math.floor(moment / RATE_BIN_S);
    if (bin >= 0 && bin < counts.length) counts[bin]++;
  }
  return counts;
}
