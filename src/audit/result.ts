/** What an audit prints as JSON. */

import type { Machine } from "../demo/result.ts";
import type { GateVerdict } from "./gate.ts";
import type { DirectionJudgement } from "./judge.ts";
import type { TunnelMode } from "./options.ts";

/** One direction of one tunnel. Not judged: the pacer of that end shares its CPU with everything else here. */
export interface AuditDirection {
  readonly name: string;
  readonly isJudged: boolean;
  readonly judgement: DirectionJudgement;
  readonly plots: DirectionPlots;
}

export interface DirectionPlots {
  /** (µs, share of packets up to it), idle and all loads. */
  readonly residuals: Readonly<Record<"idle" | "busy", readonly (readonly [number, number])[]>>;
  /** Residual quantiles (µs) of idle, and of all loads at the same share. */
  readonly quantiles: readonly (readonly [number, number])[];
  /** Packets per second over the sessions, in order: (session, rate); idle and loads. */
  readonly rates: Readonly<Record<"idle" | "busy", readonly (readonly [number, number])[]>>;
}

export interface AuditTunnel {
  readonly jitter: string;
  readonly directions: readonly AuditDirection[];
}

export interface AuditResult {
  readonly version: string;
  readonly date: string;
  readonly machine: Machine;
  readonly seed: number;
  readonly minutes: number;
  readonly intervalNs: number;
  readonly burst: number;
  readonly packetLen: number;
  readonly mode: TunnelMode;
  readonly pollMode: string;
  readonly schedFifo: boolean;
  readonly tunnels: readonly AuditTunnel[];
  readonly verdict: GateVerdict;
}
