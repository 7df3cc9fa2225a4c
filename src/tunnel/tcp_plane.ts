/** The data Worker over TCP, common to client and server: connections, their records, streams to and from the bridge.
 * Handshakes are main's: it gets their records one at a time, and the connection is read no further until it has
 * answered. From the session on a connection is always drained, however slowly streams are read. */

import type { EndpointAddress, StreamIo, StreamPacer } from "../ports/mod.ts";
import { IO, RX, RX_FLAG, STREAM_EVENT } from "../ports/mod.ts";
import { TlsSession } from "../session/tls_session.ts";
import { ALERT, emitAlert } from "../wire/alert.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { emitClose } from "../wire/inner_control.ts";
import { FRAME_ERROR, INNER_CONTROL_FIRST, INNER_TYPE, InnerFrame, parseFrame } from "../wire/inner_frame.ts";
import { START_DELAY_NS } from "./emitter.ts";
import { sameTrain } from "./grant.ts";
import type { Mail } from "./mailbox.ts";
import type { Order, TrainParameters } from "./messages.ts";
import { Plane, type PlanePorts } from "./plane.ts";
import type { StreamMuxes } from "./stream_muxes.ts";
import { TcpEmitter } from "./tcp_emitter.ts";
import { TcpInbound, type TcpVerdict } from "./tcp_inbound.ts";
import { type TcpConnection, TcpPeer } from "./tcp_peer.ts";

// Chosen here.
/** Goodbye: how many slots carry the close frame. */
const CLOSE_SLOTS = 3;
/** From close_notify to the end of its connection: the slots before it, and something for the way. */
const RETIRE_MIN_NS = 100e6;
const RETIRE_MAX_NS = 5e9;
/** A KeyUpdate is handed to the pacer so long before its slot. */
const UPDATE_AHEAD_NS = 5e9;

export interface TcpPlanePorts extends PlanePorts {
  readonly pacer: StreamPacer;
  readonly tcp: StreamIo;
  readonly streams: StreamMuxes;
}

export interface TcpPlaneConfig {
  readonly rekeyRecords: number;
  readonly traceCount: number;
}

const EVENT = STREAM_EVENT;

export abstract class TcpPlane extends Plane<TcpPlanePorts> {
  protected readonly connections = new Map<number, TcpConnection>();
  readonly #common: TcpPlaneConfig;
  readonly #inbound: TcpInbound<TcpConnection>;
  readonly #frame = new InnerFrame();
  /** Files that a ring may still have. */
  #closing: number[] = [];

  constructor(ports: TcpPlanePorts, config: TcpPlaneConfig) {
    super(ports);
    this.#common = config;
    const rxCap = this.u32At(this.io + IO.rxCap);
    this.#inbound = new TcpInbound(ports.memory, ports.protection, rxCap);
  }

  protected abstract peers(): Iterable<TcpPeer>;
  /** Whose place that is, if somebody has it. */
  protected abstract peerOf(index: number): TcpPeer | undefined;
  /** Somebody waits at a listening socket. */
  protected abstract accept(id: number): void;
  /** A connection that was begun is there. */
  protected abstract connected(connection: TcpConnection): void;
  /** A connection is over, for this reason; it is in no table any more. */
  protected abstract lost(connection: TcpConnection, reason: string): void;
  /** The keys of a connection are there. */
  protected abstract established(connection: TcpConnection, peer: TcpPeer): void;
  /** Inner control frame of an authentic record. */
  protected abstract innerControl(connection: TcpConnection, type: number, body: Uint8Array): void;

  // --- orders

  protected order(mail: Mail<Order>): void {
    const order = mail.head;
    if (order.type !== "tls" && order.type !== "tls session") return this.otherOrder(order);
    const connection = this.connections.get(order.connection);
    if (connection === undefined || connection.session !== undefined) return; // over, or done
    const [output] = mail.bytes;
    if (output.length > 0 && !this.ports.tcp.send(connection.fd, output)) {
      return this.end(connection, "the handshake could not be sent");
    }
    if (order.type === "tls session") return this.#newSession(connection, mail);
    if (order.then === "close") this.end(connection, "the handshake has failed");
    else this.ports.tcp.mode(connection.fd, "step");
  }

  protected abstract otherOrder(order: Order): void;

  /** The peer of a session that begins. */
  protected newPeer(index: number): TcpPeer | undefined {
    return this.peerOf(index);
  }

