/** The keyed state of two participants from epoch 3 on: receive epochs, the secrets of both directions, KeyUpdate,
 * ACKs and alerts. No I/O, no clock, no slots: bytes and time come in, contents for slots go out by `takeControl`.
 *
 * KeyUpdate (RFC 9147 §8): the epoch bits of a record are in the clear, so when they change must be public. The
 * KeyUpdate is sent at a fixed count of records, and the new epoch begins at the next multiple of a fixed count
 * after its ACK: nothing in it depends on user data. */

import { assert } from "../base/mod.ts";
import type { ConnectionIds } from "../handshake/types.ts";
import { suiteById } from "../crypto/suites.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { nextTrafficSecret } from "../crypto/key_schedule.ts";
import type { Memory, RecordProtection } from "../ports/mod.ts";
import { EpochKeys } from "../record/handshake_records.ts";
import { installKey } from "../record/install_key.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { emitAck, parseAck } from "../wire/dtls_ack.ts";
import {
  emitHandshakeMessage,
  HANDSHAKE_HEADER_LEN,
  HANDSHAKE_TYPE,
  type HandshakeHeader,
  parseHandshakeHeader,
} from "../wire/handshake_header.ts";
import { emitKeyUpdate, parseKeyUpdate } from "../wire/key_update.ts";
import { IdExchange, type OwnIdSource } from "./id_exchange.ts";
import { ReceiveEpoch } from "./receive_epoch.ts";

// Set by a standard.
const MESSAGE_SEQ_MAX = 0xffff;
/** Of application data, RFC 9147 §6.1. */
export const FIRST_EPOCH = 3;
// Chosen here.
const CONTROLS_MAX = 8;
const REPEATS_PER_BLOCK = 16;
/** Records after which what was posted has left in any case, beside those that wait. */
const DRAIN_RECORDS = 64;
const REPLAY_WINDOW_MIN = 4096;
const REPLAY_WINDOW_NS = 250e6;

/** What the handshake leaves behind. Secrets are the session's from here on, and wiped by it. */
export interface SessionSecrets {
  readonly suite: number;
  /** Application traffic secrets 0 (RFC 8446 §7.1), of this participant's sending and receiving direction. */
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
  /** message_seq that follows the handshake, each way (RFC 9147 §5.2). */
  readonly sendMessageSeq: number;
  readonly receiveMessageSeq: number;
  /** Absent: none were agreed on. */
  readonly connectionIds?: ConnectionIds;
}

export interface SessionOptions {
  /** Records after which this side updates its sending key; public. */
  readonly rekeyRecords: number;
  /** The new epoch begins at a multiple of this count of records after `rekeyRecords`. */
  readonly rekeyBlock: number;
  /** Records a nanosecond that the peer sends, for the replay window's length. */
  readonly receiveRate: number;
  /** 0 or 1: tells the two sessions of a peer apart that may live at a time. */
  readonly side?: number;
  /** Ids that this side gives out. */
  readonly ownIds?: OwnIdSource;
}

/** One content to be put into a slot as a record of its own. */
export interface ControlContent {
  readonly contentType: number;
  readonly bytes: Uint8Array;
}

/** What a handshake, ACK or alert content did. */
export type ControlEvent = "none" | "peer closed" | "peer failed" | "update acknowledged" | "malformed";

export class Session {
  readonly suite: CipherSuite;
  readonly ids: ConnectionIds;
  readonly side: number;
  readonly idExchange: IdExchange;
  /** One or two epochs that may be read now, newest last. */
  readonly receiveEpochs: ReceiveEpoch[] = [];
  sendEpoch = FIRST_EPOCH;
  /** Records a nanosecond that the peer sends, as far as one knows: what a gap in time is in numbers. */
  receiveRate: number;
  #controlsDropped = 0;
  readonly #memory: Memory;
  readonly #protection: RecordProtection;
  readonly #options: SessionOptions;
  readonly #controls: ControlContent[] = [];
  #sendSecret: Uint8Array;
  #receiveSecret: Uint8Array;
  #sendMessageSeq: number;
  #receiveMessageSeq: number;
  /** Number that the next record had when the outstanding KeyUpdate was posted; -1: none outstanding. */
  #updatePostedAt = -1;
  #updateAcked = false;
  #updateRepeatAt = 0;
  /** As of the message about connection ids that is under way; -1: none. */
  #idPostedAt = -1;
  #idRepeatAt = 0;
  /** No record from this number on carries a repetition of a message that is acknowledged. */
  #drainedAt = 0;
  /** Whether the peer asked for a KeyUpdate that has not been sent. */
  #updateRequested = false;
  /** The ACK of the peer's last KeyUpdate has not been taken. */
  #isAckWaiting = false;
  /** Epoch of the last key that was given out for sealing. */
  #keyedEpoch = 2;
  #early: EpochKeys | undefined;
  #firstNumber = 0;

