/* What client and server of DTLS 1.3 share: records in, messages in order; a flight out, its timer, ACKs.
 * Inbound: 1 split the datagram · 2 open · 3 reassemble · 4 the state machine · 5 keys and the next flight. */

import { assert, concat } from "../base/mod.ts";
import type { SecretPair } from "../crypto/key_schedule.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import type { ConnectionIds, Entropy, Failure, HandshakeResult, OutMessage } from "../handshake/types.ts";
import {
  type CiphertextRecord,
  EpochKeys,
  type PlaintextRecord,
  plaintextRecord,
  splitDatagram,
} from "../record/handshake_records.ts";
import { ALERT, alertName, emitAlert, parseAlert } from "../wire/alert.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { ackNumbersFitting, emitAck, parseAck, type RecordNumber } from "../wire/dtls_ack.ts";
import {
  HANDSHAKE_HEADER_LEN,
  type HandshakeHeader,
  parseHandshakeHeader,
} from "../wire/handshake_header.ts";
import { EarlyRecords } from "./early_records.ts";
import { filler, FILLER_LEN_MIN } from "./filler.ts";
import { OutgoingFlight, type Packing, type RecordMaker } from "./outgoing_flight.ts";
import { type FragmentFate, type ReassembledMessage, Reassembly } from "./reassembly.ts";

// Chosen here.
const TIMEOUT_NS = 400e6;
const TIMEOUT_MAX_NS = 6e9;
const OUTBOX_MAX = 64;
const ACK_NUMBERS_KEPT = 32;
/** Nobody has sent so many records in the clear; a peer that says so has no claim on numbers that fit its own. */
const PLAINTEXT_NUMBER_USUAL = 2 ** 32;
/** Fragments read of one record in the clear: no sender has a reason for more, and anybody can send it. */
const PLAINTEXT_FRAGMENTS_MAX = 8;
/** Bytes of a datagram to a foreign peer, at most: fits every path with an MTU of 1280. */
const FOREIGN_DATAGRAM_LEN = 1200;

export interface TimerOptions {
  /** First retransmission after so long; then doubled each time. */
  readonly timeoutNs?: number;
  readonly timeoutMaxNs?: number;
}

/** A handshake's result with what the session needs to go on. */
export interface DtlsResult extends HandshakeResult {
  /** message_seq of the next handshake message that this side sends (RFC 9147 §5.2). */
  readonly sendMessageSeq: number;
  /** message_seq of the next handshake message that the peer sends. */
  readonly receiveMessageSeq: number;
  /** Whether the peer is known to have all of the handshake. */
  readonly peerFinishedAcked: boolean;
}

export type Phase = "hello" | "cookie" | "flight" | "finished" | "connected" | "failed";

/** What was dropped, and why. */
export interface DropCounters {
  /** No records, or fields that do not fit. */
  malformed: number;
  /** Records that no key opens: forged, damaged, repeated, of another epoch, fillers. */
  unopened: number;
  /** Fragments and messages that had no place. */
  unplaced: number;
  /** Messages in the clear that did not pass the checks. */
  refused: number;
  /** Alerts and ACKs in the clear, which change nothing. */
  unauthenticated: number;
}

/** The part of a state machine that is the same for client and server. */
interface Machine {
  readonly handshakeSecrets: SecretPair | undefined;
  /** There with the secrets, if any are agreed on. */
  readonly connectionIds: ConnectionIds | undefined;
  readonly result: HandshakeResult | undefined;
  readonly failure: Failure | undefined;
  takeMessages(): OutMessage[];
  wipe(): void;
}

