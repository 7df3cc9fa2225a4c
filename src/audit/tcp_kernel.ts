/** What an end's kernel adds to its records over TCP: acknowledgements without data, and the windows that it advertises.
 * They follow from what comes in and from how fast the program reads. It must always read equally fast, so idle and
 * loaded sessions must not differ. Judged apart from the records. */

import { meanAndSd, quantile, sorted } from "../base/statistics.ts";
import type { Block } from "./blocks_run.ts";
import { AUC_BOUND } from "./black_box.ts";
import type { DirectionPlan } from "./evidence.ts";
import { forest } from "./forest.ts";
import { type Gate, gate, verdictOf } from "./gate.ts";
import type { DirectionJudgement, LoadJudgement } from "./judge.ts";
import type { Round } from "./lab.ts";
import type { LoadClass } from "./session.ts";
import { parseSegment } from "./tcp_segment.ts";
import { SESSIONS_MIN, validate } from "./validation.ts";
import { absolute, meanDifference } from "./difference.ts";

// Chosen here.
/** Of acknowledgements without data for each segment that came. */
const RATE_BOUND = 0.01;
/** Of the segments that say a smaller window than the one before; and of the largest window. */
const DIP_BOUND = 0.02;
const WINDOW_BOUND = 0.02;
/** Fewer segments than this make no session. */
const SEGMENTS_MIN = 50;

/** What the kernel of one end did in one session. */
export interface KernelSession {
  readonly load: LoadClass;
  /** Acknowledgements without data for each segment with data that came. */
  readonly ackRate: number;
  /** From the last segment that came to such an acknowledgement, median and largest, ns; 0 when there was none. */
  readonly ackDelayNs: number;
  readonly ackDelayMaxNs: number;
  /** Of the largest window that the end had said until then, which grows with time. */
  readonly windowMedian: number;
  readonly windowMin: number;
  /** Share of segments that said a smaller window than the one before: something that had come was not read yet. */
  readonly dipRate: number;
}

interface Seen {
  readonly timeNs: number;
  readonly isOwn: boolean;
  readonly hasData: boolean;
  readonly window: number;
}

export class KernelEvidence {
  readonly sessions: KernelSession[] = [];
  readonly #plan: DirectionPlan;
  #largest = 0;

  constructor(plan: DirectionPlan) {
    this.#plan = plan;
  }

  add(round: Round): void {
    const seen = this.#seen(round);
    let at = 0;
    for (const block of round.blocks) {
      const untilNs = block.toMs * 1e6 - round.seen.wallBaseNs;
      for (; at < seen.length && seen[at].timeNs < untilNs; at++) {
        if (seen[at].isOwn) this.#largest = Math.max(this.#largest, seen[at].window);
      }
      const session = kernelSession(block, seen, round.seen.wallBaseNs, this.#largest);
      if (session !== undefined) this.sessions.push(session);
    }
  }

  /** All segments at the interface of this end, in both directions. */
  #seen({ seen }: Round): Seen[] {
    const { interfaceIndex, serverPort, from, isSender = false } = this.#plan;
    return seen.frames.flatMap((frame): Seen[] => {
      if (frame.interfaceIndex !== interfaceIndex) return [];
      const segment = parseSegment(frame.head, frame.len);
      if (segment === undefined) return [];
      const isOwn = frame.outgoing === isSender;
      const isToServer = isOwn === (from === "client");
      if ((isToServer ? segment.destinationPort : segment.sourcePort) !== serverPort) return [];
      return [{ timeNs: frame.timeNs, isOwn, hasData: segment.payloadLen > 0, window: segment.window }];
    });
  }
}

