/** The key that a client and its server share, and how it is written: one line,
 *
 *     i405-key-1:BASE64URL.CHECK
 *
 * BASE64URL is 32 bytes without padding (43 characters, RFC 4648 §5), CHECK the first 4 hexadecimal digits of
 * SHA-256 over all that stands before the dot: it finds a mistyped or cut key, and tells nothing to who lacks it. */

import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import { assert, equalsConstantTime } from "../base/mod.ts";

export const KEY_LEN = 32;
const PREFIX = "i405-key-1:";
const REMEDY = "make one with `i405 keygen`";

/** A key that no message shows: as text, as JSON and to an inspector it is "[key]". */
export class PresharedKey {
  readonly #bytes: Uint8Array;

  /** Copies `bytes` (32). */
  constructor(bytes: Uint8Array) {
    assert(bytes.length === KEY_LEN, "a key has 32 bytes");
    this.#bytes = new Uint8Array(bytes); // a Buffer.slice() would be a view
  }

  /** A copy of the 32 bytes, the caller's to wipe. */
  bytes(): Uint8Array {
    return this.#bytes.slice();
  }

  /** Time depends on nothing. */
  equals(other: PresharedKey): boolean {
    return equalsConstantTime(this.#bytes, other.#bytes);
  }

  /** Overwrites the key with zeros: the last thing to be done with it. */
  wipe(): void {
    this.#bytes.fill(0);
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
  const body = PREFIX + Buffer.from(key).toString("base64url");
  return `${body}.${checkOf(body)}`;
}

/** Reads the line that formatKey writes; white space around it is ignored. Throws RangeError, which shows nothing of
 * the text, for anything else. */
export function parseKey(text: string): PresharedKey {
  const line = text.trim();
  if (line === "") throw new RangeError(`there is no key in it; ${REMEDY}`);
  if (!line.startsWith(PREFIX)) throw new RangeError(`a key starts with "${PREFIX}"; ${REMEDY}`);
  const match = /^([A-Za-z0-9_-]*)\.([0-9a-f]{4})$/.exec(line.slice(PREFIX.length));
  if (match === null) {
    throw new RangeError(
      `a key is one line of "${PREFIX}", 43 characters, a dot and 4 digits; copy it whole or ${REMEDY}`,
    );
  }
  const bytes = Buffer.from(match[1], "base64url");
  try {
    if (match[1].length !== 43 || bytes.length !== KEY_LEN) {
      throw new RangeError(
        `the key has ${bytes.length} bytes instead of ${KEY_LEN}; copy it whole or ${REMEDY}`,
      );
    }
    // formatKey() writes each key in one way only; base64 has spare bits that could be written in four.
    if (formatKey(bytes) !== line) {
      throw new RangeError(`the key's check digits are wrong, so it is mistyped; copy it whole or ${REMEDY}`);
    }
    return new PresharedKey(bytes);
  } finally {
    bytes.fill(0);
  }
}

function checkOf(body: string): string {
  return createHash("sha256").update(body).digest("hex").slice(0, 4);
}
