/* A packet: 1 head · 2 hello, until it is acknowledged · 3 ack · 4 what streams have to tell · 5 bytes and datagrams,
 * by turns. Frames that the other side must have are noted as items of the packet. */

import {
  CREDIT_LEN,
  DATA_HEAD_LEN,
  DATAGRAM_HEAD_LEN,
  DATAGRAM_PART_HEAD_LEN,
  emitCredit,
  emitDatagramHead,
  emitDatagramPartHead,
  emitDataHead,
  emitHello,
  emitOpen,
  emitOpened,
  emitPing,
  emitReset,
  emitStreamsHead,
  HELLO_LEN,
  openedLen,
  openLen,
  PING_LEN,
  RESET_LEN,
  STREAM_KINDS,
  STREAMS_HEAD_LEN,
} from "../wire/stream_frames.ts";
import type { Greeting } from "./greeting.ts";
import type { ReceivedPackets } from "./received_packets.ts";
import { ITEM, type SentPackets } from "./sent_packets.ts";
import { CONTROL, type Stream } from "./stream.ts";
import type { StreamTable } from "./stream_table.ts";

// Chosen here.
/** The least room worth a packet. Every frame that is not cut fits, behind hello and ack, into a record of a packet of
 * 576 bytes, the shortest that can be configured. */
export const PACKET_MIN_LEN = STREAMS_HEAD_LEN + HELLO_LEN + 32;
/** Part of a stream or of a datagram worth a frame, if there is more. */
const PIECE_MIN_LEN = 16;

export class PacketWriter {
  pingDue = false;
  readonly #u8: Uint8Array;
  readonly #table: StreamTable;
  readonly #greeting: Greeting;
  readonly #sent: SentPackets;
  readonly #received: ReceivedPackets;
  #at = 0;
  #end = 0;
  #nowNs = 0;

  constructor(
    u8: Uint8Array,
    table: StreamTable,
    greeting: Greeting,
    sent: SentPackets,
    received: ReceivedPackets,
  ) {
    this.#u8 = u8;
    this.#table = table;
    this.#greeting = greeting;
    this.#sent = sent;
    this.#received = received;
  }

