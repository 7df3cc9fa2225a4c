/** The key that a client and its server share, and how it is written: one line,
 *
 *     i405-key-1:BASE64URL.CHECK
 *
 * BASE64URL is 32 bytes without padding (43 characters, RFC 4648 §5), CHECK the first 4 hexadecimal digits of
 * SHA-256 over all that stands before the dot: it finds a mistyped or cut key, and tells nothing to who lacks it. */

import { createHash } from "node:crypto";
import {
  assert,
  equalsConstantTime,
  fromBase64Url,
  heapSecrets,
  type SecretMemory,
  toBase64Url,
} from "../base/mod.ts";

export const KEY_LEN = 32;
const KEY_LEN_MAX = 64;
const PREFIX = "i405-key-1:";
const BODY_LEN = 43;
const CHECK_LEN = 4;
const DOT = 0x2e;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const REMEDY = "make one with `i405 keygen`";

/** A key that no message shows: as text, as JSON and to an inspector it is "[key]". 32 bytes; a password of version 0,
 * which is used as it is, 1 to 64. */
export class PresharedKey {
  readonly #secrets: SecretMemory;
  #bytes: Uint8Array;

  /** Copies `bytes` into `secrets`. */
  constructor(bytes: Uint8Array, secrets: SecretMemory = heapSecrets) {
    assert(bytes.length > 0 && bytes.length <= KEY_LEN_MAX, "a key has 1 to 64 bytes");
    this.#secrets = secrets;
    this.#bytes = secrets.take(bytes.length);
    this.#bytes.set(bytes);
  }

  /** A copy of the bytes, the caller's to wipe. */
  bytes(): Uint8Array {
    return this.#bytes.slice();
  }

  /** The bytes where they lie: not to be changed, and zeros once it is wiped. */
  view(): Uint8Array {
    return this.#bytes;
  }

  /** Time depends on nothing. */
  equals(other: PresharedKey): boolean {
    return equalsConstantTime(this.#bytes, other.#bytes);
  }

  /** Overwrites the key with zeros: the last thing to be done with it. */
  wipe(): void {
    this.#secrets.give(this.#bytes);
    this.#bytes = new Uint8Array(this.#bytes.length);
  }

  toString(): string {
    return "[key]";
  }

  toJSON(): string {
    return "[key]";
  }

  [Symbol.for("Deno.customInspect")](): string {
    return "[key]";
  }
}

/** The line for `key` (32 bytes), without its end. */
export function formatKey(key: Uint8Array): string {
  assert(key.length === KEY_LEN, "a key has 32 bytes");
  const line = lineOf(key);
  const text = decoder.decode(line);
  line.fill(0);
  return text;
}

/** Reads the line that formatKey writes, as bytes, since a text of a secret cannot be wiped; white space around it is
 * ignored. The key lies in `secrets`. Throws RangeError, which shows nothing of the line, for anything else. */
export function parseKey(text: Uint8Array, secrets: SecretMemory = heapSecrets): PresharedKey {
  const line = trimmed(text);
  if (line.length === 0) throw new RangeError(`there is no key in it; ${REMEDY}`);
  if (!startsWith(line, PREFIX)) throw new RangeError(`a key starts with "${PREFIX}"; ${REMEDY}`);
  const dot = line.length - CHECK_LEN - 1;
  const body = line.subarray(PREFIX.length, Math.max(dot, PREFIX.length));
  const bytes = line[dot] === DOT ? fromBase64Url(body, Math.floor(body.length * 6 / 8)) : undefined;
  if (bytes === undefined) {
    throw new RangeError(
      `a key is one line of "${PREFIX}", ${BODY_LEN} characters, a dot and ${CHECK_LEN} digits; copy it whole or ${REMEDY}`,
    );
  }
  try {
    if (bytes.length !== KEY_LEN) {
      throw new RangeError(
        `the key has ${bytes.length} bytes instead of ${KEY_LEN}; copy it whole or ${REMEDY}`,
      );
    }
    // Each key is written in one way only; base64 has spare bits that could be written in four.
    if (!isLineOf(bytes, line)) {
      throw new RangeError(`the key's check digits are wrong, so it is mistyped; copy it whole or ${REMEDY}`);
    }
    return new PresharedKey(bytes, secrets);
  } finally {
    bytes.fill(0);
  }
}

/** `text` without the bytes of keys that were written where none belongs. */
export function hideKeys(text: string): string {
  return text.replaceAll(/i405-key-1:[A-Za-z0-9_-]+/g, `${PREFIX}[hidden]`);
}

function isLineOf(key: Uint8Array, line: Uint8Array): boolean {
  const whole = lineOf(key);
  const isEqual = equalsConstantTime(whole, line);
  whole.fill(0);
  return isEqual;
}

function lineOf(key: Uint8Array): Uint8Array {
  const line = new Uint8Array(PREFIX.length + BODY_LEN + 1 + CHECK_LEN);
  const dot = line.length - CHECK_LEN - 1;
  line.set(encoder.encode(PREFIX));
  const body = toBase64Url(key);
  line.set(body, PREFIX.length);
  body.fill(0);
  line[dot] = DOT;
  const digits = createHash("sha256").update(line.subarray(0, dot)).digest("hex").slice(0, CHECK_LEN);
  line.set(encoder.encode(digits), dot + 1);
  return line;
}

function startsWith(line: Uint8Array, prefix: string): boolean {
  return encoder.encode(prefix).every((byte, i) => line[i] === byte);
}

/** Without the white space of ASCII around it. */
function trimmed(bytes: Uint8Array): Uint8Array {
  const isSpace = (byte: number) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
  let start = 0;
  let end = bytes.length;
  while (start < end && isSpace(bytes[start])) start++;
  while (end > start && isSpace(bytes[end - 1])) end--;
  return bytes.subarray(start, end);
}
