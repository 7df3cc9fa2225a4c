/** What an audit is asked for. */

import type { DemoPorts } from "../demo/ports.ts";
import type { LoadClass } from "./session.ts";

export interface AuditPorts extends DemoPorts {
  /** CPUs of the calling thread: all but `cpuNot`. */
  threadSetup(nice: number, cpuNot?: number): boolean;
}

/** "on": as a tunnel has it by default; "off": none; "both": one after the other, half of the time each. */
export type JitterChoice = "on" | "off" | "both";

/** As in `[tunnel] mode`. */
export type TunnelMode = "tun" | "udp" | "tcp";

export interface AuditOptions {
  /** Of this program, for the report. */
  readonly version: string;
  /** Of measurement, in all. */
  readonly minutes: number;
  readonly jitter: JitterChoice;
  readonly loads: readonly LoadClass[];
  readonly mode: TunnelMode;
  readonly intervalNs: number;
  /** Packets of a slot. */
  readonly burst: number;
  readonly pollMode: string;
  readonly schedFifo: boolean;
  /** Print the result as JSON instead of words. */
  readonly json?: boolean;
  /** Where the page goes. */
  readonly out: string;
  /** Directory for what was seen and planned; undefined: it is not kept. */
  readonly traces?: string;
  /** A client that runs, in place of a tunnel made for the audit. */
  readonly tap?: TapOptions;
  /** Whole number; a run with the same one has the same order of loads. */
  readonly seed: number;
}

export interface TapOptions {
  /** Where its packets leave this machine. */
  readonly interfaceName: string;
  /** Its status.slot_trace. */
  readonly planPath: string;
  readonly serverPort: number;
  /** Inner address of its server, to which the load "bulk up" sends datagrams. */
  readonly inner?: string;
}
