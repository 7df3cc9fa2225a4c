/** What a client says of both directions, over whichever carrier: protocol.md §4.3. */

import { emitClientParameters } from "../wire/inner_control.ts";
import type { TrainParameters } from "./messages.ts";

/** The frame's bytes. `nonce`: 8 bytes of this attempt. */
export function clientParameters(up: TrainParameters, down: TrainParameters, nonce: Uint8Array): Uint8Array {
  return emitClientParameters({
    protocolVersion: 1,
    oldestVersion: 1,
    flags: 0,
    s2cDatagramLen: down.datagramLen,
    s2cIntervalNs: down.intervalNs,
    s2cJitterSdNs: down.jitterSdNs,
    s2cJitterLaw: down.jitterLaw,
    s2cBurst: down.burst,
    c2sIntervalNs: up.intervalNs,
    c2sDatagramLen: up.datagramLen,
    c2sBurst: up.burst,
    nonce,
  });
}
