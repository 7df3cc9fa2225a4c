/** The data Worker of a server: many peers, one TUN device read eagerly into a bounded queue for each, one train per
 * client with the length and rate that the client asked for and its entry allows. */

import { assert } from "../base/mod.ts";
import { REASSEMBLY_LEN } from "../framing/reassembler.ts";
import type { EndpointAddress, Memory } from "../ports/mod.ts";
import { RX, RX_FLAG } from "../ports/mod.ts";
import { HelloGate } from "../flight/hello_gate.ts";
import { HELLO_PART, peekHello } from "../wire/hello_peek.ts";
import { parsePrefix } from "../wire/ip_address.ts";
import type { PathMessage } from "../wire/path_check.ts";
import { clampMss } from "../wire/tcp_mss.ts";
import { SPARE_IDS } from "../session/id_exchange.ts";
import { Session } from "../session/session.ts";
import { addressKey, AddressTable } from "./address_table.ts";
import { DataPlane, RECORDS_MAX } from "./data_plane.ts";
import type { DataPlanePorts } from "./data_plane.ts";
import { Emitter, START_DELAY_NS } from "./emitter.ts";
import { sameTrain } from "./grant.ts";
import type { OpenedRecord } from "./inbound.ts";
import { innerMtuOf } from "./inner_mtu.ts";
import { InnerRoutes } from "./inner_routes.ts";
import type { Mail } from "./mailbox.ts";
import { type Order, secretsOf, type ServerWorkerConfig, type TrainParameters } from "./messages.ts";
import { Moves } from "./moves.ts";
import { OwnIds } from "./own_ids.ts";
import { Peer, SendKeys } from "./peer.ts";
import { packetQueueLen, queuePackets } from "./packet_queue.ts";
import { withReserved } from "./reserved_blocks.ts";
import { keepKeysFresh, sealingOf, sessionOptions } from "./rekey.ts";
import type { ServerInner, ServerLine, TrainExtras } from "./server_inner.ts";
import { ServerInnerV0 } from "./server_inner_v0.ts";
import { ServerInnerV1 } from "./server_inner_v1.ts";
import { StrangerLimits } from "./stranger_limits.ts";

// Chosen here.
/** Full packets that wait at most. */
const QUEUE_PACKETS = 64;
/** Clients whose queue and reassembly find memory whatever the others take; there may be many more. */
const BUSY_RESERVED = 16;
/** A queue longer than this much of the train only makes old packets. */
const QUEUE_NS = 250e6;
const QUEUE_PACKETS_MIN = 32;
const CLIENT_TIMEOUT_NS = 30e9;
/** Until a new session has shown a sign of life: its slots may be 10 s apart. */
const FIRST_SIGN_NS = 60e9;
const TIMEOUT_INTERVALS = 50;
const HANDSHAKES_MAX = 256;
const HANDSHAKE_TIMEOUT_NS = 70e9;
const REPLY_LEN_MAX = 2048;
const CLOSE_WAIT_NS = 500e6;

export class ServerPlane extends DataPlane {
  readonly #config: ServerWorkerConfig;
  readonly #gate: HelloGate;
  readonly #peers: (Peer | undefined)[];
  readonly #blocks: Memory;
  readonly #routes: InnerRoutes;
  /** Peers whose queue holds something. */
  readonly #active = new Set<Peer>();
  readonly #rates: number[];
  /** By index, made with the peer. */
  readonly #inners: (ServerInner | undefined)[];
  readonly #addresses: AddressTable;
  readonly #limits: StrangerLimits;
  /** Addresses with a handshake in main, by their hashes, until when. */
  readonly #handshaking = new Map<number, number>();
  readonly #scratch: number;
  readonly #moves: Moves;
  #closingAtNs = Infinity;

