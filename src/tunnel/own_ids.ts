/** Connection ids that this side gives out: each leads from a record to its session in constant time (RFC 9147 §9). */

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

/** The ids of one session, the oldest first. */
export class OwnIds {
  readonly #io: PacketIo;
  readonly #entropy: Entropy;
  readonly #session: number;
  readonly #ids: Uint8Array[] = [];

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

  /** A new id. A peer uses them in the order of issue and asks for one for each that it takes: the oldest gives way when
   * there are too many. */
  issue(): Uint8Array {
    const id = newConnectionId(this.#entropy);
    this.#add(id);
    return id;
  }

  /** Makes all of them invalid. */
  close(): void {
    for (const id of this.#ids.splice(0)) this.#io.setPeerOfId(id, -1);
  }

  #add(id: Uint8Array): void {
    if (this.#ids.length === IDS_MAX) this.#io.setPeerOfId(this.#ids.shift()!, -1);
    this.#ids.push(id.slice());
    this.#io.setPeerOfId(id, this.#session);
  }
}