export abstract class DtlsEndpoint {
  phase: Phase = "hello";
  failure: Failure | undefined;
  readonly drops: DropCounters = { malformed: 0, unopened: 0, unplaced: 0, refused: 0, unauthenticated: 0 };
  protected packing: Packing;
  protected reassembly: Reassembly;
  protected messageSeq = 0;
  protected plaintextNumber = 0;
  /** Number of the peer's last record in the clear, if ours can go on from there. */
  protected peerPlaintextNumber = 0;
  protected lastAlert: number | undefined;
  protected flight: OutgoingFlight | undefined;
  protected retransmitAtNs = Infinity;
  readonly #entropy: Entropy;
  readonly #timeoutNs: number;
  readonly #timeoutMaxNs: number;
  #rtoNs: number;
  #flightSentNs = -Infinity;
  #outbox: Uint8Array[] = [];
  #opened = false;
  #sendKeys: EpochKeys | undefined;
  #receiveKeys: EpochKeys | undefined;
  /** Records of the peer's current flight, for ACKs. */
  #received: RecordNumber[] = [];
  #ackAtNs = Infinity;
  readonly #early = new EarlyRecords();

  constructor(entropy: Entropy, timers: TimerOptions, firstMessageSeq: number, datagramLen: number) {
    this.#entropy = entropy;
    this.#timeoutNs = this.#rtoNs = timers.timeoutNs ?? TIMEOUT_NS;
    this.#timeoutMaxNs = timers.timeoutMaxNs ?? TIMEOUT_MAX_NS;
    this.reassembly = new Reassembly(firstMessageSeq);
    this.packing = packingOf(datagramLen);
  }

