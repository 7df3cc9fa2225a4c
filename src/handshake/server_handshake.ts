/* The server of TLS 1.3 and DTLS 1.3 with an external PSK and (EC)DHE, RFC 8446 §2, §A.2:
 * 1 ClientHello (and a HelloRetryRequest, unless it was sent before, statelessly) · 2 PSK and binder
 * · 3 (EC)DHE · 4 ServerHello, EncryptedExtensions, Finished · 5 the client's Finished.
 * Messages and secrets only: no records, no fragments, no time. */

import { assert, concat, equalsConstantTime } from "../base/mod.ts";
import { respond } from "../crypto/key_exchange.ts";
import { KeySchedule, type SecretPair, verifyData } from "../crypto/key_schedule.ts";
import { type CipherSuite, suiteById } from "../crypto/suites.ts";
import { Transcript } from "../crypto/transcript.ts";
import { wipe } from "../crypto/wipe.ts";
import { ALERT } from "../wire/alert.ts";
import { LEGACY_VERSION, RANDOM_LEN, VERSION_1_3 } from "../wire/client_hello.ts";
import { emitEncryptedExtensions } from "../wire/encrypted_extensions.ts";
import {
  emitConnectionId,
  emitOneU16,
  emitReturnRoutabilityCheck,
  emitServerShare,
  EXTENSION,
  findExtension,
  type KeyShareEntry,
  parseCookie,
} from "../wire/extensions.ts";
import { emitTlsHandshakeMessage, HANDSHAKE_TYPE } from "../wire/handshake_header.ts";
import { emitServerHello, isRetryRandom } from "../wire/server_hello.ts";
import { checkClientHello, type CheckedHello } from "./client_hello_checks.ts";
import { emitRetry, type RetryState, retryStateOf, unchangingDigest } from "./hello_retry.ts";
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
  type PskCandidate,
  type PskLookup,
  unexpected,
} from "./types.ts";

export interface ServerHandshakeOptions extends Policy {
  readonly lookup: PskLookup;
  readonly entropy: Entropy;
  /** Also takes an empty identity and then echoes legacy_session_id, which RFC 9147 §5.3 forbids: version 0 peers. */
  readonly version0?: boolean;
  /** Makes the id that a client which offers connection ids is to put into its records; absent: none are agreed on. */
  readonly newConnectionId?: () => Uint8Array;
}

/** Whose binder is computed when the identity is nobody's. */
const NOBODY: PskCandidate = { psk: new Uint8Array(0), binder: "imported", clientIndex: -1 };

interface Chosen {
  readonly candidate: PskCandidate;
  readonly index: number;
  /** In the stage "early". */
  readonly schedule: KeySchedule;
}

export class ServerHandshake {
  /** Traffic secrets of epoch 2; the machine's own, wiped at its end. */
  handshakeSecrets: SecretPair | undefined;
  /** Agreed on, as soon as the answer to the hello is made. */
  connectionIds: ConnectionIds | undefined;
  result: HandshakeResult | undefined;
  failure: Failure | undefined;
  state: "hello" | "finished" | "done" | "failed" = "hello";
  readonly #options: ServerHandshakeOptions;
  #retry: RetryState | undefined;
  #out: OutMessage[] = [];
  #transcript: Transcript | undefined;
  #suite: CipherSuite | undefined;
  #pending: HandshakeResult | undefined;

  /** With `retry` the HelloRetryRequest that it describes was sent already, and the first message is the second hello. */
  constructor(options: ServerHandshakeOptions, retry?: RetryState) {
    this.#options = options;
    this.#retry = retry;
  }

  /** The suite that was chosen. */
  get suite(): CipherSuite | undefined {
    return this.#suite;
  }

  /** Takes one whole message of the client's, in order. Whoever reads `failure` afterwards ends the handshake. */
  receive(epoch: HandshakeEpoch, type: number, body: Uint8Array): void {
    if (this.state === "failed") return;
    const failure = this.#handle(epoch, type, body);
    if (failure !== undefined) this.#fail(failure);
  }

