/** What both state machines of TLS 1.3 and DTLS 1.3 take and give. */

import type { BinderKind, Protocol } from "../crypto/key_schedule.ts";
import type { CipherSuite, HashName } from "../crypto/suites.ts";
import { ALERT } from "../wire/alert.ts";

/** Strong random bytes, as the port of the same name. */
export interface Entropy {
  fill(out: Uint8Array): void;
}

/** Why a handshake ends: a value, since it is the peer's doing. */
export interface Failure {
  /** AlertDescription, RFC 8446 §6. */
  readonly alert: number;
  /** For people; holds no secret. */
  readonly reason: string;
  /** The peer is told nothing: whoever does not know a key learns nothing from the answer. */
  readonly silent?: boolean;
}

/** One PSK as a client offers it. */
export interface PskOffer {
  /** As it goes on the wire. */
  readonly identity: Uint8Array;
  readonly psk: Uint8Array;
  readonly hash: HashName;
  readonly binder: BinderKind;
}

/** One PSK as a server finds it by an identity. */
export interface PskCandidate {
  /** Owned by the handshake, which wipes it. */
  readonly psk: Uint8Array;
  readonly binder: BinderKind;
  /** Whose it is; handed on in the result. */
  readonly clientIndex: number;
}

/** The keys that an identity may stand for with this hash: none or one, and several only where clients share an
 * identity, as those of version 0 do. Must take as long for one as for none. */
export type PskLookup = (identity: Uint8Array, hash: HashName) => readonly PskCandidate[];

/** Epochs of RFC 9147 §6.1 that handshake messages travel in; TLS has the same three without numbers. */
export type HandshakeEpoch = 0 | 2;

export interface OutMessage {
  readonly epoch: HandshakeEpoch;
  readonly type: number;
  /** Without header. */
  readonly body: Uint8Array;
}

/** What both negotiate by, each list in order of preference. */
export interface Policy {
  readonly protocol: Protocol;
  /** Suite numbers, known ones. */
  readonly suites: readonly number[];
  /** Group numbers, known ones. */
  readonly groups: readonly number[];
  /** The hash that keys with plain identities were agreed for; SHA-256 unless given (RFC 8446 §4.2.11). */
  readonly plainHash?: HashName;
  /** A server takes ChaCha20 before its own first choice where that is the client's: its CPU has no AES then. */
  readonly yieldsToChaCha?: boolean;
}

/** Connection ids that both sides agreed on, RFC 9146 §3; an empty one: none in that direction. */
export interface ConnectionIds {
  /** What the peer puts into its records. */
  readonly own: Uint8Array;
  /** What this side puts into its records. */
  readonly peer: Uint8Array;
  /** Whether return routability checks were agreed on as well, RFC 9853. */
  readonly rrc: boolean;
}

/** The caller owns and wipes the secrets. */
export interface HandshakeResult {
  readonly suite: CipherSuite;
  readonly group: number;
  readonly groupName: string;
  /** Application traffic secrets 0. */
  readonly clientSecret: Uint8Array;
  readonly serverSecret: Uint8Array;
  readonly exporterSecret: Uint8Array;
  /** Absent: the extension was not negotiated, and no record may have an id. */
  readonly connectionIds?: ConnectionIds;
  /** On a server: whose key it was. */
  readonly clientIndex?: number;
}

const GROUP_NAMES: ReadonlyMap<number, string> = new Map([
  [0x17, "secp256r1"],
  [0x1d, "x25519"],
  [0x11ec, "x25519mlkem768"],
]);

export function groupName(group: number): string {
  return GROUP_NAMES.get(group) ?? `group 0x${group.toString(16)}`;
}

export function illegal(reason: string): Failure {
  return { alert: ALERT.illegalParameter, reason };
}

export function undecodable(what: string): Failure {
  return { alert: ALERT.decodeError, reason: `${what} is malformed` };
}

export function unexpected(reason: string): Failure {
  return { alert: ALERT.unexpectedMessage, reason };
}
