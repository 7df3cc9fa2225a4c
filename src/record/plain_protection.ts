/** RecordProtection in plain TypeScript: the slow, obviously right twin of the shim's `aead.c`. Results and the order of
 * checks are the same, byte by byte. */

import { type Aead, MASK_SAMPLE_LEN, plainAead } from "../crypto/aead.ts";
import { AEAD_IV_LEN, AEAD_TAG_LEN, suiteById } from "../crypto/suites.ts";
import { KEY_MATERIAL, type Memory, RECORD, type RecordProtection } from "../ports/mod.ts";

// As in errno.h of Linux.
const EBADMSG = 74;
const EINVAL = 22;
const EFAULT = 14;

/** One descriptor, read. */
interface Work {
  readonly aead: Aead;
  readonly src: number;
  readonly len: number;
  readonly hdrLen: number;
  readonly sequenceAt: number;
  readonly sequenceLen: number;
  readonly sequenceNumber: number;
  readonly dst: number;
  readonly plaintextLen: number;
}

export class PlainProtection implements RecordProtection {
  readonly #memory: Memory;
  readonly #keys = new Map<number, Aead>();
  #lastKey = 0;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  newKey(materialOff: number): number {
    const { u8, u32 } = this.#memory;
    const suite = suiteById(u32[(materialOff + KEY_MATERIAL.suite) >> 2]);
    const take = (at: number, len: number) => u8.slice(materialOff + at, materialOff + at + len);
    const aead = plainAead(suite, {
      key: take(KEY_MATERIAL.key, suite.keyLen),
      iv: take(KEY_MATERIAL.iv, AEAD_IV_LEN),
      sn: take(KEY_MATERIAL.sn, suite.keyLen),
    });
    u8.fill(0, materialOff, materialOff + KEY_MATERIAL.size);
    this.#keys.set(++this.#lastKey, aead);
    return this.#lastKey;
  }

  freeKey(key: number): void {
    const aead = this.#keys.get(key);
    if (aead === undefined) throw new RangeError(`Cannot free key ${key}: there is none`);
    aead.wipe();
    this.#keys.delete(key);
  }

  unmaskBatch(records: number, count: number): void {
    this.#batch(records, count, false, (work) => {
      this.#xorNumber(work);
      return 0;
    });
  }

  openBatch(records: number, count: number): number {
    return this.#batch(records, count, true, (work) => this.#open(work));
  }

  sealBatch(records: number, count: number): void {
    this.#batch(records, count, true, (work) => this.#seal(work));
  }

  #open(work: Work): number {
    const { u8 } = this.#memory;
    const bodyAt = work.src + work.hdrLen;
    const header = u8.slice(work.src, bodyAt);
    const plaintext = work.aead.open(work.sequenceNumber, header, u8.slice(bodyAt, work.src + work.len));
    if (plaintext === undefined) {
      u8.fill(0, work.dst, work.dst + work.plaintextLen); // nobody reads what was not authenticated
      return -EBADMSG;
    }
    u8.set(plaintext, work.dst);
    return work.plaintextLen;
  }

  #seal(work: Work): number {
    const { u8 } = this.#memory;
    const bodyAt = work.src + work.hdrLen;
    const plaintext = u8.slice(work.dst, work.dst + work.plaintextLen);
    u8.set(work.aead.seal(work.sequenceNumber, u8.slice(work.src, bodyAt), plaintext), bodyAt);
    this.#xorNumber(work);
    return work.len;
  }

  /** RFC 9147 §4.2.3. */
  #xorNumber(work: Work): void {
    if (work.sequenceLen === 0) return;
    const { u8 } = this.#memory;
    const bodyAt = work.src + work.hdrLen;
    const mask = work.aead.mask(u8.slice(bodyAt, bodyAt + MASK_SAMPLE_LEN));
    for (let i = 0; i < work.sequenceLen; i++) u8[work.sequenceAt + i] ^= mask[i];
  }

  #batch(records: number, count: number, withDst: boolean, one: (work: Work) => number): number {
    let done = 0;
    for (let i = 0; i < count; i++) {
      const at = records + i * RECORD.size;
      const work = this.#read(at, withDst);
      const result = typeof work === "number" ? work : one(work);
      this.#memory.i32[(at + RECORD.result) >> 2] = result;
      if (result >= 0) done++;
    }
    return done;
  }

  /** The descriptor at `at`, or a negative errno. */
  #read(at: number, withDst: boolean): Work | number {
    const { u8, i32, u32 } = this.#memory;
    const aead = this.#keys.get(i32[(at + RECORD.key) >> 2]);
    const src = u32[(at + RECORD.src) >> 2];
    const len = u32[(at + RECORD.len) >> 2];
    const dst = u32[(at + RECORD.dst) >> 2];
    const hdrLen = u8[at + RECORD.hdrLen];
    const sequenceOff = u8[at + RECORD.seqOff];
    const sequenceLen = u8[at + RECORD.seqLen];
    if (aead === undefined) return -EINVAL;
    if (len < hdrLen + AEAD_TAG_LEN) return -EBADMSG;
    if (sequenceLen > 2 || sequenceOff + sequenceLen > hdrLen) return -EINVAL;
    if (src === 0 || src + len > u8.length) return -EFAULT;
    const plaintextLen = len - hdrLen - AEAD_TAG_LEN;
    if (withDst && plaintextLen > 0) {
      if (dst === 0 || dst + plaintextLen > u8.length) return -EFAULT;
      if (dst < src + len && src < dst + plaintextLen) return -EINVAL;
    }
    const sequenceNumber = u32[(at + RECORD.seqHi) >> 2] * 2 ** 32 + u32[(at + RECORD.seqLo) >> 2];
    return {
      aead,
      src,
      len,
      hdrLen,
      sequenceAt: src + sequenceOff,
      sequenceLen,
      sequenceNumber,
      dst,
      plaintextLen,
    };
  }
}
