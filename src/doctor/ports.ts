/** What the doctor may look at. Everything is read; nothing of the machine is changed. */

export interface DoctorPorts {
  /** Text of a file, also in /proc and /sys; undefined when there is none to read. */
  readFile(path: string): string | undefined;
  /** Runs a program to its end; code 127 when there is none. */
  run(command: readonly string[]): Promise<{ readonly code: number; readonly stdout: string }>;
  /** Wake-up latency of a pacer thread over `ms`, with what it asked for and did not get. */
  measure(ms: number, fifo: boolean): WakeUps;
  /** Why a TUN device cannot be made; undefined when one can. */
  tunRefusal(): string | undefined;
  readonly isRoot: boolean;
}

/** How late a thread wakes from sleeps of 200 to 500 µs, ns. */
export interface WakeUps {
  readonly p50Ns: number;
  readonly p99Ns: number;
  readonly p999Ns: number;
  /** What was asked for and not had. */
  readonly noFifo: boolean;
  readonly noLock: boolean;
  readonly sharedCpu: boolean;
  /** -1: not pinned. */
  readonly cpu: number;
}

/** good: as it should be. note: costs something, or is worth knowing. bad: slots will be late or the program will not
 * run. unknown: this machine does not say. */
export type Condition = "good" | "note" | "bad" | "unknown";

export interface Finding {
  readonly id: string;
  readonly name: string;
  readonly condition: Condition;
  readonly found: string;
  /** What to do about it; "" when there is nothing to do. */
  readonly remedy: string;
}
