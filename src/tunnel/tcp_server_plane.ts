/** The data Worker of a server in TCP mode: connections that come, bounded in number and time until they have shown a key;
 * one train and one multiplexer for each client, which go on from one connection to the next. */

import type { EndpointAddress } from "../ports/mod.ts";
import {
  type ClientParameters,
  emitServerWelcome,
  parseClientParameters,
  WELCOME_STATUS,
} from "../wire/inner_control.ts";
import { INNER_TYPE } from "../wire/inner_frame.ts";
import { type Grant, grant } from "./grant.ts";
import type { Order, TcpServerWorkerConfig } from "./messages.ts";
import { StrangerLimits } from "./stranger_limits.ts";
import { recordLenMax, tcpOverhead } from "./tcp_lengths.ts";
import { type TcpConnection, TcpPeer } from "./tcp_peer.ts";
import { TcpPlane, type TcpPlanePorts } from "./tcp_plane.ts";

// Chosen here.
/** Connections without a session; and of one address, or one /64. */
const HALF_OPEN_MAX = 128;
const HALF_OPEN_EACH_MAX = 8;
const HANDSHAKE_TIMEOUT_NS = 10e9;
const ACCEPTS_PER_TURN = 16;
/** A client whose connection is gone keeps its train and streams so long. */
const CLIENT_TIMEOUT_NS = 30e9;
const TIMEOUT_INTERVALS = 50;
const PATH_CHECK_NS = 30e9;
const CLOSE_WAIT_NS = 500e6;
/** Ids of listening sockets; those of connections count up from 0. */
const LISTENER_ID = 2 ** 30;

export class TcpServerPlane extends TcpPlane {
  readonly #config: TcpServerWorkerConfig;
  readonly #peers: (TcpPeer | undefined)[];
  readonly #limits: StrangerLimits;
  readonly #halfOpen = new Map<string, number>();
  /** Connections whose parameters have been granted, and what their client sends a nanosecond. */
  readonly #rates = new WeakMap<TcpConnection, number>();
  #ids = 0;
  #pathCheckAtNs = 0;
  #closingAtNs = Infinity;

  constructor(ports: TcpPlanePorts, config: TcpServerWorkerConfig) {
    super(ports, config);
    this.#config = config;
    this.#peers = config.clients.map(() => undefined);
    this.#limits = new StrangerLimits(ports.memory, ports.entropy);
    config.listeners.forEach((fd, index) => ports.tcp.add(fd, LISTENER_ID + index, "listening"));
  }

