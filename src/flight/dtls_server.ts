/** The server's handshake over datagrams, DTLS 1.3 (RFC 9147), from a ClientHello with a good cookie on: bytes and time
 * in, bytes and the next deadline out. What was before is in the cookie. */

import type { SecretPair } from "../crypto/key_schedule.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { wipe } from "../crypto/wipe.ts";
import { ServerHandshake } from "../handshake/server_handshake.ts";
import type { Entropy, Policy, PskLookup } from "../handshake/types.ts";
import { parseClientHello } from "../wire/client_hello.ts";
import { EXTENSION, findExtension, parseCookie, parseOfferedPsks } from "../wire/extensions.ts";
import { HANDSHAKE_TYPE } from "../wire/handshake_header.ts";
import { CookieJar } from "./cookie.ts";
import { DtlsEndpoint, type DtlsResult, packingOf, type TimerOptions } from "./dtls_endpoint.ts";
import { canMatch } from "./filler.ts";
import type { ReassembledMessage } from "./reassembly.ts";

export type { DtlsResult, Phase } from "./dtls_endpoint.ts";

export interface DtlsServerOptions extends TimerOptions {
  /** Of the cookies; the same as the HelloGate's, by the same clock. */
  readonly secret: Uint8Array;
  /** In order of preference. */
  readonly suites: readonly number[];
  readonly groups: readonly number[];
  /** As in Policy. */
  readonly yieldsToChaCha?: boolean;
  readonly plainHash?: Policy["plainHash"];
  readonly entropy: Entropy;
  readonly lookup: PskLookup;
  /** As the HelloGate's. */
  readonly version0?: boolean;
  /** Makes the id for the records of a client that offers connection ids; absent: none are agreed on. */
  readonly newConnectionId?: () => Uint8Array;
}

export class DtlsServer extends DtlsEndpoint {
  /** There when the client's Finished came and was right, which is when `phase` becomes "connected". */
  result: DtlsResult | undefined;
  protected machine: ServerHandshake | undefined;
  readonly #options: DtlsServerOptions;
  readonly #address: Uint8Array;

  /** `addressKey`: what the HelloGate was given for this client. */
  constructor(options: DtlsServerOptions, addressKey: Uint8Array) {
    super(options.entropy, options, 1, 0); // message 0 was answered without state
    this.#options = options;
    this.#address = addressKey.slice();
  }

  /** Nothing to be sent yet: the first datagram to `receive` is the one that the gate let pass. */
  start(_nowNs: number): void {
    this.messageSeq = 1; // HelloRetryRequest was 0
  }

  protected get suiteOfEpoch2(): CipherSuite {
    return this.machine!.suite!;
  }

  protected directions({ client, server }: SecretPair): { send: Uint8Array; receive: Uint8Array } {
    return { send: server, receive: client };
  }

  protected deliver({ epoch, type, body }: ReassembledMessage, datagramLen: number, nowNs: number): boolean {
    if (this.machine === undefined && !this.#openCookie(type, body, datagramLen, nowNs)) return false;
    this.machine!.receive(epoch === 0 ? 0 : 2, type, body);
    return true;
  }

  protected advanced(): void {
    const machine = this.machine!;
    if (machine.state === "finished") {
      if (this.phase === "hello") this.clearReceived();
      this.phase = "flight";
    } else if (machine.state === "done" && this.phase === "flight") {
      this.phase = "connected";
      this.result = {
        ...machine.result!,
        sendMessageSeq: this.messageSeq,
        receiveMessageSeq: this.reassembly.next,
        peerFinishedAcked: true,
      };
      this.stopTimer();
      this.flight = undefined;
      machine.wipe();
      // In epoch 2, since from epoch 3 on the pacer alone seals; RFC 9147 §7 allows any epoch from the Finished's on.
      this.sendAck();
    }
  }

  protected isStale(): boolean {
    return false;
  }

  /** The cookie has chosen the client's hello. */
  protected rival(): void {}

  protected opened(): void {}

  protected timedOut(nowNs: number): void {
    this.resend(nowNs);
  }

  protected repeated(epoch: number, nowNs: number): void {
    if (this.phase === "flight") this.resendSparingly(nowNs);
    else if (this.phase === "connected" && epoch !== 0) this.sendAck(); // RFC 9147 §5.8.1: our ACK was lost
  }

  /** The state machine, as it was after its HelloRetryRequest. */
  #openCookie(type: number, body: Uint8Array, datagramLen: number, nowNs: number): boolean {
    const hello = type === HANDSHAKE_TYPE.clientHello ? parseClientHello("dtls", body) : undefined;
    const cookieBody = hello && findExtension(hello.extensions, EXTENSION.cookie);
    const cookie = cookieBody && parseCookie(cookieBody);
    if (hello === undefined || cookie === undefined) return false;
    const psksBody = findExtension(hello.extensions, EXTENSION.preSharedKey);
    const psks = psksBody && parseOfferedPsks(psksBody);
    const isVersion0 = this.#options.version0 === true && psks?.identities[0].identity.length === 0;
    const echo = isVersion0 ? hello.sessionId : undefined;
    const retry = new CookieJar(this.#options.secret).check(cookie, this.#address, nowNs, echo);
    if (typeof retry === "string") return false;
    // A client that pads has datagrams of one length, and gets such.
    const isPadded = canMatch(datagramLen) &&
      findExtension(hello.extensions, EXTENSION.padding) !== undefined;
    this.packing = packingOf(isPadded ? datagramLen : 0);
    this.plaintextNumber = this.peerPlaintextNumber; // the HelloRetryRequest had the number of the first hello
    const { suites, groups, yieldsToChaCha, plainHash, entropy, lookup, version0, newConnectionId } =
      this.#options;
    this.machine = new ServerHandshake(
      {
        protocol: "dtls",
        suites,
        groups,
        yieldsToChaCha,
        plainHash,
        entropy,
        lookup,
        version0,
        newConnectionId,
      },
      retry,
    );
    return true;
  }

  /** Wipes everything, the result's secrets included. */
  destroy(): void {
    this.close();
    wipe(this.result?.clientSecret, this.result?.serverSecret, this.result?.exporterSecret);
    this.result = undefined;
  }
}
