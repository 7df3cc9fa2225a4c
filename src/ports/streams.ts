/** Streams between the local side (listeners, dialled sockets: the main isolate) and the multiplexer (the data Worker,
 * `src/mux`). All calls are one-way messages without results, in order in each direction; either side may be told of a
 * stream that it has already forgotten, and ignores that. There is one pair of these interfaces for each tunnel.
 *
 *   opener                     mux ── tunnel ── mux                     acceptor
 *   open(id) ─────────────────▶                ─────────────▶ opening(id)
 *            ◀───────────────── accepted(id)   ◀───────────── accept(id)      or reset(id, reason)
 *   write(id) ────────────────▶                ─────────────▶ data(id)        both ways
 *            ◀───────────────── sent(id)       ◀───────────── consumed(id)
 *   finish(id) ───────────────▶                ─────────────▶ finished(id)    the other direction goes on
 *
 * Ids: the opener's side chooses them, each 2 greater than the one before: the client's are odd, from 1; the server's
 * even, from 2. None is used twice, also not after `lost`. (The acceptor's ids need not be those that the opener
 * chose: its mux gives them, by the same rules.)
 *
 * A stream ends when both directions have finished, or by one reset from either side, which ends both directions.
 * After `reset` (in whichever direction) nothing more is said about the id by who said it. */

/** Bytes that may be written to a stream right after `open` or `accept`, before the first `sent`. */
export const SEND_CREDIT = 4096;
/** The longest payload of a datagram: with the longest address before it, its length fits 16 bits. */
export const DATAGRAM_MAX_LEN = 65_535 - 259;
/** The longest name of a target, in bytes (RFC 1928 §5: the length is one byte). */
export const HOST_MAX_LEN = 255;

/** `datagrams`: a UDP association (RFC 1928 §7): no `write`, `data`, `finish`, but `datagram`, unreliable. */
export type StreamKind = "stream" | "datagrams";

/** A name of 1 to 255 bytes of printable ASCII (no spaces), or an address of 4 or 16 bytes in network order; and a
 * port. */
export interface StreamAddress {
  readonly host: string | Uint8Array;
  readonly port: number;
}

/** Why a stream was refused or ended early. 1 to 8 are the reply codes of SOCKS5 (RFC 1928 §6). */
export const RESET_REASON = {
  generalFailure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  connectionRefused: 5,
  ttlExpired: 6,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
  timedOut: 16,
  /** The connection beyond the tunnel was reset, or given up by who used it. */
  peerReset: 17,
  /** Too many streams, or too much of something else. */
  limit: 18,
  /** The mux on the other side broke the rules of the protocol, for this stream. */
  protocolError: 19,
  /** The session under the streams is gone for good. */
  sessionLost: 20,
} as const;

/** Local side to mux. Byte arguments are `len` bytes at `off` of `bytes`; they are copied before the call returns. */
export interface StreamCommands {
  /** For `datagrams` the target is only a hint where datagrams will come from; 0.0.0.0:0 where unknown. */
  open(id: number, kind: StreamKind, target: StreamAddress): void;
  /** Answers `opening`: connected. `bound` is the address that the outgoing socket has (RFC 1928 §6, BND.ADDR). */
  accept(id: number, bound: StreamAddress): void;
  /** Refuses an `opening`, or ends the stream in both directions at once; what was not yet sent is dropped.
   * A RESET_REASON. */
  reset(id: number, reason: number): void;
  /** At most as many bytes as there is credit for: SEND_CREDIT, minus what was written, plus all that `sent` gave.
   * Writing is allowed from `open` on; bytes leave after `accepted`. More than the credit resets the stream. */
  write(id: number, bytes: Uint8Array, off: number, len: number): void;
  /** No more bytes will be written; those that were are delivered. Half close. */
  finish(id: number): void;
  /** `count` bytes of `data` have been taken by the reader: the other side may send as many more. */
  consumed(id: number, count: number): void;
  /** One datagram to `address` (at the opener), or from it (at the acceptor). When too many wait, the oldest is
   * dropped and counted. */
  datagram(id: number, address: StreamAddress, bytes: Uint8Array, off: number, len: number): void;
}

/** Mux to local side. Byte arguments are `len` bytes at `off` of `bytes`, valid during the call. */
export interface StreamEvents {
  /** The other side wants a stream to `target`; to be answered by `accept` or `reset`. */
  opening(id: number, kind: StreamKind, target: StreamAddress): void;
  accepted(id: number, bound: StreamAddress): void;
  /** In order, each byte once. Not consumed bytes of all streams together are bounded by the mux. */
  data(id: number, bytes: Uint8Array, off: number, len: number): void;
  /** No more `data` will come: all was delivered. */
  finished(id: number): void;
  /** The stream is over: a RESET_REASON. Bytes not yet handed on are lost. */
  reset(id: number, reason: number): void;
  /** `count` more bytes may be written. Over the life of a stream this may be more than was written, or less. */
  sent(id: number, count: number): void;
  /** One datagram from `address` (at the opener), or to it (at the acceptor). */
  datagram(id: number, address: StreamAddress, bytes: Uint8Array, off: number, len: number): void;
  /** The other side's mux has started anew, or the tunnel was given up. Each stream that was open has had its own
   * `reset`; streams may be opened again at once. */
  lost(reason: number): void;
}
