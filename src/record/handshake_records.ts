/** Single records of epochs 0 and 2, sealed and opened in plain TypeScript for the handshake. From epoch 3 on the
 * pacer alone seals. */

import { assert, concat } from "../base/mod.ts";
import { type Aead, MASK_SAMPLE_LEN, plainAead } from "../crypto/aead.ts";
import { AEAD_TAG_LEN, type CipherSuite, SEQUENCE_NUMBER_MAX } from "../crypto/suites.ts";
import { trafficKeys } from "../crypto/traffic_keys.ts";
import {
  CONTENT_LEN_MAX,
  emitPlaintextHeader,
  LEGACY_RECORD_VERSION,
  PLAINTEXT_HEADER_LEN,
  PlaintextHeader,
} from "../wire/dtls_plaintext_header.ts";
import { emitUnifiedHeader, UnifiedHeader } from "../wire/dtls_unified_header.ts";
import { reconstruct } from "./record_number.ts";
import { ReplayWindow } from "./replay_window.ts";
import type { CiphertextRecord } from "./split_datagram.ts";

export { splitDatagram } from "./split_datagram.ts";
export type { CiphertextRecord, DatagramRecord, PlaintextRecord } from "./split_datagram.ts";

// Chosen here.
const SEAL_HEADER_LEN = 5; // 16-bit number, with length; a connection id beside
/** What sealing without connection id adds to a content without padding: header, content type, tag. */
export const SEAL_OVERHEAD = SEAL_HEADER_LEN + 1 + AEAD_TAG_LEN;
const REPLAY_WINDOW_LEN = 4096;

export interface OpenedRecord {
  readonly contentType: number;
  readonly content: Uint8Array;
  readonly epoch: number;
  readonly sequenceNumber: number;
}

/** Why a record was dropped: another epoch's, a wrong tag, seen before or too old, without a content type, or the key's
 * limit of failed opens is reached (RFC 9147 §4.5.3: close, no key is left to use). */
export type DropReason = "other epoch" | "bad tag" | "duplicate" | "old" | "no content" | "key exhausted";

/** One direction of one epoch. Guarantees that no number is sealed twice; and that nothing moves its replay window but
 * authentic records. An instance either seals or opens, since each direction has a traffic secret of its own. */
export class EpochKeys {
  readonly suite: CipherSuite;
  readonly epoch: number;
  readonly #cid: Uint8Array;
  readonly #aead: Aead;
  readonly #window = new ReplayWindow(REPLAY_WINDOW_LEN);
  #next = 0;
  #failedOpens = 0;

  /** `trafficSecret` is not kept. `cid` stands in all records that this instance seals (RFC 9147 §9). */
  constructor(
    suite: CipherSuite,
    trafficSecret: Uint8Array,
    epoch: number,
    cid: Uint8Array = new Uint8Array(0),
  ) {
    this.#cid = cid.slice();
    this.suite = suite;
    this.epoch = epoch;
    this.#aead = plainAead(suite, trafficKeys(suite, "dtls", trafficSecret));
  }

  /** The sequence number that the next sealed record gets: for matching ACKs. */
  get nextSequenceNumber(): number {
    return this.#next;
  }

  /** What `seal` adds to a content without padding. */
  get sealOverhead(): number {
    return SEAL_OVERHEAD + this.#cid.length;
  }

  get failedOpens(): number {
    return this.#failedOpens;
  }

