/** From rounds to sessions over TCP: records in place of packets, and what the kernel adds to them. */

import { DirectionEvidence, type DirectionPlan } from "./evidence.ts";
import type { DirectionJudgement, JudgeOptions } from "./judge.ts";
import type { Round } from "./lab.ts";
import type { TunnelMode } from "./options.ts";
import { TcpExactCounts } from "./tcp_exact.ts";
import { KernelEvidence, withKernel } from "./tcp_kernel.ts";

class TcpEvidence extends DirectionEvidence {
  readonly #kernel: KernelEvidence;
  readonly #counts: TcpExactCounts;

  constructor(plan: DirectionPlan) {
    const counts = new TcpExactCounts();
    super(plan, counts);
    this.#counts = counts;
    this.#kernel = new KernelEvidence(plan);
  }

  override add(round: Round): void {
    super.add(round);
    this.#kernel.add(round);
  }

  override judge(options: JudgeOptions): DirectionJudgement {
    const judgement = withKernel(super.judge(options), this.#kernel.sessions, options.random);
    return { ...judgement, note: this.#counts.note() };
  }
}

/** What is to be gathered of one direction of a tunnel of this mode. */
export function evidenceFor(mode: TunnelMode, plan: DirectionPlan): DirectionEvidence {
  return mode === "tcp" ? new TcpEvidence(plan) : new DirectionEvidence(plan);
}
