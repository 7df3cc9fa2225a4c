/** Who may use the proxy: a file of lines `user:password`. Empty lines and those that begin with `#` are skipped. */

import { createHash } from "node:crypto";
import { concat, equalsConstantTime } from "../base/mod.ts";

const TEXT_LEN_MAX = 255; // RFC 1929 §2: one byte for each length
const USERS_MAX = 1024;

/** Names and passwords that no message shows. */
export class Users {
  readonly #digests: readonly Uint8Array[];

  constructor(pairs: readonly (readonly [user: Uint8Array, password: Uint8Array])[]) {
    this.#digests = pairs.map(([user, password]) => digestOf(user, password));
  }

  /** Time depends on the lengths given and the count of users, not on which of them fits. */
  accepts(user: Uint8Array, password: Uint8Array): boolean {
    const digest = digestOf(user, password);
    let found = false;
    for (const known of this.#digests) found = equalsConstantTime(known, digest) || found;
    return found;
  }

  toJSON(): string {
    return "[users]";
  }

  [Symbol.for("Deno.customInspect")](): string {
    return "[users]";
  }
}

function digestOf(user: Uint8Array, password: Uint8Array): Uint8Array {
  return createHash("sha256").update(concat(Uint8Array.of(user.length), user, password)).digest();
}

/** Throws RangeError, which shows nothing of a password, with the number of the line. */
export function parseUsers(bytes: Uint8Array): Users {
  const text = new TextDecoder().decode(bytes);
  const pairs: [Uint8Array, Uint8Array][] = [];
  const encoder = new TextEncoder();
  for (const [index, line] of text.split("\n").map((line) => line.replace(/\r$/, "")).entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const [user, password] = [line.slice(0, Math.max(colon, 0)), line.slice(colon + 1)].map((part) =>
      encoder.encode(part)
    );
    const isGood = [user, password].every((part) => part.length >= 1 && part.length <= TEXT_LEN_MAX);
    if (colon < 0 || !isGood) {
      throw new RangeError(
        `line ${index + 1} of it is not user:password, of 1 to ${TEXT_LEN_MAX} bytes each`,
      );
    }
    pairs.push([user, password]);
  }
  if (pairs.length === 0) throw new RangeError("there is no user in it; write lines of user:password");
  if (pairs.length > USERS_MAX) throw new RangeError(`there are more than ${USERS_MAX} users in it`);
  return new Users(pairs);
}
