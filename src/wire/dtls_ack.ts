/** The ACK message of DTLS 1.3, RFC 9147 §7: record numbers that came. */

import { assert } from "../base/mod.ts";

export interface RecordNumber {
  readonly epoch: number;
  readonly sequenceNumber: number;
}

// Set by a standard.
const RECORD_NUMBER_LEN = 16;
/** As many as fit the u16 length. */
export const ACK_NUMBERS_MAX = Math.floor(0xffff / RECORD_NUMBER_LEN);

/** How many record numbers an ACK of so many bytes holds. */
export function ackNumbersFitting(len: number): number {
  return Math.min(ACK_NUMBERS_MAX, Math.max(0, Math.floor((len - 2) / RECORD_NUMBER_LEN)));
}

/** `undefined` unless `bytes` are exactly one ACK. Numbers of 2^53 and more, which nobody can have sent (an epoch and a
 * sequence number have 48 bits at most), are left out. */
export function parseAck(bytes: Uint8Array): RecordNumber[] | undefined {
  if (bytes.length < 2) return undefined;
  const len = bytes[0] << 8 | bytes[1];
  if (len !== bytes.length - 2 || len % RECORD_NUMBER_LEN !== 0) return undefined;
  const numbers: RecordNumber[] = [];
  for (let at = 2; at < bytes.length; at += RECORD_NUMBER_LEN) {
    const epoch = readU64(bytes, at);
    const sequenceNumber = readU64(bytes, at + 8);
    if (epoch <= Number.MAX_SAFE_INTEGER && sequenceNumber <= Number.MAX_SAFE_INTEGER) {
      numbers.push({ epoch, sequenceNumber });
    }
  }
  return numbers;
}

/** An ACK of `numbers`, in the order given; at most ACK_NUMBERS_MAX. */
export function emitAck(numbers: readonly RecordNumber[]): Uint8Array {
  assert(numbers.length <= ACK_NUMBERS_MAX, "an ACK holds up to 4,095 record numbers");
  const out = new Uint8Array(2 + numbers.length * RECORD_NUMBER_LEN);
  out[0] = (out.length - 2) >> 8;
  out[1] = out.length - 2;
  let at = 2;
  for (const { epoch, sequenceNumber } of numbers) {
    writeU64(out, at, epoch);
    writeU64(out, at + 8, sequenceNumber);
    at += RECORD_NUMBER_LEN;
  }
  return out;
}

/** Exact below 2^53; larger values come out above Number.MAX_SAFE_INTEGER. */
function readU64(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < 8; i++) value = value * 256 + bytes[at + i];
  return value;
}

function writeU64(bytes: Uint8Array, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "a record number is a whole number below 2^53");
  let rest = value;
  for (let i = 7; i >= 0; i--) {
    bytes[at + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}
