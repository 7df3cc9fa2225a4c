/** What one test of the proof found. Too few samples are "not shown", never a pass. */

export type GateVerdict = "holds" | "fails" | "not shown";

export interface Gate {
  readonly id: "G0" | "G1" | "G2" | "G3" | "ACK" | "null";
  readonly name: string;
  readonly verdict: GateVerdict;
  /** What was measured, with one-sided bounds, 99.9 % below and 95 % above; NaN where there is no number. */
  readonly value: number;
  readonly lower: number;
  readonly upper: number;
  /** What `upper` must not pass. */
  readonly bound: number;
  readonly unit: string;
  readonly detail: string;
}

/** A gate, with NaN and "" for what is left out. */
export function gate(
  id: Gate["id"],
  name: string,
  found: Partial<Omit<Gate, "id" | "name">> & Pick<Gate, "verdict">,
): Gate {
  return { id, name, value: NaN, lower: NaN, upper: NaN, bound: NaN, unit: "", detail: "", ...found };
}

/** "holds" when even the upper bound is within `bound`, "fails" when even the lower one is beyond. */
export function verdictOf({ lower, upper }: { lower: number; upper: number }, bound: number): GateVerdict {
  return upper <= bound ? "holds" : lower > bound ? "fails" : "not shown";
}

/** 0 every gate holds, 1 one fails, 2 one is not shown. */
export function exitCodeOf(gates: readonly Gate[]): 0 | 1 | 2 {
  if (gates.some(({ verdict }) => verdict === "fails")) return 1;
  return gates.some(({ verdict }) => verdict === "not shown") ? 2 : 0;
}
