/** HKDF (RFC 5869) and the labelled form of TLS 1.3 (RFC 8446 §7.1) and DTLS 1.3 (RFC 9147 §5.9). */

import { assert, concat } from "../base/mod.ts";
import { hashLenOf, type HashName, hmacOf } from "./suites.ts";
import { wipe } from "./wipe.ts";

/** Which label prefix: `tls` is "tls13 ", `dtls` is "dtls13" without a space (RFC 9147 §5.9). */
export type Protocol = "tls" | "dtls";

const encoder = new TextEncoder();
const PREFIX = { tls: encoder.encode("tls13 "), dtls: encoder.encode("dtls13") } as const;

/** HKDF-Extract. An absent or empty salt counts as HashLen zeros (RFC 5869 §2.2). The result is as long as the hash. */
export function extract(hash: HashName, salt: Uint8Array | undefined, ikm: Uint8Array): Uint8Array {
  const isEmpty = salt === undefined || salt.length === 0;
  return hmacOf(hash, isEmpty ? new Uint8Array(hashLenOf(hash)) : salt, ikm);
}

/** HKDF-Expand to `len` bytes, at most 255 hash lengths. RFC 5869 §2.3. What it makes on the way is wiped. */
export function expand(hash: HashName, prk: Uint8Array, info: Uint8Array, len: number): Uint8Array {
  assert(len <= 255 * hashLenOf(hash), "HKDF gives no more than 255 blocks");
  const out = new Uint8Array(len);
  let block: Uint8Array = new Uint8Array(0);
  for (let at = 0, count = 1; at < len; at += block.length, count++) {
    const input = concat(block, info, Uint8Array.of(count));
    const next = hmacOf(hash, prk, input);
    out.set(next.subarray(0, len - at), at);
    wipe(block, input);
    block = next;
  }
  wipe(block);
  return out;
}

/** HKDF-Expand-Label, RFC 8446 §7.1. `label` is ASCII without the prefix, at most 249 bytes; `context` at most 255. */
export function expandLabel(
  hash: HashName,
  protocol: Protocol,
  secret: Uint8Array,
  label: string,
  context: Uint8Array,
  len: number,
): Uint8Array {
  const name = encoder.encode(label);
  const prefix = PREFIX[protocol];
  const labelLen = prefix.length + name.length;
  assert(name.length >= 1 && labelLen <= 255, "a label has 7 to 255 bytes with its prefix");
  assert(context.length <= 255 && len <= 0xffff, "context and length fit HkdfLabel");
  const info = new Uint8Array(2 + 1 + labelLen + 1 + context.length);
  info[0] = len >> 8;
  info[1] = len;
  info[2] = labelLen;
  info.set(prefix, 3);
  info.set(name, 3 + prefix.length);
  info[3 + labelLen] = context.length;
  info.set(context, 4 + labelLen);
  return expand(hash, secret, info, len);
}

/** Derive-Secret, RFC 8446 §7.1, of a transcript hash (not of messages). */
export function deriveSecret(
  hash: HashName,
  protocol: Protocol,
  secret: Uint8Array,
  label: string,
  transcriptHash: Uint8Array,
): Uint8Array {
  return expandLabel(hash, protocol, secret, label, transcriptHash, hashLenOf(hash));
}