  constructor(
    memory: Memory,
    protection: RecordProtection,
    secrets: SessionSecrets,
    options: SessionOptions,
    nowNs: number,
  ) {
    this.suite = suiteById(secrets.suite);
    this.ids = secrets.connectionIds ?? { own: new Uint8Array(0), peer: new Uint8Array(0), rrc: false };
    this.side = options.side ?? 0;
    this.idExchange = new IdExchange(options.ownIds, this.ids.peer.length);
    this.#memory = memory;
    this.#protection = protection;
    this.#options = options;
    this.receiveRate = options.receiveRate;
    this.#sendSecret = secrets.send.slice();
    this.#receiveSecret = secrets.receive.slice();
    this.#sendMessageSeq = secrets.sendMessageSeq;
    this.#receiveMessageSeq = secrets.receiveMessageSeq;
    this.#addReceiveEpoch(FIRST_EPOCH, nowNs);
  }

  /** The newest epoch that may be read and has these low bits, or undefined. */
  receiveEpochFor(bits: number): ReceiveEpoch | undefined {
    for (let i = this.receiveEpochs.length - 1; i >= 0; i--) {
      const epoch = this.receiveEpochs[i];
      if (epoch.bits === bits && !epoch.exhausted) return epoch;
    }
    return undefined;
  }

  /** Whether the authentic record of this epoch and number is newer than all that came before. */
  isNewest(epoch: ReceiveEpoch, number: number): boolean {
    return epoch === this.receiveEpochs[this.receiveEpochs.length - 1] && epoch.isHighest(number);
  }