  /** Messages to be sent, in order, each once. */
  takeMessages(): OutMessage[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Wipes what is left of secrets, but for those in `result`. */
  wipe(): void {
    wipe(this.handshakeSecrets?.client, this.handshakeSecrets?.server);
    if (this.#pending !== undefined && this.result === undefined) wipeResult(this.#pending);
  }

  #handle(epoch: HandshakeEpoch, type: number, body: Uint8Array): Failure | undefined {
    if (this.state === "hello" && epoch === 0 && type === HANDSHAKE_TYPE.clientHello) {
      return this.#hello(body);
    }
    if (this.state === "finished" && epoch === 2 && type === HANDSHAKE_TYPE.finished) {
      return this.#finished(body);
    }
    return unexpected(`message ${type} in epoch ${epoch} is not expected now`);
  }

  #hello(body: Uint8Array): Failure | undefined {
    const checked = checkClientHello(this.#options, body, this.#retry);
    if ("alert" in checked) return checked;
    if (this.#retry !== undefined) {
      const failure = this.#checkSecondHello(this.#retry, checked);
      if (failure !== undefined) return failure;
    }
    const share = checked.shares.find(({ group }) => group === checked.group);
    if (share === undefined) {
      this.#requestRetry(body, checked);
      return undefined;
    }
    this.#suite = suiteById(checked.suite);
    this.#transcript = this.#startTranscript(this.#suite);
    const chosen = this.#choosePsk(body, checked);
    return "alert" in chosen ? chosen : this.#answer(body, checked, chosen, share);
  }

  /** RFC 8446 §4.1.2: the same hello but for what the HelloRetryRequest asked for. */
  #checkSecondHello(retry: RetryState, checked: CheckedHello): Failure | undefined {
    const { hello, shares } = checked;
    const { protocol } = this.#options;
    if (!equalsConstantTime(unchangingDigest(protocol, hello), retry.helloDigest)) {
      return illegal("the second ClientHello differs from the first");
    }
    if (findExtension(hello.extensions, EXTENSION.earlyData) !== undefined) {
      return illegal("early_data in the second ClientHello");
    }
    // §4.1.2: a single share of the group that was asked for.
    if (retry.namedGroup && (shares.length !== 1 || shares[0].group !== retry.group)) {
      return illegal("the second ClientHello has not the one share that was asked for");
    }
    if (!shares.some(({ group }) => group === retry.group)) {
      return illegal("the second ClientHello lacks its share");
    }
    const cookieBody = findExtension(hello.extensions, EXTENSION.cookie);
    const cookie = cookieBody && parseCookie(cookieBody);
    const isSame = retry.cookie === undefined
      ? cookieBody === undefined
      : cookie !== undefined && equalsConstantTime(cookie, retry.cookie);
    return isSame ? undefined : illegal("the second ClientHello has another cookie");
  }

