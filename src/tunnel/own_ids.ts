/** Connection ids that this side gives out: each leads from a record to its session in constant time (RFC 9147 §9). */

import { equalsConstantTime } from "../base/mod.ts";
import type { Entropy, PacketIo } from "../ports/mod.ts";

// Chosen here.
/** Bytes of each id: none is guessed, none is drawn twice. */
export const CONNECTION_ID_LEN = 8;
/** Ids of one session that are valid at a time: the one in use, those before it on their way, the spare ones. */
export const IDS_MAX = 8;

export function newConnectionId(entropy: Entropy, len = CONNECTION_ID_LEN): Uint8Array {
  const id = new Uint8Array(len);
  entropy.fill(id);
  return id;
}

/** The ids of one session, the oldest first. A peer uses them in the order of issue: those before the one in use are only
 * on records that are still on their way, and give way to new ones. The one in use never does, nor do those behind it,
 * whatever is asked for: a peer that has moved before it had a spare one uses the first, and has those after it. */
export class OwnIds {
  readonly #io: PacketIo;
  readonly #entropy: Entropy;
  readonly #session: number;
  readonly #ids: Uint8Array[] = [];
  /** Place of the newest one that the peer has used. */
  #inUse = 0;

  /** `session`: what the table of a PacketIo shall give for records with any of them. */
  constructor(io: PacketIo, entropy: Entropy, session: number, first: Uint8Array) {
    this.#io = io;
    this.#entropy = entropy;
    this.#session = session;
    this.#add(first);
  }

  get count(): number {
    return this.#ids.length;
  }

  /** A new id; undefined while there are IDS_MAX, none of them older than the one in use. */
  issue(): Uint8Array | undefined {
    if (this.#ids.length === IDS_MAX && !this.#dropOldest()) return undefined;
    const id = newConnectionId(this.#entropy);
    this.#add(id);
    return id;
  }

  /** An authentic record has come with this one. */
  used(id: Uint8Array): void {
    for (let i = this.#ids.length - 1; i > this.#inUse; i--) {
      if (equalsConstantTime(this.#ids[i], id)) this.#inUse = i;
    }
  }

  /** Makes all of them invalid. */
  close(): void {
    for (const id of this.#ids.splice(0)) this.#io.setPeerOfId(id, -1);
    this.#inUse = 0;
  }

  #dropOldest(): boolean {
    if (this.#inUse === 0) return false;
    this.#inUse--;
    this.#io.setPeerOfId(this.#ids.shift()!, -1);
    return true;
  }

  #add(id: Uint8Array): void {
    this.#ids.push(id.slice());
    this.#io.setPeerOfId(id, this.#session);
  }
}
