/* The data Worker, common to client and server. One turn: 1 orders from main · 2 wait for datagrams and inner
 * packets · 3 open records, hand inner packets to TUN · 4 inner packets from TUN to queues · 5 queues to plaintexts ·
 * 6 now and then: slot times, key changes, silence.
 * Nothing here knows a slot's moment but to sleep until there is room again. */

import type { Memory } from "../ports/mod.ts";
import { IO, KEY_MATERIAL, readAddress, RX, RX_FLAG, TUN_DESC } from "../ports/mod.ts";
import { ALERT, emitAlert } from "../wire/alert.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { isUnifiedHeader } from "../wire/dtls_unified_header.ts";
import { decapsulatedEcn, ECN, ecnOf, setEcn } from "../wire/ecn.ts";
import { INNER_TYPE } from "../wire/inner_frame.ts";
import { parseVersion } from "../wire/ip_header.ts";
import { parsePathMessage, type PathMessage } from "../wire/path_check.ts";
import { clampMss } from "../wire/tcp_mss.ts";
import { FIRST_EPOCH, type Session } from "../session/session.ts";
import type { Emitter, Sealing } from "./emitter.ts";
import { Inbound, type OpenedRecord, type RecordSource } from "./inbound.ts";
import type { PlainAddress, WorkerEvent } from "./messages.ts";
import { ROW_LEN } from "./packet_fates.ts";
import { PacketQueue } from "./packet_queue.ts";
import type { Peer } from "./peer.ts";
import { Plane, type PlanePorts } from "./plane.ts";

// Chosen here.
/** Reassembled packets of one batch; a record of 1,350 bytes can complete one packet and hold others whole. */
const COPIES_MAX = 256;
const COPY_STRIDE = 2048;
const WRITE_MAX = 2048;
/** Records after which a key must not be used any more (RFC 9147 §4.5.3 asks for less than 2^24.5). */
export const RECORDS_MAX = 2 ** 24;

export type DataPlanePorts = PlanePorts;

export abstract class DataPlane extends Plane {
  readonly #inbound: Inbound;
  /** Datagrams of one batch that are no records of a session. */
  readonly #others: Uint32Array;
  readonly #writes: number;
  readonly #copies: number;
  #writeCount = 0;
  #copyCount = 0;
  #from: Peer | undefined;
  readonly #source = { side: -1, first: 0, rx: 0 };
  #packetsIn = 0;
  #bytesIn = 0;

  constructor(ports: DataPlanePorts) {
    super(ports);
    const rxCap = this.u32At(this.io + IO.rxCap);
    this.#inbound = new Inbound(this.memory, ports.protection, ports.counters, Math.max(rxCap, 64));
    this.#others = new Uint32Array(Math.max(rxCap, 1));
    this.#writes = this.memory.alloc(WRITE_MAX * TUN_DESC.size);
    this.#copies = this.memory.alloc(COPIES_MAX * COPY_STRIDE);
  }

  /** A queue in a block of `memory` with room for so many full packets. */
  protected newQueue(memory: Memory, larges: number): PacketQueue {
    const seed = new Uint32Array(1);
    this.ports.entropy.fill(new Uint8Array(seed.buffer));
    return new PacketQueue(memory, larges, seed[0], () => this.nowNs);
  }

  /** The peer of RX.peer, or undefined. */
  protected abstract peerOf(index: number): Peer | undefined;
  /** A datagram that is no record of a session: of epoch 0 or 2, or of a stranger. */
  protected abstract otherDatagram(rx: number, peer: Peer | undefined): void;
  /** Inner control frame of an authentic record: its body. */
  protected abstract innerControl(
    peer: Peer,
    session: Session,
    type: number,
    off: number,
    len: number,
  ): void;
  /** First sign of life of the pending session. */
  protected abstract authenticated(peer: Peer, session: Session): void;
  protected abstract sessionEnded(peer: Peer, reason: string): void;
  /** An authentic record, before its content is looked at. */
  protected abstract arrived(peer: Peer, record: OpenedRecord): void;
  /** A message of the return routability check that was agreed on, which came in `record`. */
  protected abstract pathMessage(peer: Peer, message: PathMessage, record: OpenedRecord): void;
  /** Whether an inner packet from `peer` may enter the TUN device; counts why not. */
  protected abstract admits(peer: Peer, off: number, len: number): boolean;
  /** How many TUN packets to read at most now. */
  protected abstract tunBudget(): number;
  /** One inner packet from the TUN device. */
  protected abstract tunPacket(off: number, len: number): void;
  /** Moves queued packets into plaintexts; returns when there will be room for more (Infinity: nothing waits). */
  protected abstract pump(): number;

