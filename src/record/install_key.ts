/** The way of a traffic secret into a RecordProtection. */

import type { Protocol } from "../crypto/hkdf.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { trafficKeys, wipeTrafficKeys } from "../crypto/traffic_keys.ts";
import { KEY_MATERIAL, type Memory, type RecordProtection } from "../ports/mod.ts";

/** Makes a key for sealing or for opening (one id each) of `trafficSecret`, which is left for the caller to wipe; what
 * is derived on the way is wiped. Returns the key id. */
export function installKey(
  memory: Memory,
  protection: RecordProtection,
  suite: CipherSuite,
  trafficSecret: Uint8Array,
  protocol: Protocol,
): number {
  const keys = trafficKeys(suite, protocol, trafficSecret);
  const material = memory.alloc(KEY_MATERIAL.size);
  try {
    memory.u32[(material + KEY_MATERIAL.suite) >> 2] = suite.id;
    memory.u8.set(keys.key, material + KEY_MATERIAL.key);
    memory.u8.set(keys.iv, material + KEY_MATERIAL.iv);
    memory.u8.set(keys.sn, material + KEY_MATERIAL.sn);
    return protection.newKey(material);
  } finally {
    wipeTrafficKeys(keys);
    memory.free(material, KEY_MATERIAL.size);
  }
}