  protected *peers(): Iterable<TcpPeer> {
    for (const peer of this.#peers) if (peer !== undefined) yield peer;
  }

  /** A client's place is made by its first session, or stays empty. */
  protected peerOf(index: number): TcpPeer | undefined {
    return this.#peers[index];
  }

  protected otherOrder(order: Order): void {
    if (order.type !== "stop" || this.#closingAtNs !== Infinity) return;
    this.#closingAtNs = this.nowNs + CLOSE_WAIT_NS;
    for (const listener of this.#config.listeners) this.ports.tcp.remove(listener); // nobody comes back meanwhile
    for (const peer of this.peers()) this.sayGoodbye(peer);
  }

  // --- connections

  protected accept(id: number): void {
    const listener = this.#config.listeners[id - LISTENER_ID];
    for (let i = 0; i < ACCEPTS_PER_TURN; i++) {
      const accepted = this.ports.tcp.accept(listener);
      if (accepted === undefined) return;
      this.#take(accepted.fd, accepted.from);
    }
  }

  /** Takes a connection in, or closes it without a word: too many of this address, or too often, or main is
   * busy. When
   * there are too many in all, the oldest that has no session gives way. */
  #take(fd: number, from: EndpointAddress): void {
    const key = neighbourhoodOf(from);
    const fromThere = this.#halfOpen.get(key) ?? 0;
    if (fromThere >= HALF_OPEN_EACH_MAX || this.mainIsBusy || !this.#limits.connected(from, this.nowNs)) {
      this.counters.add("tcp_refused");
      this.ports.tcp.close(fd);
      return;
    }
    if (this.#halfOpenCount() >= HALF_OPEN_MAX) this.#endOldest();
    const connection = this.adopt(this.#nextId(), fd, from, this.nowNs + HANDSHAKE_TIMEOUT_NS, "paused");
    if (connection === undefined) return this.counters.add("tcp_refused");
    this.counters.add("tcp_accepted");
    this.#halfOpen.set(key, fromThere + 1);
    this.tell({ type: "tls open", connection: connection.id, from });
  }

  #nextId(): number {
    do this.#ids = (this.#ids + 1) % LISTENER_ID; while (this.connections.has(this.#ids));
    return this.#ids;
  }

  #halfOpenCount(): number {
    let count = 0;
    for (const each of this.#halfOpen.values()) count += each;
    return count;
  }

  #endOldest(): void {
    for (const connection of this.connections.values()) {
      if (connection.session !== undefined) continue;
      this.counters.add("tcp_handshakes_dropped");
      return this.end(connection, "too many handshakes at once");
    }
  }

  /** The connection is half open no more. */
  #forgetHalfOpen(connection: TcpConnection): void {
    const key = neighbourhoodOf(connection.from);
    const left = (this.#halfOpen.get(key) ?? 1) - 1;
    if (left > 0) this.#halfOpen.set(key, left);
    else this.#halfOpen.delete(key);
  }

  protected connected(): void {
    // Nothing is connected to from here.
  }

  protected lost(connection: TcpConnection, reason: string): void {
    const { peer } = connection;
    if (peer === undefined) return this.#forgetHalfOpen(connection);
    this.tell({ type: "tls gone", client: peer.index, reason });
  }

  /** The train begins, or goes on, when the client has said which one. */
  protected established(connection: TcpConnection, peer: TcpPeer): void {
    this.#forgetHalfOpen(connection);
    peer.open = peer.away = false;
    this.tell({ type: "authentic", client: peer.index });
  }

  protected override newPeer(index: number): TcpPeer | undefined {
    if (index >= this.#peers.length) return undefined;
    return this.#peers[index] ??= new TcpPeer(index);
  }

  // --- parameters

  protected innerControl(connection: TcpConnection, type: number, body: Uint8Array): void {
    const peer = connection.peer!;
    if (type === INNER_TYPE.close) {
      this.end(connection, "the client closed the session");
      return this.#forget(peer, "the client closed the session");
    }
    if (type !== INNER_TYPE.clientParameters) return;
    const wish = parseClientParameters(body);
    if (wish === undefined) return this.counters.add("control_malformed");
    if (this.#rates.has(connection)) return; // said again before the welcome was there
    const granted = this.#grant(connection, peer, wish);
    const { s2cIntervalNs: intervalNs, s2cDatagramLen: datagramLen } = wish;
    this.tell({ type: "parameters", client: peer.index, intervalNs, datagramLen, note: granted.note });
    if (granted.train === undefined) return this.end(connection, `refused: ${granted.note}`);
    this.#welcome(connection, peer, wish, granted);
  }

  /** As the wish says, as far as the entry and this path's segments go. */
  #grant(connection: TcpConnection, peer: TcpPeer, wish: ClientParameters): Grant {
    const state = this.ports.tcp.state(connection.fd);
    const ipLen = connection.from.ip.length;
    if (state === undefined || wish.s2cBurst !== 1) {
      return { status: WELCOME_STATUS.lengthRefused, note: `burst ${wish.s2cBurst}` };
    }
    const most = recordLenMax(state, ipLen);
    return grant({ ...wish, s2cDatagramLen: Math.min(wish.s2cDatagramLen, most) }, {
      maxSpeedBitsPerS: this.#config.clients[peer.index].maxSpeedBitsPerS,
      datagramMaxLen: most,
      overhead: tcpOverhead(ipLen, state.hasTimestamps),
    });
  }

  #welcome(connection: TcpConnection, peer: TcpPeer, wish: ClientParameters, granted: Grant): void {
    const phase = new Uint32Array(1);
    this.ports.entropy.fill(new Uint8Array(phase.buffer));
    const train = granted.train!;
    try {
      this.run(connection, peer, train, phase[0] / 2 ** 32 * train.intervalNs);
    } catch (error) {
      return this.end(connection, `no train: ${(error as Error).message}`); // no memory: the peer's wish may not end all
    }
    this.#rates.set(connection, wish.c2sBurst / wish.c2sIntervalNs);
    const client = this.#config.clients[peer.index];
    const isPut = peer.emitter!.control(emitServerWelcome({
      protocolVersion: 1,
      status: granted.status,
      nonce: wish.nonce,
      addresses: [],
      serverAddresses: [],
      routes: [],
      dns: [],
      mtu: 0,
      maxSpeedBitsPerS: client.maxSpeedBitsPerS,
      message: granted.note,
    }));
    if (!isPut) return this.end(connection, "no room for the welcome");
    this.openStreams(peer, wish.c2sIntervalNs);
  }

  #forget(peer: TcpPeer, reason: string): void {
    if (peer.connection !== undefined) this.end(peer.connection, reason);
    this.endTrain(peer);
    this.ports.streams.end(peer.index);
    peer.away = true;
    this.tell({ type: "closed", client: peer.index, reason });
  }

  // --- now and then

  protected override housekeeping(): void {
    super.housekeeping();
    for (const peer of this.peers()) this.#watch(peer);
    if (this.nowNs >= this.#pathCheckAtNs) this.#checkPaths();
    if (this.nowNs < this.#closingAtNs) return;
    this.stopped = true;
    for (const connection of [...this.connections.values()]) this.end(connection, "stopped");
  }

  #watch(peer: TcpPeer): void {
    if (peer.away) return;
    const rate = peer.connection === undefined ? 0 : this.#rates.get(peer.connection) ?? 0;
    const limitNs = Math.max(CLIENT_TIMEOUT_NS, rate > 0 ? TIMEOUT_INTERVALS / rate : 0);
    if (this.nowNs - peer.lastAuthenticNs > limitNs) this.#forget(peer, "nothing heard for too long");
  }

  /** Records that are no longer one segment: the client connects again, with others. */
  #checkPaths(): void {
    this.#pathCheckAtNs = this.nowNs + PATH_CHECK_NS;
    for (const { connection, emitter } of this.peers()) {
      if (connection === undefined || emitter === undefined) continue;
      const state = this.ports.tcp.state(connection.fd);
      const most = state === undefined ? Infinity : recordLenMax(state, connection.from.ip.length);
      if (emitter.train.datagramLen > most) {
        this.retire(connection, "the path's segments have become shorter than the records");
      }
    }
  }
}

/** Whoever has this address, or an address of the same /64. */
function neighbourhoodOf({ ip }: EndpointAddress): string {
  return (ip.length === 4 ? ip : ip.subarray(0, 8)).join(".");
}