  #requestRetry(body: Uint8Array, checked: CheckedHello): void {
    const { protocol } = this.#options;
    const sessionId = protocol === "tls" ? checked.hello.sessionId.slice() : new Uint8Array(0);
    this.#retry = { ...retryStateOf(protocol, body, checked), sessionId };
    this.#send(0, HANDSHAKE_TYPE.serverHello, emitRetry(protocol, this.#retry), undefined);
  }

  #startTranscript(suite: CipherSuite): Transcript {
    const retry = this.#retry;
    if (retry === undefined) return new Transcript(suite.hash);
    const transcript = Transcript.fromClientHelloHash(suite.hash, retry.helloHash);
    const message = emitRetry(this.#options.protocol, retry);
    transcript.add(emitTlsHandshakeMessage(HANDSHAKE_TYPE.serverHello, message));
    return transcript;
  }

  /** RFC 8446 §4.2.11: the binder is checked before anything else is done with the PSK. An unknown identity and a wrong
   * binder look alike, in time too. */
  #choosePsk(body: Uint8Array, checked: CheckedHello): Chosen | Failure {
    const suite = this.#suite!;
    const { identities, binders, bindersLen } = checked.psks;
    let index = 0;
    let candidates: readonly PskCandidate[] = [];
    for (let i = 0; i < identities.length; i++) {
      const { identity } = identities[i];
      if (identity.length === 0 && this.#options.version0 !== true) return illegal("an empty identity");
      const found = this.#options.lookup(identity, suite.hash);
      if (candidates.length === 0 && found.length > 0) {
        candidates = found;
        index = i;
      } else {
        for (const { psk } of found) wipe(psk);
      }
    }
    const truncated = emitTlsHandshakeMessage(HANDSHAKE_TYPE.clientHello, body).slice(0, -bindersLen);
    const hash = this.#transcript!.hash(truncated);
    let chosen: Chosen | undefined;
    // All of them, whichever it is: several only under the empty identity of version 0.
    for (const candidate of candidates.length > 0 ? candidates : [NOBODY]) {
      const schedule = this.#proven(candidate, hash, binders[index]);
      if (chosen === undefined && schedule !== undefined) chosen = { candidate, index, schedule };
      else schedule?.wipe();
    }
    if (chosen !== undefined) return chosen;
    const reason = candidates.length === 0 ? "unknown name or key" : "wrong key";
    return { alert: ALERT.decryptError, reason, silent: true };
  }

  /** The key schedule of `candidate`, whose PSK is wiped, if its binder is right. */
  #proven(
    { psk, binder: kind, clientIndex }: PskCandidate,
    hash: Uint8Array,
    binder: Uint8Array,
  ): KeySchedule | undefined {
    const suite = this.#suite!;
    const key = clientIndex < 0 ? new Uint8Array(suite.hashLen) : psk;
    const schedule = new KeySchedule(suite, this.#options.protocol, key);
    wipe(key);
    const binderKey = schedule.binderKey(kind);
    const expected = verifyData(suite, this.#options.protocol, binderKey, hash);
    wipe(binderKey);
    if (equalsConstantTime(expected, binder) && clientIndex >= 0) return schedule;
    schedule.wipe();
    return undefined;
  }

  #answer(
    body: Uint8Array,
    checked: CheckedHello,
    chosen: Chosen,
    share: KeyShareEntry,
  ): Failure | undefined {
    const { protocol, entropy } = this.#options;
    const { schedule } = chosen;
    const response = respond(share.group, share.share, entropy);
    if (response === undefined) {
      schedule.wipe();
      return illegal("the client's share is no valid public key");
    }
    const transcript = this.#transcript!;
    transcript.add(emitTlsHandshakeMessage(HANDSHAKE_TYPE.clientHello, body));
    schedule.mixSharedSecret(response.secret);
    wipe(response.secret);

    this.connectionIds = this.#agreedIds(checked);
    const serverShare = { group: share.group, share: response.share };
    this.#send(
      0,
      HANDSHAKE_TYPE.serverHello,
      this.#serverHello(checked, chosen.index, serverShare),
      transcript,
    );
    const secrets = schedule.handshakeSecrets(transcript.hash());
    this.handshakeSecrets = secrets;
    this.#send(2, HANDSHAKE_TYPE.encryptedExtensions, emitEncryptedExtensions([]), transcript);
    const finished = verifyData(this.#suite!, protocol, secrets.server, transcript.hash());
    this.#send(2, HANDSHAKE_TYPE.finished, finished, transcript);
    this.#pending = this.#resultOf(schedule, share.group, chosen.candidate.clientIndex);
    this.state = "finished";
    return undefined;
  }

  #serverHello(checked: CheckedHello, pskIndex: number, share: KeyShareEntry): Uint8Array {
    const { protocol, entropy } = this.#options;
    const random = new Uint8Array(RANDOM_LEN);
    do entropy.fill(random); while (isRetryRandom(random));
    return emitServerHello({
      legacyVersion: LEGACY_VERSION[protocol],
      random,
      // RFC 9147 §5.3: a DTLS server MUST NOT echo; version 0 peers want it all the same.
      sessionIdEcho: protocol === "tls"
        ? checked.hello.sessionId
        : this.#retry?.sessionId ?? new Uint8Array(0),
      suite: checked.suite,
      compression: 0,
      extensions: [
        emitOneU16(EXTENSION.supportedVersions, VERSION_1_3[protocol]),
        emitServerShare(share),
        emitOneU16(EXTENSION.preSharedKey, pskIndex),
        ...(this.connectionIds === undefined ? [] : [emitConnectionId(this.connectionIds.own)]),
        ...(this.connectionIds?.rrc ? [emitReturnRoutabilityCheck()] : []),
      ],
    });
  }

  #agreedIds({ connectionIds }: CheckedHello): ConnectionIds | undefined {
    const { newConnectionId } = this.#options;
    if (connectionIds === undefined || newConnectionId === undefined) return undefined;
    return { own: newConnectionId(), peer: connectionIds.peer.slice(), rrc: connectionIds.rrc };
  }

  #resultOf(schedule: KeySchedule, group: number, clientIndex: number): HandshakeResult {
    schedule.toMaster();
    const hash = this.#transcript!.hash();
    const { client, server } = schedule.applicationSecrets(hash);
    const exporterSecret = schedule.exporterSecret(hash);
    schedule.wipe();
    const suite = this.#suite!;
    return {
      suite,
      group,
      groupName: groupName(group),
      clientSecret: client,
      serverSecret: server,
      exporterSecret,
      connectionIds: this.connectionIds,
      clientIndex,
    };
  }

  #finished(body: Uint8Array): Failure | undefined {
    const { protocol } = this.#options;
    const hash = this.#transcript!.hash();
    const expected = verifyData(this.#suite!, protocol, this.handshakeSecrets!.client, hash);
    // RFC 8446 §4.4.4: verified before anything that follows counts.
    if (!equalsConstantTime(expected, body)) {
      return { alert: ALERT.decryptError, reason: "the client's Finished is wrong" };
    }
    this.result = this.#pending;
    this.state = "done";
    return undefined;
  }

  #send(epoch: HandshakeEpoch, type: number, body: Uint8Array, transcript: Transcript | undefined): void {
    assert(this.#out.length < 8, "a flight is taken before the next one is made");
    transcript?.add(emitTlsHandshakeMessage(type, body));
    this.#out.push({ epoch, type, body: concat(body) });
  }

  #fail(failure: Failure): void {
    this.failure = failure;
    this.state = "failed";
    this.#out = [];
    this.result = undefined;
    this.wipe();
  }
}

function wipeResult(result: HandshakeResult): void {
  wipe(result.clientSecret, result.serverSecret, result.exporterSecret);
}
