/** What the demonstration needs of the machine and may not fetch for itself. The shim of ffi/ has all of it. */

import type { Clock, Memory } from "../ports/mod.ts";

export interface DemoPorts {
  readonly memory: Memory;
  /** Frames at an interface with the kernel's time stamps: `read` writes up to `max` SEEN structs at `out`. */
  observeOpen(
    interfaceName: string,
    incomingOnly?: boolean,
  ): { read(out: number, max: number, timeoutMs: number): number };
  readonly clock: Clock;
  /** Text of a file also in /proc; `undefined` when there is none to read. */
  readFile(path: string): string | undefined;
}

export interface DemoOptions {
  /** Of this program, for the report. */
  readonly version: string;
  /** Print the result as JSON instead of words. */
  readonly json?: boolean;
  /** Where the page goes; ./demo.html unless given. */
  readonly out?: string;
  /** Length of the measured part; 24 unless given, at least 8. */
  readonly seconds?: number;
  /** Keep the directory with configurations, traces and what was seen, and say where it is. */
  readonly keep?: boolean;
}
