/** The stream multiplexer: streams and datagrams of the local side into the bodies of records, and back. No I/O and no
 * clock. It brings its own reliability (numbered packets, acks, retransmission), the same over every carrier: so a
 * lost record stops no stream but its own, and streams outlive the session or the connection under them.
 *
 * The tunnel calls `newSession` before the first record of each session, `fill` when a record can take something,
 * `receive` for each streams frame of an authentic record, and asks `wants` at `deadlineNs`. None of these throws for
 * what the other side sends. */

import {
  RESET_REASON,
  SEND_CREDIT,
  type StreamAddress,
  type StreamCommands,
  type StreamEvents,
  type StreamKind,
} from "../ports/mod.ts";
import { emitWireAddress, isWireAddress, wireAddressLen } from "../wire/stream_address.ts";
import type { MuxCounters } from "./counters.ts";
import { Greeting } from "./greeting.ts";
import { PacketReader } from "./packet_reader.ts";
import { PacketWriter } from "./packet_writer.ts";
import { ACK_DELAY_NS, ReceivedPackets } from "./received_packets.ts";
import { ITEM, type ItemSink, type Overtaking, SentPackets } from "./sent_packets.ts";
import { CONTROL, type Stream } from "./stream.ts";
import { type MuxLimits, StreamTable } from "./stream_table.ts";

export { type MuxLimits } from "./stream_table.ts";

// Chosen here.
export const DEFAULT_LIMITS: MuxLimits = { streamsMax: 10_240, sharedLen: 64 * 1024 * 1024 };

export interface MuxOptions {
  readonly client: boolean;
  /** `ordered`: loses nothing and keeps order while a session lasts (TCP). `datagrams`: may lose (UDP). */
  readonly carrier: "ordered" | "datagrams";
  /** The bytes in which `fill` and `receive` have their offsets. */
  readonly u8: Uint8Array;
  /** 8 random bytes, used once. */
  readonly instance: Uint8Array;
  readonly events: StreamEvents;
  /** The other side's interval between slots: it cannot ack sooner. */
  readonly peerIntervalNs: number;
  /** By how many packets, and for how long, one may be overtaken after `fill` and before it leaves; not, if not said. */
  readonly overtaking?: Overtaking;
  /** Packets in flight at most, a power of two: the records of a second, or more. */
  readonly packetsMax: number;
  readonly limits?: MuxLimits;
  /** Where the mux that was there before, with the same local side, has stopped; undefined: there was none. */
  readonly localIdNext?: number;
}

/** How a mux stands, for status. */
export interface MuxSnapshot {
  readonly streams: number;
  readonly ownStreams: number;
  /** Bytes of buffers in use, of datagrams waiting, and of credit still free in each direction. */
  readonly bufferLen: number;
  readonly datagramsLen: number;
  readonly sendLeft: number;
  readonly receiveLeft: number;
  readonly packetsInFlight: number;
  readonly packetsLost: number;
  readonly probes: number;
  readonly roundTripNs: number;
  readonly datagramsDropped: number;
  readonly counters: Readonly<MuxCounters>;
}

