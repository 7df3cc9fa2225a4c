/** The turns of loads.ts as a Markdown page. Pure. */

import { histogramBucketNs, histogramQuantile } from "../../ffi/mod.ts";
import type { Machine } from "../../src/demo/result.ts";
import type { Turn } from "./loads.ts";

export interface LoadsResult {
  readonly date: string;
  readonly machine: Machine;
  /** Processes that wanted a CPU in the minute before: what else the machine was doing. */
  readonly loadAverageBefore: number;
  readonly intervalUs: number;
  readonly pollMode: string;
  readonly turnS: number;
  readonly turns: readonly Turn[];
}

const us = (ns: number) => (ns / 1e3).toFixed(2);

/** All turns of one pacer under one load, added up. */
function sumOf(turns: readonly Turn[]) {
  const sum = (of: (turn: Turn) => number) => turns.reduce((total, turn) => total + of(turn), 0);
  const histogram = turns[0].histogram.map((_, bucket) => sum((turn) => turn.histogram[bucket]));
  return {
    histogram,
    slots: sum(({ slots }) => slots),
    skipped: sum(({ skipped }) => skipped),
    late: sum(({ late }) => late),
    gaps: sum(({ arrived }) => arrived.gaps),
    gapMaxNs: Math.max(...turns.map(({ arrived }) => arrived.gap_max)),
    arrivedP99Ns: middle(turns.map(({ arrived }) => arrived.p99)),
    arrivedP999Ns: middle(turns.map(({ arrived }) => arrived.p999)),
  };
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

export function loadsTable(result: LoadsResult): string {
  const { machine, date, loadAverageBefore, intervalUs, pollMode, turnS, turns } = result;
  const rows: string[] = [];
  for (const load of new Set(turns.map(({ load }) => load))) {
    for (const pacer of ["i405", "bare C"] as const) {
      const mine = turns.filter((turn) => turn.load === load && turn.pacer === pacer);
      if (mine.length === 0) continue;
      const { histogram, slots, skipped, late, gaps, gapMaxNs, arrivedP99Ns, arrivedP999Ns } = sumOf(mine);
      const quantiles = [0.5, 0.99, 0.999].map((q) => us(histogramQuantile(histogram, q)));
      const max = us(histogramBucketNs(histogram.findLastIndex((count) => count > 0)));
      const cells = [load, pacer, mine.length, slots, skipped, late, ...quantiles, max];
      rows.push(
        `| ${
          [...cells, us(arrivedP99Ns), us(arrivedP999Ns), gaps, (gapMaxNs / 1e6).toFixed(1)].join(" | ")
        } |`,
      );
    }
  }
  return [
    "# Slots of one end beside loads",
    "",
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; ${date}; load average before ${
      loadAverageBefore.toFixed(1)
    }.`,
    `Slots of ${intervalUs} µs, poll mode ${pollMode}, no jitter; turns of ${turnS} s, ours and the bare pacer's in turn.`,
    "P50 to max, µs: the send call from its slot, all turns together. Arrival: the kernel's stamp at the far end of the",
    "link from the fitted grid, the median turn's. Gaps: between packets, longer than 5 ms and an interval.",
    "",
    "| load | pacer | turns | slots | skipped | late > 100 µs | P50 | P99 | P99.9 | max | arrival P99 | arrival P99.9 | gaps | longest gap, ms |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...rows,
    "",
  ].join("\n");
}
