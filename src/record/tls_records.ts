/** Single records of TLS 1.3 for the handshake, in plain TypeScript: RFC 8446 §5. From the application's keys on the
 * pacer alone seals. */

import { assert, concat } from "../base/mod.ts";
import { type Aead, plainAead } from "../crypto/aead.ts";
import { AEAD_TAG_LEN, type CipherSuite } from "../crypto/suites.ts";
import { trafficKeys } from "../crypto/traffic_keys.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import {
  emitTlsRecordHeader,
  TLS_RECORD_HEADER_LEN,
  TLS_RECORD_MAX_LEN,
  type TlsRecord,
} from "../wire/tls_record.ts";

export interface OpenedTlsRecord {
  readonly contentType: number;
  readonly content: Uint8Array;
}

/** One direction under one key. Numbers are implicit and consecutive (RFC 8446 §5.3). */
export class TlsKeys {
  readonly #aead: Aead;
  #number = 0;

  /** `trafficSecret` is not kept. */
  constructor(suite: CipherSuite, trafficSecret: Uint8Array) {
    this.#aead = plainAead(suite, trafficKeys(suite, "tls", trafficSecret));
  }

  seal(contentType: number, content: Uint8Array): Uint8Array {
    const inner = concat(content, Uint8Array.of(contentType));
    const header = tlsHeader(CONTENT_TYPE.applicationData, inner.length + AEAD_TAG_LEN);
    return concat(header, this.#aead.seal(this.#number++, header, inner));
  }

  /** Opens a copy; `undefined` if the tag is wrong or there is no content type. Either is the connection's end. */
  open({ body }: TlsRecord): OpenedTlsRecord | undefined {
    const header = tlsHeader(CONTENT_TYPE.applicationData, body.length);
    const inner = this.#aead.open(this.#number++, header, body.slice());
    if (inner === undefined) return undefined;
    let end = inner.length;
    while (end > 0 && inner[end - 1] === 0) end--;
    return end === 0 ? undefined : { contentType: inner[end - 1], content: inner.subarray(0, end - 1) };
  }

  wipe(): void {
    this.#aead.wipe();
  }
}

/** Records in the clear that hold `content`, as many as it needs. */
export function plaintextTlsRecords(contentType: number, content: Uint8Array): Uint8Array {
  assert(content.length > 0, "RFC 8446 §5.1: no empty records of the handshake");
  const most = TLS_RECORD_MAX_LEN - TLS_RECORD_HEADER_LEN;
  const records: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += most) {
    const part = content.subarray(at, at + most);
    records.push(tlsHeader(contentType, part.length), part);
  }
  return concat(...records);
}

function tlsHeader(contentType: number, bodyLen: number): Uint8Array {
  const header = new Uint8Array(TLS_RECORD_HEADER_LEN);
  emitTlsRecordHeader(header, 0, contentType, bodyLen);
  return header;
}
