/** The data Worker of a client: one peer, one train that never stops. Slot 0 is the first ClientHello; until a session
 * is there, slots that carry no handshake datagram carry random bytes in a record's form; during a reconnect the old
 * keys go on. */

import { equalsConstantTime } from "../base/mod.ts";
import { REASSEMBLY_LEN } from "../framing/reassembler.ts";
import { RX, RX_FLAG } from "../ports/mod.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { emitPathMessage, PATH_MESSAGE, type PathMessage } from "../wire/path_check.ts";
import { clampMss } from "../wire/tcp_mss.ts";
import { Session } from "../session/session.ts";
import { type ClientInner, ClientInnerV1, type ClientLine, CLOSE_SLOTS } from "./client_inner.ts";
import { ClientInnerV0 } from "./client_inner_v0.ts";
import { ClientSockets } from "./client_sockets.ts";
import { DataPlane, RECORDS_MAX } from "./data_plane.ts";
import type { DataPlanePorts } from "./data_plane.ts";
import { Emitter, START_DELAY_NS } from "./emitter.ts";
import { innerMtuOf } from "./inner_mtu.ts";
import type { OpenedRecord } from "./inbound.ts";
import type { Mail } from "./mailbox.ts";
import { type ClientWorkerConfig, type Order, secretsOf } from "./messages.ts";
import { newConnectionId } from "./own_ids.ts";
import { Peer, SendKeys } from "./peer.ts";
import { packetQueueLen, queuePackets } from "./packet_queue.ts";
import { withReserved } from "./reserved_blocks.ts";
import type { StreamMuxes } from "./stream_muxes.ts";
import { keepKeysFresh, receiveRateOf, sealingOf, sessionOptions } from "./rekey.ts";

// Chosen here.
/** Full packets that wait at most. */
const QUEUE_PACKETS = 128;
/** A queue that holds so much of the train is read into eagerly, and drops; a shorter one leaves the rest in the kernel's,
 * which holds back who sends from this machine. */
const EAGER_NS = 20e6;
/** Silence after which the session is taken for lost: this long, or this many intervals of the server. */
const SILENCE_NS = 2e9;
const SILENCE_INTERVALS = 20;
/** The server says nothing under new keys before a record of ours has come: that takes slots of ours, some lost, and as
 * long again as its flight did. */
const FIRST_SIGN_INTERVALS = 6;
const CLOSE_WAIT_MAX_NS = 1e9;
/** A server that has said nothing of streams so long after its welcome serves none. */
const NO_STREAMS_NS = 5e9;
const PROBE_LEN_MAX = 2048;
/** Before a slot that has another socket, main is asked for that. */
const ROTATE_AHEAD_NS = 0.5e9;
const ROTATE_AHEAD_SLOTS = 2;

export class ClientPlane extends DataPlane {
  #config: ClientWorkerConfig;
  readonly #peer: Peer;
  #inner: ClientInner;
  readonly #probe: number;
  #welcomedNs = 0;
  #lacksStreams = false;
  /** Silence has been reported and no new session has come since. */
  #reported = true;
  /** Packets flowed until it was silence that was reported. */
  #wasOpen = false;
  #closingAtNs = Infinity;
  readonly #sockets: ClientSockets;
  /** Slot of the last change of sockets that main was asked for. */
  #rotatedAt = 0;
  /** For the pending session's first sign of life, beside the usual silence. */
  #firstSignNs = 0;
  /** To the last challenge, and how many slots will have gone aside when it has left. */
  #answer: Uint8Array = new Uint8Array(0);
  #answeredAt = 0;

