/* Outbound: 1 slot times, written seconds ahead · 2 contents that may not wait (handshake datagrams, ACK, KeyUpdate,
 * inner control) · 3 inner packets from the queue into the newest plaintext that has not been taken · 4 freeze and
 * seal · 5 send.
 * 1–3 are the data Worker's; 4 and 5 the pacer's, which alone decides their moments. A slot that finds no plaintext
 * carries chaff: nothing here can delay, add, or leave out a slot. Nor do inner packets move 2 to another slot. */

import { assert } from "../base/mod.ts";
import { AEAD_TAG_LEN } from "../crypto/suites.ts";
import { type FrameSource, PACKED, Packer } from "../framing/packer.ts";
import type { Aside, EndpointAddress, Memory, Numbering, Pacer, Stamps } from "../ports/mod.ts";
import { BUF, BUF_KIND, RING } from "../ports/mod.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { emitUnifiedHeader, UnifiedHeader } from "../wire/dtls_unified_header.ts";
import type { TrainParameters } from "./messages.ts";
import type { PacketQueue } from "./packet_queue.ts";
import { SlotRing } from "./slot_ring.ts";
import type { FrameTaker } from "./stream_muxes.ts";

// Set by a standard.
/** Unified header without connection id, 16-bit number, with length (RFC 9147 §4). */
export const HEADER_LEN = 5;
const HEADER_TEMPLATE_LEN = 64;
// Chosen here.
/** From now to slot 0 of a new train: it must not have passed when the pacer takes the train over, within 10 ms. */
export const START_DELAY_NS = 40e6;
const RAW_WAITING_MAX = 4;
/** Plaintexts within late binding for frames that should not wait, where it is deep. */
const URGENT_MAX = 2;

export interface EmitterOptions {
  readonly train: TrainParameters;
  /** 32 bytes of entropy, this train's alone. */
  readonly seed: Uint8Array;
  readonly startNs: number;
  readonly fd: number;
  readonly to: EndpointAddress;
  readonly from?: EndpointAddress;
  readonly traceCount: number;
  /** Connection id of the first records; later ones have as many bytes. */
  readonly cid: Uint8Array;
  /** Of inner protocols that number their records. */
  readonly prefix?: RecordPrefix;
  /** Told the count of each plaintext that `control` was given with a token, once the pacer has taken it. */
  readonly counted?: (token: number, count: number) => void;
}

/** What records are sealed with from some slot on. */
export interface Sealing {
  readonly key: number;
  readonly epoch: number;
  /** Where the pacer's counts begin; absent: at 0. */
  readonly numbering?: Numbering;
  /** Of a new session; absent: as before. */
  readonly cid?: Uint8Array;
}

/** Another way out, under the same key. */
export interface Move {
  readonly fd: number;
  readonly to: EndpointAddress;
  /** Absent: as before. */
  readonly cid?: Uint8Array;
}

/** What stands first in each record of application data, chaff included, with what the pacer writes into it. */
export interface RecordPrefix {
  readonly bytes: Uint8Array;
  readonly stamps: Stamps;
}

/** Bytes of a record's inner plaintext, content type byte included. */
export function plaintextLenOf(datagramLen: number, cidLen: number): number {
  return datagramLen - HEADER_LEN - cidLen - AEAD_TAG_LEN;
}

export class Emitter extends SlotRing implements FrameTaker {
  readonly #packer: Packer;
  readonly #header = new UnifiedHeader();
  readonly #headerTemplate: number;
  readonly #raw: Uint8Array[] = [];
  readonly #prefix: Uint8Array;
  readonly #counted: EmitterOptions["counted"];
  /** Plaintexts whose count is asked for, the oldest first. */
  readonly #tokens: { readonly index: number; readonly token: number }[] = [];
  #cid: Uint8Array;
  #epochBits = 0;
  /** Bytes used in the newest plaintext if packets may be appended to it, else 0. */
  #openUsed = 0;
  /** Plaintexts made when the session itself had put its last one, modulo 2^32. */
  #saidUntil = 0;
  /** Plaintexts made when the last one had been put before others, alike. */
  #firstsUntil = 0;
  #admits = false;
  /** Until so many records have left inner packets may be bound, since they were admitted. */
  #boundUntil = 0;