  constructor(ports: DataPlanePorts, config: ServerWorkerConfig) {
    super(ports);
    this.#config = config;
    this.#gate = new HelloGate({
      secret: config.cookieSecret,
      entropy: ports.entropy,
      ...config.cookiePolicy,
      version0: config.hasVersion0,
    });
    this.#limits = new StrangerLimits(ports.memory, ports.entropy);
    this.#peers = config.clients.map(() => undefined);
    const busy = Math.min(BUSY_RESERVED, config.clients.length);
    this.#blocks = withReserved(ports.memory, [packetQueueLen(QUEUE_PACKETS), REASSEMBLY_LEN], busy);
    this.#rates = config.clients.map(() => 0);
    this.#inners = config.clients.map(() => undefined);
    this.#addresses = new AddressTable(ports.io);
    this.#moves = new Moves(ports, config.udpFds, {
      rate: (peer) => this.#rates[peer.index],
      moved: (peer, to) => this.tell({ type: "moved", client: peer.index, to }),
    });
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
    } else if (order.type === "stop" && this.#closingAtNs === Infinity) {
      this.#closingAtNs = this.nowNs + CLOSE_WAIT_NS;
      for (const inner of this.#inners) inner?.goodbye();
    }
  }

  #newSession(mail: Mail<Order>): void {
    const order = mail.head;
    if (order.type !== "session") return;
    const peer = this.#peers[order.client] ?? this.#newPeer(order.client);
    const [ip, localIp] = mail.bytes.slice(4);
    const address = { ip: ip.slice(), port: order.port, scope: order.scope };
    const local = localIp.length === 0 ? undefined : { ip: localIp.slice(), port: order.localPort };
    const secrets = secretsOf(order, mail.bytes);
    this.#dropPending(peer);
    const train = peer.train?.emitter.train ?? { intervalNs: 1e6, burst: 1 } as TrainParameters;
    // Until the client has said its rate, the replay window is that of a fast one.
    const { own } = secrets.connectionIds!;
    const side = peer.current === undefined ? 0 : 1 - peer.current.side;
    const options = {
      ...sessionOptions(this.#config.rekeyRecords, train, 1 / 50e3),
      side,
      ownIds: own.length === 0 ? undefined : this.#ownIds(peer, side, own),
    };
    peer.pending = new Session(this.memory, this.ports.protection, secrets, options, this.nowNs);
    peer.pendingAddress = address;
    peer.pendingLocal = local;
    peer.pendingFd = this.#config.udpFds[order.fdIndex];
    if (peer.current === undefined) peer.lastAuthenticNs = this.nowNs;
    if (own.length === 0) this.#addresses.bind(address, peer.index);
  }

  #ownIds(peer: Peer, side: number, first: Uint8Array): OwnIds {
    return new OwnIds(this.ports.io, this.ports.entropy, 2 * peer.index + side, first);
  }

  #newPeer(index: number): Peer {
    const client = this.#config.clients[index];
    const inner = client.protocol === "v0"
      ? new ServerInnerV0(this.#line(index), this.ports.clock.wallBaseNs())
      : new ServerInnerV1(this.#line(index));
    this.#inners[index] = inner;
    return this.#peers[index] = new Peer(
      index,
      this.#blocks,
      this.newQueue(this.#blocks, QUEUE_PACKETS),
      inner.frames,
    );
  }

  #line(index: number): ServerLine {
    // deno-lint-ignore no-this-alias
    const plane = this;
    const peer = () => this.#peers[index]!;
    return {
      memory: this.memory,
      counters: this.counters,
      config: this.#config,
      client: this.#config.clients[index],
      get peer() {
        return peer();
      },
      get nowNs() {
        return plane.nowNs;
      },
      useTrain: (session, train, extras) => this.#useTrain(peer(), session, train, extras),
      sendNow: (datagram) => this.#sendNow(peer(), datagram),
      sayCloseNotify: () => {
        const train = peer().train;
        if (train !== undefined) this.sayCloseNotify(train.emitter);
      },
      setReceiveRate: (session, rate) => {
        this.#rates[index] = session.receiveRate = rate;
      },
      end: (reason) => this.#forget(peer(), reason),
      tell: (event) => this.tell(event),
    };
  }

  #sendNow(peer: Peer, datagram: Uint8Array): void {
    assert(datagram.length <= REPLY_LEN_MAX, "an answer fits the scratch block");
    this.memory.u8.set(datagram, this.#scratch);
    this.ports.io.udpSend(peer.fd, this.#scratch, datagram.length, peer.address!, peer.local);
  }

  #dropPending(peer: Peer): void {
    if (peer.pending === undefined) return;
    peer.pending.close();
    peer.pending = undefined;
    const gone = peer.pendingAddress;
    if (gone !== undefined && !sameAddress(gone, peer.address)) this.#addresses.unbind(gone, peer.index);
    peer.pendingAddress = undefined;
  }

  protected peerOf(index: number): Peer | undefined {
    return index < 0 ? undefined : this.#peers[index];
  }

  protected otherDatagram(rx: number, peer: Peer | undefined): void {
    const { u8, u32 } = this.memory;
    const off = u32[(rx + RX.off) >> 2];
    const end = off + u32[(rx + RX.len) >> 2];
    const part = peekHello(u8, off, end);
    if (part === HELLO_PART.first || part === HELLO_PART.second) this.#hello(rx, off, end, part);
    else if (!this.#isHandshaking(rx)) this.#unknown(rx, part, peer);
    else if (part === HELLO_PART.continuation || (end > off && mayBeHandshake(u8[off]))) this.#more(rx);
    else this.#unknown(rx, part, peer);
  }

  /** Counts what is dropped; a record of a client with a session is counted where it is opened. */
  #unknown(rx: number, part: number, peer: Peer | undefined): void {
    if (part === HELLO_PART.continuation) this.counters.add("hello_dropped");
    else if (peer === undefined) this.counters.add("datagrams_unknown_sender");
    else if (!this.isRecord(rx)) this.counters.add("datagrams_unexpected");
  }

  #hello(rx: number, off: number, end: number, part: number): void {
    const from = rx + RX.from;
    const isFirst = part === HELLO_PART.first;
    if (!(isFirst ? this.#limits.first(from, this.nowNs) : this.#limits.cookie(this.nowNs))) {
      return this.counters.add("hello_limited");
    }
    const address = this.address(from)!;
    const verdict = this.#gate.respond(this.memory.u8.subarray(off, end), addressBytes(address), this.nowNs);
    if (verdict.kind === "reply") return this.#reply(rx, verdict.datagram, address);
    if (verdict.kind !== "pass") return this.counters.add("hello_dropped");
    if (!this.#limits.proved(from, this.nowNs)) return this.counters.add("hello_limited");
    this.#noteHandshake(this.#limits.hash.of(from, "endpoint"));
    this.tellHandshake(rx, true);
  }

  #isHandshaking(rx: number): boolean {
    return this.#handshaking.size > 0 &&
      this.#handshaking.has(this.#limits.hash.of(rx + RX.from, "endpoint"));
  }

  #more(rx: number): void {
    if (this.#limits.more(rx + RX.from, this.nowNs)) this.tellHandshake(rx, false);
    else this.counters.add("handshake_limited");
  }

  /** Remembers an address that has returned a cookie. When there are too many, the oldest gives way: one host with many
   * ports cannot keep everybody else out. */
  #noteHandshake(hash: number): void {
    this.#handshaking.delete(hash);
    this.#handshaking.set(hash, this.nowNs + HANDSHAKE_TIMEOUT_NS);
    if (this.#handshaking.size <= HANDSHAKES_MAX) return;
    this.counters.add("handshake_dropped_busy");
    for (const oldest of this.#handshaking.keys()) {
      this.#handshaking.delete(oldest);
      return;
    }
  }

  #reply(rx: number, datagram: Uint8Array, from: EndpointAddress): void {
    if (datagram.length > REPLY_LEN_MAX) return;
    this.memory.u8.set(datagram, this.#scratch);
    const fd = this.#config.udpFds[this.memory.u32[(rx + RX.flags) >> 2] >>> RX_FLAG.fdShift];
    this.ports.io.udpSend(fd, this.#scratch, datagram.length, from, this.address(rx + RX.to));
    this.counters.add("hello_replied");
  }

  /** The pending session has proved itself: what comes is read with its keys. The train follows when its parameters
   * say which train: the same one goes on under the new keys, one slot with the old, the next with the new; another
   * one begins. Until then it goes on as it was. */
  protected authenticated(peer: Peer): void {
    const before = peer.address;
    peer.promote();
    peer.open = false;
    peer.train?.emitter.endAside();
    if (peer.address !== undefined) {
      this.#handshaking.delete(this.#limits.hash.ofAddress(peer.address, "endpoint"));
    }
    if (before !== undefined && !sameAddress(before, peer.address)) {
      this.#addresses.unbind(before, peer.index);
    }
    this.tell({ type: "authentic", client: peer.index });
  }

  protected arrived(peer: Peer, record: OpenedRecord): void {
    this.#moves.arrived(peer, record, this.nowNs);
  }

  protected pathMessage(peer: Peer, message: PathMessage, record: OpenedRecord): void {
    this.#moves.message(peer, message, record, this.nowNs);
  }

  protected innerControl(peer: Peer, session: Session, type: number, off: number, len: number): void {
    if (session === peer.current) this.#inners[peer.index]!.control(session, type, off, len);
  }

  /** A client's streams begin with its first frame of them: others have none. */
  protected override takesStreams(peer: Peer, session: Session): boolean {
    if (session !== peer.current || !peer.open) return false;
    const { overtakingMax, train: { intervalNs, burst } } = peer.train!.emitter;
    this.ports.streams?.make(peer.index, intervalNs / burst, 1 / this.#rates[peer.index], overtakingMax);
    this.beginStreams(peer, session);
    return peer.streaming === session;
  }

  #useTrain(
    peer: Peer,
    session: Session,
    train: TrainParameters,
    extras: TrainExtras = {},
  ): string | undefined {
    const { clampsMss, mtu } = this.#config;
    const cidLen = session.ids.peer.length;
    const prefixLen = extras.prefix?.bytes.length ?? 0;
    peer.mssMtu = clampsMss ? Math.min(mtu, innerMtuOf(train.datagramLen, cidLen, prefixLen)) : 0;
    const emitter = peer.train?.emitter;
    const isSame = emitter !== undefined && sameTrain(emitter.train, train) &&
      emitter.cidLen === cidLen && emitter.prefixLen === prefixLen;
    if (!isSame) return this.#startTrain(peer, session, train, extras);
    peer.train!.keys.change(sealingOf(session), 0);
    emitter.setDestination(peer.fd, peer.address!, peer.local);
    this.#keyTo(peer, session);
    return undefined;
  }

  /** The train leaves under this session's keys: what the session has to say can be said. */
  #keyTo(peer: Peer, session: Session): void {
    peer.keyed = session;
    session.idExchange.offer(SPARE_IDS);
  }

  /** Ends the peer's train, if it has one, and begins another. When there is no memory for it, says so: the peer's
   * wish may not end the process. */
  #startTrain(
    peer: Peer,
    session: Session,
    train: TrainParameters,
    extras: TrainExtras,
  ): string | undefined {
    peer.closeTrain();
    const seed = new Uint8Array(36);
    this.ports.entropy.fill(seed);
    const phase = new DataView(seed.buffer).getUint32(32) / 2 ** 32;
    let emitter: Emitter;
    try {
      emitter = new Emitter(this.memory, this.ports.pacer, {
        train,
        seed: seed.subarray(0, 32),
        startNs: this.nowNs + START_DELAY_NS + phase * train.intervalNs,
        fd: peer.fd,
        to: peer.address!,
        from: peer.local,
        traceCount: this.#config.traceCount,
        cid: session.ids.peer,
        ...extras,
      });
    } catch (error) {
      return `no train: ${(error as Error).message}`;
    }
    const bytesPerNs = train.burst * train.datagramLen / train.intervalNs;
    peer.queue.pace(
      train.intervalNs,
      Math.max(QUEUE_NS * bytesPerNs, QUEUE_PACKETS_MIN * train.datagramLen),
      queuePackets(QUEUE_PACKETS, train),
    );
    const keys = new SendKeys(emitter, this.ports.protection, sealingOf(session));
    peer.train = { emitter, keys };
    this.#keyTo(peer, session);
    emitter.start();
    this.tell({ type: "ring", client: peer.index, ring: emitter.ring, intervalNs: train.intervalNs });
    return undefined;
  }

  protected sessionEnded(peer: Peer, reason: string): void {
    this.#forget(peer, reason);
  }

  #forget(peer: Peer, reason: string): void {
    for (const address of [peer.address, peer.pendingAddress]) {
      if (address !== undefined) this.#addresses.unbind(address, peer.index);
    }
    peer.closeTrain();
    peer.closeSessions();
    this.ports.streams?.end(peer.index);
    this.#inners[peer.index]!.ended();
    this.#active.delete(peer);
    this.tell({ type: "closed", client: peer.index, reason });
  }

  /** Anti-spoofing: a client's packets carry its own inner address; clients do not reach one another unless they may. */
  protected admits(peer: Peer, off: number, len: number): boolean {
    if (this.#routes.bySource(off, len) !== peer.index) {
      this.counters.add("inner_source_refused");
      return false;
    }
    if (!this.#config.betweenClients && this.#routes.byDestination(off, len) >= 0) {
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
    if (peer?.train === undefined) return this.counters.add("inner_dropped_no_session");
    // While one session takes the place of another the queue holds what comes.
    if (peer.mssMtu > 0) clampMss(this.memory.u8, off, len, peer.mssMtu);
    if (!peer.queue.push(off, len)) return;
    this.#active.add(peer);
    this.counters.add("inner_packets_out");
    this.counters.add("inner_bytes_out", len);
  }

  protected pump(): number {
    let wakeNs = Infinity;
    for (const peer of this.#active) {
      const emitter = peer.train?.emitter;
      emitter?.pump(peer.queue);
      if (emitter === undefined || peer.queue.count === 0) this.#active.delete(peer);
      else if (peer.open) wakeNs = Math.min(wakeNs, emitter.nextRoomNs(this.nowNs));
    }
    return wakeNs;
  }

  protected override housekeeping(): void {
    super.housekeeping();
    for (const peer of this.#peers) if (peer !== undefined) this.#keep(peer);
    for (const [key, until] of this.#handshaking) if (until <= this.nowNs) this.#handshaking.delete(key);
    this.countFraming(this.#peers);
    if (this.nowNs < this.#closingAtNs) return;
    this.stopped = true; // the rings stay: their last slots are read when the pacer has stopped
    for (const peer of this.#peers) peer?.closeSessions();
  }

  #keep(peer: Peer): void {
    peer.queue.rest();
    peer.reassembler.rest();
    if (peer.train !== undefined) {
      const { emitter, keys } = peer.train;
      while (emitter.refill()) this.counters.add("slots_refilled");
      keys.maintain();
      const session = peer.current;
      if (session !== undefined && session === peer.keyed) {
        keepKeysFresh(session, emitter, keys);
        this.sendControls(peer, session);
      }
      if (emitter.numberNext >= RECORDS_MAX && !keys.changing) {
        return this.#forget(peer, "its key is worn out");
      }
    }
    this.#moves.keep(peer, this.nowNs);
    const inner = this.#inners[peer.index]!;
    inner.keep();
    if (peer.current === undefined && peer.pending === undefined) return;
    const rate = this.#rates[peer.index];
    const leastNs = peer.current === undefined ? FIRST_SIGN_NS : CLIENT_TIMEOUT_NS;
    const limitNs = inner.timeoutNs ?? Math.max(leastNs, rate > 0 ? TIMEOUT_INTERVALS / rate : 0);
    if (this.nowNs - peer.lastAuthenticNs > limitNs) this.#forget(peer, "nothing heard for too long");
  }
}

function sameAddress(a: EndpointAddress, b: EndpointAddress | undefined): boolean {
  return b !== undefined && addressKey(a) === addressKey(b);
}

/** Address and port as the cookie covers them. */
export function addressBytes(address: EndpointAddress): Uint8Array {
  const out = new Uint8Array(address.ip.length + 2);
  out.set(address.ip);
  out[address.ip.length] = address.port >> 8;
  out[address.ip.length + 1] = address.port & 0xff;
  return out;
}

/** Whether a datagram with this first byte can belong to a handshake: an unprotected record, or one of epoch 2. */
function mayBeHandshake(firstByte: number): boolean {
  return (firstByte & 0xe0) !== 0x20 || (firstByte & 3) === 2;
}
