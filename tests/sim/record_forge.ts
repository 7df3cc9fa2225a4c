/** Seals whatever a test wants as records of a session whose secrets it has: an authenticated peer that keeps to no rule
 * but the record protection. */

import { plainAead } from "../../src/crypto/aead.ts";
import { nextTrafficSecret } from "../../src/crypto/key_schedule.ts";
import { suiteById } from "../../src/crypto/suites.ts";
import { trafficKeys } from "../../src/crypto/traffic_keys.ts";

const HEADER_LEN = 5;
const TAG_LEN = 16;
const SAMPLE_LEN = 16;

export class RecordForge {
  /** Of the next record. */
  number: number;
  epoch = 3;
  #secret: Uint8Array;
  readonly #suite: number;

  /** In each record. */
  readonly #cid: Uint8Array;

  /** `number` must be nearer than 2^15 to what the receiver expects. */
  constructor(suite: number, secret: Uint8Array, number: number, cid: Uint8Array) {
    this.#cid = cid;
    this.#suite = suite;
    this.#secret = secret;
    this.number = number;
  }

  /** Goes on in the next epoch, from number 0. */
  nextEpoch(): void {
    this.#secret = nextTrafficSecret(suiteById(this.#suite), "dtls", this.#secret);
    this.epoch++;
    this.number = 0;
  }

  /** A record of `content`, its type and as many zeros as make the datagram `len` bytes long, if that is more. */
  seal(contentType: number, content: Uint8Array, len = 0): Uint8Array {
    const plaintextLen = Math.max(content.length + 1, len - HEADER_LEN - this.#cid.length - TAG_LEN);
    const plaintext = new Uint8Array(plaintextLen);
    plaintext.set(content);
    plaintext[content.length] = contentType;
    return this.sealPlaintext(plaintext);
  }

  /** A record of exactly this inner plaintext. RFC 9147 §4, §4.2.3. */
  sealPlaintext(plaintext: Uint8Array): Uint8Array {
    const suite = suiteById(this.#suite);
    const aead = plainAead(suite, trafficKeys(suite, "dtls", this.#secret));
    const number = this.number++;
    const bodyLen = plaintext.length + TAG_LEN;
    const header = Uint8Array.of(
      0x2c | (this.#cid.length > 0 ? 0x10 : 0) | (this.epoch & 3),
      ...this.#cid,
      number >> 8 & 0xff,
      number & 0xff,
      bodyLen >> 8,
      bodyLen & 0xff,
    );
    const record = new Uint8Array(header.length + bodyLen);
    record.set(header);
    record.set(aead.seal(number, header, plaintext), header.length);
    const mask = aead.mask(record.slice(header.length, header.length + SAMPLE_LEN));
    const numberAt = 1 + this.#cid.length;
    record[numberAt] ^= mask[0];
    record[numberAt + 1] ^= mask[1];
    return record;
  }
}
