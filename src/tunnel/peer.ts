/** The other participant as the data Worker knows it: its sessions, its schedule, its queue of inner packets. */

import { Reassembler } from "../framing/reassembler.ts";
import { type FrameDialect, Unpacker } from "../framing/unpacker.ts";
import type { EndpointAddress, Memory, RecordProtection } from "../ports/mod.ts";
import type { ReceiveEpoch } from "../session/receive_epoch.ts";
import type { Session } from "../session/session.ts";
import type { Emitter, Move, Sealing } from "./emitter.ts";
import type { InboundPeer } from "./inbound.ts";
import type { PacketQueue } from "./packet_queue.ts";
import { Roaming } from "./roaming.ts";

interface KeyChange {
  readonly sealing: Sealing;
  readonly firstSlot: number;
}
interface MoveChange {
  readonly move: Move;
  readonly firstSlot: number;
}

/** The key that the pacer seals with, and the one it will seal with: each is freed when the pacer has left it. Moves to
 * another socket take their turn with them. There is one pending change at a time; later ones wait, of each kind the
 * newest. */
export class SendKeys {
  readonly #emitter: Emitter;
  readonly #protection: RecordProtection;
  #current = 0;
  #pending: KeyChange | MoveChange | undefined;
  #switchesSeen = 0;
  #waitingKey: KeyChange | undefined;
  #waitingMove: MoveChange | undefined;

  constructor(emitter: Emitter, protection: RecordProtection, sealing: Sealing) {
    this.#emitter = emitter;
    this.#protection = protection;
    emitter.setKey(sealing, 0);
    this.#current = sealing.key;
    this.#switchesSeen = emitter.switches;
  }

  /** True while the pacer has not yet reached the last change. */
  get changing(): boolean {
    return this.#pending !== undefined || this.#waitingKey !== undefined || this.#waitingMove !== undefined;
  }

  /** True while the records still leave from the socket before the last move. */
  get moving(): boolean {
    const isPending = this.#pending !== undefined && "move" in this.#pending;
    return isPending || this.#waitingMove !== undefined;
  }

  /** Takes over the key. The change is made at `firstSlot`, or once an earlier change is done. */
  change(sealing: Sealing, firstSlot: number): void {
    if (this.#waitingKey !== undefined) this.#protection.freeKey(this.#waitingKey.sealing.key);
    this.#waitingKey = { sealing, firstSlot };
    // A connection id that waits is the session's before.
    if (sealing.cid !== undefined && this.#waitingMove !== undefined) {
      const { move: { fd, to }, firstSlot } = this.#waitingMove;
      this.#waitingMove = { move: { fd, to }, firstSlot };
    }
    this.maintain();
  }

  /** The same for another socket and connection id. */
  move(move: Move, firstSlot: number): void {
    this.#waitingMove = { move, firstSlot };
    this.maintain();
  }

  /** Frees what the pacer no longer uses, and hands it the next change. */
  maintain(): void {
    if (this.#pending !== undefined) {
      if (this.#emitter.switches === this.#switchesSeen) return;
      this.#switchesSeen = this.#emitter.switches;
      if ("sealing" in this.#pending) {
        this.#protection.freeKey(this.#current);
        this.#current = this.#pending.sealing.key;
      }
      this.#pending = undefined;
    }
    if (this.#waitingKey !== undefined) {
      this.#pending = this.#waitingKey;
      this.#emitter.setKey(this.#waitingKey.sealing, this.#waitingKey.firstSlot);
      this.#waitingKey = undefined;
    } else if (this.#waitingMove !== undefined) {
      this.#pending = this.#waitingMove;
      this.#emitter.move(this.#waitingMove.move, this.#waitingMove.firstSlot);
      this.#waitingMove = undefined;
    }
  }

  /** After the emitter is closed. */
  close(): void {
    const pending = this.#pending !== undefined && "sealing" in this.#pending ? this.#pending.sealing.key : 0;
    for (const key of [this.#current, pending, this.#waitingKey?.sealing.key ?? 0]) {
      if (key !== 0) this.#protection.freeKey(key);
    }
  }
}

/** What a peer's train is made by; together or not at all. */
export interface Train {
  readonly emitter: Emitter;
  readonly keys: SendKeys;
}

export class Peer implements InboundPeer {
  current: Session | undefined;
  pending: Session | undefined;
  /** Where the current and the pending session's records come from. */
  address: EndpointAddress | undefined;
  pendingAddress: EndpointAddress | undefined;
  local: EndpointAddress | undefined;
  pendingLocal: EndpointAddress | undefined;
  fd = -1;
  pendingFd = -1;
  train: Train | undefined;
  /** The session under whose keys the train leaves. A session's key is made once, for one train: a second ring under
   * it would count from 0 again and repeat nonces. */
  keyed: Session | undefined;
  #open = false;
  #placeNext = 0;
  lastAuthenticNs = 0;
  /** Segments of TCP are held to what fits packets of so many bytes; 0: they are left alone. */
  mssMtu = 0;
  /** The session that carries the peer's streams: frames of another one are not for them. */
  streaming: Session | undefined;
  readonly roaming: Roaming;
  readonly queue: PacketQueue;
  readonly unpacker: Unpacker;
  readonly reassembler: Reassembler;

  /** `frames`: of the inner protocol that it speaks, version 1 unless given. */
  constructor(readonly index: number, memory: Memory, queue: PacketQueue, frames?: FrameDialect) {
    this.roaming = new Roaming(memory);
    this.queue = queue;
    this.reassembler = new Reassembler(memory);
    this.unpacker = new Unpacker(memory.u8, this.reassembler, frames);
  }

  /** Place of a record that was accepted among all that have come of this peer. Numbers begin anew with each epoch (RFC
   * 9147 §4.2.1), and a packet may be split across the change. */
  placeOf(epoch: ReceiveEpoch, number: number): number {
    if (epoch.firstPlace < 0) epoch.firstPlace = this.#placeNext;
    const place = epoch.firstPlace + number;
    if (place >= this.#placeNext) this.#placeNext = place + 1;
    return place;
  }

  /** True once inner packets may flow. To be set anew for each train. */
  get open(): boolean {
    return this.#open;
  }

  set open(open: boolean) {
    this.#open = open;
    this.train?.emitter.admit(open);
  }

  /** The pending session proved itself: it replaces the current one. */
  promote(): void {
    this.current?.close();
    this.current = this.pending;
    this.pending = undefined;
    this.address = this.pendingAddress;
    this.local = this.pendingLocal;
    this.fd = this.pendingFd;
    if (this.address !== undefined) this.roaming.settle(this.address);
    this.pendingAddress = undefined;
    this.reassembler.reset();
  }

  closeTrain(): void {
    if (this.train === undefined) return;
    this.train.emitter.close();
    this.train.keys.close();
    this.train = this.keyed = undefined;
  }

  closeSessions(): void {
    this.current?.close();
    this.pending?.close();
    this.current = this.pending = this.keyed = undefined;
    this.address = this.pendingAddress = undefined;
    this.streaming = undefined;
    this.open = false;
    this.queue.clear();
    this.train?.emitter.abandon();
    this.reassembler.reset();
  }
}
