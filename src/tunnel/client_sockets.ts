/** The sockets of a client: the one that it sends from, and the one before it, which is read a while longer, since what
 * the server has sent there is still on its way. */

import type { Memory } from "../ports/mod.ts";
import { IO } from "../ports/mod.ts";

// Chosen here.
const GRACE_NS = 2e9;

export class ClientSockets {
  readonly #memory: Memory;
  readonly #io: number;
  readonly #graceNs: number;
  #leftAtNs = 0;

  /** `io`: the IO struct whose first socket is in use. `intervalNs`: between two slots of the server's. */
  constructor(memory: Memory, io: number, intervalNs: number) {
    this.#memory = memory;
    this.#io = io;
    this.#graceNs = GRACE_NS + 4 * intervalNs;
  }

  /** Reads `fd` from now on, and the one before it. Returns the one before that, if it was still read: nobody reads it now;
   * else -1. */
  change(fd: number, nowNs: number): number {
    const { i32 } = this.#memory;
    const [now, before] = [(this.#io + IO.udpFd0) >> 2, (this.#io + IO.udpFd1) >> 2];
    const left = i32[before];
    i32[before] = i32[now];
    i32[now] = fd;
    this.#leftAtNs = nowNs;
    return left;
  }

  /** The socket before the newest, if it is still read; else -1. */
  get before(): number {
    return this.#memory.i32[(this.#io + IO.udpFd1) >> 2];
  }

  /** The socket that has been left long enough ago, which is not read any more from now on; -1: none. */
  takeLeft(nowNs: number): number {
    const { i32 } = this.#memory;
    const before = (this.#io + IO.udpFd1) >> 2;
    const left = i32[before];
    if (left < 0 || nowNs - this.#leftAtNs < this.#graceNs) return -1;
    i32[before] = -1;
    return left;
  }
}
