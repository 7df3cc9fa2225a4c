/** One stream: where it stands, what it still has to tell the other side, and its two halves. */

import type { StreamAddress, StreamKind } from "../ports/mod.ts";
import type { DatagramQueue } from "./datagrams.ts";
import { Turn } from "./fair_queue.ts";
import type { ReceiveHalf } from "./receive_half.ts";
import type { SendHalf } from "./send_half.ts";

/** opening: opened here, not yet answered · asked: opened there, the local side has not answered · open · resetting:
 * over; the other side has not acknowledged that · gone: forgotten. */
export type StreamState = "opening" | "asked" | "open" | "resetting" | "gone";

/** What is to be told: bits of `Stream.control`. */
export const CONTROL = { open: 1, opened: 2, credit: 4, reset: 8 } as const;

export class Stream {
  state: StreamState;
  /** On the wire, and at the local side. */
  readonly id: number;
  readonly localId: number;
  readonly kind: StreamKind;
  /** Opened by this side. */
  readonly own: boolean;
  /** The target of a stream opened here, the bound address of one opened there. */
  address: StreamAddress;
  /** What is left to be told, and whether the stream waits in the queue for that. */
  control = 0;
  controlQueued = false;
  reason = 0;
  finishedTold = false;
  readonly turn = new Turn();
  /** Of kind stream; none once it is over. */
  send: SendHalf | undefined;
  receive: ReceiveHalf | undefined;
  /** Of kind datagrams; none once it is over. */
  datagrams: DatagramQueue | undefined;
  /** The other side's first credit, which is told when the stream is opened or accepted. */
  firstWindow = 0;

  constructor(id: number, localId: number, kind: StreamKind, own: boolean, address: StreamAddress) {
    this.id = id;
    this.localId = localId;
    this.kind = kind;
    this.own = own;
    this.address = address;
    this.state = own ? "opening" : "asked";
  }

  get sendable(): boolean {
    if (this.state !== "open") return false;
    return this.send !== undefined ? this.send.pending : this.datagrams?.front !== undefined;
  }

  /** Everything was sent, acknowledged, received, told and read. */
  get done(): boolean {
    return this.finishedTold && this.send !== undefined && this.send.done && this.receive!.done;
  }
}
