/** Messages of the return routability check, RFC 9853 §4: a type and a cookie. */

import { concat } from "../base/mod.ts";

export const PATH_MESSAGE = { challenge: 0, response: 1, drop: 2 } as const;
export const PATH_COOKIE_LEN = 8;

export interface PathMessage {
  readonly type: number;
  /** A view. */
  readonly cookie: Uint8Array;
}

/** `undefined` for what is malformed, "unknown" for a type of the future, which is to be ignored (RFC 9853 §4). */
export function parsePathMessage(bytes: Uint8Array): PathMessage | "unknown" | undefined {
  if (bytes.length === 0) return undefined;
  const type = bytes[0];
  if (type > PATH_MESSAGE.drop) return "unknown";
  return bytes.length === 1 + PATH_COOKIE_LEN ? { type, cookie: bytes.subarray(1) } : undefined;
}

export function emitPathMessage(type: number, cookie: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(type), cookie);
}