  constructor(ports: DataPlanePorts, config: ClientWorkerConfig) {
    super(ports);
    this.#config = config;
    this.#inner = this.#newInner();
    const blocks = withReserved(ports.memory, [packetQueueLen(QUEUE_PACKETS), REASSEMBLY_LEN], 1);
    this.#peer = new Peer(
      0,
      blocks,
      this.newQueue(blocks, QUEUE_PACKETS),
      this.#inner.frames,
    );
    this.#sockets = new ClientSockets(ports.memory, ports.io.io, config.down.intervalNs);
    this.#probe = ports.memory.alloc(PROBE_LEN_MAX);
    this.#peer.fd = config.udpFds[0];
    ports.io.setPeer(config.peer, 0);
    if (config.firstDatagram.length > 0) this.#startTrain(config.firstDatagram);
    else this.tell({ type: "resting" });
  }

  #startTrain(firstDatagram: Uint8Array): void {
    const { ports } = this;
    const { peer: to, up, down, traceCount } = this.#config;
    const peer = this.#peer;
    const seed = new Uint8Array(32);
    ports.entropy.fill(seed);
    const emitter = new Emitter(ports.memory, ports.pacer, {
      train: up,
      seed,
      startNs: this.nowNs + START_DELAY_NS,
      fd: peer.fd,
      to,
      traceCount,
      cid: newConnectionId(ports.entropy, this.#inner.cidLen),
      prefix: this.#inner.prefix,
    });
    peer.queue.pace(up.intervalNs, Infinity, queuePackets(QUEUE_PACKETS, up));
    const keys = new SendKeys(emitter, ports.protection, this.throwawayKey());
    peer.train = { emitter, keys };
    peer.address = to;
    peer.mssMtu = Math.min(
      this.#config.mssMtuMax,
      innerMtuOf(up.datagramLen, this.#inner.cidLen, emitter.prefixLen),
      innerMtuOf(down.datagramLen, 0, emitter.prefixLen),
    );
    ports.streams?.make(0, up.intervalNs / up.burst, down.intervalNs, emitter.overtakingMax);
    emitter.raw(firstDatagram);
    emitter.start();
    this.tell({ type: "ring", client: 0, ring: emitter.ring, intervalNs: up.intervalNs });
  }

  /** There is none while it is at rest. */
  get #emitter(): Emitter {
    return this.#peer.train!.emitter;
  }

  get #isResting(): boolean {
    return this.#peer.train === undefined;
  }

  #newInner(): ClientInner {
    const { handshakeV0 } = this.#config;
    const line = this.#line();
    if (handshakeV0 === undefined) return new ClientInnerV1(this.#config, line);
    return new ClientInnerV0(handshakeV0, this.ports.clock.wallBaseNs(), line);
  }

  #line(): ClientLine {
    // deno-lint-ignore no-this-alias
    const plane = this;
    return {
      memory: this.memory,
      counters: this.counters,
      get peer() {
        return plane.#peer;
      },
      get emitter() {
        return plane.#emitter;
      },
      get nowNs() {
        return plane.nowNs;
      },
      useSession: (session) => this.#useSession(session),
      leaveSession: () => this.#leaveSession(),
      welcomed: () => this.#welcomedNow(),
      sayCloseNotify: () => this.sayCloseNotify(this.#emitter),
      end: (reason) => this.sessionEnded(this.#peer, reason),
      tell: (event) => this.tell(event),
    };
  }

  #useSession(session: Session): void {
    this.#peer.train!.keys.change(sealingOf(session), 0);
    this.#peer.keyed = session;
  }

  #welcomedNow(): void {
    this.#welcomedNs = this.nowNs;
    if (this.#peer.open) this.beginStreams(this.#peer, this.#peer.current!);
  }

  #leaveSession(): void {
    const { slotNext, waiting, train } = this.#emitter;
    const firstSlot = slotNext + Math.ceil(waiting / train.burst) + 1; // one may be frozen already
    this.#peer.train!.keys.change(this.throwawayKey(), firstSlot);
    this.#peer.keyed = undefined;
  }

  protected order(mail: Mail<Order>): void {
    if (this.#isResting) return this.#orderAtRest(mail);
    const order = mail.head;
    if (order.type === "raw") {
      if (!this.#emitter.raw(mail.bytes[0].slice())) this.counters.add("orders_dropped");
    } else if (order.type === "session") {
      this.#newSession(mail);
    } else if (order.type === "give up") {
      this.sessionEnded(this.#peer, order.reason);
    } else if (order.type === "move") {
      this.#move(order.fd, order.slot);
    } else if (order.type === "acknowledged") {
      this.#inner.acknowledged();
    } else if (order.type === "rest") {
      this.#rest();
    } else if (order.type === "stop" && this.#closingAtNs === Infinity) {
      this.#peer.open = false;
      this.#closingAtNs = this.nowNs +
        Math.min(CLOSE_WAIT_MAX_NS, (CLOSE_SLOTS + 5) * this.#config.up.intervalNs);
      this.#inner.goodbye();
    }
  }

  #orderAtRest({ head: order, bytes }: Mail<Order>): void {
    if (order.type === "probe") {
      this.memory.u8.set(bytes[0], this.#probe);
      this.ports.io.udpSend(this.#peer.fd, this.#probe, bytes[0].length, this.#config.peer);
    } else if (order.type === "train") {
      const { up, down, rotateSlots } = order;
      this.#config = { ...this.#config, up, down, rotateSlots };
      this.#inner = this.#newInner();
      this.#rotatedAt = this.#answeredAt = 0;
      this.#startTrain(bytes[0].slice());
    } else if (order.type === "move") {
      this.#leave(this.#sockets.change(order.fd, this.nowNs));
      this.#peer.fd = this.#peer.pendingFd = order.fd;
    } else if (order.type === "stop") {
      this.#stop();
    } else {
      this.counters.add("orders_dropped"); // of a train that has ended
    }
  }

  /** Another train may follow, which begins from nothing. */
  #rest(): void {
    this.#reported = true;
    this.#wasOpen = false;
    this.#peer.closeSessions();
    this.#peer.closeTrain();
    this.tell({ type: "resting" });
  }

  /** Goes on from another socket, with a connection id that nobody has seen (RFC 9147 §11); if there is none to spare,
   * with the one it has. */
  #move(fd: number, slot: number): void {
    const peer = this.#peer;
    this.#leave(this.#sockets.change(fd, this.nowNs));
    const cid = peer.keyed?.idExchange.takeSpare();
    if (cid === undefined) this.counters.add("moves_without_id");
    peer.fd = peer.pendingFd = fd;
    this.#emitter.endAside();
    const firstSlot = slot > this.#emitter.slotNext ? slot : 0;
    peer.train!.keys.move({ fd, to: peer.address!, cid }, firstSlot);
  }

  #leave(fd: number): void {
    if (fd >= 0) this.tell({ type: "socket left", fd });
  }

  /** Records of the old session are still read until the new one has shown a sign of life. */
  #newSession(mail: Mail<Order>): void {
    const order = mail.head;
    if (order.type !== "session") return;
    const peer = this.#peer;
    const secrets = secretsOf(order, mail.bytes);
    peer.pending?.close();
    const options = sessionOptions(
      this.#config.rekeyRecords,
      this.#config.up,
      receiveRateOf(this.#config.down),
    );
    peer.pending = new Session(this.memory, this.ports.protection, secrets, options, this.nowNs);
    peer.pendingAddress = peer.address;
    peer.pendingFd = peer.fd;
    peer.lastAuthenticNs = this.nowNs;
    this.#firstSignNs = FIRST_SIGN_INTERVALS * this.#config.up.intervalNs + order.roundTripNs;
    peer.open = this.#reported = this.#wasOpen = false;
    this.#emitter.dropRaw();
    this.#inner.begin(peer.pending);
  }

  protected peerOf(index: number): Peer | undefined {
    return index === 0 ? this.#peer : undefined;
  }

  protected otherDatagram(rx: number, peer: Peer | undefined): void {
    if (peer === undefined) this.counters.add("datagrams_unknown_sender");
    else if (this.#isHandshaking || this.#isResting) this.tellHandshake(rx, false);
    else if (!this.isRecord(rx)) this.counters.add("datagrams_unexpected");
  }

  /** Whether main waits for anything: a session under way, or one that is lost. Records of epoch 6 and 10 look like those
   * of epoch 2, and are data. */
  get #isHandshaking(): boolean {
    return this.#peer.current === undefined || this.#peer.pending !== undefined || this.#reported;
  }

  protected authenticated(peer: Peer): void {
    peer.promote();
    this.tell({ type: "authentic", client: 0 });
    this.#inner.acknowledged();
  }

  /** The session that was taken for lost, for silence alone, goes on: the server has it still. Not with a peer of version
   * 0, which begins anew at the first hello. */
  protected arrived(peer: Peer, { session }: OpenedRecord): void {
    if (!this.#wasOpen || session !== peer.current || session !== peer.keyed) return;
    if (session.ids.peer.length === 0) return;
    this.#wasOpen = this.#reported = false;
    peer.open = true;
    this.#emitter.dropRaw();
    this.tell({ type: "heard", client: 0 });
  }

  /** RFC 9853 §5.2: a challenge that comes where this side is no more is answered by path_drop. The answer leaves in the
   * next slot, whatever waits for one: when the server follows must not depend on that. */
  protected pathMessage(peer: Peer, message: PathMessage, { session, rx }: OpenedRecord): void {
    if (message.type !== PATH_MESSAGE.challenge || session !== peer.current) return;
    const { keys } = peer.train!;
    keys.maintain(); // the pacer may have made the change by now
    const { moving } = keys;
    const fdIndex = this.memory.u32[(rx + RX.flags) >> 2] >>> RX_FLAG.fdShift;
    const isThere = fdIndex === (moving ? 1 : 0);
    const answer = emitPathMessage(isThere ? PATH_MESSAGE.response : PATH_MESSAGE.drop, message.cookie);
    const isWaiting = this.#emitter.asideSlots < this.#answeredAt && equalsConstantTime(answer, this.#answer);
    if (isWaiting) return;
    this.#answer = answer;
    this.#answeredAt = this.#emitter.asideSlots + 1;
    const { burst, datagramLen } = this.#config.up;
    const fd = moving ? this.#sockets.before : peer.fd;
    this.#emitter.aside({ fd, to: peer.address! }, CONTENT_TYPE.returnRoutabilityCheck, answer);
    this.#emitter.credit(burst * datagramLen);
  }

  protected innerControl(peer: Peer, session: Session, type: number, off: number, len: number): void {
    if (session === peer.current) this.#inner.control(type, off, len);
  }

  protected sessionEnded(peer: Peer, reason: string): void {
    peer.open = this.#wasOpen = false;
    if (this.#reported) return;
    this.#reported = true;
    this.#inner.lost();
    this.tell({ type: "closed", client: 0, reason });
  }

  /** Who has no TUN device has no use for packets. */
  protected admits(): boolean {
    const { streams } = this.ports;
    if (streams !== undefined) this.counters.add("inner_destination_refused");
    return streams === undefined;
  }

  protected tunBudget(): number {
    const { open, queue } = this.#peer;
    if (!open) return 0;
    const { intervalNs, burst } = this.#config.up;
    return queue.larges / burst * intervalNs > EAGER_NS ? Infinity : Math.max(0, queue.larges - queue.count);
  }

  protected tunPacket(off: number, len: number): void {
    const { mssMtu } = this.#peer;
    if (mssMtu > 0) clampMss(this.memory.u8, off, len, mssMtu);
    if (this.#peer.queue.push(off, len)) {
      this.counters.add("inner_packets_out");
      this.counters.add("inner_bytes_out", len);
    }
  }

  protected pump(): number {
    if (this.#isResting) return Infinity;
    this.#emitter.pump(this.#peer.queue);
    const { open, queue } = this.#peer;
    const wait = this.#emitter.rawWaiting > 0 || open && (queue.count > 0 || this.tunBudget() === 0);
    return wait ? this.#emitter.nextRoomNs(this.nowNs) : Infinity;
  }

  protected override housekeeping(): void {
    super.housekeeping();
    const peer = this.#peer;
    if (this.#isResting) {
      this.countFraming([peer]);
      return this.#leave(this.#sockets.takeLeft(this.nowNs));
    }
    const { keys } = peer.train!;
    while (this.#emitter.refill()) this.counters.add("slots_refilled");
    keys.maintain();
    this.countFraming([peer]);
    if (this.nowNs >= this.#closingAtNs) return this.#stop();
    const session = peer.current ?? peer.pending;
    if (session !== undefined) {
      if (session === peer.keyed) keepKeysFresh(session, this.#emitter, keys);
      this.sendControls(peer, session);
    }
    this.#inner.keep();
    this.#rotate(session);
    if (!keys.changing) this.#leave(this.#sockets.takeLeft(this.nowNs));
    this.#watch();
    if (this.ports.streams !== undefined) this.#watchStreams(this.ports.streams);
  }

  #watchStreams(streams: StreamMuxes): void {
    if (this.#lacksStreams || !this.#peer.open || streams.hasMet(0)) return;
    if (this.nowNs - this.#welcomedNs < NO_STREAMS_NS) return;
    this.#lacksStreams = true;
    const text = 'the server answers no streams: is "udp" in its server.modes?';
    this.tell({ type: "notice", level: "warn", text });
  }

  /** At public counts of slots, and when the server wants another id to be used. */
  #rotate(session: Session | undefined): void {
    const { rotateSlots, up } = this.#config;
    if (rotateSlots > 0) {
      const slot = Math.ceil((this.#emitter.slotNext + 1) / rotateSlots) * rotateSlots;
      const aheadNs = Math.max(ROTATE_AHEAD_NS, ROTATE_AHEAD_SLOTS * up.intervalNs);
      const isNear = (slot - this.#emitter.slotNext) * up.intervalNs < aheadNs;
      if (isNear && slot !== this.#rotatedAt) {
        this.#rotatedAt = slot;
        this.tell({ type: "rotate", slot });
      }
    }
    if (session?.idExchange.mustChange && session === this.#peer.keyed) {
      session.idExchange.mustChange = false;
      const cid = session.idExchange.takeSpare();
      this.#peer.train!.keys.move({ fd: this.#peer.fd, to: this.#peer.address!, cid }, 0);
    }
  }

  /** Notices that nothing authentic has come for too long, and that a key is worn out. */
  #watch(): void {
    const { keys } = this.#peer.train!;
    const worn = this.#emitter.numberNext >= RECORDS_MAX && !keys.changing;
    if (worn) {
      keys.change(this.throwawayKey(), 0); // also one that nobody knows wears out
      this.#peer.keyed = undefined;
    }
    if (this.#reported || !(this.#inner.isSilenceBad || worn)) return;
    const silentNs = this.nowNs - this.#peer.lastAuthenticNs;
    const limitNs = Math.max(SILENCE_NS, SILENCE_INTERVALS * this.#config.down.intervalNs) +
      (this.#peer.pending === undefined ? 0 : this.#firstSignNs);
    if (silentNs < limitNs && !worn) return;
    this.#reported = true;
    this.#wasOpen = this.#peer.open && !worn;
    this.#peer.open = false;
    this.#inner.lost();
    this.tell({ type: "silent", client: 0, sinceMs: silentNs / 1e6 });
  }

  /** The ring stays as it is: its last slots are read when the pacer has stopped, and then the process ends. */
  #stop(): void {
    this.stopped = true;
    this.#peer.closeSessions();
  }
}