  /** Whether `write` would find something now. */
  wants(nowNs: number): boolean {
    if (this.#received.ackDue(nowNs)) return true;
    if (!this.#sent.room) return false;
    return this.#greeting.due || this.pingDue || this.#table.control.count > 0 ||
      this.#table.refusals.count > 0 || this.#table.senders.head() !== undefined;
  }

  /** Whether what `write` would find should not wait behind what it has written before: somebody begins, or ends, or
   * had nothing to send until now. */
  urgent(): boolean {
    return this.#sent.room && (this.#table.control.count > 0 || this.#table.senders.hasFresh);
  }

  /** Writes one streams frame of at most `len` bytes at `off`; returns its length, 0 if there is nothing to send. */
  write(off: number, len: number, nowNs: number): number {
    if (len < PACKET_MIN_LEN || !this.wants(nowNs)) return 0;
    const body = off + STREAMS_HEAD_LEN;
    this.#at = body;
    this.#nowNs = nowNs;
    this.#end = off + Math.min(len, 0xffff);
    if (this.#sent.room) this.#hello();
    if (this.#received.ackDue(nowNs)) {
      this.#at += this.#received.emit(this.#u8, this.#at, this.#room, nowNs);
    }
    this.#tell();
    this.#data();
    if (this.#at === body) return 0;
    emitStreamsHead(this.#u8, off, this.#at, this.#sent.next);
    this.#sent.commit(nowNs);
    this.#table.counters.packetsSent++;
    return this.#at - off;
  }

  get #room(): number {
    return this.#end - this.#at;
  }

  #hello(): void {
    const greeting = this.#greeting;
    if (greeting.acked) return;
    this.#at += emitHello(this.#u8, this.#at, greeting.own, greeting.known);
    this.#sent.add(ITEM.hello, undefined, greeting.version, 0);
    greeting.due = false;
  }

  /** What streams have to tell, as far as it fits. */
  #tell(): void {
    const { control, refusals } = this.#table;
    if (this.pingDue && this.#sent.room && this.#room >= PING_LEN) {
      this.#at += emitPing(this.#u8, this.#at);
      this.#sent.add(ITEM.ping, undefined, 0, 0);
      this.pingDue = false;
    }
    while (refusals.count > 0 && this.#sent.room && this.#room >= RESET_LEN) {
      const { id, reason } = refusals.shift()!;
      this.#at += emitReset(this.#u8, this.#at, id, reason);
      this.#sent.add(ITEM.refusal, undefined, id, reason);
    }
    while (control.count > 0 && this.#tellOf(control.peek()!)) control.shift()!.controlQueued = false;
  }

  /** False: not all of it fits. */
  #tellOf(stream: Stream): boolean {
    const { control, address } = stream;
    if (control & CONTROL.open) {
      if (!this.#sent.room || this.#room < openLen(address)) return false;
      const kind = STREAM_KINDS.indexOf(stream.kind);
      this.#at += emitOpen(this.#u8, this.#at, stream.id, kind, stream.firstWindow, address);
      this.#told(stream, CONTROL.open, ITEM.open);
    }
    if (control & CONTROL.opened) {
      if (!this.#sent.room || this.#room < openedLen(address)) return false;
      this.#at += emitOpened(this.#u8, this.#at, stream.id, stream.firstWindow, address);
      this.#told(stream, CONTROL.opened, ITEM.opened);
    }
    if (control & CONTROL.credit && stream.receive !== undefined) {
      if (!this.#sent.room || this.#room < CREDIT_LEN) return false;
      stream.receive.renew(this.#nowNs, this.#sent.roundTrip.smoothedNs);
      this.#at += emitCredit(this.#u8, this.#at, stream.id, stream.receive.limit);
      this.#told(stream, CONTROL.credit, ITEM.credit);
    }
    if (control & CONTROL.reset) {
      if (!this.#sent.room || this.#room < RESET_LEN) return false;
      this.#at += emitReset(this.#u8, this.#at, stream.id, stream.reason);
      this.#told(stream, CONTROL.reset, ITEM.reset);
    }
    return true;
  }

  #told(stream: Stream, what: number, item: number): void {
    stream.control &= ~what;
    this.#sent.add(item, stream, 0, 0);
  }

  /** Bytes and datagrams by turns, until the packet is full. */
  #data(): void {
    const { senders } = this.#table;
    while (this.#sent.room) {
      const stream = senders.head();
      if (stream === undefined) return;
      const before = this.#at;
      if (stream.send !== undefined) this.#bytes(stream);
      else this.#datagram(stream);
      if (this.#at === before) return;
      senders.charge(stream, this.#at - before);
    }
  }

  #bytes(stream: Stream): void {
    const send = stream.send!;
    const room = this.#room - DATA_HEAD_LEN;
    if (room < 0 || !send.choose(room)) return;
    if (send.len === room && room < PIECE_MIN_LEN && !send.last) return;
    const { offset, len, last } = send;
    this.#at += emitDataHead(this.#u8, this.#at, stream.id, offset, len, last);
    send.take(this.#u8, this.#at);
    this.#at += len;
    this.#sent.add(last ? ITEM.dataLast : ITEM.data, stream, offset, len);
    this.#table.counters.bytesSent += len;
  }

  /** A whole datagram, or the next part of one that is longer than a packet. */
  #datagram(stream: Stream): void {
    const queue = stream.datagrams!;
    const body = queue.front!;
    if (queue.sentLen === 0 && this.#room >= DATAGRAM_HEAD_LEN + body.length) {
      this.#at += emitDatagramHead(this.#u8, this.#at, stream.id, body.length);
      this.#copy(body);
      queue.shift();
      return;
    }
    const { number, sentLen } = queue;
    const len = Math.min(this.#room - DATAGRAM_PART_HEAD_LEN, body.length - sentLen);
    if (len < Math.min(PIECE_MIN_LEN, body.length - sentLen)) return;
    this.#at += emitDatagramPartHead(this.#u8, this.#at, stream.id, number, body.length, sentLen, len);
    this.#copy(body.subarray(sentLen, sentLen + len));
    queue.sentLen += len;
    if (queue.sentLen === body.length) queue.shift();
  }

  #copy(bytes: Uint8Array): void {
    this.#u8.set(bytes, this.#at);
    this.#at += bytes.length;
  }
}