  /** Takes one datagram; never throws for what is in it, and keeps no view of it. */
  receive(datagram: Uint8Array, nowNs: number): void {
    for (const record of splitDatagram(datagram, this.machine?.connectionIds?.own.length)) {
      if (this.phase === "failed") return;
      if (record.kind === "malformed") this.drops.malformed++;
      else if (record.kind === "plaintext") this.#plaintext(record, datagram.length, nowNs);
      else if (!this.#isEarly(record)) this.#ciphertext(record, datagram.length, nowNs);
      else if (!this.#early.keep(record, datagram.length)) this.drops.unopened++;
    }
    if (this.#receiveKeys === undefined) return;
    for (const { record, datagramLen } of this.#early.take()) {
      if (this.phase !== "failed") this.#ciphertext(record, datagramLen, nowNs);
    }
  }

  /** The next datagram to be sent, or `undefined`; the caller owns it. */
  nextDatagram(): Uint8Array | undefined {
    return this.#outbox.shift();
  }

  /** When `handleTimeout` wants to be called; Infinity: never. */
  nextTimeoutNs(): number {
    return Math.min(this.retransmitAtNs, this.#ackAtNs);
  }

  handleTimeout(nowNs: number): void {
    if (nowNs >= this.#ackAtNs) {
      this.#ackAtNs = Infinity;
      this.sendAck();
    }
    if (nowNs < this.retransmitAtNs) return;
    this.#rtoNs = Math.min(this.#timeoutMaxNs, 2 * this.#rtoNs); // RFC 9147 §5.8.2
    this.retransmitAtNs = nowNs + this.#rtoNs;
    this.timedOut(nowNs);
  }

  /** Wipes the keys of the handshake. Secrets in `result` stay the caller's. */
  close(): void {
    this.machine?.wipe();
    this.#sendKeys?.wipe();
    this.#receiveKeys?.wipe();
    this.#sendKeys = this.#receiveKeys = undefined;
    this.#early.take();
    this.flight = undefined;
    this.retransmitAtNs = this.#ackAtNs = Infinity;
  }

  /** As new, but for what was counted, and for record numbers, which go on. */
  protected reset(firstMessageSeq: number): void {
    this.phase = "hello";
    this.failure = undefined;
    this.reassembly = new Reassembly(firstMessageSeq);
    this.messageSeq = 0;
    this.lastAlert = undefined;
    this.#rtoNs = this.#timeoutNs;
    this.#outbox = [];
    this.#opened = false;
    this.clearReceived();
  }

  protected abstract get machine(): Machine | undefined;
  /** Sending and receiving secret of epoch 2 out of both. */
  protected abstract directions(
    secrets: SecretPair,
  ): { readonly send: Uint8Array; readonly receive: Uint8Array };
  protected abstract get suiteOfEpoch2(): CipherSuite;
  /** Hands a whole message to the state machine; false: refused, wait for another in its place. */
  protected abstract deliver(message: ReassembledMessage, datagramLen: number, nowNs: number): boolean;
  /** A message was handled, or a flight acknowledged; changes `phase`. */
  protected abstract advanced(nowNs: number): void;
  protected abstract timedOut(nowNs: number): void;
  /** Whether a record in the clear with this number answers something that this handshake has not sent. */
  protected abstract isStale(sequenceNumber: number): boolean;
  /** A record of epoch 2 was authentic. */
  protected abstract opened(): void;
  /** Part of a message in the clear of which another one was taken before: a copy, or its rival. */
  protected abstract rival(header: HandshakeHeader, fragment: Uint8Array): void;
  /** A message of the peer's came that was handled before. `epoch` 0: unauthenticated. */
  protected abstract repeated(epoch: number, nowNs: number): void;

  /** Makes `messages` the current flight and sends it. */
  protected sendFlight(messages: readonly OutMessage[], nowNs: number): void {
    this.flight = new OutgoingFlight(
      messages.map((message) => ({ ...message, messageSeq: this.messageSeq++ })),
    );
    this.#rtoNs = this.#timeoutNs;
    this.resend(nowNs);
  }

  /** Sends again what is not acknowledged of the current flight, and winds up the timer: RFC 9147 §5.8.1. */
  protected resend(nowNs: number): void {
    if (this.flight === undefined) return;
    this.#flightSentNs = nowNs;
    this.retransmitAtNs = nowNs + this.#rtoNs;
    for (const datagram of this.flight.compose(this.#recordMaker(), this.packing)) this.#post(datagram);
  }

  /** As `resend`, but not more often than every half of the first timeout: the peer, or somebody who replays it, causes
   * this one. */
  protected resendSparingly(nowNs: number): void {
    if (nowNs - this.#flightSentNs >= this.#timeoutNs / 2) this.resend(nowNs);
  }

  /** An ACK of all records of the peer's current flight, in epoch 2. */
  protected sendAck(): void {
    const keys = this.#sendKeys;
    if (keys === undefined || this.#received.length === 0) return;
    // RFC 9147 §7.1: as many as fit, the newest. §7: in ascending order.
    const fitting = ackNumbersFitting(this.packing.limit - keys.sealOverhead);
    const numbers = this.#received.slice(-fitting).sort((a, b) =>
      a.epoch - b.epoch || a.sequenceNumber - b.sequenceNumber
    );
    this.#post(keys.seal(CONTENT_TYPE.ack, emitAck(numbers), this.packing.exact ? this.packing.limit : 0));
  }

  /** Whether an authentic record of epoch 2 came. */
  protected get hasOpened(): boolean {
    return this.#opened;
  }

  protected stopTimer(): void {
    this.retransmitAtNs = this.#ackAtNs = Infinity;
  }

  /** The peer's flight is whole: what came of it needs no ACK of its own, since an answer follows. */
  protected clearReceived(): void {
    this.#received = [];
    this.#ackAtNs = Infinity;
  }

  protected fail(failure: Failure): void {
    if (this.phase === "failed") return;
    this.phase = "failed";
    this.failure = failure;
    if (failure.silent !== true) this.#sendAlert(failure.alert);
    this.close();
  }

  /** RFC 9147 §5.8.1 wants alerts encrypted as soon as there are keys. */
  #sendAlert(description: number): void {
    const alert = emitAlert(description);
    const { limit, exact } = this.packing;
    if (this.#sendKeys !== undefined) {
      this.#post(this.#sendKeys.seal(CONTENT_TYPE.alert, alert, exact ? limit : 0));
      return;
    }
    const record = plaintextRecord(CONTENT_TYPE.alert, this.plaintextNumber++, alert);
    const rest = exact ? limit - record.length : 0;
    this.#post(rest < FILLER_LEN_MIN ? record : concat(record, filler(rest, this.#entropy)));
  }

  #plaintext(record: PlaintextRecord, datagramLen: number, nowNs: number): void {
    const { contentType, content, epoch, sequenceNumber } = record;
    if (epoch !== 0) {
      this.drops.malformed++;
    } else if (contentType === CONTENT_TYPE.handshake && this.isStale(sequenceNumber)) {
      this.drops.unplaced++;
    } else if (contentType === CONTENT_TYPE.handshake) {
      this.peerPlaintextNumber = sequenceNumber < PLAINTEXT_NUMBER_USUAL ? sequenceNumber : 0;
      this.#handshakeRecord(content, { epoch, sequenceNumber }, datagramLen, nowNs);
    } else {
      // Anybody can send these: an alert is remembered for people, an ACK is nothing.
      this.drops.unauthenticated++;
      const alert = contentType === CONTENT_TYPE.alert ? parseAlert(content) : undefined;
      if (alert !== undefined) this.lastAlert = alert.description;
    }
  }

  /** RFC 9147 §4.2.1: records of an epoch whose keys are not there yet may be kept. */
  #isEarly({ header }: CiphertextRecord): boolean {
    const isBefore = this.phase === "hello" || this.phase === "cookie";
    return isBefore && this.#receiveKeys === undefined && header.epochBits === 2;
  }

  #ciphertext(record: CiphertextRecord, datagramLen: number, nowNs: number): void {
    const opened = this.#receiveKeys?.open(record);
    if (opened === undefined || typeof opened === "string") {
      this.drops.unopened++;
      return;
    }
    this.#opened = true;
    this.opened();
    const { contentType, content, epoch, sequenceNumber } = opened;
    if (contentType === CONTENT_TYPE.handshake) {
      this.#handshakeRecord(content, { epoch, sequenceNumber }, datagramLen, nowNs);
    } else if (contentType === CONTENT_TYPE.ack) {
      this.#ack(content, nowNs);
    } else if (contentType === CONTENT_TYPE.alert) {
      this.#alert(content);
    } else {
      this.drops.malformed++;
    }
  }

  #handshakeRecord(content: Uint8Array, number: RecordNumber, datagramLen: number, nowNs: number): void {
    const fates = this.#fragments(content, number.epoch);
    // RFC 9147 §7: an ACK names a record only if all that is in it was processed or kept.
    const isTaken = !fates.has("dropped");
    if (isTaken && fates.has("kept")) this.#noteReceived(number, nowNs);
    this.#deliverAll(datagramLen, nowNs);
    if (this.phase === "failed" || !fates.has("old")) return;
    if (isTaken && number.epoch !== 0) this.#noteNumber(number);
    this.repeated(number.epoch, nowNs);
  }

  /** RFC 9147 §5.5: a record holds one or more fragments. What became of them. */
  #fragments(content: Uint8Array, epoch: number): Set<FragmentFate> {
    const fates = new Set<FragmentFate>();
    let off = 0;
    for (let count = 0; off < content.length; count++) {
      const isTooMany = epoch === 0 && count === PLAINTEXT_FRAGMENTS_MAX;
      const header = isTooMany ? undefined : parseHandshakeHeader(content, off);
      if (header === undefined) {
        this.drops.malformed++;
        return fates.add("dropped");
      }
      const start = off + HANDSHAKE_HEADER_LEN;
      off = start + header.fragmentLen;
      // Nothing new belongs to a handshake that is over, whoever sends it.
      const isLate = this.#isOver && header.messageSeq >= this.reassembly.next;
      const fragment = content.subarray(start, off);
      const fate = isLate ? "dropped" : this.reassembly.add(header, fragment, epoch);
      if (fate === "dropped") this.drops.unplaced++;
      if (fate === "old" && epoch === 0 && !this.#opened) this.rival(header, fragment);
      fates.add(fate);
    }
    return fates;
  }

  get #isOver(): boolean {
    return this.phase === "connected" || this.phase === "finished";
  }

  #deliverAll(datagramLen: number, nowNs: number): void {
    for (let message = this.reassembly.peek(); message !== undefined; message = this.reassembly.peek()) {
      if (this.#isOver) return; // behind a Finished in the same record
      if (!this.deliver(message, datagramLen, nowNs)) {
        this.drops.refused++;
        this.reassembly.discard();
        return;
      }
      this.reassembly.advance();
      const failure = this.machine?.failure;
      if (failure !== undefined) this.fail(failure);
      if (this.phase === "failed") return;
      this.#installKeys();
      const messages = this.machine?.takeMessages() ?? [];
      if (messages.length > 0) this.sendFlight(messages, nowNs);
      this.advanced(nowNs);
    }
  }

  /** Forgets keys under which nothing has opened, and takes those of the machine as it is now. */
  protected replaceKeys(): void {
    this.#sendKeys?.wipe();
    this.#receiveKeys?.wipe();
    this.#sendKeys = this.#receiveKeys = undefined;
    this.#installKeys();
  }

  #installKeys(): void {
    const secrets = this.machine?.handshakeSecrets;
    if (secrets === undefined || this.#sendKeys !== undefined) return;
    const { send, receive } = this.directions(secrets);
    this.#sendKeys = new EpochKeys(this.suiteOfEpoch2, send, 2, this.machine?.connectionIds?.peer);
    this.#receiveKeys = new EpochKeys(this.suiteOfEpoch2, receive, 2);
    this.reassembly.protect();
  }

  #noteReceived(number: RecordNumber, nowNs: number): void {
    this.#noteNumber(number);
    // RFC 9147 §7.1: a flight that stays incomplete for a while is acknowledged as far as it came.
    if (this.#ackAtNs === Infinity) this.#ackAtNs = nowNs + this.#timeoutNs / 4;
  }

  #noteNumber({ epoch, sequenceNumber }: RecordNumber): void {
    const isKnown = this.#received.some((other) =>
      other.epoch === epoch && other.sequenceNumber === sequenceNumber
    );
    if (isKnown) return;
    if (this.#received.length === ACK_NUMBERS_KEPT) this.#received.shift();
    this.#received.push({ epoch, sequenceNumber });
  }

