/** What one direction of one epoch seals or opens with. */

import { expandLabel, type Protocol } from "./hkdf.ts";
import { AEAD_IV_LEN, type CipherSuite } from "./suites.ts";
import { wipe } from "./wipe.ts";

export interface TrafficKeys {
  /** suite.keyLen bytes. */
  readonly key: Uint8Array;
  /** 12 bytes. */
  readonly iv: Uint8Array;
  /** Sequence number key: suite.keyLen bytes, or none for TLS over TCP. RFC 9147 §4.2.3. */
  readonly sn: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/** RFC 8446 §7.3; with the sequence number key of RFC 9147 §4.2.3 for "dtls". The caller wipes with `wipeTrafficKeys`. */
export function trafficKeys(suite: CipherSuite, protocol: Protocol, trafficSecret: Uint8Array): TrafficKeys {
  const derive = (label: string, len: number) =>
    expandLabel(suite.hash, protocol, trafficSecret, label, EMPTY, len);
  return {
    key: derive("key", suite.keyLen),
    iv: derive("iv", AEAD_IV_LEN),
    sn: protocol === "dtls" ? derive("sn", suite.keyLen) : new Uint8Array(0),
  };
}

export function wipeTrafficKeys(keys: TrafficKeys): void {
  wipe(keys.key, keys.iv, keys.sn);
}
