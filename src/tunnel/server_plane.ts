/** The data Worker of a server: many peers, one TUN device read eagerly into a bounded queue for each, one train per
 * client with the length and rate that the client asked for and its entry allows. */

import type { EndpointAddress } from "../ports/mod.ts";
import { slotGapMinNs } from "../config/mod.ts";
import { RX } from "../ports/mod.ts";
import { HelloGate } from "../flight/hello_gate.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { INNER_TYPE } from "../wire/inner_frame.ts";
import type { ClientParameters } from "../wire/inner_control.ts";
import { emitClose, emitServerWelcome, parseClientParameters } from "../wire/inner_control.ts";
import { jitterSdMaxNs } from "../schedule/mod.ts";
import { parsePrefix } from "../wire/ip_address.ts";
import { Session } from "../session/session.ts";
import { addressKey, DataPlane, RECORDS_MAX } from "./data_plane.ts";
import type { DataPlanePorts } from "./data_plane.ts";
import { Emitter } from "./emitter.ts";
import { InnerRoutes } from "./inner_routes.ts";
import type { Mail } from "./mailbox.ts";
import type { Order, ServerWorkerConfig, TrainParameters } from "./messages.ts";
import { Peer, SendKeys } from "./peer.ts";
import { keepKeysFresh, sessionOptions } from "./rekey.ts";

// Chosen here.
const QUEUE_LEN = 128 * 1024;
/** A queue longer than this much of the train only makes old packets. */
const QUEUE_NS = 250e6;
const QUEUE_PACKETS_MIN = 32;
const CLIENT_TIMEOUT_NS = 30e9;
const TIMEOUT_INTERVALS = 50;
/** Slot 0 must not have passed when the pacer takes the train over, which it does within 10 ms. */
const START_DELAY_NS = 40e6;
const HANDSHAKES_MAX = 256;
const HANDSHAKE_TIMEOUT_NS = 20e9;
const REPLY_LEN_MAX = 2048;
const INTERVAL_MAX_NS = 60e9;
/** A welcome with some addresses and a message fits. */
const DATAGRAM_LEN_MIN = 500;
const BURST_MAX = 44;
const OUTER_OVERHEAD_V4 = 28;
const CLOSE_SLOTS = 3;
const CLOSE_WAIT_NS = 500e6;

export class ServerPlane extends DataPlane {
  readonly #config: ServerWorkerConfig;
  readonly #gate: HelloGate;
  readonly #peers: (Peer | undefined)[];
  readonly #routes: InnerRoutes;
  /** Peers whose queue holds something. */
  readonly #active = new Set<Peer>();
  readonly #rates: number[];
  readonly #nonces: (Uint8Array | undefined)[];
  /** Addresses with a handshake in main, until when. */
  readonly #handshaking = new Map<string, number>();
  readonly #scratch: number;
  #closingAtNs = Infinity;

