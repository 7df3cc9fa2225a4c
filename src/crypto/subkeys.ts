/** The two keys that the key of a client and its server stands for. RFC 9258 §4 wants an imported key to serve nothing
 * else, so none of what goes over the wire is made of the shared key itself. */

import { expand, extract } from "./hkdf.ts";
import { wipe } from "./wipe.ts";

// Chosen here.
export const SUBKEY_LEN = 32;
const encoder = new TextEncoder();

/** What the importer of RFC 9258 takes as external PSK: HKDF-SHA256 of the key without salt, info "i405 psk". */
export function importerKeyOf(key: Uint8Array): Uint8Array {
  return subkeyOf(key, "i405 psk");
}

/** What identities are made and known with: HKDF-SHA256 of the key without salt, info "i405 id". */
export function identityKeyOf(key: Uint8Array): Uint8Array {
  return subkeyOf(key, "i405 id");
}

function subkeyOf(key: Uint8Array, info: string): Uint8Array {
  const prk = extract("sha256", undefined, key);
  const subkey = expand("sha256", prk, encoder.encode(info), SUBKEY_LEN);
  wipe(prk);
  return subkey;
}
