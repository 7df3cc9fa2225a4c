/* First contact, without state for anybody: RFC 9147 §5.1.
 * 1 a first ClientHello is answered by a HelloRetryRequest with group and cookie · 2 one with a good cookie passes, to
 * who keeps state · 3 one with a bad cookie gets illegal_parameter, now and then, so that its client starts again
 * · 4 all else is dropped. An answer is never longer than three times what came. */

import { concat } from "../base/mod.ts";
import { checkClientHello, type CheckedHello } from "../handshake/client_hello_checks.ts";
import { emitRetry, type RetryState, retryStateOf } from "../handshake/hello_retry.ts";
import type { Entropy, Policy } from "../handshake/types.ts";
import { plaintextRecord } from "../record/handshake_records.ts";
import { ALERT, emitAlert } from "../wire/alert.ts";
import { cookieOfFirstFragment, parseClientHello } from "../wire/client_hello.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import {
  parsePlaintextHeader,
  PLAINTEXT_HEADER_LEN,
  PlaintextHeader,
} from "../wire/dtls_plaintext_header.ts";
import { EXTENSION, findExtension, parseCookie } from "../wire/extensions.ts";
import {
  emitHandshakeMessage,
  HANDSHAKE_HEADER_LEN,
  HANDSHAKE_TYPE,
  type HandshakeHeader,
  parseHandshakeHeader,
} from "../wire/handshake_header.ts";
import { CookieJar } from "./cookie.ts";
import { TokenBucket } from "../base/token_bucket.ts";
import { canFill, canMatch, filler, FILLER_LEN_MIN } from "./filler.ts";

// Set by a standard.
/** RFC 9147 §5.1 leaves the number open; RFC 9000 §8.1 has the same three. */
const AMPLIFICATION_MAX = 3;
// Chosen here.
const ALERTS_PER_SECOND = 10;

export interface HelloGateOptions {
  /** Of the cookies; the same as the DtlsServer's. */
  readonly secret: Uint8Array;
  readonly entropy: Entropy;
  readonly suites: readonly number[];
  readonly groups: readonly number[];
  /** As in Policy. */
  readonly yieldsToChaCha?: boolean;
  /** Of the policy, as the DtlsServer's. */
  readonly plainHash?: Policy["plainHash"];
  /** Echoes legacy_session_id to a client with an empty identity, against RFC 9147 §5.3: version 0 peers want it. */
  readonly version0?: boolean;
}

export type GateVerdict =
  | { readonly kind: "reply"; readonly datagram: Uint8Array }
  /** A ClientHello, or its first fragment, with a cookie that was made for this address. */
  | { readonly kind: "pass" }
  /** A later fragment of a ClientHello: something for who let the first one pass, nothing for anybody else. */
  | { readonly kind: "continuation" }
  | { readonly kind: "drop"; readonly reason: string };

export class HelloGate {
  readonly #options: HelloGateOptions;
  readonly #policy: Policy;
  readonly #jar: CookieJar;
  readonly #header = new PlaintextHeader();
  readonly #alerts = new TokenBucket(ALERTS_PER_SECOND);

  constructor(options: HelloGateOptions) {
    this.#options = options;
    const { suites, groups, yieldsToChaCha, plainHash } = options;
    this.#policy = { protocol: "dtls", suites, groups, yieldsToChaCha, plainHash };
    this.#jar = new CookieJar(options.secret);
  }

  /** What to do with a datagram from an address without a session. `addressKey` is what the cookie is bound to: address
   * and port, at most 255 bytes. `datagram` is neither kept nor changed. */
  respond(datagram: Uint8Array, addressKey: Uint8Array, nowNs: number): GateVerdict {
    const record = this.#header;
    if (!parsePlaintextHeader(datagram, 0, datagram.length, record)) return drop("not a record");
    if (record.contentType !== CONTENT_TYPE.handshake || record.epoch !== 0) return drop("not a hello");
    const content = datagram.subarray(PLAINTEXT_HEADER_LEN, PLAINTEXT_HEADER_LEN + record.bodyLen);
    const header = parseHandshakeHeader(content);
    if (header === undefined || header.type !== HANDSHAKE_TYPE.clientHello) return drop("not a hello");
    const body = content.subarray(HANDSHAKE_HEADER_LEN, HANDSHAKE_HEADER_LEN + header.fragmentLen);
    if (header.fragmentOffset > 0) return { kind: "continuation" };
    // RFC 9147 §5.2: message_seq is 0 in the first hello and 1 in the second.
    if (header.messageSeq > 1) return drop("malformed hello");
    if (header.fragmentLen < header.len) {
      return this.#firstFragment(datagram, header, body, addressKey, nowNs);
    }
    const hello = parseClientHello("dtls", body);
    if (hello === undefined) return drop("malformed hello");
    const cookie = findExtension(hello.extensions, EXTENSION.cookie);
    if (cookie === undefined) return this.#first(datagram, header, body, addressKey, nowNs);
    return this.#withCookie(datagram, header, parseCookie(cookie), addressKey, nowNs);
  }

