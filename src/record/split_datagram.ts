/** The records of one datagram, plaintext and protected ones in any mixture: RFC 9147 §4.1, §4.3. */

import { CONTENT_TYPE } from "../wire/content_type.ts";
import {
  parsePlaintextHeader,
  PLAINTEXT_HEADER_LEN,
  PlaintextHeader,
} from "../wire/dtls_plaintext_header.ts";
import { isUnifiedHeader, parseUnifiedHeader, UnifiedHeader } from "../wire/dtls_unified_header.ts";

/** A record of epoch 0. Nobody has authenticated anything in it. */
export interface PlaintextRecord {
  readonly kind: "plaintext";
  readonly contentType: number;
  readonly epoch: number;
  readonly sequenceNumber: number;
  /** A view into the datagram. */
  readonly content: Uint8Array;
}

/** A protected record, not yet opened: for `EpochKeys.open`. */
export interface CiphertextRecord {
  readonly kind: "ciphertext";
  readonly header: UnifiedHeader;
  /** Header, ciphertext and tag: a view into the datagram. */
  readonly record: Uint8Array;
}

/** The rest of a datagram that is no record; RFC 9147 §4.5.2: to be dropped silently. Counted by the caller. */
export interface MalformedRest {
  readonly kind: "malformed";
  readonly len: number;
}

export type DatagramRecord = PlaintextRecord | CiphertextRecord | MalformedRest;

/** More records than this in one datagram are dropped as malformed: no sender has a reason, and each costs an open. */
export const RECORDS_PER_DATAGRAM_MAX = 32;

/** The records of `datagram` in order, at most RECORDS_PER_DATAGRAM_MAX and one MalformedRest, which is the last.
 * `cidLen` as for `parseUnifiedHeader`. Never throws. */
export function splitDatagram(datagram: Uint8Array, cidLen = 0): DatagramRecord[] {
  const records: DatagramRecord[] = [];
  let off = 0;
  while (off < datagram.length) {
    const record = records.length < RECORDS_PER_DATAGRAM_MAX ? recordAt(datagram, off, cidLen) : undefined;
    if (record === undefined) {
      records.push({ kind: "malformed", len: datagram.length - off });
      break;
    }
    records.push(record);
    off += record.kind === "plaintext" ? PLAINTEXT_HEADER_LEN + record.content.length : record.record.length;
  }
  return records;
}

function recordAt(
  datagram: Uint8Array,
  off: number,
  cidLen: number,
): PlaintextRecord | CiphertextRecord | undefined {
  const first = datagram[off];
  if (isUnifiedHeader(first)) {
    const header = new UnifiedHeader();
    if (!parseUnifiedHeader(datagram, off, datagram.length, cidLen, header)) return undefined;
    // RFC 9147 §9: a negotiated connection id is in every datagram, so in its first record.
    if (off === 0 && header.cidLen !== cidLen) return undefined;
    return {
      kind: "ciphertext",
      header,
      record: datagram.subarray(off, off + header.headerLen + header.bodyLen),
    };
  }
  // RFC 9147 §4.1: any other first byte MUST be rejected as if deprotection had failed.
  if (first !== CONTENT_TYPE.alert && first !== CONTENT_TYPE.handshake && first !== CONTENT_TYPE.ack) {
    return undefined;
  }
  const header = new PlaintextHeader();
  if (!parsePlaintextHeader(datagram, off, datagram.length, header)) return undefined;
  const at = off + PLAINTEXT_HEADER_LEN;
  return {
    kind: "plaintext",
    contentType: header.contentType,
    epoch: header.epoch,
    sequenceNumber: header.sequenceNumber,
    content: datagram.subarray(at, at + header.bodyLen),
  };
}
