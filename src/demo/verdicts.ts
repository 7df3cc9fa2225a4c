/** The promises that a demonstration checks, each with what was found. Pure. Counts are judged exactly; times only
 * grossly: a busy machine may be late, `i405 audit` is where times are judged. */

import type { DirectionView, UserView, Verdict } from "./result.ts";

// Chosen here: gross differences of the middle of the deviations, idle against busy.
const MEDIAN_SHIFT_MAX_SHARE = 0.05; // of the interval
const MEDIAN_SHIFT_MIN_US = 20;

/** All promises, those of the observer first. Without real-time scheduling nothing is promised about times. */
export function judge(user: UserView, directions: readonly DirectionView[], realTime: boolean): Verdict[] {
  return [
    ...directions.flatMap((view) => [
      oneLength(view),
      packetsAreSlots(view),
      constantHeaders(view),
      nothingElse(view),
      ...(realTime ? [timesAlike(view)] : []),
    ]),
    dataArrived(user),
  ];
}

function oneLength(view: DirectionView): Verdict {
  const lengths = view.lengths.map(([len]) => len);
  return {
    name: `${view.name}: every packet has one length`,
    holds: lengths.length === 1 && lengths[0] === view.packetLen,
    detail: lengths.length === 0 ? "no packet was seen" : `${lengths.join(", ")} bytes`,
  };
}

function packetsAreSlots(view: DirectionView): Verdict {
  const sum = view.packets + view.skipped + view.refused;
  const refused = view.refused === 0 ? "" : ` + ${view.refused} refused by the kernel`;
  return {
    name: `${view.name}: packets + skipped = slots`,
    holds: view.slots > 0 && sum === view.slots,
    detail: `${view.packets} + ${view.skipped}${refused} ${sum === view.slots ? "=" : "≠"} ${view.slots}`,
  };
}

function constantHeaders(view: DirectionView): Verdict {
  const identification = view.identification !== "irregular";
  return {
    name: `${view.name}: every header field is constant`,
    holds: view.headers.length === 1 && view.recordHeaders.length === 1 && identification,
    detail: [
      ...view.headers,
      `IP identification ${view.identification}`,
      `record header ${view.recordHeaders.join(" | ")}`,
    ].join("; "),
  };
}

function nothingElse(view: DirectionView): Verdict {
  return {
    name: `${view.name}: nothing else on the link`,
    holds: view.otherFrames === 0,
    detail: `${view.otherFrames} other frames`,
  };
}

function timesAlike(view: DirectionView): Verdict {
  const { idle, busy } = view.classes;
  const shiftUs = Math.abs(busy.deviationUs.p50 - idle.deviationUs.p50);
  const boundUs = Math.max(MEDIAN_SHIFT_MIN_US, MEDIAN_SHIFT_MAX_SHARE * view.intervalNs / 1e3);
  const comparable = Number.isFinite(shiftUs);
  return {
    name: `${view.name}: times idle and busy are grossly alike`,
    holds: comparable && shiftUs <= boundUs,
    detail: comparable
      ? `medians of the deviation from plan differ by ${shiftUs.toFixed(2)} µs (bound ${boundUs} µs)`
      : "packets and slots could not be paired",
  };
}

function dataArrived({ download, upload }: UserView): Verdict {
  return {
    name: "user: every byte arrived as it was sent",
    holds: download.equal && upload.equal && download.bytes > 0 && upload.bytes > 0,
    detail: `${download.bytes} bytes down, ${upload.bytes} bytes up`,
  };
}

/** How alike two distributions are, in words, from their distance (0..1) and the size of the smaller sample: below
 * what chance alone makes with one sample in a hundred (1.63 √(2/n)) nothing was seen. */
export function alikeText(distance: number, count: number): string {
  if (!Number.isFinite(distance) || count === 0) return "not comparable";
  if (distance <= 1.63 * Math.sqrt(2 / count)) return "no difference to be seen in this sample";
  if (distance < 0.1) return "a small difference, of the size that neighbours on one machine make";
  if (distance < 0.3) return "a difference that a longer look would use";
  return "a clear difference";
}