export class Mux implements StreamCommands {
  readonly #table: StreamTable;
  readonly #greeting: Greeting;
  readonly #sent: SentPackets;
  readonly #received = new ReceivedPackets();
  readonly #writer: PacketWriter;
  readonly #reader: PacketReader;
  readonly #items: ItemSink = {
    acked: (kind, stream, a, b) => this.#acked(kind, stream, a, b),
    lost: (kind, stream, a, b) => this.#lost(kind, stream, a, b),
  };

  constructor(options: MuxOptions) {
    const { u8, client, limits = DEFAULT_LIMITS, events } = options;
    this.#table = new StreamTable(client, limits, events, options.localIdNext);
    this.#greeting = new Greeting(options.instance);
    this.#sent = new SentPackets({
      packetsMax: options.packetsMax,
      timers: options.carrier === "datagrams",
      ackDelayMaxNs: ACK_DELAY_NS + 2 * options.peerIntervalNs,
      overtaking: options.overtaking,
    });
    this.#writer = new PacketWriter(u8, this.#table, this.#greeting, this.#sent, this.#received);
    this.#reader = new PacketReader({
      u8,
      table: this.#table,
      greeting: this.#greeting,
      sent: this.#sent,
      received: this.#received,
      items: this.#items,
      peerRestarted: () => this.#loseStreams(RESET_REASON.sessionLost),
    });
  }

  // --- to and from the tunnel

  /** A new session or connection carries the records from now on; what was under way in the old one is sent again.
   * Must come before the first `receive` of it; records of earlier ones may not be given after it. */
  newSession(): void {
    this.#greeting.renew();
    this.#sent.loseAll(this.#items);
  }

  /** Whether the other side has been heard in this session. */
  get hasMet(): boolean {
    return this.#greeting.open;
  }

  /** Whether `fill` would write something now. */
  wants(nowNs: number): boolean {
    this.#tick(nowNs);
    return this.#writer.wants(nowNs);
  }

  /** Whether what `fill` would write should leave before what it has written already and has not left yet. */
  urgent(): boolean {
    return this.#writer.urgent();
  }

  /** Writes one streams frame of at most `len` bytes at `off` and returns its length; 0: nothing to send, or too
   * little room. May be called again for the rest of the same record. */
  fill(off: number, len: number, nowNs: number): number {
    this.#tick(nowNs);
    return this.#writer.write(off, len, nowNs);
  }

  /** Takes in the body of a streams frame, `len` bytes at `off`, of an authentic record. */
  receive(off: number, len: number, nowNs: number): void {
    this.#reader.read(off, len, nowNs);
  }

  /** When `wants` is to be asked again at the latest, if it says no. */
  get deadlineNs(): number {
    return Math.min(this.#sent.deadlineNs, this.#received.deadlineNs);
  }

  /** Finds packets that must be lost by now. */
  #tick(nowNs: number): void {
    if (this.#sent.tick(nowNs, this.#items)) this.ping();
  }

  /** Asks the other side for a sign of life: a sample of the round trip. */
  ping(): void {
    this.#writer.pingDue = true;
  }

  /** The tunnel is given up: all streams are over, `reason` for the local side. Under another `instance` the mux can be
   * used with another session, where the other side sees that all is over, too. */
  end(reason: number, instance: Uint8Array): void {
    this.#loseStreams(reason);
    this.#greeting.rename(instance);
  }

  /** What the local side will know the other side's next stream by. */
  get localIdNext(): number {
    return this.#table.localIdNext;
  }

  snapshot(): MuxSnapshot {
    const table = this.#table;
    return {
      streams: table.count,
      ownStreams: table.ownCount,
      bufferLen: table.pool.used,
      datagramsLen: table.budget.waitingLen,
      sendLeft: table.sendAllowance.left,
      receiveLeft: table.receiveAllowance.left,
      packetsInFlight: this.#sent.inFlight,
      packetsLost: this.#sent.lostPackets,
      probes: this.#sent.probes,
      roundTripNs: this.#sent.roundTrip.smoothedNs,
      datagramsDropped: table.budget.dropped + table.parts.dropped,
      counters: { ...table.counters },
    };
  }

  // --- from the local side

  open(id: number, kind: StreamKind, target: StreamAddress): void {
    const table = this.#table;
    const reason = !table.claimOwn(id)
      ? RESET_REASON.limit
      : isWireAddress(target)
      ? 0
      : RESET_REASON.addressTypeNotSupported;
    if (reason !== 0) {
      table.counters.refused++;
      table.events.reset(id, reason);
      return;
    }
    const stream = table.create(id, kind, true, target);
    table.tell(stream, CONTROL.open);
    this.#giveFirst(stream);
  }

  accept(id: number, bound: StreamAddress): void {
    const stream = this.#table.findLocal(id);
    if (stream?.state !== "asked") return;
    stream.state = "open";
    stream.address = bound;
    this.#table.tell(stream, CONTROL.opened);
    this.#giveFirst(stream);
  }

  reset(id: number, reason: number): void {
    const stream = this.#table.findLocal(id);
    if (stream !== undefined && stream.state !== "resetting") this.#table.abort(stream, reason);
  }

  write(id: number, bytes: Uint8Array, off: number, len: number): void {
    const stream = this.#table.findLocal(id);
    if (stream?.send === undefined) return;
    if (stream.send.write(bytes, off, len)) {
      this.#table.activate(stream);
    } else {
      this.#table.counters.overCredit++;
      this.#table.abortBoth(stream, RESET_REASON.generalFailure);
    }
  }

  finish(id: number): void {
    const stream = this.#table.findLocal(id);
    if (stream?.send === undefined) return;
    stream.send.finish();
    this.#table.activate(stream);
  }

  consumed(id: number, count: number): void {
    const stream = this.#table.findLocal(id);
    if (stream?.receive === undefined) return;
    if (stream.receive.consume(count)) this.#table.tell(stream, CONTROL.credit);
    this.#table.forgetIfDone(stream);
  }

  datagram(id: number, address: StreamAddress, bytes: Uint8Array, off: number, len: number): void {
    const stream = this.#table.findLocal(id);
    if (stream?.datagrams === undefined) return;
    const bodyLen = isWireAddress(address) ? wireAddressLen(address) + len : Infinity;
    if (bodyLen > 0xffff) {
      this.#table.budget.dropped++;
      return;
    }
    const body = new Uint8Array(bodyLen);
    const at = emitWireAddress(body, 0, address);
    body.set(bytes.subarray(off, off + len), at);
    stream.datagrams.push(body);
    this.#table.activate(stream);
  }

  #loseStreams(reason: number): void {
    this.#sent.loseAll(this.#items);
    this.#table.forgetAll();
    this.#received.clear();
    this.#table.events.lost(reason);
  }

  // --- what became of packets

  #acked(kind: number, stream: Stream | undefined, a: number, b: number): void {
    if (kind === ITEM.hello) this.#greeting.hasAcked(a);
    if (stream === undefined) return;
    if (kind === ITEM.reset) this.#table.forget(stream);
    if ((kind !== ITEM.data && kind !== ITEM.dataLast) || stream.send === undefined) return;
    stream.send.acked(a, b, kind === ITEM.dataLast);
    const given = stream.send.giveBack();
    if (given > 0) this.#table.events.sent(stream.localId, given);
    this.#table.forgetIfDone(stream);
  }

  /** Each kind of item leaves again if it still means something. */
  #lost(kind: number, stream: Stream | undefined, a: number, b: number): void {
    const table = this.#table;
    if (kind === ITEM.hello) this.#greeting.hasLost(a);
    if (kind === ITEM.refusal) table.refusals.push({ id: a, reason: b });
    if (stream === undefined || stream.state === "gone") return;
    if (kind === ITEM.reset) table.tell(stream, CONTROL.reset);
    if (stream.state === "resetting") return;
    if (kind === ITEM.open) table.tell(stream, CONTROL.open);
    if (kind === ITEM.opened) table.tell(stream, CONTROL.opened);
    if (kind === ITEM.credit) table.tell(stream, CONTROL.credit);
    if (kind !== ITEM.data && kind !== ITEM.dataLast) return;
    stream.send?.lost(a, b, kind === ITEM.dataLast);
    table.activate(stream);
  }

  /** The local side counts on SEND_CREDIT; what there is beyond is given at once. */
  #giveFirst(stream: Stream): void {
    const more = (stream.send?.free ?? SEND_CREDIT) - SEND_CREDIT;
    if (more > 0) this.#table.events.sent(stream.localId, more);
    this.#table.activate(stream);
  }
}
