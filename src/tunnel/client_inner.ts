/** What a client says within its session: one implementation for each version of the inner protocol. The plane lends it
 * the line, and tells it what happens. */

import { equalsConstantTime } from "../base/mod.ts";
import type { FrameDialect } from "../framing/unpacker.ts";
import type { Memory } from "../ports/mod.ts";
import type { Session } from "../session/session.ts";
import { emitClose, parseServerWelcome } from "../wire/inner_control.ts";
import { clientParameters } from "./client_parameters.ts";
import { INNER_TYPE } from "../wire/inner_frame.ts";
import type { DataCounters } from "./counters.ts";
import type { Emitter, RecordPrefix } from "./emitter.ts";
import type { ClientWorkerConfig, WorkerEvent } from "./messages.ts";
import { CONNECTION_ID_LEN } from "./own_ids.ts";
import type { Peer } from "./peer.ts";

// Chosen here.
/** Goodbye: how many slots carry it before the train ends. */
export const CLOSE_SLOTS = 3;

/** What the plane lends. */
export interface ClientLine {
  readonly memory: Memory;
  readonly counters: DataCounters;
  readonly peer: Peer;
  readonly emitter: Emitter;
  readonly nowNs: number;
  /** The pacer seals with the key of `session` from its next slot on. */
  useSession(session: Session): void;
  /** What waits leaves under the session's key, and behind it slots carry random bytes in a record's form. */
  leaveSession(): void;
  /** The server has said what it does with this session: `peer.open` is set. */
  welcomed(): void;
  /** RFC 8446 §6.1, as a record of its own; only under a session's key. */
  sayCloseNotify(): void;
  /** Gives the session up: another handshake follows. */
  end(reason: string): void;
  tell(event: WorkerEvent): void;
}

export interface ClientInner {
  /** Undefined: those of version 1. */
  readonly frames: FrameDialect | undefined;
  readonly prefix: RecordPrefix | undefined;
  /** Of the connection id in its records, 0 for none. */
  readonly cidLen: number;
  /** Whether a server that says nothing has to be given up. */
  readonly isSilenceBad: boolean;
  /** A handshake has made `session`; its Finished is still on its way through the slots. */
  begin(session: Session): void;
  /** The server has the Finished. May be told more than once. */
  acknowledged(): void;
  /** A control frame of the current session: its body. */
  control(type: number, off: number, len: number): void;
  /** Now and then. */
  keep(): void;
  /** The session is given up. */
  lost(): void;
  /** The train is about to end. */
  goodbye(): void;
}

/** Version 1. */
export class ClientInnerV1 implements ClientInner {
  readonly frames = undefined;
  readonly prefix = undefined;
  readonly cidLen = CONNECTION_ID_LEN;
  readonly isSilenceBad = true;
  readonly #config: ClientWorkerConfig;
  readonly #line: ClientLine;
  #welcomed = false;

  constructor(config: ClientWorkerConfig, line: ClientLine) {
    this.#config = config;
    this.#line = line;
  }

  /** The key changes behind the Finished in any case, since a raw datagram is not sealed by the pacer. */
  begin(session: Session): void {
    this.#welcomed = false;
    this.#line.useSession(session);
    this.#sendParameters();
  }

  acknowledged(): void {}

  #sendParameters(): void {
    const { up, down, nonce } = this.#config;
    this.#line.emitter.control(clientParameters(up, down, nonce));
  }

  control(type: number, off: number, len: number): void {
    const { memory, peer } = this.#line;
    if (type === INNER_TYPE.close) return this.#line.end("the server closed the session");
    // What the old session says is not meant for the one that is about to replace it.
    if (type !== INNER_TYPE.serverWelcome || peer.pending !== undefined) return;
    const body = memory.u8.slice(off, off + len);
    const welcome = parseServerWelcome(body);
    if (welcome === undefined) {
      this.#line.counters.add("control_malformed");
    } else if (!this.#welcomed && equalsConstantTime(welcome.nonce, this.#config.nonce)) {
      this.#welcomed = true;
      peer.open = welcome.status === 0 || welcome.status === 1;
      this.#line.welcomed();
      this.#line.tell({ type: "welcome", client: 0, body });
    }
  }

  keep(): void {
    const { peer, emitter } = this.#line;
    const isOpen = peer.current !== undefined && this.#welcomed;
    if (emitter.saying || (peer.pending === undefined && (isOpen || peer.current === undefined))) return;
    this.#sendParameters();
  }

  /** The old keys go on until the new session has its own. */
  lost(): void {}

  goodbye(): void {
    if (this.#line.peer.current === undefined) return;
    for (let i = 0; i < CLOSE_SLOTS; i++) this.#line.emitter.control(emitClose(0));
    this.#line.sayCloseNotify();
  }
}
