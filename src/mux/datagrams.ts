/** Datagrams of a UDP association: unreliable and bounded. Bodies are an address and a payload, as on the wire. */

import { Fifo } from "./fifo.ts";

// Chosen here.
/** Bytes and datagrams that wait for one association. */
const WAITING_LEN_MAX = 128 * 1024;
const WAITING_COUNT_MAX = 256;
/** Bytes that wait for all together. */
export const WAITING_ALL_MAX = 4 * 1024 * 1024;
/** Datagrams in parts that are put together at a time. */
const PARTIAL_MAX = 16;

/** What all associations share. */
export class DatagramBudget {
  waitingLen = 0;
  dropped = 0;
}

export class DatagramQueue {
  /** How much of the oldest one has been sent, and its number if it goes in parts. */
  sentLen = 0;
  number = 0;
  readonly #budget: DatagramBudget;
  readonly #bodies = new Fifo<Uint8Array>();
  #len = 0;

  constructor(budget: DatagramBudget) {
    this.#budget = budget;
  }

  get front(): Uint8Array | undefined {
    return this.#bodies.peek();
  }

  /** When too much waits, the oldest are dropped; one for which all others leave no room is dropped itself. */
  push(body: Uint8Array): void {
    this.#bodies.push(body);
    this.#add(body.length);
    while (
      this.#bodies.count > WAITING_COUNT_MAX || this.#len > WAITING_LEN_MAX ||
      (this.#budget.waitingLen > WAITING_ALL_MAX && this.#bodies.count > 0)
    ) {
      this.shift();
      this.#budget.dropped++;
    }
  }

  shift(): void {
    this.#add(-(this.#bodies.shift()?.length ?? 0));
    this.sentLen = 0;
    this.number = (this.number + 1) & 0xffff;
  }

  clear(): void {
    this.#bodies.clear();
    this.#add(-this.#len);
  }

  #add(len: number): void {
    this.#len += len;
    this.#budget.waitingLen += len;
  }
}

interface Partial {
  readonly number: number;
  readonly body: Uint8Array;
  have: number;
}

/** Puts parts together that come in order; a part that does not continue what is there drops that. */
export class DatagramParts {
  dropped = 0;
  readonly #partials = new Map<number, Partial>();

  /** The whole body when this was its last part. */
  add(
    id: number,
    number: number,
    bodyLen: number,
    offset: number,
    part: Uint8Array,
  ): Uint8Array | undefined {
    let partial = this.#partials.get(id);
    if (offset === 0) {
      this.drop(id);
      partial = this.#begin(id, number, bodyLen);
    }
    const fits = partial !== undefined && partial.number === number && partial.have === offset &&
      partial.body.length === bodyLen;
    if (!fits) {
      this.dropped++;
      return undefined;
    }
    partial!.body.set(part, offset);
    partial!.have += part.length;
    if (partial!.have < bodyLen) return undefined;
    this.#partials.delete(id);
    return partial!.body;
  }

  /** The association is over, or its datagram in parts is given up. */
  drop(id: number): void {
    if (this.#partials.delete(id)) this.dropped++;
  }

  clear(): void {
    this.#partials.clear();
  }

  #begin(id: number, number: number, bodyLen: number): Partial {
    const [oldest] = this.#partials.keys();
    if (this.#partials.size >= PARTIAL_MAX) this.drop(oldest);
    const partial = { number, body: new Uint8Array(bodyLen), have: 0 };
    this.#partials.set(id, partial);
    return partial;
  }
}