  /** RFC 9147 §5.1 knows no fragmented first hello: it would need state. */
  #firstFragment(
    datagram: Uint8Array,
    header: HandshakeHeader,
    fragment: Uint8Array,
    addressKey: Uint8Array,
    nowNs: number,
  ): GateVerdict {
    const cookie = cookieOfFirstFragment(fragment);
    if (cookie === undefined) return drop("fragmented first hello");
    return this.#withCookie(datagram, header, cookie, addressKey, nowNs);
  }

  #withCookie(
    datagram: Uint8Array,
    header: HandshakeHeader,
    cookie: Uint8Array | undefined,
    addressKey: Uint8Array,
    nowNs: number,
  ): GateVerdict {
    if (cookie === undefined || header.messageSeq !== 1) return drop("malformed hello");
    const state = this.#jar.check(cookie, addressKey, nowNs);
    if (typeof state !== "string") return { kind: "pass" };
    if (!this.#alerts.take(nowNs)) return drop(state);
    // RFC 9147 §5.1: an invalid cookie is answered by illegal_parameter.
    const alert = plaintextRecord(
      CONTENT_TYPE.alert,
      this.#header.sequenceNumber,
      emitAlert(ALERT.illegalParameter),
    );
    return { kind: "reply", datagram: this.#fill(alert, datagram.length) };
  }

  #first(
    datagram: Uint8Array,
    header: HandshakeHeader,
    body: Uint8Array,
    addressKey: Uint8Array,
    nowNs: number,
  ): GateVerdict {
    if (header.messageSeq !== 0) return drop("malformed hello");
    const checked = checkClientHello(this.#policy, body);
    if ("alert" in checked) return drop(checked.reason);
    const state = { ...retryStateOf("dtls", body, checked), sessionId: this.#echo(checked) };
    // A client that pads has datagrams of one length, and gets its answer in one of the same length.
    const isPadded = canMatch(datagram.length) &&
      findExtension(checked.hello.extensions, EXTENSION.padding) !== undefined;
    const plain = this.#retry(state, addressKey, nowNs, 0);
    if (!isPadded) {
      return plain.length <= AMPLIFICATION_MAX * datagram.length
        ? { kind: "reply", datagram: plain }
        : drop("hello too short");
    }
    const rest = datagram.length - plain.length;
    if (rest < 0) return drop("hello too short");
    if (canFill(rest)) return { kind: "reply", datagram: this.#fill(plain, datagram.length) };
    return { kind: "reply", datagram: this.#retry(state, addressKey, nowNs, rest) };
  }

  #retry(state: RetryState, addressKey: Uint8Array, nowNs: number, padLen: number): Uint8Array {
    const cookie = this.#jar.make(state, addressKey, nowNs, padLen);
    const message = emitHandshakeMessage(
      HANDSHAKE_TYPE.serverHello,
      0,
      emitRetry("dtls", { ...state, cookie }),
    );
    // The record number is the client's, so that answers to repeated hellos have different ones.
    return plaintextRecord(CONTENT_TYPE.handshake, this.#header.sequenceNumber, message);
  }

  #echo({ hello, psks }: CheckedHello): Uint8Array {
    const isVersion0 = this.#options.version0 === true && psks.identities[0].identity.length === 0;
    return isVersion0 ? hello.sessionId : new Uint8Array(0);
  }

  /** `record`, as long as `len` if that can be done. */
  #fill(record: Uint8Array, len: number): Uint8Array {
    const rest = len - record.length;
    return rest < FILLER_LEN_MIN || !canMatch(len)
      ? record
      : concat(record, filler(rest, this.#options.entropy));
  }
}

function drop(reason: string): GateVerdict {
  return { kind: "drop", reason };
}