/** Of the segments within `block`; undefined when there were too few. */
function kernelSession(
  block: Block,
  seen: readonly Seen[],
  wallBaseNs: number,
  largestWindow: number,
): KernelSession | undefined {
  const [fromNs, toNs] = [block.fromMs, block.toMs].map((ms) => ms * 1e6 - wallBaseNs);
  const inside = seen.filter(({ timeNs }) => timeNs >= fromNs && timeNs < toNs);
  const windows = inside.filter(({ isOwn }) => isOwn).map(({ window }) => window);
  const came = inside.filter(({ isOwn, hasData }) => !isOwn && hasData).length;
  if (came < SEGMENTS_MIN || windows.length === 0) return undefined;
  const delays: number[] = [];
  let lastNs = NaN;
  for (const { timeNs, isOwn, hasData } of inside) {
    if (!isOwn && hasData) lastNs = timeNs;
    else if (isOwn && !hasData && !Number.isNaN(lastNs)) delays.push(timeNs - lastNs);
  }
  const [ascending, byTime] = [sorted(Float64Array.from(windows)), sorted(Float64Array.from(delays))];
  return {
    load: block.load,
    ackRate: delays.length / came,
    ackDelayNs: delays.length === 0 ? 0 : quantile(byTime, 0.5),
    ackDelayMaxNs: byTime[byTime.length - 1] ?? 0,
    windowMedian: quantile(ascending, 0.5) / largestWindow,
    windowMin: ascending[0] / largestWindow,
    dipRate: windows.filter((window, i) => i > 0 && window < windows[i - 1]).length / windows.length,
  };
}

function featuresOf(session: KernelSession): Float64Array {
  const { ackRate, ackDelayNs, ackDelayMaxNs, windowMedian, windowMin, dipRate } = session;
  return Float64Array.of(ackRate, ackDelayNs, ackDelayMaxNs, windowMedian, windowMin, dipRate);
}

/** The same judgement with the gates of acknowledgements and windows beside those of each load. */
export function withKernel(
  judgement: DirectionJudgement,
  sessions: readonly KernelSession[],
  random: () => number,
): DirectionJudgement {
  const idle = sessions.filter(({ load }) => load === "idle");
  const add = (load: LoadJudgement, index: number): LoadJudgement => {
    const busy = sessions.filter((session) =>
      session.load !== "idle" && (index === 0 || session.load === load.load) // the first is all of them together
    );
    return { ...load, gates: [...load.gates, ...kernelGates(idle, busy, random)] };
  };
  return { ...judgement, loads: judgement.loads.map(add) };
}

/** Gates of one load. */
export function kernelGates(
  idle: readonly KernelSession[],
  busy: readonly KernelSession[],
  random: () => number,
): Gate[] {
  const isEnough = Math.min(idle.length, busy.length) >= SESSIONS_MIN;
  const compared = (name: string, of: (session: KernelSession) => number, bound: number) => {
    const found = absolute(meanDifference(idle.map(of), busy.map(of)));
    const means = [idle, busy].map((sessions) => meanAndSd(sessions.map(of)).mean.toPrecision(4));
    return gate("ACK", name, {
      ...found,
      bound,
      verdict: isEnough ? verdictOf(found, bound) : "not shown",
      detail: `idle ${means[0]}, loaded ${means[1]}`,
    });
  };
  return [
    compared("acknowledgements without data a segment: difference", ({ ackRate }) => ackRate, RATE_BOUND),
    compared(
      "advertised window, median of the largest: difference",
      ({ windowMedian }) => windowMedian,
      WINDOW_BOUND,
    ),
    compared(
      "advertised window, smallest of the largest: difference",
      ({ windowMin }) => windowMin,
      WINDOW_BOUND,
    ),
    compared("segments that say a smaller window: difference", ({ dipRate }) => dipRate, DIP_BOUND),
    learned(idle, busy, random),
  ];
}

/** What a classifier learns of acknowledgements and windows together. */
function learned(idle: readonly KernelSession[], busy: readonly KernelSession[], random: () => number): Gate {
  const name = "acknowledgements and windows, load against idle, forest";
  if (Math.min(idle.length, busy.length) < SESSIONS_MIN) {
    const detail = `${idle.length} and ${busy.length} sessions; ${SESSIONS_MIN} of each are the least`;
    return gate("ACK", name, { verdict: "not shown", detail });
  }
  const examples = [idle, busy].flatMap((sessions, i) =>
    sessions.map((session) => ({ features: featuresOf(session), busy: i === 1 }))
  );
  const { auc, lower, upper } = validate(forest, examples, random);
  return gate("ACK", name, {
    value: auc,
    lower,
    upper,
    bound: AUC_BOUND,
    verdict: verdictOf({ lower, upper }, AUC_BOUND),
    detail: `AUC over ${idle.length} and ${busy.length} sessions`,
  });
}
