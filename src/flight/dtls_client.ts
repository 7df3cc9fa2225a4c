/** The client's handshake over datagrams, DTLS 1.3 (RFC 9147): bytes and time in, bytes and the next deadline out. It
 * goes on for ever until it is connected or the peer proves to be wrong. */

import { equalsConstantTime } from "../base/mod.ts";
import type { SecretPair } from "../crypto/key_schedule.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { wipe } from "../crypto/wipe.ts";
import { ClientHandshake } from "../handshake/client_handshake.ts";
import { type LongTermKey, pskOffers } from "../handshake/psk_directory.ts";
import type { ConnectionIdOffer } from "../handshake/server_hello_checks.ts";
import type { Entropy } from "../handshake/types.ts";
import { plaintextRecord } from "../record/handshake_records.ts";
import { ALERT, alertName } from "../wire/alert.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { PLAINTEXT_HEADER_LEN } from "../wire/dtls_plaintext_header.ts";
import {
  emitHandshakeMessage,
  HANDSHAKE_HEADER_LEN,
  HANDSHAKE_TYPE,
  type HandshakeHeader,
} from "../wire/handshake_header.ts";
import { DtlsEndpoint, type DtlsResult, type TimerOptions } from "./dtls_endpoint.ts";
import { DATAGRAM_LEN_MAX } from "./filler.ts";
import { type ReassembledMessage, Reassembly } from "./reassembly.ts";

export type { DtlsResult, Phase } from "./dtls_endpoint.ts";

// Chosen here.
const SILENT_TIMEOUTS_MAX = 3;
/** Other hellos of the server's that are tried in one handshake: each costs a key exchange, and anybody may send them. */
const RIVALS_MAX = 8;
/** Before the body of a hello in one fragment. */
const RECORD_OVERHEAD = PLAINTEXT_HEADER_LEN + HANDSHAKE_HEADER_LEN;

export interface DtlsClientOptions extends TimerOptions {
  readonly key: LongTermKey;
  /** In order of preference. */
  readonly suites: readonly number[];
  readonly groups: readonly number[];
  readonly entropy: Entropy;
  /** Every datagram has exactly so many bytes; at least `datagramLenMin`. 0: no padding, for foreign peers. */
  readonly datagramLen: number;
  /** Answers to a first hello have the number of its record, as a HelloGate's have: those to one that was given up are
   * told from those to the present one. */
  readonly numberedAnswers?: boolean;
  /** Groups that the first hello has a share of already; our servers ask for one in any case. */
  readonly shareGroups?: readonly number[];
  /** Absent: connection ids are not offered. */
  readonly connectionIds?: ConnectionIdOffer;
  /** The first hello is sent again after so long, without back-off, until it is answered: for who has slots that leave
   * anyway, so that a server under a flood, which answers some of many hellos, soon answers one of these. */
  readonly helloRepeatNs?: number;
}

/** Bytes that a datagram must have for the first hello to fit: a fragmented one cannot be answered without state
 * (RFC 9147 §5.1). */
export function datagramLenMin(options: Omit<DtlsClientOptions, "datagramLen">): number {
  const machine = machineOf(options, 1);
  machine.start();
  const [{ body }] = machine.takeMessages();
  machine.wipe();
  return RECORD_OVERHEAD + body.length;
}

/** A first ClientHello of `datagramLen` bytes (at least `datagramLenMin`), whose handshake goes no further: only the
 * stateless answer to it is of use. */
export function loneHello(
  options: Omit<DtlsClientOptions, "datagramLen">,
  datagramLen: number,
  sequenceNumber: number,
): Uint8Array {
  const machine = machineOf(options, datagramLen - RECORD_OVERHEAD);
  machine.start();
  const [{ body }] = machine.takeMessages();
  machine.wipe();
  const message = emitHandshakeMessage(HANDSHAKE_TYPE.clientHello, 0, body);
  return plaintextRecord(CONTENT_TYPE.handshake, sequenceNumber, message);
}