  constructor(memory: Memory, pacer: Pacer, options: EmitterOptions) {
    const { train, seed, startNs, fd, to, from, traceCount, cid, prefix } = options;
    const form = {
      ...{ fd, to, from, traceCount, stamps: prefix?.stamps },
      hdrLen: HEADER_LEN + cid.length,
      seqOff: 1 + cid.length,
      seqLen: 2,
    };
    super(memory, pacer, { train, seed, startNs, form });
    this.#prefix = prefix?.bytes ?? new Uint8Array(0);
    this.#counted = options.counted;
    this.#cid = cid;
    assert(
      this.plaintextLen === plaintextLenOf(train.datagramLen, this.cidLen),
      "ring and core agree on the length",
    );
    memory.u8.set(this.#prefix, memory.u32[(this.ring + RING.chaff) >> 2]);
    this.#packer = new Packer(memory.u8);
    this.#headerTemplate = this.#newHeader();
  }

  /** Leaves nothing behind when there is no room for it. */
  #newHeader(): number {
    try {
      return this.memory.alloc(HEADER_TEMPLATE_LEN);
    } catch (error) {
      super.close();
      throw error;
    }
  }

  /** Bytes of connection id in each record. */
  get cidLen(): number {
    return this.#cid.length;
  }

  /** Has the pacer seal with `sealing` from slot `firstSlot` on. All connection ids of a train have one length. */
  setKey({ key, epoch, numbering, cid = this.#cid }: Sealing, firstSlot: number): void {
    this.#epochBits = epoch & 3;
    this.#writeHeader(cid);
    this.pacer.ringKeys(this.ring, key, this.#headerTemplate, firstSlot, numbering);
  }

  /** Has the pacer send from another socket, with another connection id, from slot `firstSlot` on. */
  move({ fd, to, cid = this.#cid }: Move, firstSlot: number): void {
    this.#writeHeader(cid);
    this.pacer.ringMove(this.ring, fd, to, this.#headerTemplate, firstSlot);
  }

  #writeHeader(cid: Uint8Array): void {
    assert(cid.length === this.cidLen, "all connection ids of a train have one length");
    this.#cid = cid;
    const header = this.#header;
    header.epochBits = this.#epochBits;
    header.sequenceLen = 2;
    header.hasLength = true;
    header.bodyLen = this.train.datagramLen - HEADER_LEN - cid.length;
    emitUnifiedHeader(header, cid, this.memory.u8.subarray(this.#headerTemplate));
  }

  /** To be told whether inner packets may come now: from then on, and for as long as some may be left, what the session
   * itself has to say takes their places into account. */
  admit(inner: boolean): void {
    // A slot more than what is bound: one is frozen already.
    if (this.#admits && !inner) this.#boundUntil = this.#recordsLeft + this.depth + this.train.burst;
    this.#admits = inner;
  }

  setDestination(fd: number, to: EndpointAddress, from?: EndpointAddress): void {
    this.pacer.ringDest(this.ring, fd, to, from);
  }

  /** From now on slots go to this place as far as `credit` allows, each with this content in place of all else; the other
   * slots are as ever. Until `endAside`, or another one takes its place. */
  aside(place: Omit<Aside, "plaintext">, contentType: number, bytes: Uint8Array): void {
    assert(bytes.length + 1 <= this.plaintextLen, "a control content fits one record");
    const plaintext = this.memory.alloc(this.plaintextLen);
    this.#writeContent(plaintext, contentType, bytes);
    this.pacer.ringAside(this.ring, { ...place, plaintext });
    this.memory.free(plaintext, this.plaintextLen);
  }

  /** Bytes of datagrams that may go aside. */
  credit(bytes: number): void {
    this.pacer.ringCredit(this.ring, bytes);
  }

  endAside(): void {
    this.pacer.ringAside(this.ring, undefined);
  }

  /** Slots that have gone aside so far. */
  get asideSlots(): number {
    return this.memory.f64[(this.ring + RING.aside) >> 3];
  }

  /** Records that have left so far. A slot that is skipped takes no plaintext along. */
  get #recordsLeft(): number {
    const { f64 } = this.memory;
    return f64[(this.ring + RING.records) >> 3] + f64[(this.ring + RING.sendErrors) >> 3];
  }

  /** Whether something that the session itself has said has not left yet. */
  get saying(): boolean {
    return ((this.#saidUntil - Atomics.load(this.memory.i32, (this.ring + RING.taken) >> 2)) | 0) > 0;
  }

  /** Bytes of inner packets that may be taken in now (late binding: a few slots' worth, design §2). */
  get roomBytes(): number {
    const open = this.#openUsed > 0 ? this.plaintextLen - 1 - this.#openUsed : 0;
    return this.room * this.frameRoom + Math.max(0, open);
  }

  get prefixLen(): number {
    return this.#prefix.length;
  }

  /** Bytes that frames have in each record. */
  get frameRoom(): number {
    return this.plaintextLen - 1 - this.#prefix.length;
  }

  /** Queues a finished datagram of exactly datagramLen bytes for a slot. False (dropped) when too many wait. */
  raw(datagram: Uint8Array): boolean {
    assert(datagram.length === this.train.datagramLen, "a handshake datagram has the length of every slot");
    if (this.#raw.length >= RAW_WAITING_MAX) return false;
    this.#raw.push(datagram);
    this.#pumpRaw();
    return true;
  }

  get rawWaiting(): number {
    return this.#raw.length;
  }

  dropRaw(): void {
    this.#raw.length = 0;
  }

  /** To be called when the queue that `pump` reads was emptied: the rest of a split packet is gone. */
  abandon(): void {
    this.#packer.abandon();
  }

  /** Puts a content (ACK, KeyUpdate, alert) into the next plaintext, as a record of its own. False when no plaintext
   * is free. RFC 8446 §5.4: content, its type, zeros. */
  content(contentType: number, bytes: Uint8Array): boolean {
    assert(bytes.length + 1 <= this.plaintextLen, "a control content fits one record");
    const off = this.#claimLevel();
    if (off === 0) return false;
    this.#writeContent(off, contentType, bytes);
    this.publish();
    return true;
  }

  #writeContent(off: number, contentType: number, bytes: Uint8Array): void {
    const { u8 } = this.memory;
    u8.set(bytes, off);
    u8[off + bytes.length] = contentType;
    u8.fill(0, off + bytes.length + 1, off + this.plaintextLen);
  }

  /** Puts an inner control frame into the next plaintext. False when no plaintext is free, or none is long enough. The
   * record's count is told with `token` later, if one is given. */
  control(frame: Uint8Array, token?: number): boolean {
    if (frame.length > this.frameRoom) return false;
    const off = this.#claimLevel();
    if (off === 0) return false;
    this.#begin(off);
    this.#packer.control(frame);
    if (token !== undefined) this.#tokens.push({ index: this.made, token });
    this.#finishPlaintext(off);
    return true;
  }

  /** Tells the counts that are known by now. */
  collect(): void {
    const taken = Atomics.load(this.memory.i32, (this.ring + RING.taken) >> 2);
    while (this.#tokens.length > 0 && ((taken - this.#tokens[0].index) | 0) > 0) {
      const { index, token } = this.#tokens.shift()!;
      this.#counted?.(token, this.memory.f64[(this.bufferOf(index) + BUF.count) >> 3]);
    }
  }

  /** Moves packets of `queue` into plaintexts, as far as late binding allows, while they are admitted. Returns how many
   * were moved whole. */
  pump(queue: PacketQueue): number {
    this.#pumpRaw();
    let moved = 0;
    while (this.#admits && queue.count > 0) {
      const off = this.#reopen() || this.#beginData();
      if (off === 0) break;
      moved += this.#packInto(queue);
      this.#finishPlaintext(off);
    }
    return moved;
  }

  /** Moves frames of `source` into plaintexts, as far as late binding allows. Those that should not wait overtake what
   * is bound, but nothing that the session itself has said; others leave room for them. */
  pumpFrames(source: FrameSource, nowNs: number): void {
    this.#pumpRaw();
    while (source.urgent() && this.#pumpFirst(source, nowNs)) { /* all that is */ }
    while (source.wants(nowNs)) {
      const reopened = this.#reopen();
      const off = reopened || this.#beginData(this.depth - this.#kept);
      if (off === 0) return;
      const isMore = this.#packer.frames(source, nowNs);
      if (!isMore && reopened === 0) return; // claimed and not published: the next claim gives it again
      this.#finishPlaintext(off);
      if (!isMore) this.#openUsed = 0; // what is left is too little for this source
    }
  }

  /** One plaintext before those that wait; false when there is nothing to overtake, or no room. */
  #pumpFirst(source: FrameSource, nowNs: number): boolean {
    if (this.#kept === 0) return false;
    const isSaidLater = ((this.#saidUntil - this.#firstsUntil) | 0) > 0;
    const off = this.insert(this.depth, isSaidLater ? this.#saidUntil : this.#firstsUntil);
    if (off === 0) return false;
    this.#begin(off); // of the same kind as what it overtakes: that has frames, too
    const isMore = this.#packer.frames(source, nowNs);
    this.#complete(off);
    this.#firstsUntil = this.publishInserted();
    this.#openUsed = 0; // the newest plaintext is another one
    return isMore;
  }

  /** Plaintexts of late binding that are left to what should not wait; none where it is some slots deep at most. */
  get #kept(): number {
    return this.depth > 2 * URGENT_MAX ? URGENT_MAX : 0;
  }

  /** How many packets of frames at most may leave before one that was bound before them: two in each record. */
  get overtakingMax(): number {
    return this.#kept > 0 ? 2 * this.depth : 0;
  }

  /** Takes the ring away from the pacer and frees everything. Keys are the caller's. */
  override close(): void {
    super.close();
    this.memory.free(this.#headerTemplate, HEADER_TEMPLATE_LEN);
  }

  #packInto(queue: PacketQueue): number {
    let moved = 0;
    while (queue.count > 0) {
      const result = this.#packer.packet(queue.frontOff(), queue.frontLen());
      if (result !== PACKED.whole) break;
      queue.pop();
      moved++;
    }
    return moved;
  }

  #pumpRaw(): void {
    while (this.#raw.length > 0) {
      const off = this.#claimLevel();
      if (off === 0) return;
      this.memory.u8.set(this.#raw.shift()!, off);
      this.publish(BUF_KIND.raw);
    }
  }

  /** Offset of a free plaintext buffer, or 0. It must be published before anything else is claimed. Inner packets stop
   * at the depth of late binding; what the session itself has to say finds room behind them. */
  override claim(most?: number): number {
    if (this.#tokens.length > 0) this.collect(); // before the oldest plaintexts are overwritten
    const off = super.claim(most);
    if (off !== 0) this.#openUsed = 0;
    return off;
  }

  /** As `claim`, for what the session itself has to say: it leaves in the same slot whether inner packets are bound
   * before it or not, since padding takes the places of those that are missing. Hellos and changes of keys are to be
   * seen, and would tell by their slots that there was data, or by what is lost with one of these. */
  #claimLevel(): number {
    const mayBeBound = this.#admits || this.#recordsLeft < this.#boundUntil;
    while (mayBeBound && this.waiting < this.depth) {
      const off = this.#beginData();
      if (off === 0) break;
      this.#finishPlaintext(off);
    }
    const off = this.claim();
    if (off !== 0) this.#saidUntil = (this.made + 1) >>> 0;
    return off;
  }

  #beginData(most = this.depth): number {
    const off = this.claim(most);
    if (off !== 0) this.#begin(off);
    return off;
  }

  #begin(off: number): void {
    this.#packer.begin(off, this.plaintextLen - 1);
    this.#packer.control(this.#prefix);
  }

  /** Takes back the newest plaintext if packets fit behind what it holds and the pacer has not taken it. */
  #reopen(): number {
    const off = this.#openUsed === 0 ? 0 : this.takeBack();
    if (off === 0) this.#openUsed = 0;
    else this.#packer.resume(off, this.plaintextLen - 1, this.#openUsed);
    return off;
  }

  #finishPlaintext(off: number): void {
    const used = this.#complete(off);
    this.publish(this.#prefix.length > 0 ? BUF_KIND.counted : BUF_KIND.plaintext);
    this.#openUsed = this.#packer.appendable(used) ? used : 0;
  }

  #complete(off: number): number {
    this.memory.u8[off + this.plaintextLen - 1] = CONTENT_TYPE.applicationData;
    return this.#packer.finish();
  }
}
