/** Connection ids beyond the first, RFC 9147 §9: spare ones are handed out ahead, and used when the sender's address
 * changes, so that nobody sees one id at two places. Messages and their effects; when they are sent is the session's. */

import {
  CONNECTION_ID_USAGE,
  emitNewConnectionId,
  emitRequestConnectionId,
  parseNewConnectionId,
  parseRequestConnectionId,
} from "../wire/connection_id_messages.ts";
import { HANDSHAKE_TYPE } from "../wire/handshake_header.ts";

// Chosen here.
/** Ids kept of a peer's, and given to one. */
export const SPARE_IDS = 4;
const MESSAGES_MAX = 4;

/** Gives out connection ids for the peer's records. */
export interface OwnIdSource {
  /** Undefined: the peer has as many as it may. */
  issue(): Uint8Array | undefined;
  /** The peer has taken this one of them. */
  used(id: Uint8Array): void;
  close(): void;
}

export interface IdMessage {
  readonly type: number;
  readonly body: Uint8Array;
}

export class IdExchange {
  /** The peer wants another of its ids in what it receives, at once. For who uses one to put back. */
  mustChange = false;
  readonly #source: OwnIdSource | undefined;
  readonly #peerIdLen: number;
  readonly #spares: Uint8Array[] = [];
  readonly #messages: IdMessage[] = [];
  #isRequested = false;

  /** `source`: where this side's ids come from, if it has any; `peerIdLen`: of the ids that the peer gives, 0: none. */
  constructor(source: OwnIdSource | undefined, peerIdLen: number) {
    this.#source = source;
    this.#peerIdLen = peerIdLen;
  }

  /** The message to be sent, and repeated until `sent`. */
  get message(): IdMessage | undefined {
    return this.#messages[0];
  }

  /** It is acknowledged. */
  sent(): void {
    this.#messages.shift();
  }

  /** An authentic record has come with this id. To be told at least before what such a record asks for. */
  used(id: Uint8Array): void {
    this.#source?.used(id);
  }

  /** Hands the peer `count` ids for later, or as many as it may have, if none an empty list: an answer. */
  offer(count: number): void {
    const source = this.#source;
    if (source === undefined || this.#messages.length >= MESSAGES_MAX) return;
    const ids = Array.from({ length: count }, () => source.issue()).filter((id) => id !== undefined);
    const body = emitNewConnectionId({ ids, usage: CONNECTION_ID_USAGE.spare });
    this.#messages.push({ type: HANDSHAKE_TYPE.newConnectionId, body });
  }

  /** Ids of the peer's that have not been used. */
  get spareCount(): number {
    return this.#spares.length;
  }

  /** One of them, or undefined; another one is asked for in its place. Each is given once. */
  takeSpare(): Uint8Array | undefined {
    const id = this.#spares.shift();
    // RFC 9147 §9: never a second request before the first is fulfilled.
    if (this.#peerIdLen > 0 && !this.#isRequested && this.#messages.length < MESSAGES_MAX) {
      this.#isRequested = true;
      const body = emitRequestConnectionId(SPARE_IDS - this.#spares.length);
      this.#messages.push({ type: HANDSHAKE_TYPE.requestConnectionId, body });
    }
    return id;
  }

  /** Takes a message; false: it is none of these two, malformed, or nothing was agreed on that it could be about. */
  receive(type: number, body: Uint8Array): boolean {
    if (type === HANDSHAKE_TYPE.requestConnectionId) return this.#request(parseRequestConnectionId(body));
    const message = type === HANDSHAKE_TYPE.newConnectionId ? parseNewConnectionId(body) : undefined;
    if (message === undefined || this.#peerIdLen === 0) return false;
    this.#isRequested = false;
    // All records of a train have one length, so an id of another is of no use.
    const usable = message.ids.filter(({ length }) => length === this.#peerIdLen);
    if (message.usage === CONNECTION_ID_USAGE.immediate && usable.length > 0) {
      this.#spares.length = 0; // RFC 9147 §9: those before are not to be used any more
      this.mustChange = true;
    }
    for (const id of usable) if (this.#spares.length < SPARE_IDS) this.#spares.push(id.slice());
    return true;
  }

  /** RFC 9147 §9: fewer than asked for may be given. */
  #request(count: number | undefined): boolean {
    if (count === undefined || this.#source === undefined) return false;
    if (count > 0) this.offer(Math.min(count, SPARE_IDS));
    return true;
  }

  close(): void {
    this.#source?.close();
    this.#spares.length = this.#messages.length = 0;
  }
}