export class DtlsClient extends DtlsEndpoint {
  /** There as soon as Finished is queued: epoch 3 may be used from then on. */
  result: DtlsResult | undefined;
  protected machine: ClientHandshake;
  readonly #options: DtlsClientOptions;
  #refusal: string | undefined;
  #silentTimeouts = 0;
  /** From the server's hello until a record proves it: the machine before it, the hello, and others that come. */
  #unproven: { readonly before: ClientHandshake; body: Uint8Array; readonly rivals: Reassembly } | undefined;
  #rivalCount = 0;
  /** Of the record of the first hello. */
  #firstNumber = 0;

  /** Throws RangeError for a datagramLen that the first hello does not fit. */
  constructor(options: DtlsClientOptions) {
    super(options.entropy, options, 0, options.datagramLen);
    this.#options = options;
    if (options.datagramLen > DATAGRAM_LEN_MAX) {
      throw new RangeError(
        `Cannot use datagrams of ${options.datagramLen} bytes: at most ${DATAGRAM_LEN_MAX}`,
      );
    }
    const lenMin = options.datagramLen > 0 ? datagramLenMin(options) : 0;
    if (options.datagramLen < lenMin) {
      throw new RangeError(
        `Cannot use datagrams of ${options.datagramLen} bytes: a ClientHello needs ${lenMin}`,
      );
    }
    this.machine = this.#newMachine();
  }

  /** Queues the first ClientHello. */
  start(nowNs: number): void {
    this.#firstNumber = this.plaintextNumber;
    this.machine.start();
    this.sendFlight(this.machine.takeMessages(), nowNs);
    this.#repeatSoon(nowNs);
  }