  /** To be called after an authentic record of `epoch`: an older epoch is given up once the newer one has run for
   * as long as reordering may last. */
  noteAuthentic(epoch: ReceiveEpoch): void {
    if (this.receiveEpochs.length < 2 || epoch !== this.receiveEpochs[1]) return;
    if (epoch.authenticated < REPLAY_WINDOW_MIN) return;
    this.receiveEpochs.shift()!.close(this.#protection);
  }

  /** Seals what must be said before anybody has the key of epoch 3: a record of `recordLen` bytes. Its number is used up;
   * whoever seals with the key of `newSendKey` begins at `firstNumber`. */
  sealEarly(contentType: number, content: Uint8Array, recordLen: number): Uint8Array {
    assert(this.#keyedEpoch < FIRST_EPOCH, "each number has one owner: the key of epoch 3 is given out");
    this.#early ??= new EpochKeys(this.suite, this.#sendSecret, FIRST_EPOCH, this.ids.peer);
    return this.#early.seal(contentType, content, recordLen);
  }

  /** Number of the first record under the key that `newSendKey` gave out last. */
  get firstNumber(): number {
    return this.#firstNumber;
  }

  /** Makes the sending key of the current send epoch: a key id, owned by the caller. Once per epoch: a second
   * key of one epoch would repeat nonces. */
  newSendKey(): number {
    assert(
      this.#keyedEpoch < this.sendEpoch,
      "each epoch has one sealing key: a second one would repeat nonces",
    );
    this.#keyedEpoch = this.sendEpoch;
    this.#firstNumber = this.#early?.nextSequenceNumber ?? 0;
    this.#dropEarly();
    return installKey(this.#memory, this.#protection, this.suite, this.#sendSecret, "dtls");
  }

  /** The next content for a slot, or undefined. */
  takeControl(): ControlContent | undefined {
    const content = this.#controls.shift();
    if (content?.contentType === CONTENT_TYPE.ack) this.#isAckWaiting = false;
    return content;
  }

  get hasControl(): boolean {
    return this.#controls.length > 0;
  }

  /** Contents that found no room since the last call. */
  takeDropped(): number {
    const count = this.#controlsDropped;
    this.#controlsDropped = 0;
    return count;
  }

  /** Handles a content other than application data of an authentic record. Never throws for a peer's bytes. */
  control(
    contentType: number,
    bytes: Uint8Array,
    epoch: number,
    sequenceNumber: number,
    nowNs: number,
  ): ControlEvent {
    if (contentType === CONTENT_TYPE.handshake) {
      return this.#handshake(bytes, epoch, sequenceNumber, nowNs);
    }
    if (contentType === CONTENT_TYPE.ack) return this.#ack(bytes);
    if (contentType === CONTENT_TYPE.alert && bytes.length === 2) {
      return bytes[1] === 0 ? "peer closed" : "peer failed"; // close_notify is 0, RFC 8446 §6.1
    }
    return "malformed";
  }

  /** To be called now and then with the number that the next record will have, and how many contents are on their way
   * into records already: posts what is due, the KeyUpdate at its count or when the peer has asked for one, and again
   * until it is acknowledged. One message at a time, so that an ACK has one meaning. */
  maintain(nextNumber: number, waiting = 0): void {
    if (this.#maintainIds(nextNumber, waiting)) return;
    this.#maintainUpdate(nextNumber);
  }

  /** Whether nothing else may be posted now. A message about ids does not begin in the block before a KeyUpdate, whose
   * time is public. */
  #maintainIds(nextNumber: number, waiting: number): boolean {
    const { rekeyRecords, rekeyBlock } = this.#options;
    const { message } = this.idExchange;
    if (message === undefined) return nextNumber < this.#drainedAt;
    const isUnderWay = this.#idPostedAt >= 0;
    const mayBegin = nextNumber >= this.#drainedAt && nextNumber < rekeyRecords - rekeyBlock &&
      this.#updatePostedAt < 0 && !this.#updateRequested && this.#sendMessageSeq < MESSAGE_SEQ_MAX;
    if (!isUnderWay && !mayBegin) return nextNumber < this.#drainedAt;
    if (isUnderWay && nextNumber < this.#idRepeatAt) return true;
    if (!isUnderWay) this.#idPostedAt = nextNumber;
    this.#idRepeatAt = nextNumber + Math.ceil(rekeyBlock / REPEATS_PER_BLOCK);
    this.#drainedAt = nextNumber + waiting + DRAIN_RECORDS;
    this.#push(
      CONTENT_TYPE.handshake,
      emitHandshakeMessage(message.type, this.#sendMessageSeq, message.body),
    );
    return true;
  }

  #maintainUpdate(nextNumber: number): void {
    const isDue = nextNumber >= this.#options.rekeyRecords || this.#updateRequested;
    // After 2^16 messages none has a number left (RFC 9147 §5.2): the key wears out, and a new handshake follows.
    if (!isDue || this.#updateAcked || this.#sendMessageSeq > MESSAGE_SEQ_MAX) return;
    if (this.#updatePostedAt >= 0 && nextNumber < this.#updateRepeatAt) return;
    if (this.#updatePostedAt < 0) this.#updatePostedAt = nextNumber;
    // Many times within a block: which slot it rides in, and so which loss hits it, may depend on the queue before it;
    // that it is acknowledged somewhere within the block does not.
    this.#updateRepeatAt = nextNumber + Math.ceil(this.#options.rekeyBlock / REPEATS_PER_BLOCK);
    // RFC 9147 §8: KeyUpdate is a handshake message with its own message_seq; update_not_requested, since each
    // side updates by its own count.
    this.#push(
      CONTENT_TYPE.handshake,
      emitHandshakeMessage(HANDSHAKE_TYPE.keyUpdate, this.#sendMessageSeq, emitKeyUpdate(false)),
    );
  }

  /** After the ACK: the number at which the new epoch begins, counted in records of the old one. Else undefined. */
  switchNumber(nextNumber: number): number | undefined {
    return this.#updateAcked ? this.#nextBlock(nextNumber) : undefined;
  }

  /** Moves the sending side to its next epoch and returns the key for it. */
  nextSendEpoch(): number {
    assert(this.#updateAcked, "RFC 9147 §8: a new epoch is used only after its KeyUpdate is acknowledged");
    const next = nextTrafficSecret(this.suite, "dtls", this.#sendSecret);
    this.#sendSecret.fill(0);
    this.#sendSecret = next;
    this.sendEpoch++;
    this.#sendMessageSeq++;
    this.#updatePostedAt = -1;
    this.#drainedAt = 0;
    this.#updateAcked = false;
    this.#updateRequested = false;
    return this.newSendKey();
  }

  close(): void {
    for (const epoch of this.receiveEpochs) epoch.close(this.#protection);
    this.receiveEpochs.length = 0;
    this.#dropEarly();
    this.idExchange.close();
    this.#sendSecret.fill(0);
    this.#receiveSecret.fill(0);
    this.#controls.length = 0;
  }

  #dropEarly(): void {
    this.#early?.wipe();
    this.#early = undefined;
  }

  /** The next public count: the epoch changes there, whenever within the block the ACK came. */
  #nextBlock(nextNumber: number): number {
    const { rekeyRecords, rekeyBlock } = this.#options;
    return rekeyRecords + (Math.floor((nextNumber - rekeyRecords) / rekeyBlock) + 1) * rekeyBlock;
  }

  #push(contentType: number, bytes: Uint8Array): void {
    if (this.#controls.length < CONTROLS_MAX) this.#controls.push({ contentType, bytes });
    else this.#controlsDropped++;
  }

  /** RFC 9147 §5.5: a record holds one or more messages; here only whole ones, since none that is used is long. */
  #handshake(bytes: Uint8Array, epoch: number, sequenceNumber: number, nowNs: number): ControlEvent {
    for (let off = 0; off < bytes.length;) {
      const header = parseHandshakeHeader(bytes, off);
      if (header === undefined || header.fragmentLen !== header.len) return "malformed";
      const bodyOff = off + HANDSHAKE_HEADER_LEN;
      off = bodyOff + header.len;
      if (!this.#message(header, bytes.subarray(bodyOff, off), epoch, nowNs)) return "malformed";
    }
    // RFC 9147 §7: of a record with repeated messages, too.
    this.#push(CONTENT_TYPE.ack, emitAck([{ epoch, sequenceNumber }]));
    return "none";
  }

  /** Takes a message if it is the next one; false: it is neither that nor an earlier one. */
  #message({ type, messageSeq }: HandshakeHeader, body: Uint8Array, epoch: number, nowNs: number): boolean {
    if (messageSeq < this.#receiveMessageSeq) return true;
    const newest = this.receiveEpochs[this.receiveEpochs.length - 1];
    if (messageSeq > this.#receiveMessageSeq || epoch !== newest.epoch) return false;
    const update = type === HANDSHAKE_TYPE.keyUpdate ? parseKeyUpdate(body) : undefined;
    // RFC 9147 §8: none comes before the ACK of the one before. Who does not mind that gets no more of them than slots.
    if (update !== undefined && this.#isAckWaiting) return false;
    // A ticket of a foreign server's is of no use here, but what follows it counts on: RFC 9147 §7.1.
    const isTaken = update !== undefined || type === HANDSHAKE_TYPE.newSessionTicket ||
      this.idExchange.receive(type, body);
    if (!isTaken) return false;
    this.#receiveMessageSeq++;
    if (update !== undefined) this.#follow(update.requested, nowNs);
    return true;
  }

  #follow(requested: boolean, nowNs: number): void {
    this.#nextReceiveEpoch(nowNs);
    this.#isAckWaiting = true;
    // RFC 8446 §4.6.3: who is asked sends one of its own; one under way already is that. Peers of ours never ask.
    if (requested && this.#updatePostedAt < 0) this.#updateRequested = true;
  }

  #ack(bytes: Uint8Array): ControlEvent {
    const numbers = parseAck(bytes);
    if (numbers === undefined) return "malformed";
    const isNamed = (from: number) =>
      numbers.some(({ epoch, sequenceNumber }) => epoch === this.sendEpoch && sequenceNumber >= from);
    if (this.#idPostedAt >= 0) {
      if (isNamed(this.#idPostedAt)) this.#idAcked();
      return "none";
    }
    if (this.#updatePostedAt < 0 || this.#updateAcked) return "none";
    this.#updateAcked = isNamed(this.#updatePostedAt);
    return this.#updateAcked ? "update acknowledged" : "none";
  }

  #idAcked(): void {
    this.idExchange.sent();
    this.#idPostedAt = -1;
    this.#sendMessageSeq++;
  }

  #nextReceiveEpoch(nowNs: number): void {
    const next = nextTrafficSecret(this.suite, "dtls", this.#receiveSecret);
    this.#receiveSecret.fill(0);
    this.#receiveSecret = next;
    const newest = this.receiveEpochs[this.receiveEpochs.length - 1].epoch;
    while (this.receiveEpochs.length > 1) this.receiveEpochs.shift()!.close(this.#protection);
    this.#addReceiveEpoch(newest + 1, nowNs);
  }

  #addReceiveEpoch(epoch: number, nowNs: number): void {
    const key = installKey(this.#memory, this.#protection, this.suite, this.#receiveSecret, "dtls");
    const wanted = Math.max(REPLAY_WINDOW_MIN, REPLAY_WINDOW_NS * this.#options.receiveRate);
    const len = 2 ** Math.ceil(Math.log2(wanted));
    this.receiveEpochs.push(new ReceiveEpoch(epoch, key, len, nowNs));
  }
}