  #ack(content: Uint8Array, nowNs: number): void {
    const numbers = parseAck(content);
    if (numbers === undefined) {
      this.drops.malformed++;
      return;
    }
    if (this.flight === undefined) return;
    // Not sent again, since foreign peers drop the whole datagram where a hello that they have stands before the rest.
    const isHelloNew = this.flight.acknowledgePlaintext();
    if (!this.flight.acknowledge(numbers) && !isHelloNew) return;
    this.#rtoNs = this.#timeoutNs;
    if (this.flight.isAcked) {
      this.retransmitAtNs = Infinity; // RFC 9147 §7.2
      this.flight = undefined;
    } else {
      // RFC 9147 §7.2: what an ACK leaves out is sent again at once.
      this.resend(nowNs);
    }
    this.advanced(nowNs);
  }

  /** An authentic alert ends the handshake: RFC 8446 §6. */
  #alert(content: Uint8Array): void {
    const alert = parseAlert(content);
    if (alert === undefined) {
      this.drops.malformed++;
      return;
    }
    if (this.phase === "connected") return;
    const reason = `the peer ended the handshake: ${alertName(alert.description)}`;
    this.fail({ alert: ALERT.closeNotify, reason, silent: true });
  }

  #post(datagram: Uint8Array): void {
    assert(
      !this.packing.exact || datagram.length === this.packing.limit,
      "every datagram has the same length",
    );
    this.#outbox.push(datagram);
    if (this.#outbox.length > OUTBOX_MAX) this.#outbox.shift();
  }

  #recordMaker(): RecordMaker {
    return {
      nextPlaintextNumber: () => this.plaintextNumber++,
      sendKeys: this.#sendKeys,
      entropy: this.#entropy,
    };
  }
}

export function packingOf(datagramLen: number): Packing {
  return datagramLen > 0
    ? { limit: datagramLen, exact: true }
    : { limit: FOREIGN_DATAGRAM_LEN, exact: false };
}
