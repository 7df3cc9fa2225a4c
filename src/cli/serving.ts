/** One way in which a server serves its clients: UDP with a TUN device, or TCP. */

import type { Shim } from "../../ffi/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import type { LongTermKey } from "../handshake/psk_directory.ts";
import type { Log } from "../status/log.ts";
import type { PacerReport, PacerSettings } from "../tunnel/messages.ts";
import type { Runtime } from "./runtime.ts";
import type { ServerClients } from "./server_clients.ts";

/** What all ways have in common. */
export interface ServingContext {
  readonly config: ServerConfig;
  readonly shim: Shim;
  readonly shimPath: string;
  readonly log: Log;
  readonly clients: ServerClients;
  /** By client; wiped once each way has taken what it needs. */
  readonly keys: readonly LongTermKey[];
  readonly policy: { readonly suites: readonly number[]; readonly groups: readonly number[] };
  readonly rekeyRecords: number;
}

export interface Serving {
  readonly runtime: Runtime;
  /** Where it listens, as text. */
  readonly listening: readonly string[];
  /** For the status. */
  counters(): Readonly<Record<string, number>>;
  /** Starts the data Worker. One of them starts the pacer, the others are told what it has found. */
  start(pacer: PacerSettings | PacerReport, traceCount: number): void;
  /** Says goodbye in slots and ends the Worker. */
  stop(): Promise<void>;
  /** Gives back what rings and Worker had; after the pacer has stopped. */
  close(): void;
}
