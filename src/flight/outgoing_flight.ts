/** One flight of handshake messages on its way: cut into records, packed into datagrams (of one length, if that is
 * wanted), and repeated as far as it is not acknowledged. RFC 9147 §5.7, §7.2. */

import { assert, concat } from "../base/mod.ts";
import type { Entropy, HandshakeEpoch } from "../handshake/types.ts";
import { type EpochKeys, plaintextRecord, SEAL_OVERHEAD } from "../record/handshake_records.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import type { RecordNumber } from "../wire/dtls_ack.ts";
import { PLAINTEXT_HEADER_LEN } from "../wire/dtls_plaintext_header.ts";
import { emitHandshakeFragment, HANDSHAKE_HEADER_LEN } from "../wire/handshake_header.ts";
import { canMatch, filler, FILLER_LEN_MIN } from "./filler.ts";

// Chosen here.
/** Rather a new datagram than a shorter piece, unless it is the last. */
const PIECE_LEN_MIN = 16;
const SENT_MAX = 256;

export interface FlightMessage {
  readonly epoch: HandshakeEpoch;
  readonly type: number;
  readonly messageSeq: number;
  readonly body: Uint8Array;
}

/** Where records get their numbers and keys from. */
export interface RecordMaker {
  /** The next number of epoch 0; each call another. */
  nextPlaintextNumber(): number;
  /** Sending keys of epoch 2, if there are any yet. */
  readonly sendKeys: EpochKeys | undefined;
  readonly entropy: Entropy;
}

export interface Packing {
  /** Most bytes of a datagram. */
  readonly limit: number;
  /** Whether every datagram has exactly `limit` bytes. */
  readonly exact: boolean;
}

interface Tracked extends FlightMessage {
  /** 1 for each byte that is acknowledged. */
  readonly acked: Uint8Array;
}

interface Piece {
  readonly message: Tracked;
  readonly start: number;
  readonly end: number;
}

export class OutgoingFlight {
  readonly #messages: readonly Tracked[];
  readonly #sent = new Map<string, Piece>();

  constructor(messages: readonly FlightMessage[]) {
    assert(
      messages.every(({ body }) => body.length > 0),
      "a message without a byte could not be acknowledged",
    );
    this.#messages = messages.map((message) => ({ ...message, acked: new Uint8Array(message.body.length) }));
  }

  get isAcked(): boolean {
    return this.#messages.every(({ acked }) => acked.every((bit) => bit === 1));
  }

  /** All that is not acknowledged, in new records: datagrams to be sent, in order. */
  compose(maker: RecordMaker, packing: Packing): Uint8Array[] {
    const sealOverhead = maker.sendKeys?.sealOverhead ?? SEAL_OVERHEAD;
    return this.#plan(packing, sealOverhead).map((pieces) => this.#datagram(pieces, maker, packing));
  }

  /** Marks what travelled in these records; whether that was anything new. `numbers` are authentic. */
  acknowledge(numbers: readonly RecordNumber[]): boolean {
    let isNew = false;
    for (const { epoch, sequenceNumber } of numbers) {
      const piece = this.#sent.get(`${epoch}:${sequenceNumber}`);
      if (piece === undefined) continue;
      const part = piece.message.acked.subarray(piece.start, piece.end);
      if (part.includes(0)) isNew = true;
      part.fill(1);
    }
    return isNew;
  }

  /** Marks all that went in the clear: an ACK came that is sealed with what follows from it. Whether that was anything
   * new. */
  acknowledgePlaintext(): boolean {
    let isNew = false;
    for (const { epoch, acked } of this.#messages) {
      if (epoch !== 0) continue;
      isNew ||= acked.includes(0);
      acked.fill(1);
    }
    return isNew;
  }

  #plan(packing: Packing, sealOverhead: number): Piece[][] {
    assert(canMatch(packing.limit), "a datagram holds a record");
    const datagrams: Piece[][] = [];
    let room = 0;
    let epoch = -1;
    for (const message of this.#messages) {
      // Foreign peers drop the whole datagram in which a hello that they have stands before the rest.
      if (message.epoch !== epoch && !packing.exact) room = 0;
      epoch = message.epoch;
      const overhead = HANDSHAKE_HEADER_LEN + (message.epoch === 0 ? PLAINTEXT_HEADER_LEN : sealOverhead);
      for (let { start, end } of unacked(message)) {
        while (start < end) {
          const len = pieceLen(message.epoch, end - start, room - overhead, packing);
          if (len === 0) {
            assert(room < packing.limit, "an empty datagram takes a piece of anything");
            datagrams.push([]);
            room = packing.limit;
            continue;
          }
          datagrams[datagrams.length - 1].push({ message, start, end: start + len });
          room -= overhead + len;
          start += len;
        }
      }
    }
    return datagrams;
  }

  #datagram(pieces: readonly Piece[], maker: RecordMaker, packing: Packing): Uint8Array {
    const records: Uint8Array[] = [];
    let room = packing.limit;
    pieces.forEach((piece, index) => {
      const isLast = index === pieces.length - 1;
      const record = this.#record(piece, maker, packing.exact && isLast ? room : 0);
      records.push(record);
      room -= record.length;
    });
    if (packing.exact && room > 0) records.push(filler(room, maker.entropy));
    return concat(...records);
  }

  /** `padTo`: bytes of the record if it can be padded inside; 0: as it is. */
  #record(piece: Piece, maker: RecordMaker, padTo: number): Uint8Array {
    const { message: { type, epoch, messageSeq, body }, start, end } = piece;
    const fragment = emitHandshakeFragment(type, messageSeq, body, start, end);
    if (epoch === 0) {
      const sequenceNumber = maker.nextPlaintextNumber();
      this.#remember(epoch, sequenceNumber, piece);
      return plaintextRecord(CONTENT_TYPE.handshake, sequenceNumber, fragment);
    }
    const keys = maker.sendKeys;
    assert(keys !== undefined, "messages of epoch 2 come after its keys");
    this.#remember(epoch, keys.nextSequenceNumber, piece);
    return keys.seal(CONTENT_TYPE.handshake, fragment, padTo);
  }

  #remember(epoch: number, sequenceNumber: number, piece: Piece): void {
    this.#sent.set(`${epoch}:${sequenceNumber}`, piece);
    if (this.#sent.size <= SENT_MAX) return;
    for (const oldest of this.#sent.keys()) {
      this.#sent.delete(oldest);
      return;
    }
  }
}

/** Bytes of the next piece in a datagram that takes `most`; 0: none, the datagram is done. */
function pieceLen(epoch: HandshakeEpoch, left: number, most: number, packing: Packing): number {
  if (most < Math.min(left, PIECE_LEN_MIN)) return 0;
  const len = Math.min(left, most);
  // A record in the clear cannot be padded: what it leaves must hold a filler, or be nothing.
  const rest = most - len;
  const isUnfillable = packing.exact && epoch === 0 && rest > 0 && rest < FILLER_LEN_MIN;
  return isUnfillable ? Math.max(0, len - (FILLER_LEN_MIN - rest)) : len;
}

function unacked({ acked }: Tracked): { start: number; end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  for (let at = 0; at < acked.length; at++) {
    if (acked[at] === 1) continue;
    const last = ranges[ranges.length - 1];
    if (last !== undefined && last.end === at) last.end = at + 1;
    else ranges.push({ start: at, end: at + 1 });
  }
  return ranges;
}