  #repeatSoon(nowNs: number): void {
    const { helloRepeatNs } = this.#options;
    if (helloRepeatNs !== undefined) this.retransmitAtNs = nowNs + helloRepeatNs;
  }

  /** Forgets this handshake and begins another with a fresh ClientHello. */
  restart(nowNs: number): void {
    this.destroy();
    this.reset(0);
    this.machine = this.#newMachine();
    this.#refusal = undefined;
    this.#silentTimeouts = this.#rivalCount = 0;
    this.start(nowNs);
  }

  /** To be told of an authentic record of epoch 3 or later: the server has our Finished (RFC 9147 §5.8.4). */
  noteAuthenticRecord(): void {
    if (this.phase === "finished") this.#connected();
  }

  override close(): void {
    this.opened();
    super.close();
  }

  /** Why nothing comes of it so far, as far as one can tell; nothing of it is proven. */
  get hint(): string | undefined {
    if (this.phase === "connected" || this.phase === "finished") return undefined;
    const alert = this.lastAlert === undefined
      ? ""
      : ` (an unauthenticated alert came: ${alertName(this.lastAlert)})`;
    if (this.phase === "failed") return this.failure!.reason;
    if (this.phase === "cookie") return `cookie answered, key or name refused${alert}`;
    if (this.phase === "flight") return `the server answered, but nothing that its key opens came${alert}`;
    if (this.#refusal !== undefined) return `an unusable answer came: ${this.#refusal}${alert}`;
    return alert === "" ? undefined : `no usable answer${alert}`;
  }

  protected get suiteOfEpoch2(): CipherSuite {
    return this.machine.suite!;
  }

  protected directions({ client, server }: SecretPair): { send: Uint8Array; receive: Uint8Array } {
    return { send: client, receive: server };
  }

  protected deliver({ epoch, type, body }: ReassembledMessage): boolean {
    if (epoch === 0) return this.#takeHello(type, body);
    this.machine.receive(2, type, body);
    return true;
  }

  /** A hello comes in the clear, perhaps from anybody, or from a handshake that this end has forgotten: the machine as it
   * was before is kept for another one. */
  #takeHello(type: number, body: Uint8Array): boolean {
    const before = this.machine;
    const machine = before.state === "server hello" ? before.branch() : before;
    const failure = machine.receive(0, type, body);
    if (failure !== undefined) {
      if (machine !== before) machine.wipe();
      this.#refusal = failure.reason;
      return false;
    }
    this.machine = machine;
    if (machine.handshakeSecrets === undefined) before.wipe(); // asked for another hello
    else this.#unproven = { before, body: body.slice(), rivals: new Reassembly(this.reassembly.next) };
    return true;
  }

  protected isStale(sequenceNumber: number): boolean {
    return this.#options.numberedAnswers === true && this.phase === "hello" &&
      sequenceNumber < this.#firstNumber;
  }

  /** While nothing has opened, another hello of the server's takes the place of the one that was taken. */
  protected rival(header: HandshakeHeader, fragment: Uint8Array): void {
    const unproven = this.#unproven;
    if (unproven === undefined || header.messageSeq !== unproven.rivals.next) return;
    unproven.rivals.add(header, fragment, 0);
    const message = unproven.rivals.peek();
    if (message === undefined) return;
    unproven.rivals.discard();
    if (equalsConstantTime(message.body, unproven.body) || this.#rivalCount >= RIVALS_MAX) return;
    this.#rivalCount++;
    const machine = unproven.before.branch();
    if (
      machine.receive(0, message.type, message.body) !== undefined || machine.handshakeSecrets === undefined
    ) {
      return machine.wipe();
    }
    this.machine.wipe();
    this.machine = machine;
    unproven.body = message.body.slice();
    this.replaceKeys();
  }

  protected opened(): void {
    this.#unproven?.before.wipe();
    this.#unproven = undefined;
  }

  protected advanced(): void {
    const { machine } = this;
    if (this.phase === "finished") {
      if (this.flight === undefined) this.#connected();
    } else if (machine.state === "done") {
      this.phase = "finished";
      this.result = {
        ...machine.result!,
        sendMessageSeq: this.messageSeq,
        receiveMessageSeq: this.reassembly.next,
        peerFinishedAcked: false,
      };
      this.clearReceived();
      machine.wipe();
    } else if (machine.handshakeSecrets !== undefined) {
      this.phase = "flight";
    } else if (machine.isRetried) {
      this.phase = "cookie";
      this.clearReceived();
    }
  }

  protected timedOut(nowNs: number): void {
    // RFC 9147 §5.1: illegal_parameter may mean that the cookie is too old. If it is a lie, nothing is lost.
    if (this.phase === "cookie" && this.lastAlert === ALERT.illegalParameter) return this.restart(nowNs);
    if (this.phase !== "flight") {
      this.resend(nowNs);
      if (this.phase === "hello") this.#repeatSoon(nowNs);
      return;
    }
    // A ServerHello that nothing authentic follows may be anybody's.
    if (!this.hasOpened && ++this.#silentTimeouts === SILENT_TIMEOUTS_MAX) this.restart(nowNs);
    else this.sendAck(); // RFC 9147 §7.1: part of the flight is there
  }

  protected repeated(epoch: number, nowNs: number): void {
    if (this.phase === "finished" && epoch !== 0) this.resendSparingly(nowNs);
  }

  #connected(): void {
    this.phase = "connected";
    this.result = { ...this.result!, peerFinishedAcked: true };
    this.stopTimer();
    this.flight = undefined;
  }

  #newMachine(): ClientHandshake {
    return machineOf(this.#options, Math.max(0, this.#options.datagramLen - RECORD_OVERHEAD));
  }

  /** Wipes everything, the result's secrets included. */
  destroy(): void {
    this.close();
    wipe(this.result?.clientSecret, this.result?.serverSecret, this.result?.exporterSecret);
    this.result = undefined;
  }
}

function machineOf(options: Omit<DtlsClientOptions, "datagramLen">, helloUnit: number): ClientHandshake {
  const { suites, groups, entropy, shareGroups, connectionIds, key } = options;
  const offers = pskOffers(key, "dtls", suites, entropy);
  return new ClientHandshake({
    protocol: "dtls",
    suites,
    groups,
    entropy,
    offers,
    shareGroups,
    connectionIds,
    helloUnit,
  });
}
