/** G2: what one who sees times alone can learn, by classifiers that are told which training sessions were busy. The
 * null is the same with idle sessions on both sides: it shows what "chance" looks like on this machine. */

import type { Classifier, Example } from "./classifier.ts";
import { forest } from "./forest.ts";
import { type Gate, gate, verdictOf } from "./gate.ts";
import { logistic } from "./logistic.ts";
import { neighbours } from "./neighbours.ts";
import type { AuditSession } from "./session.ts";
import { SESSIONS_MIN, shuffle, validate, type Validated } from "./validation.ts";

export const AUC_BOUND = 0.55;
const CLASSIFIERS: readonly Classifier[] = [logistic, neighbours, forest];

export interface BlackBox {
  readonly gates: readonly Gate[];
  readonly results: readonly Validated[];
}

/** One gate for each classifier. */
export function blackBox(
  idle: readonly AuditSession[],
  busy: readonly AuditSession[],
  random: () => number,
): BlackBox {
  const examples = [...examplesOf(idle, false), ...examplesOf(busy, true)];
  return judged("G2", "load against idle", examples, random);
}

/** Idle against idle: half of the sessions, drawn at random, are called busy. Fails when that is told apart, which no
 * honest method can do better than chance: then the method is broken. */
export function nullTest(idle: readonly AuditSession[], random: () => number): BlackBox {
  const order = [...idle];
  shuffle(order, random);
  const half = order.length >> 1;
  const examples = [
    ...examplesOf(order.slice(0, half), false),
    ...examplesOf(order.slice(half), true),
  ];
  const { results } = judged("null", "idle against idle", examples, random);
  const gates = results.map((result) =>
    gate("null", `idle against idle, ${result.classifier}`, {
      value: result.auc,
      lower: result.lower,
      upper: result.upper,
      bound: AUC_BOUND,
      verdict: result.lower > 0.5 ? "fails" : "holds",
    })
  );
  return { gates, results };
}

function judged(id: Gate["id"], what: string, examples: readonly Example[], random: () => number): BlackBox {
  const busy = examples.filter((example) => example.busy).length;
  if (Math.min(busy, examples.length - busy) < SESSIONS_MIN) {
    const detail = `${examples.length - busy} and ${busy} sessions; ${SESSIONS_MIN} of each are the least`;
    return { gates: [gate(id, `times alone, ${what}`, { verdict: "not shown", detail })], results: [] };
  }
  const results = CLASSIFIERS.map((classifier) => validate(classifier, examples, random));
  const gates = results.map((result) =>
    gate(id, `times alone, ${what}, ${result.classifier}`, {
      value: result.auc,
      lower: result.lower,
      upper: result.upper,
      bound: AUC_BOUND,
      verdict: verdictOf(result, AUC_BOUND),
      detail: `AUC over ${examples.length - busy} and ${busy} sessions`,
    })
  );
  return { gates, results };
}

function examplesOf(sessions: readonly AuditSession[], busy: boolean): Example[] {
  return sessions.filter(({ features }) => features.length > 0).map(({ features }) => ({ features, busy }));
}
