/** What a demonstration found. This is also what `--json` prints. NaN becomes null there. */

import type { Summary } from "../base/statistics.ts";

export const CLASSES = ["idle", "busy"] as const;
/** What the user did meanwhile. */
export type TrafficClass = typeof CLASSES[number];

/** A stretch of the run, in seconds since its start. */
export interface Phase {
  readonly kind: TrafficClass;
  readonly fromS: number;
  readonly toS: number;
}

/** Round trips in ms. */
export interface RoundTrips {
  readonly sent: number;
  readonly ms: Summary;
}

/** One way of moving user data, all busy phases together. */
export interface Transfer {
  readonly bytes: number;
  readonly seconds: number;
  readonly mbitPerS: number;
  /** What the slots could carry at most as TCP payload. */
  readonly limitMbitPerS: number;
  /** Every byte came through as it was sent. */
  readonly equal: boolean;
}

export interface UserView {
  /** "ICMP echo", or what stood in for it. */
  readonly roundTripKind: string;
  readonly roundTrips: Readonly<Record<TrafficClass, RoundTrips>>;
  readonly download: Transfer;
  readonly upload: Transfer;
}

/** One direction during one class of phases. */
export interface ClassView {
  readonly slots: number;
  readonly skipped: number;
  /** Sent more than 100 µs after their time, by the sender's own clock. */
  readonly late: number;
  /** Slots with user data in them: what the observer must not find out. */
  readonly dataSlots: number;
  readonly packets: number;
  /** Different lengths, ascending, with how many packets have each. */
  readonly lengths: readonly (readonly [number, number])[];
  /** Between packets that follow each other. */
  readonly intervalUs: Summary;
  /** Seen time − planned time, less the delay of the path (the median over both classes). */
  readonly deviationUs: Summary;
  /** Actual − planned, by the sender's own clock. */
  readonly senderDeviationUs: Summary;
}

export interface DirectionView {
  readonly name: string;
  readonly from: "client" | "server";
  readonly intervalNs: number;
  readonly packetLen: number;
  /** Datagrams of the handshake that are not in slots (only a server has such). */
  readonly handshakeReplies: number;
  /** From the first packet to the observer's end. */
  readonly slots: number;
  readonly skipped: number;
  readonly refused: number;
  readonly packets: number;
  readonly lengths: readonly (readonly [number, number])[];
  /** The header fields that were seen, each set once. */
  readonly headers: readonly string[];
  readonly identification: string;
  /** First byte and length field of the data records' headers. */
  readonly recordHeaders: readonly string[];
  /** Frames from this end that belong to no tunnel. */
  readonly otherFrames: number;
  readonly pathDelayUs: number;
  readonly classes: Readonly<Record<TrafficClass, ClassView>>;
  /** Largest distance of the deviations' distributions, idle against busy, 0..1. */
  readonly deviationDistance: number;
  readonly plots: DirectionPlots;
}

/** Points for the page. */
export interface DirectionPlots {
  /** (seconds, packets seen per second). */
  readonly packetRate: readonly (readonly [number, number])[];
  /** (seconds, share of slots with user data). */
  readonly dataShare: readonly (readonly [number, number])[];
  /** (µs, share of packets up to it). */
  readonly deviation: Readonly<Record<TrafficClass, readonly (readonly [number, number])[]>>;
  /** (µs, share of intervals in the bin). */
  readonly intervals: Readonly<Record<TrafficClass, readonly (readonly [number, number])[]>>;
}

export interface Verdict {
  readonly name: string;
  readonly holds: boolean;
  readonly detail: string;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
}

export interface DemoResult {
  readonly version: string;
  readonly date: string;
  readonly machine: Machine;
  readonly withRoot: boolean;
  readonly seconds: number;
  readonly phases: readonly Phase[];
  readonly user: UserView;
  readonly directions: readonly DirectionView[];
  readonly promises: readonly Verdict[];
  readonly holds: boolean;
}
