/** Whose bytes go next: deficit round robin over the streams that have some, with a head start, once a round, for
 * those that had none. So a stream that sends little, or has just begun, never waits behind the bulk of others; and
 * whatever it does, it gets no more than twice its share. Each step costs the same for any count of streams. */

import { Fifo } from "./fifo.ts";

// Chosen here.
/** Bytes of a turn: about a record. */
export const QUANTUM = 1400;

/** What the queue keeps of each stream; only the queue changes it. */
export class Turn {
  queued = false;
  /** Bytes that are left of the turn. */
  deficit = 0;
  /** The round in which the head start was given. */
  round = -1;
}

export interface Sender {
  readonly turn: Turn;
  readonly sendable: boolean;
}

export class FairQueue<T extends Sender> {
  readonly #fresh = new Fifo<T>();
  readonly #steady = new Fifo<T>();
  #round = 0;
  #roundLeft = 0;

  /** Streams queued; some may have lost what they had. */
  get count(): number {
    return this.#fresh.count + this.#steady.count;
  }

  /** Somebody has a head start, and something to send. */
  get hasFresh(): boolean {
    return this.head() !== undefined && this.#fresh.count > 0;
  }

  /** The stream has something to send. */
  activate(sender: T): void {
    const { turn } = sender;
    if (turn.queued) return;
    turn.queued = true;
    if (turn.round !== this.#round) {
      turn.round = this.#round;
      turn.deficit = QUANTUM;
    }
    (turn.deficit > 0 ? this.#fresh : this.#steady).push(sender);
  }

  /** The stream whose turn it is; it has something to send. */
  head(): T | undefined {
    for (;;) {
      const fresh = this.#fresh.count > 0;
      const list = fresh ? this.#fresh : this.#steady;
      const sender = list.peek();
      if (sender === undefined) return undefined;
      const { turn } = sender;
      if (sender.sendable && turn.deficit > 0) return sender;
      list.shift();
      if (sender.sendable) {
        if (!fresh) turn.deficit += QUANTUM;
        this.#steady.push(sender);
      } else {
        turn.queued = false;
      }
      if (!fresh) this.#hadTurn();
    }
  }

  /** The stream at the head has sent so much. */
  charge(sender: T, len: number): void {
    sender.turn.deficit -= len;
  }

  clear(): void {
    this.#fresh.clear();
    this.#steady.clear();
  }

  /** One of the steady streams has had its turn. */
  #hadTurn(): void {
    if (--this.#roundLeft > 0) return;
    this.#round++;
    this.#roundLeft = this.#steady.count;
  }
}
