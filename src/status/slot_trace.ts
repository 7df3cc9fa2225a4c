/** The slot trace as a file: a heading with the time base, then one line a slot,
 *
 *     slot planned_ns actual_ns data_records flags
 *
 * times in ns since the heading's wall_base_ns (Unix time); actual_ns is 0 for a skipped slot; flags: 1 skipped, 2 late,
 * 4 run by the repeat rule, 8 refused by the kernel. It tells data slots from chaff, so only its owner may read it. */

import { StatusError } from "./status_server.ts";

export interface SlotTraceEntry {
  readonly slot: number;
  readonly plannedNs: number;
  readonly actualNs: number;
  readonly dataRecords: number;
  readonly flags: number;
}

// Chosen here.
const BYTES_MAX = 2 ** 30;
const BATCH_LEN = 1 << 16;
const NOTE_FULL = "# full\n";

export class SlotTraceFile {
  readonly #file: Deno.FsFile;
  #left: number;
  #text = "";

  /** Makes the file anew, mode 0600. It grows to `bytesMax` bytes and ends there with the line "# full". Throws
   * StatusError. */
  static open(path: string, wallBaseNs: number, bytesMax = BYTES_MAX): SlotTraceFile {
    try {
      const file = Deno.openSync(path, { write: true, create: true, truncate: true, mode: 0o600 });
      return new SlotTraceFile(file, wallBaseNs, bytesMax);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new StatusError(
        `Cannot write the slot trace ${path}: ${reason}; choose another status.slot_trace`,
      );
    }
  }

  private constructor(file: Deno.FsFile, wallBaseNs: number, bytesMax: number) {
    this.#file = file;
    this.#left = bytesMax - NOTE_FULL.length;
    this.#line(
      `# i405 slot trace 1: slot planned_ns actual_ns data_records flags; wall_base_ns=${wallBaseNs}\n`,
    );
    this.#flush();
  }

  /** Whether the file has reached its bound: nothing is written any more. */
  get isFull(): boolean {
    return this.#left < 0;
  }

  /** Writes all of `entries` that there is room for. Throws what the file system throws. */
  write(entries: Iterable<SlotTraceEntry>): void {
    for (const { slot, plannedNs, actualNs, dataRecords, flags } of entries) {
      if (this.isFull) continue; // the reader's place moves on all the same
      this.#line(`${slot} ${plannedNs} ${actualNs} ${dataRecords} ${flags}\n`);
    }
    this.#flush();
  }

  close(): void {
    this.#file.close();
  }

  #line(line: string): void {
    this.#left -= line.length;
    if (this.#left < 0) {
      this.#text += NOTE_FULL;
      return;
    }
    this.#text += line;
    if (this.#text.length >= BATCH_LEN) this.#flush();
  }

  #flush(): void {
    const bytes = new TextEncoder().encode(this.#text);
    this.#text = "";
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
  }
}
