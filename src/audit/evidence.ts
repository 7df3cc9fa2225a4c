/** From rounds to sessions: one direction of one tunnel. */

import type { SeenFrame } from "../demo/seen_file.ts";
import { ExactCounts } from "./exact.ts";
import { type DirectionJudgement, judgeDirection, type JudgeOptions } from "./judge.ts";
import type { Gate } from "./gate.ts";
import type { Block } from "./blocks_run.ts";
import type { End, Round } from "./lab.ts";
import { type Pairing, pairPackets, pathDelayNs } from "./pairing.ts";
import { type AuditSession, auditSession } from "./session.ts";

/** A packet may be stamped so much before the sender's clock says that it was sent: clocks are compared to 256 ns. */
const TOLERANCE_NS = 1000;

export interface DirectionPlan {
  readonly from: End;
  readonly interfaceIndex: number;
  readonly serverPort: number;
  readonly intervalNs: number;
  /** Packets of a slot; 1 when left out. */
  readonly burst?: number;
  /** Whether the observer is the sender's own machine: then its packets are outgoing ones. */
  readonly isSender?: boolean;
}

/** What counts packets of a direction, and finds out when its slots were seen. */
export interface DirectionCounts {
  /** Packets of each length, bytes. */
  readonly lengths: ReadonlyMap<number, number>;
  /** Counts the frames of one part and returns the time of each slot's packet, ns on the observer's clock. */
  frames(frames: readonly SeenFrame[], serverPort: number, from: End, burst?: number): number[];
  pairing(pairing: Pairing): void;
  /** `packetLen` undefined: whichever there is. `isOwnLink`: nothing but the tunnel belongs on the link. */
  gates(packetLen: number | undefined, isOwnLink: boolean): Gate[];
}

export class DirectionEvidence {
  readonly exact: DirectionCounts;
  readonly sessions: AuditSession[] = [];
  readonly #plan: DirectionPlan;
  #delayNs = NaN;

  constructor(plan: DirectionPlan, exact: DirectionCounts = new ExactCounts()) {
    this.#plan = plan;
    this.exact = exact;
  }

  add(round: Round): void {
    const { from, serverPort, burst } = this.#plan;
    const trace = round.traces[from];
    const clockDifferenceNs = round.seen.wallBaseNs - trace.wallBaseNs;
    const times = this.exact.frames(this.#frames(round), serverPort, from, burst).map((t) =>
      t + clockDifferenceNs
    );
    const pairing = pairPackets(times, trace.slots, TOLERANCE_NS, burst);
    this.exact.pairing(pairing);
    if (pairing.pairs.length === 0) return;
    // The same for all rounds: a difference between rounds is one that an observer sees.
    if (Number.isNaN(this.#delayNs)) this.#delayNs = pathDelayNs(pairing.pairs);
    for (const block of round.blocks) this.#session(block, pairing, trace.wallBaseNs);
  }

  judge(options: JudgeOptions): DirectionJudgement {
    return judgeDirection(this.exact, this.sessions, options);
  }

  #frames({ seen }: Round): SeenFrame[] {
    return seen.frames.filter(({ interfaceIndex, outgoing }) =>
      interfaceIndex === this.#plan.interfaceIndex && outgoing === (this.#plan.isSender ?? false)
    );
  }

  #session(block: Block, { pairs, skippedNs }: Pairing, wallBaseNs: number): void {
    const fromNs = block.fromMs * 1e6 - wallBaseNs;
    const toNs = block.toMs * 1e6 - wallBaseNs;
    const inside = pairs.filter(({ plannedNs }) => plannedNs >= fromNs && plannedNs < toNs);
    const skipped = skippedNs.filter((time) => time >= fromNs && time < toNs).length;
    if (inside.length === 0) return;
    const context = { intervalNs: this.#plan.intervalNs, delayNs: this.#delayNs };
    this.sessions.push(auditSession(block.load, inside, skipped, context));
  }
}
