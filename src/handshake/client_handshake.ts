/* The client of TLS 1.3 and DTLS 1.3 with an external PSK and (EC)DHE, RFC 8446 §2, §A.1:
 * 1 ClientHello · 2 perhaps HelloRetryRequest and a second ClientHello · 3 ServerHello, (EC)DHE
 * · 4 EncryptedExtensions · 5 the server's Finished · 6 Finished.
 * Messages and secrets only: no records, no fragments, no time. */

import { assert, equalsConstantTime } from "../base/mod.ts";
import { generate, type KeyShare } from "../crypto/key_exchange.ts";
import { KeySchedule, type SecretPair, verifyData } from "../crypto/key_schedule.ts";
import { type CipherSuite, suiteById } from "../crypto/suites.ts";
import { Transcript } from "../crypto/transcript.ts";
import { wipe } from "../crypto/wipe.ts";
import { ALERT } from "../wire/alert.ts";
import { RANDOM_LEN } from "../wire/client_hello.ts";
import { parseEncryptedExtensions } from "../wire/encrypted_extensions.ts";
import { EXTENSION } from "../wire/extensions.ts";
import { emitTlsHandshakeMessage, HANDSHAKE_TYPE } from "../wire/handshake_header.ts";
import { isRetryRandom, parseServerHello, type ServerHello } from "../wire/server_hello.ts";
import { buildClientHello } from "./client_hello_builder.ts";
import {
  type CheckedRetry,
  checkExtensionTypes,
  checkRetry,
  checkServerHello,
  type ConnectionIdOffer,
} from "./server_hello_checks.ts";
import {
  type ConnectionIds,
  type Entropy,
  type Failure,
  groupName,
  type HandshakeEpoch,
  type HandshakeResult,
  illegal,
  type OutMessage,
  type Policy,
  type PskOffer,
  undecodable,
  unexpected,
} from "./types.ts";

export interface ClientHandshakeOptions extends Policy {
  readonly entropy: Entropy;
  /** At least one; taken over, and wiped at the end. */
  readonly offers: readonly PskOffer[];
  /** Groups that the first hello has a share of already; usually none: the server asks for one. */
  readonly shareGroups?: readonly number[];
  /** A hello's body is padded to a multiple of this (RFC 7685); 0 or absent: not padded. */
  readonly helloUnit?: number;
  /** Absent: connection ids are not offered. */
  readonly connectionIds?: ConnectionIdOffer;
}

export class ClientHandshake {
  /** Traffic secrets of epoch 2; the machine's own, wiped at its end. */
  handshakeSecrets: SecretPair | undefined;
  /** Agreed on, as soon as the server's hello is there. */
  connectionIds: ConnectionIds | undefined;
  result: HandshakeResult | undefined;
  failure: Failure | undefined;
  state: "start" | "server hello" | "encrypted extensions" | "finished" | "done" | "failed" = "start";
  readonly #options: ClientHandshakeOptions;
  readonly #random = new Uint8Array(RANDOM_LEN);
  #transcript = new Transcript();
  #offers: readonly PskOffer[];
  #shares: KeyShare[] = [];
  #retry: CheckedRetry | undefined;
  #out: OutMessage[] = [];
  #suite: CipherSuite | undefined;
  #schedule: KeySchedule | undefined;
  #group = 0;

  constructor(options: ClientHandshakeOptions) {
    assert(options.offers.length > 0, "a client offers a key");
    this.#options = options;
    this.#offers = options.offers;
  }

