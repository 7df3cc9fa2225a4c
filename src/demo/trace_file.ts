/** The slot trace of an end: a comment line with the time base, then `slot planned_ns actual_ns data_records flags`,
 * one line a slot. */

const FLAG_SKIPPED = 1;
const FLAG_LATE = 2;
const FLAG_SEND_ERROR = 8;
const FLAG_SOCKET_FULL = 16;

/** One slot as its sender planned it and did it. Times are on the sender's clock. */
export interface TracedSlot {
  readonly slot: number;
  readonly plannedNs: number;
  /** 0 when skipped. */
  readonly actualNs: number;
  readonly dataRecords: number;
  readonly skipped: boolean;
  readonly late: boolean;
  /** The kernel refused the record. */
  readonly refused: boolean;
  /** Skipped since a stream's socket had no room. */
  readonly socketFull?: boolean;
}

export interface TraceFile {
  /** Unix time in ns of the sender's time 0, exact to 256 ns; NaN when the file does not say. */
  readonly wallBaseNs: number;
  readonly slots: readonly TracedSlot[];
}

/** Reads a trace. Lines that are neither a comment nor five numbers are an error (RangeError with the line's number),
 * but for a last one without its end, which the sender was still writing. */
export function parseTraceFile(text: string): TraceFile {
  const lines = text.split("\n");
  lines.pop(); // Empty after the last line's end, or a part of a line.
  let wallBaseNs = NaN;
  const slots: TracedSlot[] = [];
  lines.forEach((line, index) => {
    if (line === "") return;
    if (line.startsWith("#")) {
      const found = /wall_base_ns\D*?(\d+(?:\.\d+)?(?:e\+?\d+)?)/.exec(line);
      if (found !== null) wallBaseNs = Number(found[1]);
      return;
    }
    const slot = parseSlot(line);
    if (slot === undefined) {
      throw new RangeError(`Cannot read line ${index + 1} of the slot trace: ${line.slice(0, 80)}`);
    }
    slots.push(slot);
  });
  return { wallBaseNs, slots };
}

function parseSlot(line: string): TracedSlot | undefined {
  const numbers = line.split(" ").map(Number);
  if (numbers.length !== 5 || numbers.some(Number.isNaN)) return undefined;
  const [slot, plannedNs, actualNs, dataRecords, flags] = numbers;
  return {
    slot,
    plannedNs,
    actualNs,
    dataRecords,
    skipped: (flags & FLAG_SKIPPED) !== 0,
    late: (flags & FLAG_LATE) !== 0,
    refused: (flags & FLAG_SEND_ERROR) !== 0,
    ...((flags & FLAG_SOCKET_FULL) !== 0 ? { socketFull: true } : {}),
  };
}