  #newSession(connection: TcpConnection, { head, bytes }: Mail<Order>): void {
    if (head.type !== "tls session") return;
    const peer = this.newPeer(head.client);
    if (peer === undefined) return this.end(connection, "nobody's session");
    if (peer.connection !== undefined) this.end(peer.connection, "another connection has taken its place");
    const secrets = { suite: head.suite, send: bytes[1], receive: bytes[2] };
    connection.session = new TlsSession(this.memory, this.ports.protection, secrets);
    connection.peer = peer;
    peer.connection = connection;
    peer.lastAuthenticNs = this.nowNs;
    this.ports.tcp.mode(connection.fd, "flow");
    this.established(connection, peer);
  }

  // --- connections

  /** Takes `fd` in. Undefined, and closed, when there is no room for one more. */
  protected adopt(
    id: number,
    fd: number,
    from: EndpointAddress,
    deadlineNs: number,
    mode: "connecting" | "paused",
  ): TcpConnection | undefined {
    if (!this.ports.tcp.add(fd, id, mode)) {
      this.ports.tcp.close(fd);
      return undefined;
    }
    const connection: TcpConnection = {
      ...{ id, fd, from, deadlineNs },
      ...{ session: undefined, peer: undefined, retiring: undefined },
    };
    this.connections.set(id, connection);
    return connection;
  }

  /** Ends a connection at once. Its peer's train goes on without one. */
  protected end(connection: TcpConnection, reason: string): void {
    if (!this.connections.delete(connection.id)) return;
    const { fd, session, peer } = connection;
    this.ports.tcp.remove(fd);
    this.#closing.push(fd);
    session?.close();
    connection.session = undefined;
    if (peer?.connection === connection) {
      peer.connection = undefined;
      peer.open = false;
      peer.emitter?.disconnect();
    }
    if (peer === undefined) this.tell({ type: "tls end", connection: connection.id, reason });
    this.lost(connection, reason);
    this.#closeFiles();
  }

  /** Ends a connection that works, and no longer serves: first close_notify in a slot (RFC 8446 §6.1), so that the other
   * side can tell this from a connection that was cut. One that another has taken the place of cannot say so: slots are
   * the new one's. */
  protected retire(connection: TcpConnection, reason: string): void {
    const { peer } = connection;
    if (connection.retiring !== undefined || peer?.emitter === undefined) return;
    peer.open = false; // streams go on over the next connection
    const { emitter } = peer;
    if (!emitter.content(CONTENT_TYPE.alert, emitAlert(ALERT.closeNotify))) {
      this.counters.add("control_dropped");
    }
    const atNs = this.nowNs +
      Math.min(RETIRE_MAX_NS, RETIRE_MIN_NS + emitter.waiting * emitter.train.intervalNs);
    connection.retiring = { reason, atNs };
  }

  #endRetired(): void {
    for (const connection of [...this.connections.values()]) {
      const { retiring } = connection;
      if (retiring !== undefined && this.nowNs >= retiring.atNs) this.end(connection, retiring.reason);
    }
  }

  #closeFiles(): void {
    this.#closing = this.#closing.filter((fd) => !this.ports.tcp.close(fd));
  }

  // --- trains and streams

  /** The connection's records from now on: the train that there is goes on over it if it is the same one, else another
   * one begins. Throws what a ring without memory throws. */
  protected run(connection: TcpConnection, peer: TcpPeer, train: TrainParameters, phaseNs = 0): void {
    if (peer.emitter !== undefined && !sameTrain(peer.emitter.train, train)) this.endTrain(peer);
    const isNew = peer.emitter === undefined;
    peer.emitter ??= this.#newEmitter(train, phaseNs);
    peer.emitter.connect(connection.fd, connection.session!.firstSendKey());
    if (!isNew) return;
    peer.emitter.start();
    const { ring } = peer.emitter;
    this.tell({ type: "ring", client: peer.index, ring, intervalNs: train.intervalNs });
  }

  #newEmitter(train: TrainParameters, phaseNs: number): TcpEmitter {
    const seed = new Uint8Array(32);
    this.ports.entropy.fill(seed);
    const { memory, pacer, protection } = this.ports;
    return new TcpEmitter(memory, pacer, protection, {
      train,
      seed,
      startNs: this.nowNs + START_DELAY_NS + phaseNs,
      traceCount: this.#common.traceCount,
    });
  }

  protected endTrain(peer: TcpPeer): void {
    peer.emitter?.close();
    peer.emitter = undefined;
  }

  /** Streams may flow over the connection of now. */
  protected openStreams(peer: TcpPeer, peerIntervalNs: number): void {
    this.ports.streams.make(peer.index, peer.emitter!.train.intervalNs, peerIntervalNs, 0);
    this.ports.streams.begin(peer.index);
    peer.open = true;
  }

  protected takerOf(index: number): TcpEmitter | undefined {
    const peer = this.peerOf(index);
    return peer?.open === true ? peer.emitter : undefined;
  }

  /** All else that leaves is put into plaintexts when it comes up. */
  protected beforeWait(): number {
    return Infinity;
  }

  // --- what comes in

  protected afterWait(): void {
    const descs = this.u32At(this.io + IO.rxDescs);
    const count = this.u32At(this.io + IO.rxCount);
    for (let i = 0; i < count; i++) this.#received(descs + i * RX.size);
    this.#inbound.run(this);
  }

  #received(rx: number): void {
    const event = this.u32At(rx + RX.flags) >> RX_FLAG.eventShift & 15;
    const id = this.u32At(rx + RX.peer);
    if (event === EVENT.accept) return this.accept(id);
    const connection = this.connections.get(id);
    if (connection === undefined) return;
    const len = this.u32At(rx + RX.len);
    if (event === EVENT.record) this.#record(connection, this.u32At(rx + RX.off), len);
    else if (event === EVENT.connected) this.connected(connection);
    else this.#over(connection, event, len);
  }

  #over(connection: TcpConnection, event: number, errno: number): void {
    this.#inbound.run(this); // what came before it
    if (event === EVENT.malformed) {
      this.counters.add("tcp_malformed");
      return this.end(connection, "what came is no TLS");
    }
    if (connection.retiring !== undefined) return this.end(connection, connection.retiring.reason);
    this.end(connection, errno === 0 ? "the other side closed the connection" : `connection error ${errno}`);
  }

  #record(connection: TcpConnection, off: number, len: number): void {
    if (connection.session !== undefined) {
      this.counters.add("records_in");
      return this.#inbound.add(connection, off, len, this);
    }
    // The connection is paused until main has answered, so that there is one such event for each.
    const record = this.memory.u8.slice(off, off + len);
    this.tell({ type: "tls record", connection: connection.id, record });
  }

  /** TcpInboundSink. */
  broken(connection: TcpConnection): void {
    this.counters.add("records_failed");
    this.end(connection, "a record did not open");
  }

  /** TcpInboundSink. */
  plaintext(connection: TcpConnection, contentType: number, off: number, len: number): TcpVerdict {
    const session = connection.session!;
    this.counters.add("records_opened");
    connection.peer!.lastAuthenticNs = this.nowNs;
    if (contentType === CONTENT_TYPE.applicationData) {
      this.#frames(connection, off, off + len);
      return connection.session === session ? "go on" : "stop";
    }
    const event = session.control(contentType, this.memory.u8.slice(off, off + len));
    if (event === "keys changed") return event;
    if (event === "none") return "go on";
    if (event === "malformed") this.counters.add("control_malformed");
    this.end(connection, event === "malformed" ? "the other side broke the protocol" : event);
    return "stop";
  }

  /** Frames of a record. Those that are no control frames belong to packets, which nobody sends here. */
  #frames(connection: TcpConnection, off: number, end: number): void {
    const frame = this.#frame;
    const { u8 } = this.memory;
    for (let at = off; at < end && connection.session !== undefined; at = frame.end) {
      if (parseFrame(u8, at, end, frame) !== FRAME_ERROR.none) return this.counters.add("inner_malformed");
      const { type, bodyOff, bodyLen } = frame;
      if (type === INNER_TYPE.padding) return;
      if (type === INNER_TYPE.streams) this.#streamsFrame(connection.peer!, bodyOff, bodyLen);
      else if (type >= INNER_CONTROL_FIRST) {
        this.innerControl(connection, type, u8.slice(bodyOff, bodyOff + bodyLen));
      } else this.counters.add("inner_unknown_type");
    }
  }

  #streamsFrame(peer: TcpPeer, off: number, len: number): void {
    if (peer.open) this.ports.streams.receive(peer.index, off, len, this.nowNs);
    else this.counters.add("inner_dropped_no_session");
  }

  // --- now and then

  protected keep(peer: TcpPeer): void {
    const { emitter, connection } = peer;
    if (emitter === undefined) return;
    while (emitter.refill()) this.counters.add("slots_refilled");
    if (connection?.session !== undefined) this.#keepKeysFresh(emitter, connection.session);
    else emitter.maintain();
  }

  /** RFC 8446 §4.6.3, §5.5: hands the pacer the next key in time. It puts the KeyUpdate into the record of the public
   * number itself. */
  #keepKeysFresh(emitter: TcpEmitter, session: TlsSession): void {
    if (emitter.changing) return;
    const { numberNext, train } = emitter;
    const number = session.updateRequested ? numberNext : this.#common.rekeyRecords - 1;
    const aheadCount = Math.min(UPDATE_AHEAD_NS / train.intervalNs, this.#common.rekeyRecords / 2);
    if (numberNext + aheadCount >= number) emitter.update(session.nextSendKey(), number);
  }

  protected housekeeping(): void {
    this.#closeFiles();
    this.#endRetired();
    for (const peer of this.peers()) this.keep(peer);
    for (const connection of [...this.connections.values()]) {
      if (connection.session !== undefined || this.nowNs < connection.deadlineNs) continue;
      this.counters.add("tcp_handshakes_late");
      this.end(connection, "the handshake took too long");
    }
    this.countStreams();
    this.counters.set("tcp_connections", this.connections.size);
  }

  /** Goodbye in slots, by the inner protocol and by TLS (RFC 8446 §6.1). */
  protected sayGoodbye({ emitter, connection }: TcpPeer): void {
    if (emitter === undefined || connection?.session === undefined) return;
    for (let i = 0; i < CLOSE_SLOTS; i++) emitter.control(emitClose(0));
    if (!emitter.content(CONTENT_TYPE.alert, emitAlert(ALERT.closeNotify))) {
      this.counters.add("control_dropped");
    }
  }
}