  /** Another one that waits for the server's hello as this does, with secrets of its own: hellos come in the clear, and of
   * several nobody knows the true one before something opens. */
  branch(): ClientHandshake {
    assert(this.state === "server hello", "a handshake branches before the server's hello");
    const own = (offer: PskOffer) => ({ ...offer, psk: offer.psk.slice() });
    const copy = new ClientHandshake({ ...this.#options, offers: this.#options.offers.map(own) });
    copy.#random.set(this.#random);
    copy.#transcript = this.#transcript.clone();
    copy.#offers = copy.#options.offers.filter((_, i) => this.#offers.includes(this.#options.offers[i]));
    copy.#shares = this.#shares.map((share) => share.copy());
    copy.#retry = this.#retry;
    copy.state = this.state;
    return copy;
  }

  /** Whether a HelloRetryRequest came. */
  get isRetried(): boolean {
    return this.#retry !== undefined;
  }

  /** The suite that the server's hello chose. */
  get suite(): CipherSuite | undefined {
    return this.#suite;
  }

  /** Makes the first ClientHello. */
  start(): void {
    assert(this.state === "start", "a handshake starts once");
    this.#options.entropy.fill(this.#random);
    for (const group of this.#options.shareGroups ?? []) {
      this.#shares.push(generate(group, this.#options.entropy));
    }
    this.#hello(undefined);
    this.state = "server hello";
  }

  /** Takes one whole message of the server's, in order. A failure is final and in `failure` too, but for a hello: that
   * comes in the clear, from anybody. One that does not pass is refused and changes nothing; who reads from a reliable
   * stream then calls `fail`, who reads datagrams drops it and waits for the true one. */
  receive(epoch: HandshakeEpoch, type: number, body: Uint8Array): Failure | undefined {
    if (this.state === "failed") return this.failure;
    if (epoch === 0) return this.#handleHello(type, body);
    const failure = this.#handleProtected(type, body);
    if (failure !== undefined) this.fail(failure);
    return failure;
  }

  /** Messages to be sent, in order, each once. */
  takeMessages(): OutMessage[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Ends the handshake and wipes its secrets. */
  fail(failure: Failure): void {
    this.failure = failure;
    this.state = "failed";
    this.#out = [];
    this.wipe();
  }

  /** Wipes what is left of secrets, but for those in `result`. */
  wipe(): void {
    wipe(this.handshakeSecrets?.client, this.handshakeSecrets?.server);
    this.#wipeOffers();
    for (const share of this.#shares) share.wipe();
    this.#schedule?.wipe();
  }

  #handleHello(type: number, body: Uint8Array): Failure | undefined {
    if (this.state !== "server hello" || type !== HANDSHAKE_TYPE.serverHello) {
      return unexpected(`message ${type} in the clear is not expected now`);
    }
    const hello = parseServerHello(body);
    if (hello === undefined) return undecodable("ServerHello");
    return isRetryRandom(hello.random) ? this.#retryRequest(hello, body) : this.#serverHello(hello, body);
  }

  #handleProtected(type: number, body: Uint8Array): Failure | undefined {
    if (this.state === "encrypted extensions" && type === HANDSHAKE_TYPE.encryptedExtensions) {
      return this.#encryptedExtensions(body);
    }
    // RFC 8446 §4.3.2: no CertificateRequest with a PSK; nor any other message.
    if (this.state === "finished" && type === HANDSHAKE_TYPE.finished) return this.#finished(body);
    return unexpected(`message ${type} is not expected now`);
  }

  #retryRequest(hello: ServerHello, body: Uint8Array): Failure | undefined {
    // RFC 8446 §4.1.4: a second one is unexpected_message.
    if (this.#retry !== undefined) return unexpected("a second HelloRetryRequest");
    const retry = checkRetry(
      this.#options,
      hello,
      this.#shares.map(({ group }) => group),
      this.#options.connectionIds !== undefined,
    );
    if ("alert" in retry) return retry;
    const { hash } = suiteById(retry.suite);
    const offers = this.#options.offers.filter((offer) => offer.hash === hash);
    if (offers.length === 0) return illegal("the server chose a suite without a key for it");
    this.#retry = { ...retry, cookie: retry.cookie?.slice() };
    this.#offers = offers; // RFC 8446 §4.1.2: those that cannot be chosen any more are removed
    if (retry.group !== undefined) {
      for (const share of this.#shares) share.wipe();
      this.#shares = [generate(retry.group, this.#options.entropy)];
    }
    this.#transcript.select(hash);
    this.#transcript.replaceByMessageHash();
    this.#transcript.add(emitTlsHandshakeMessage(HANDSHAKE_TYPE.serverHello, body));
    this.#hello(this.#transcript);
    return undefined;
  }

  #hello(before: Transcript | undefined): void {
    const body = buildClientHello({
      policy: this.#options,
      random: this.#random, // RFC 8446 §4.1.2: the same in both hellos
      shares: this.#shares.map(({ group, share }) => ({ group, share })),
      cookie: this.#retry?.cookie,
      offers: this.#offers,
      connectionId: this.#options.connectionIds?.own,
      unit: this.#options.helloUnit ?? 0,
    }, before);
    this.#transcript.add(emitTlsHandshakeMessage(HANDSHAKE_TYPE.clientHello, body));
    this.#out.push({ epoch: 0, type: HANDSHAKE_TYPE.clientHello, body });
  }

  #serverHello(hello: ServerHello, body: Uint8Array): Failure | undefined {
    const groups = this.#shares.map(({ group }) => group);
    const checked = checkServerHello(
      this.#options,
      hello,
      this.#offers,
      groups,
      this.#retry,
      this.#options.connectionIds,
    );
    if ("alert" in checked) return checked;
    const secret = this.#shares.find(({ group }) => group === checked.share.group)!.finish(
      checked.share.share,
    );
    if (secret === undefined) return illegal("the server's share is no valid public key");
    for (const share of this.#shares) share.wipe();
    const suite = suiteById(checked.suite);
    const schedule = new KeySchedule(suite, this.#options.protocol, checked.offer.psk);
    schedule.mixSharedSecret(secret);
    wipe(secret);
    this.#wipeOffers();
    this.#transcript.select(suite.hash);
    this.#transcript.add(emitTlsHandshakeMessage(HANDSHAKE_TYPE.serverHello, body));
    this.handshakeSecrets = schedule.handshakeSecrets(this.#transcript.hash());
    this.#suite = suite;
    this.#group = checked.share.group;
    this.connectionIds = checked.connectionIds;
    this.#schedule = schedule;
    this.state = "encrypted extensions";
    return undefined;
  }

  #encryptedExtensions(body: Uint8Array): Failure | undefined {
    const extensions = parseEncryptedExtensions(body);
    if (extensions === undefined) return undecodable("EncryptedExtensions");
    // RFC 8446 §4.2: of what is offered here supported_groups alone may stand in this message.
    const failure = checkExtensionTypes(
      extensions,
      [EXTENSION.supportedGroups],
      this.#options.connectionIds !== undefined,
    );
    if (failure !== undefined) return failure;
    this.#transcript.add(emitTlsHandshakeMessage(HANDSHAKE_TYPE.encryptedExtensions, body));
    this.state = "finished";
    return undefined;
  }

  #finished(body: Uint8Array): Failure | undefined {
    const { protocol } = this.#options;
    const suite = this.#suite!;
    const secrets = this.handshakeSecrets!;
    const expected = verifyData(suite, protocol, secrets.server, this.#transcript.hash());
    // RFC 8446 §4.4.4: the server proves here that it has the key.
    if (!equalsConstantTime(expected, body)) {
      return { alert: ALERT.decryptError, reason: "the server's Finished is wrong" };
    }
    this.#transcript.add(emitTlsHandshakeMessage(HANDSHAKE_TYPE.finished, body));
    const hash = this.#transcript.hash();
    this.#result(hash);
    this.#out.push({
      epoch: 2,
      type: HANDSHAKE_TYPE.finished,
      body: verifyData(suite, protocol, secrets.client, hash),
    });
    this.state = "done";
    return undefined;
  }

  #result(hash: Uint8Array): void {
    const schedule = this.#schedule!;
    schedule.toMaster();
    const { client, server } = schedule.applicationSecrets(hash);
    this.result = {
      suite: this.#suite!,
      group: this.#group,
      groupName: groupName(this.#group),
      clientSecret: client,
      serverSecret: server,
      exporterSecret: schedule.exporterSecret(hash),
      connectionIds: this.connectionIds,
    };
    schedule.wipe();
  }

  #wipeOffers(): void {
    for (const { psk } of this.#options.offers) wipe(psk);
  }
}
