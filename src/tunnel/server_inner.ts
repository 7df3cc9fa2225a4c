/** What a server says within the session of one client: one implementation for each version of the inner protocol. The
 * plane lends it the line to its client, and tells it what happens. */

import type { FrameDialect } from "../framing/unpacker.ts";
import type { Memory } from "../ports/mod.ts";
import type { Session } from "../session/session.ts";
import type { DataCounters } from "./counters.ts";
import type { EmitterOptions } from "./emitter.ts";
import type { ServerWorkerClient, ServerWorkerConfig, TrainParameters, WorkerEvent } from "./messages.ts";
import type { Peer } from "./peer.ts";

// Chosen here.
/** Goodbye: how many slots carry it before the train ends. */
export const CLOSE_SLOTS = 3;

/** What of a train the inner protocol adds. */
export type TrainExtras = Pick<EmitterOptions, "prefix" | "counted">;

/** What the plane lends. */
export interface ServerLine {
  readonly memory: Memory;
  readonly counters: DataCounters;
  readonly config: ServerWorkerConfig;
  readonly client: ServerWorkerClient;
  readonly peer: Peer;
  readonly nowNs: number;
  /** Has the peer's train leave under `session`: the same one goes on, one slot with the old keys and the next with the
   * new; another one begins. Says why not, when there is no memory for it. */
  useTrain(session: Session, train: TrainParameters, extras?: TrainExtras): string | undefined;
  /** Sends a datagram beside all slots: an answer to what is authentic, before the train begins. */
  sendNow(datagram: Uint8Array): void;
  /** RFC 8446 §6.1, in the peer's train. */
  sayCloseNotify(): void;
  /** Records a nanosecond that the client sends at most. */
  setReceiveRate(session: Session, rate: number): void;
  /** Ends the session and its train. */
  end(reason: string): void;
  tell(event: WorkerEvent): void;
}

export interface ServerInner {
  /** Undefined: those of version 1. */
  readonly frames: FrameDialect | undefined;
  /** Silence after which the client is given up, if it has said one. */
  readonly timeoutNs: number | undefined;
  /** A control frame of the current session: its body. */
  control(session: Session, type: number, off: number, len: number): void;
  /** Now and then. */
  keep(): void;
  /** The train is about to end. */
  goodbye(): void;
  /** The session is gone. */
  ended(): void;
}
