/** EncryptedExtensions, RFC 8446 §4.3.1. */

import { emitExtensions, type Extension, parseExtensions } from "./extensions.ts";
import { Reader } from "./vectors.ts";

/** `undefined` unless `body` is exactly one EncryptedExtensions. Views into it. */
export function parseEncryptedExtensions(body: Uint8Array): Extension[] | undefined {
  const reader = new Reader(body);
  const extensions = parseExtensions(reader.vector16());
  return reader.ended ? extensions : undefined;
}

export function emitEncryptedExtensions(extensions: readonly Extension[]): Uint8Array {
  return emitExtensions(extensions);
}
