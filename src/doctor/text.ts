/** The examination as a table for people. Pure. */

import type { Examination } from "./examine.ts";

const MARK = { good: "good", note: "note", bad: "BAD", unknown: "?" } as const;
const us = (ns: number) => (ns / 1e3).toFixed(1);

export function examinationText({ findings, wakeUps, expected, intervalNs, isFit }: Examination): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  return [
    ...findings.flatMap(({ name, condition, found, remedy }) => [
      `${MARK[condition].padEnd(5)} ${name.padEnd(width)}  ${found}`,
      ...(remedy === "" ? [] : [`${" ".repeat(width + 8)}→ ${remedy}`]),
    ]),
    "",
    `Wake-ups of a thread like the pacer's: ${us(wakeUps.p50Ns)} µs late (P50), ${us(wakeUps.p99Ns)} (P99), ${
      us(wakeUps.p999Ns)
    } (P99.9)${wakeUps.cpu < 0 ? "" : `, on CPU ${wakeUps.cpu}`}.`,
    `To be expected with slots of ${intervalNs / 1e6} ms:`,
    ...expected.map(({ mode, text }) => `  ${mode.padEnd(7)} ${text}`),
    "",
    isFit
      ? "Nothing stands in the way of exact times."
      : "What is marked BAD makes slots late or keeps the program from running.",
  ].join("\n");
}
