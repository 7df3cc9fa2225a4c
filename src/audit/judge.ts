/** All gates of one direction of one tunnel. Pure. */

import type { Jitter } from "../schedule/mod.ts";
import { blackBox, nullTest } from "./black_box.ts";
import { rocPoints } from "./auc.ts";
import type { DirectionCounts } from "./evidence.ts";
import type { Gate } from "./gate.ts";
import { jitterDensity } from "./jitter_density.ts";
import { type AuditSession, LOAD_CLASSES } from "./session.ts";
import { type TimeToTell, timeToTell } from "./time_to_tell.ts";
import type { Validated } from "./validation.ts";
import { rateGates } from "./rate.ts";
import { whiteBox } from "./white_box.ts";

// Chosen here.
const RESOLUTION_NS = 250;
const CLIP_NS = 200e3;

export interface LoadJudgement {
  /** A load's name, or "any load". */
  readonly load: string;
  readonly sessions: number;
  readonly gates: readonly Gate[];
  readonly classifiers: readonly Validated[];
  readonly tell: TimeToTell;
  /** (false alarms, hits) of the classifier that was best. */
  readonly roc: readonly (readonly [number, number])[];
}

export interface DirectionJudgement {
  readonly idleSessions: number;
  readonly exact: readonly Gate[];
  readonly null: readonly Gate[];
  readonly loads: readonly LoadJudgement[];
  /** What is told beside the gates. */
  readonly note?: string;
}

export interface JudgeOptions {
  /** undefined: whichever was seen. */
  readonly packetLen: number | undefined;
  /** Nothing but the tunnel belongs on the link. */
  readonly isOwnLink: boolean;
  readonly jitter: Jitter;
  readonly random: () => number;
}

/** Judges a direction by all of its sessions: every load that was there by itself, and all loads together. */
export function judgeDirection(
  exact: Pick<DirectionCounts, "gates">,
  sessions: readonly AuditSession[],
  options: JudgeOptions,
): DirectionJudgement {
  const idle = sessions.filter(({ load }) => load === "idle");
  const busy = sessions.filter(({ load }) => load !== "idle");
  const loads = LOAD_CLASSES.slice(1).map((name) => ({
    name: name as string,
    sessions: busy.filter(({ load }) => load === name),
    more: [] as Gate[],
  }));
  const rates = rateGates(sessions, options.random);
  return {
    idleSessions: idle.length,
    exact: exact.gates(options.packetLen, options.isOwnLink),
    null: nullTest(idle, options.random).gates,
    loads: [{ name: "any load", sessions: busy, more: rates }, ...loads]
      .filter(({ sessions }) => sessions.length > 0 && idle.length > 0)
      .map(({ name, sessions, more }) => judgeLoad(name, idle, sessions, more, options)),
  };
}

function judgeLoad(
  load: string,
  idle: readonly AuditSession[],
  busy: readonly AuditSession[],
  more: readonly Gate[],
  { jitter, random }: JudgeOptions,
): LoadJudgement {
  const black = blackBox(idle, busy, random);
  const tell = timeToTell(
    idle.map(({ residualsNs }) => residualsNs),
    busy.map(({ residualsNs }) => residualsNs),
    { jitter: jitterDensity(jitter), resolutionNs: RESOLUTION_NS, clipNs: CLIP_NS },
    random,
  );
  const best = black.results.toSorted((a, b) => b.auc - a.auc)[0];
  return {
    load,
    sessions: busy.length,
    gates: [...whiteBox(idle, busy, random), ...more, ...black.gates],
    classifiers: black.results,
    tell,
    roc: best === undefined ? [] : rocPoints(best.idle, best.busy),
  };
}

/** Every gate of a direction, for the verdict. */
export function gatesOf({ exact, null: none, loads }: DirectionJudgement): Gate[] {
  return [...exact, ...none, ...loads.flatMap(({ gates }) => gates)];
}

/** The counterpart of G3 in the list of gates: it is reported and judges nothing. */
export function tellText({ packets, packetsLow, packetsHigh }: TimeToTell, intervalNs: number): string {
  const time = (count: number) => count === Infinity ? "∞" : durationText(count * intervalNs / 1e9);
  const count = (value: number) => value === Infinity ? "∞" : value.toPrecision(2);
  return `T99 ${time(packets)} (${time(packetsLow)} to ${time(packetsHigh)}), ${count(packets)} packets`;
}

function durationText(seconds: number): string {
  const units: [number, string][] = [[31_557_600, "years"], [86_400, "days"], [3600, "h"], [60, "min"]];
  const unit = units.find(([size]) => seconds >= 2 * size);
  return unit === undefined
    ? `${seconds.toPrecision(2)} s`
    : `${(seconds / unit[0]).toPrecision(2)} ${unit[1]}`;
}