  protected beforeWait(): number {
    const wakeNs = this.pump();
    const tunCap = this.u32At(this.io + IO.tunCap);
    this.memory.u32[(this.io + IO.tunMax) >> 2] = Math.min(this.tunBudget(), tunCap);
    return wakeNs;
  }

  protected afterWait(): void {
    this.#datagrams(this.u32At(this.io + IO.rxCount));
    this.#tunPackets(this.u32At(this.io + IO.tunCount));
  }

  protected housekeeping(): void {
    this.#countIo();
  }

  protected takerOf(index: number): Emitter | undefined {
    const peer = this.peerOf(index);
    return peer?.open === true && peer.streaming !== undefined ? peer.train?.emitter : undefined;
  }

  /** The peer's streams go on over this session, once its schedule is settled. */
  protected beginStreams(peer: Peer, session: Session): void {
    if (this.ports.streams === undefined || peer.streaming === session) return;
    peer.streaming = session;
    this.ports.streams.begin(peer.index);
  }

  /** Whether a session that has had no streams may have some now. */
  protected takesStreams(_peer: Peer, _session: Session): boolean {
    return false;
  }

  #streamsFrame(peer: Peer, session: Session, off: number, len: number): void {
    if (peer.streaming === session || this.takesStreams(peer, session)) {
      this.ports.streams!.receive(peer.index, off, len, this.nowNs);
    } else this.counters.add("streams_refused");
  }

  /** Brings the counters that the shim keeps into the common block. */
  #countIo(): void {
    const { u32 } = this.memory;
    this.counters.set("socket_dropped", this.ports.io.socketDrops());
    this.counters.set("socket_receive_errors", u32[(this.io + IO.rxErrors) >> 2]);
    this.counters.set("tun_read_dropped", u32[(this.io + IO.tunDropped) >> 2]);
    const errors = u32[(this.io + IO.tunErrors) >> 2];
    if (errors > 0 && this.counters.get("tun_read_errors") === 0) {
      const text = "the TUN device cannot be read: was it removed? Start this program again to make it anew";
      this.tell({ type: "notice", level: "error", text });
    }
    this.counters.set("tun_read_errors", errors);
  }

  #datagrams(count: number): void {
    if (count === 0) return;
    const { i32, u32 } = this.memory;
    const descs = u32[(this.io + IO.rxDescs) >> 2];
    this.counters.add("datagrams_in", count);
    this.#inbound.beginTurn();
    let others = 0;
    for (let i = 0; i < count; i++) {
      const rx = descs + i * RX.size;
      const off = u32[(rx + RX.off) >> 2];
      const end = off + u32[(rx + RX.len) >> 2];
      const flags = u32[(rx + RX.flags) >> 2];
      if ((flags & RX_FLAG.truncated) !== 0) {
        this.counters.add("datagrams_truncated");
        continue;
      }
      const isById = (flags & RX_FLAG.byId) !== 0;
      const sender = i32[(rx + RX.peer) >> 2];
      const peer = this.peerOf(isById ? sender >> 1 : sender);
      if (peer !== undefined && this.isRecord(rx)) {
        this.#source.side = isById ? sender & 1 : -1;
        this.#source.first = off;
        this.#source.rx = rx;
        this.#records(peer, this.#source, end);
      } else this.#others[others++] = rx;
    }
    this.#inbound.run(this.nowNs, this);
    this.#flush();
    // Strangers come after all who have a session.
    for (let i = 0; i < others; i++) {
      const rx = this.#others[i];
      const isById = (u32[(rx + RX.flags) >> 2] & RX_FLAG.byId) !== 0;
      this.otherDatagram(rx, isById ? undefined : this.peerOf(i32[(rx + RX.peer) >> 2]));
    }
    if (this.#packetsIn > 0) {
      this.counters.add("inner_packets_in", this.#packetsIn);
      this.counters.add("inner_bytes_in", this.#bytesIn);
      this.#packetsIn = this.#bytesIn = 0;
    }
  }

  #records(peer: Peer, source: RecordSource, end: number): void {
    const { rx, first: off } = source;
    if ((this.memory.u8[off] & 3) === 2) this.otherDatagram(rx, peer); // epoch 2 (or 6, of a long session)
    for (let at = off; at < end;) {
      if (this.#inbound.full) {
        this.#inbound.run(this.nowNs, this);
        this.#flush();
      }
      const len = this.#inbound.add(peer, at, end, source);
      if (len < 0) return this.counters.add("datagrams_malformed");
      at += len;
    }
  }

  /** InboundSink. */
  plaintext(record: OpenedRecord): void {
    const { session, epoch, number, off, len, rx } = record;
    const peer = record.peer as Peer;
    const { u8 } = this.memory;
    peer.lastAuthenticNs = this.nowNs;
    if (session === peer.pending) this.authenticated(peer, session);
    this.arrived(peer, record);
    // RFC 8446 §5.4: the content type is the last byte that is not zero.
    let end = off + len - 1;
    while (end >= off && u8[end] === 0) end--;
    if (end < off) {
      this.counters.add("inner_malformed");
      return;
    }
    if (u8[end] === CONTENT_TYPE.applicationData) {
      this.#from = peer;
      this.#session = session;
      const flags = this.memory.u32[(record.rx + RX.flags) >> 2];
      this.#ecn = flags >>> RX_FLAG.ecnShift & 3;
      peer.reassembler.isMarked = this.#ecn === ECN.ce;
      peer.unpacker.read(off, end - off, this, peer.placeOf(epoch, number));
      return;
    }
    if (u8[end] === CONTENT_TYPE.returnRoutabilityCheck) {
      return this.#pathMessage(peer, u8.slice(off, end), record);
    }
    const idLen = session.ids.own.length;
    if (idLen > 0) session.idExchange.used(this.#idOf(rx, idLen));
    const event = session.control(u8[end], u8.slice(off, end), epoch.epoch, number, this.nowNs);
    this.sendControls(peer, session);
    this.counters.add("control_dropped", session.takeDropped());
    if (event === "malformed") this.counters.add("control_malformed");
    else if (event === "peer closed" || event === "peer failed") this.sessionEnded(peer, event);
  }
  #session: Session | undefined;
  /** Of the outer packet of this record. */
  #ecn = 0;

  /** Connection id in the first record of the datagram that the RX descriptor at `rx` names: it has led here. */
  #idOf(rx: number, len: number): Uint8Array {
    const at = this.memory.u32[(rx + RX.off) >> 2] + 1;
    return this.memory.u8.subarray(at, at + len);
  }

  /** RFC 9853 §4. */
  #pathMessage(peer: Peer, bytes: Uint8Array, record: OpenedRecord): void {
    const message = parsePathMessage(bytes);
    if (message === "unknown") return;
    if (message === undefined || !record.session.ids.rrc) this.counters.add("control_malformed");
    else this.pathMessage(peer, message, record);
  }

  /** Unpacker's sink: an inner packet. */
  packet(off: number, len: number): void {
    const peer = this.#from!;
    if (parseVersion(this.memory.u8, off, len) === 0) {
      this.counters.add("inner_malformed");
      return;
    }
    if (!this.admits(peer, off, len)) return;
    const isMarked = peer.reassembler.holds(off) && peer.reassembler.completedMarked;
    const outer = isMarked ? ECN.ce : this.#ecn;
    if (outer !== ECN.notEct && !this.#decapsulate(off, outer)) return;
    if (peer.mssMtu > 0) clampMss(this.memory.u8, off, len, peer.mssMtu);
    if (this.#writeCount === WRITE_MAX || this.#copyCount === COPIES_MAX) this.#flush();
    let at = off;
    if (peer.reassembler.holds(off)) {
      at = this.#copies + this.#copyCount++ * COPY_STRIDE;
      this.memory.u8.copyWithin(at, off, off + len);
    }
    const desc = (this.#writes + this.#writeCount++ * TUN_DESC.size) >> 2;
    this.memory.u32[desc] = at;
    this.memory.u32[desc + 1] = len;
    this.#packetsIn++;
    this.#bytesIn += len;
  }

  /** Hands on what the network has marked the outer packet with, of several any: RFC 6040 §4.2. False when the inner one is
   * dropped. */
  #decapsulate(off: number, outer: number): boolean {
    const inner = ecnOf(this.memory.u8, off);
    const ecn = decapsulatedEcn(inner, outer);
    if (ecn < 0) {
      this.counters.add("inner_dropped_congested");
      return false;
    }
    if (ecn !== inner) {
      setEcn(this.memory.u8, off, ecn);
      if (ecn === ECN.ce) this.counters.add("inner_marked_congested");
    }
    return true;
  }

  /** Unpacker's sink: a control frame. */
  control(type: number, off: number, len: number): void {
    if (type === INNER_TYPE.streams) this.#streamsFrame(this.#from!, this.#session!, off, len);
    else this.innerControl(this.#from!, this.#session!, type, off, len);
  }

  /** Unpacker's sink: the rest of a record that makes no sense. */
  malformed(_reason: number): void {
    this.counters.add("inner_malformed");
  }

  /** RFC 8446 §6.1: close_notify before closing. For who does not know the inner goodbye before it. */
  protected sayCloseNotify(emitter: Emitter): void {
    const isPut = emitter.content(CONTENT_TYPE.alert, emitAlert(ALERT.closeNotify));
    if (!isPut) this.counters.add("control_dropped");
  }

  /** Puts what `session` has to say (ACK, KeyUpdate) into the next free plaintexts, if the train is its own. */
  protected sendControls(peer: Peer, session: Session): void {
    const emitter = peer.train?.emitter;
    if (emitter === undefined || session !== peer.keyed) return;
    while (session.hasControl && emitter.hasFree) {
      const content = session.takeControl()!;
      if (!emitter.content(content.contentType, content.bytes)) this.counters.add("control_dropped");
    }
  }

  /** Brings the counters that peers keep for themselves into the common block. */
  protected countFraming(peers: Iterable<Peer | undefined>): void {
    let dropped = 0;
    let unknown = 0;
    let [full, late, marked] = [0, 0, 0];
    for (const peer of peers) {
      if (peer === undefined) continue;
      dropped += peer.reassembler.droppedCount + peer.reassembler.counters.badRange;
      unknown += peer.unpacker.unknownControls;
      const { counters } = peer.queue;
      full += counters.full;
      late += counters.late;
      marked += counters.marked;
    }
    this.counters.set("inner_dropped_queue_full", full);
    this.counters.set("inner_dropped_late", late);
    this.counters.set("inner_marked_late", marked);
    this.counters.set("inner_fragments_dropped", dropped);
    this.counters.set("inner_unknown_type", unknown);
    this.countStreams();
  }

  #flush(): void {
    if (this.#writeCount > 0) {
      const written = this.ports.io.tunWriteBatch(this.#writes, this.#writeCount);
      if (written < this.#writeCount) {
        this.counters.add("tun_write_failed", this.#writeCount - Math.max(0, written));
      }
    }
    this.#writeCount = this.#copyCount = 0;
  }

  #tunPackets(count: number): void {
    const { u32 } = this.memory;
    const descs = u32[(this.io + IO.tunDescs) >> 2] >> 2;
    for (let i = 0; i < count; i++) this.tunPacket(u32[descs + 2 * i], u32[descs + 2 * i + 1]);
  }

  /** Drops (and counts) what a peer can cause without end when main is far behind. */
  protected override tell(event: WorkerEvent): void {
    if (this.mainIsBusy) {
      if (event.type === "handshake") return this.counters.add("handshake_dropped_busy");
      if (event.type === "packets") return this.counters.add("monitor_dropped", event.rows.length / ROW_LEN);
    }
    super.tell(event);
  }

  protected tellHandshake(rx: number, first: boolean): void {
    const { u8, u32 } = this.memory;
    this.counters.add("datagrams_handshake");
    const off = u32[(rx + RX.off) >> 2];
    this.tell({
      type: "handshake",
      first,
      fdIndex: u32[(rx + RX.flags) >> 2] >>> RX_FLAG.fdShift,
      from: this.address(rx + RX.from)!,
      local: this.address(rx + RX.to),
      datagram: u8.slice(off, off + u32[(rx + RX.len) >> 2]),
    });
  }

  /** RFC 9147 §4.1: the first byte tells a record of an epoch > 0 (001xxxxx) from the plaintext ones. */
  protected isRecord(rx: number): boolean {
    const { u8, u32 } = this.memory;
    return u32[(rx + RX.len) >> 2] > 0 && isUnifiedHeader(u8[u32[(rx + RX.off) >> 2]]);
  }

  protected address(off: number): PlainAddress | undefined {
    return readAddress(this.memory, off);
  }

  /** A key that nobody knows: slots sealed with it carry random bytes in a record's form (design: no session yet). */
  protected throwawayKey(): Sealing {
    const material = this.memory.alloc(KEY_MATERIAL.size);
    this.ports.entropy.fill(this.memory.u8.subarray(material, material + KEY_MATERIAL.size));
    this.memory.u32[(material + KEY_MATERIAL.suite) >> 2] = 0x1301;
    const key = this.ports.protection.newKey(material);
    this.memory.free(material, KEY_MATERIAL.size);
    return { key, epoch: FIRST_EPOCH };
  }
}