  constructor(ports: DataPlanePorts, config: ServerWorkerConfig) {
    super(ports);
    this.#config = config;
    this.#gate = new HelloGate({
      secret: config.cookieSecret,
      entropy: ports.entropy,
      ...config.cookiePolicy,
    });
    this.#peers = config.clients.map(() => undefined);
    this.#rates = config.clients.map(() => 0);
    this.#nonces = config.clients.map(() => undefined);
    this.#routes = new InnerRoutes(ports.memory.u8);
    config.clients.forEach((client, index) => {
      for (const prefix of client.addresses) this.#routes.add(parsePrefix(prefix)!, index);
    });
    this.#scratch = ports.memory.alloc(REPLY_LEN_MAX);
  }

  protected order(mail: Mail<Order>): void {
    const order = mail.head;
    if (order.type === "session") {
      this.#newSession(mail);
    } else if (order.type === "forget") {
      const peer = this.#peers[order.client];
      if (peer !== undefined) this.#forget(peer, "removed");
    } else if (order.type === "stop" && this.#closingAtNs === Infinity) {
      this.#closingAtNs = this.nowNs + CLOSE_WAIT_NS;
      for (const peer of this.#peers) {
        for (let i = 0; i < CLOSE_SLOTS; i++) peer?.train?.emitter.control(emitClose(0));
      }
    }
  }

  #newSession(mail: Mail<Order>): void {
    const order = mail.head;
    if (order.type !== "session") return;
    const peer = this.#peers[order.client] ??= new Peer(order.client, this.memory, QUEUE_LEN);
    const address = { ip: mail.bytes[2].slice(), port: order.port, scope: order.scope };
    const local = mail.bytes[3].length === 0
      ? undefined
      : { ip: mail.bytes[3].slice(), port: order.localPort };
    const secrets = {
      suite: order.suite,
      send: mail.bytes[0],
      receive: mail.bytes[1],
      sendMessageSeq: order.sendMessageSeq,
      receiveMessageSeq: order.receiveMessageSeq,
    };
    this.#dropPending(peer);
    const train = peer.train?.emitter.train ?? { intervalNs: 1e6, burst: 1 } as TrainParameters;
    // Until the client has said its rate, the replay window is that of a fast one.
    const options = sessionOptions(this.#config.rekeyRecords, train, 1 / 50e3);
    peer.pending = new Session(this.memory, this.ports.protection, secrets, options, this.nowNs);
    peer.pendingAddress = address;
    peer.pendingLocal = local;
    peer.pendingFd = this.#config.udpFds[order.fdIndex];
    if (peer.current === undefined) peer.lastAuthenticNs = this.nowNs;
    this.ports.io.setPeer(address, peer.index);
  }

  #dropPending(peer: Peer): void {
    if (peer.pending === undefined) return;
    peer.pending.close();
    peer.pending = undefined;
    const gone = peer.pendingAddress;
    if (gone !== undefined && (peer.address === undefined || addressKey(gone) !== addressKey(peer.address))) {
      this.ports.io.setPeer(gone, -1);
    }
    peer.pendingAddress = undefined;
  }

  protected peerOf(index: number): Peer | undefined {
    return index < 0 ? undefined : this.#peers[index];
  }

  protected otherDatagram(rx: number, peer: Peer | undefined): void {
    const { u8, u32 } = this.memory;
    const off = u32[(rx + RX.off) >> 2];
    const len = u32[(rx + RX.len) >> 2];
    const from = this.address(rx + RX.from)!;
    const key = addressKey(from);
    // A ClientHello always passes the gate; what else belongs to a handshake comes from an address that has one.
    if (len === 0 || u8[off] !== CONTENT_TYPE.handshake) {
      if (this.#handshaking.has(key)) this.tellHandshake(rx, false);
      else if (peer === undefined) this.counters.add("datagrams_unknown_sender");
      return;
    }
    const verdict = this.#gate.respond(u8.slice(off, off + len), addressBytes(from), this.nowNs);
    if (verdict.kind === "drop") {
      this.counters.add("hello_dropped");
    } else if (verdict.kind === "reply") {
      this.#reply(rx, verdict.datagram, from);
    } else if (verdict.kind === "continuation") {
      if (this.#handshaking.has(key)) this.tellHandshake(rx, false);
      else this.counters.add("hello_dropped");
    } else if (!this.#handshaking.has(key) && this.#handshaking.size >= HANDSHAKES_MAX) {
      this.counters.add("handshake_dropped_busy");
    } else {
      this.#handshaking.set(key, this.nowNs + HANDSHAKE_TIMEOUT_NS);
      this.tellHandshake(rx, true);
    }
  }

  #reply(rx: number, datagram: Uint8Array, from: EndpointAddress): void {
    if (datagram.length > REPLY_LEN_MAX) return;
    this.memory.u8.set(datagram, this.#scratch);
    const fd = this.#config.udpFds[this.memory.u32[(rx + RX.flags) >> 2] >>> 8];
    this.ports.io.udpSend(fd, this.#scratch, datagram.length, from, this.address(rx + RX.to));
    this.counters.add("hello_replied");
  }

  /** The pending session has proved itself: it takes over, and with it the train, at one slot. */
  protected authenticated(peer: Peer): void {
    const before = peer.address;
    peer.promote();
    peer.open = peer.train !== undefined;
    if (before !== undefined && addressKey(before) !== addressKey(peer.address!)) {
      this.ports.io.setPeer(before, -1);
    }
    if (peer.train !== undefined) {
      peer.train.keys.change(peer.current!.newSendKey(), 3, 0);
      peer.train.emitter.setDestination(peer.fd, peer.address!, peer.local);
    }
    this.tell({ type: "authentic", client: peer.index });
  }

  protected innerControl(peer: Peer, session: Session, type: number, body: Uint8Array): void {
    if (session !== peer.current) return;
    if (type === INNER_TYPE.close) return this.#forget(peer, "the client closed the session");
    if (type !== INNER_TYPE.clientParameters) return;
    const parameters = parseClientParameters(body);
    if (parameters === undefined) {
      this.counters.add("control_malformed");
      return;
    }
    const known = this.#nonces[peer.index];
    const repeated = peer.train !== undefined && peer.open && known !== undefined &&
      parameters.nonce.every((byte, i) => byte === known[i]);
    const { status, train, note } = this.#grant(peer, parameters);
    if (train === undefined) {
      this.tell({ type: "parameters", client: peer.index, body, note });
      return;
    }
    if (!repeated || !sameTrain(peer.train!.emitter.train, train)) {
      this.#setTrain(peer, train);
      this.tell({ type: "parameters", client: peer.index, body, note });
    }
    this.#nonces[peer.index] = parameters.nonce.slice();
    this.#rates[peer.index] = parameters.c2sBurst / parameters.c2sIntervalNs;
    peer.open = true;
    if (!peer.train!.emitter.control(this.#welcome(peer, parameters, status, note))) {
      this.counters.add("control_dropped");
    }
  }

  /** What of the wish this server fulfils. */
  #grant(peer: Peer, wish: ClientParameters): { status: number; train?: TrainParameters; note: string } {
    if (wish.oldestVersion > 1) {
      return { status: 2, note: `the client needs inner protocol ${wish.oldestVersion}` };
    }
    const burst = wish.s2cBurst;
    const datagramLen = wish.s2cDatagramLen;
    if (burst < 1 || burst > BURST_MAX || burst * datagramLen > 65_000) {
      return { status: 3, note: `burst ${burst}` };
    }
    if (datagramLen < DATAGRAM_LEN_MIN || datagramLen > this.#config.datagramMaxLen) {
      return { status: 3, note: `datagrams of ${datagramLen} bytes` };
    }
    if (!(wish.c2sIntervalNs > 0) || wish.s2cIntervalNs > INTERVAL_MAX_NS) {
      return { status: 1, note: "interval" };
    }
    const { maxSpeedBitsPerS } = this.#config.clients[peer.index];
    const overhead = peer.address!.ip.length === 4 ? OUTER_OVERHEAD_V4 : OUTER_OVERHEAD_V4 + 20;
    const fastestNs = Math.max(
      (datagramLen + overhead) * 8e9 * burst / maxSpeedBitsPerS,
      slotGapMinNs(burst) * 1.5,
    );
    const intervalNs = Math.max(wish.s2cIntervalNs, fastestNs);
    const jitterLaw = wish.s2cJitterLaw;
    const sdMaxNs = jitterSdMaxNs(jitterLaw, intervalNs, slotGapMinNs(burst));
    const train = {
      intervalNs,
      datagramLen,
      burst,
      jitterLaw,
      jitterSdNs: Math.min(wish.s2cJitterSdNs, sdMaxNs),
    };
    const slowed = intervalNs > wish.s2cIntervalNs * (1 + 1e-9);
    return slowed
      ? { status: 1, train, note: `max_speed allows one slot in ${Math.round(intervalNs / 1e3)} us` }
      : { status: 0, train, note: "" };
  }

  #setTrain(peer: Peer, train: TrainParameters): void {
    if (peer.train !== undefined && sameTrain(peer.train.emitter.train, train)) return;
    peer.closeTrain();
    const seed = new Uint8Array(36);
    this.ports.entropy.fill(seed);
    const phase = new DataView(seed.buffer).getUint32(32) / 2 ** 32;
    const emitter = new Emitter(this.memory, this.ports.pacer, {
      train,
      seed: seed.subarray(0, 32),
      startNs: this.nowNs + START_DELAY_NS + phase * train.intervalNs,
      fd: peer.fd,
      to: peer.address!,
      from: peer.local,
      traceCount: this.#config.traceCount,
    });
    const session = peer.current!;
    const keys = new SendKeys(emitter, this.ports.protection, session.newSendKey(), session.sendEpoch);
    peer.train = { emitter, keys };
    emitter.start();
    this.tell({ type: "ring", client: peer.index, ring: emitter.ring, intervalNs: train.intervalNs });
  }

  #welcome(peer: Peer, wish: ClientParameters, status: number, message: string): Uint8Array {
    const client = this.#config.clients[peer.index];
    return emitServerWelcome({
      protocolVersion: 1,
      status,
      nonce: wish.nonce,
      addresses: client.given.map((text) => parsePrefix(text)!),
      serverAddresses: this.#config.innerAddresses.map((text) => parsePrefix(text)!),
      routes: [],
      dns: [],
      mtu: this.#config.mtu,
      maxSpeedBitsPerS: client.maxSpeedBitsPerS,
      message,
    });
  }

  protected sessionEnded(peer: Peer, reason: string): void {
    this.#forget(peer, reason);
  }

  #forget(peer: Peer, reason: string): void {
    for (const address of [peer.address, peer.pendingAddress]) {
      if (address !== undefined) this.ports.io.setPeer(address, -1);
    }
    peer.closeTrain();
    peer.closeSessions();
    this.#nonces[peer.index] = undefined;
    this.#active.delete(peer);
    this.tell({ type: "closed", client: peer.index, reason });
  }

  /** Anti-spoofing: a client's packets carry its own inner address; clients do not reach one another. */
  protected admits(peer: Peer, off: number, len: number): boolean {
    if (this.#routes.bySource(off, len) !== peer.index) {
      this.counters.add("inner_source_refused");
      return false;
    }
    if (this.#routes.byDestination(off, len) >= 0) {
      this.counters.add("inner_destination_refused");
      return false;
    }
    return true;
  }

  protected tunBudget(): number {
    return Infinity;
  }

  protected tunPacket(off: number, len: number): void {
    const index = this.#routes.byDestination(off, len);
    if (index < 0) return this.counters.add("inner_dropped_no_route");
    const peer = this.#peers[index];
    if (peer === undefined || !peer.open || peer.train === undefined) {
      return this.counters.add("inner_dropped_no_session");
    }
    const { train } = peer.train.emitter;
    const limit = Math.max(
      QUEUE_NS / train.intervalNs * train.burst * train.datagramLen,
      QUEUE_PACKETS_MIN * train.datagramLen,
    );
    if (peer.queue.payloadLen + len > limit || !peer.queue.push(off, len)) {
      return this.counters.add("inner_dropped_queue_full");
    }
    this.#active.add(peer);
    this.counters.add("inner_packets_out");
    this.counters.add("inner_bytes_out", len);
  }

  protected pump(): number {
    let wakeNs = Infinity;
    for (const peer of this.#active) {
      const emitter = peer.train!.emitter;
      emitter.pump(peer.queue);
      if (peer.queue.count === 0) this.#active.delete(peer);
      else wakeNs = Math.min(wakeNs, emitter.nextRoomNs());
    }
    return wakeNs;
  }

  protected housekeeping(): void {
    for (const peer of this.#peers) if (peer !== undefined) this.#keep(peer);
    for (const [key, until] of this.#handshaking) if (until <= this.nowNs) this.#handshaking.delete(key);
    this.countFraming(this.#peers);
    if (this.nowNs < this.#closingAtNs) return;
    this.stopped = true; // the rings stay: their last slots are read when the pacer has stopped
    for (const peer of this.#peers) peer?.closeSessions();
  }

  #keep(peer: Peer): void {
    if (peer.train !== undefined) {
      const { emitter, keys } = peer.train;
      while (emitter.refill()) this.counters.add("slots_refilled");
      keys.maintain();
      const session = peer.current;
      if (session !== undefined) {
        keepKeysFresh(session, emitter, keys);
        this.sendControls(peer, session);
      }
      if (emitter.numberNext >= RECORDS_MAX && !keys.changing) {
        return this.#forget(peer, "its key is worn out");
      }
    }
    if (peer.current === undefined && peer.pending === undefined) return;
    const rate = this.#rates[peer.index];
    const limitNs = Math.max(CLIENT_TIMEOUT_NS, rate > 0 ? TIMEOUT_INTERVALS / rate : 0);
    if (this.nowNs - peer.lastAuthenticNs > limitNs) this.#forget(peer, "nothing heard for too long");
  }
}

function sameTrain(a: TrainParameters, b: TrainParameters): boolean {
  return a.intervalNs === b.intervalNs && a.datagramLen === b.datagramLen && a.burst === b.burst &&
    a.jitterLaw === b.jitterLaw && a.jitterSdNs === b.jitterSdNs;
}

/** Address and port as the cookie covers them. */
export function addressBytes(address: EndpointAddress): Uint8Array {
  const out = new Uint8Array(address.ip.length + 2);
  out.set(address.ip);
  out[address.ip.length] = address.port >> 8;
  out[address.ip.length + 1] = address.port & 0xff;
  return out;
}