  /** A record of `content` with a unified header of 5 bytes, connection id and the next number, padded inside to `padToRecordLen` bytes
   * in all if that is given. Throws RangeError if the content does not fit that or 2^14 bytes; a defect after 2^48
   * records or the AEAD's limit. */
  seal(contentType: number, content: Uint8Array, padToRecordLen = 0): Uint8Array {
    const recordLen = Math.max(padToRecordLen, this.sealOverhead + content.length);
    const innerLen = recordLen - this.sealOverhead + 1;
    if (padToRecordLen > 0 && recordLen !== padToRecordLen || innerLen > CONTENT_LEN_MAX + 1) {
      throw new RangeError(
        `Cannot seal ${content.length} bytes into a record of ${padToRecordLen || recordLen}`,
      );
    }
    const sequenceNumber = this.#takeNumber();
    const inner = new Uint8Array(innerLen);
    inner.set(content);
    inner[content.length] = contentType; // RFC 8446 §5.2: content, type, zeros
    const header = this.#header(sequenceNumber, innerLen + AEAD_TAG_LEN);
    const sealed = this.#aead.seal(sequenceNumber, header, inner);
    const mask = this.#aead.mask(sealed.subarray(0, MASK_SAMPLE_LEN));
    const at = 1 + this.#cid.length;
    header[at] ^= mask[0]; // RFC 9147 §4.2.3
    header[at + 1] ^= mask[1];
    inner.fill(0);
    return concat(header, sealed);
  }

  /** Opens a copy of what `splitDatagram` found. RFC 9147 §4.5.1: the window moves only after authentication. */
  open(ciphertext: CiphertextRecord): OpenedRecord | DropReason {
    const { header } = ciphertext;
    if (header.epochBits !== (this.epoch & 3)) return "other epoch";
    if (this.#failedOpens >= this.suite.integrityLimit) return "key exhausted";
    const record = ciphertext.record.slice();
    const sealed = record.subarray(header.headerLen);
    const mask = this.#aead.mask(sealed.subarray(0, MASK_SAMPLE_LEN));
    let low = 0;
    for (let i = 0; i < header.sequenceLen; i++) low = low << 8 | (record[header.sequenceOff + i] ^= mask[i]);
    const sequenceNumber = reconstruct(this.#window.next, 8 * header.sequenceLen, low);
    const inner = this.#aead.open(sequenceNumber, record.subarray(0, header.headerLen), sealed);
    if (inner === undefined) {
      this.#failedOpens++;
      return "bad tag";
    }
    // RFC 9147 §4.5.1: after deprotection, so that the time of a drop says nothing about the hidden number.
    const verdict = this.#window.check(sequenceNumber);
    if (verdict !== "fresh") return verdict;
    this.#window.mark(sequenceNumber);
    return this.#unpad(inner, sequenceNumber);
  }

  wipe(): void {
    this.#aead.wipe();
  }

  /** RFC 8446 §5.4: the last byte that is not zero is the type; a record of zeros alone is no record. */
  #unpad(inner: Uint8Array, sequenceNumber: number): OpenedRecord | DropReason {
    let end = inner.length;
    while (end > 0 && inner[end - 1] === 0) end--;
    if (end === 0) return "no content";
    return {
      contentType: inner[end - 1],
      content: inner.subarray(0, end - 1),
      epoch: this.epoch,
      sequenceNumber,
    };
  }

  #takeNumber(): number {
    const limit = Math.min(SEQUENCE_NUMBER_MAX + 1, this.suite.confidentialityLimit);
    assert(this.#next < limit, "an epoch seals no more records than its AEAD allows");
    return this.#next++;
  }

  #header(sequenceNumber: number, bodyLen: number): Uint8Array {
    const fields = new UnifiedHeader();
    fields.epochBits = this.epoch & 3;
    fields.sequenceLen = 2;
    fields.sequenceBits = sequenceNumber % 2 ** 16;
    fields.hasLength = true;
    fields.bodyLen = bodyLen;
    const header = new Uint8Array(SEAL_HEADER_LEN + this.#cid.length);
    emitUnifiedHeader(fields, this.#cid, header);
    return header;
  }
}

/** A record of epoch 0 in the clear (RFC 9147 §4). `sequenceNumber` is the caller's to count. */
export function plaintextRecord(
  contentType: number,
  sequenceNumber: number,
  content: Uint8Array,
  version = LEGACY_RECORD_VERSION,
): Uint8Array {
  const header = new PlaintextHeader();
  header.contentType = contentType;
  header.version = version;
  header.sequenceNumber = sequenceNumber;
  header.bodyLen = content.length;
  const record = new Uint8Array(PLAINTEXT_HEADER_LEN + content.length);
  emitPlaintextHeader(header, record);
  record.set(content, PLAINTEXT_HEADER_LEN);
  return record;
}
