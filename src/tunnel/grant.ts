/** What of a client's wish for a schedule a server fulfils. */

import { slotGapMinNs } from "../config/mod.ts";
import { jitterSdMaxNs } from "../schedule/mod.ts";
import type { ClientParameters } from "../wire/inner_control.ts";
import { WELCOME_STATUS } from "../wire/inner_control.ts";
import type { TrainParameters } from "./messages.ts";

// Chosen here.
const INTERVAL_MAX_NS = 60e9;
/** A welcome with some addresses and a message fits. */
const DATAGRAM_LEN_MIN = 500;
const BURST_MAX = 44;
const BURST_BYTES_MAX = 65_000;
/** A slot may take so much of its interval, at most. */
const GAP_SHARE = 1.5;

export interface GrantLimits {
  readonly maxSpeedBitsPerS: number;
  /** Of UDP payloads or TLS records, bytes. */
  readonly datagramMaxLen: number;
  readonly datagramMinLen?: number;
  /** Bytes of headers around each in an outer packet. */
  readonly overhead: number;
}

/** `status` is a WELCOME_STATUS; without a train the wish is refused, and `note` says why. */
export interface Grant {
  readonly status: number;
  readonly train?: TrainParameters;
  readonly note: string;
}

/** As `grantTrain`, for what a client of version 1 says. */
export function grant(wish: ClientParameters, limits: GrantLimits): Grant {
  if (wish.oldestVersion > 1) {
    return {
      status: WELCOME_STATUS.versionRefused,
      note: `the client needs inner protocol ${wish.oldestVersion}`,
    };
  }
  if (!(wish.c2sIntervalNs > 0)) return { status: WELCOME_STATUS.rateRefused, note: "interval" };
  return grantTrain({
    intervalNs: wish.s2cIntervalNs,
    datagramLen: wish.s2cDatagramLen,
    burst: wish.s2cBurst,
    jitterLaw: wish.s2cJitterLaw,
    jitterSdNs: wish.s2cJitterSdNs,
  }, limits);
}

/** Fulfils a wish as far as the limits go: a rate that is too high becomes the highest one allowed, a length that is not
 * possible is refused. Whatever a peer asks for, the train that comes out can be kept. Pure. */
export function grantTrain(wish: TrainParameters, limits: GrantLimits): Grant {
  const { burst, datagramLen } = wish;
  if (burst < 1 || burst > BURST_MAX || burst * datagramLen > BURST_BYTES_MAX) {
    return { status: WELCOME_STATUS.lengthRefused, note: `burst ${burst}` };
  }
  const lenMin = limits.datagramMinLen ?? DATAGRAM_LEN_MIN;
  if (datagramLen < lenMin || datagramLen > limits.datagramMaxLen) {
    return { status: WELCOME_STATUS.lengthRefused, note: `datagrams of ${datagramLen} bytes` };
  }
  if (!(wish.intervalNs <= INTERVAL_MAX_NS)) {
    return { status: WELCOME_STATUS.rateRefused, note: "interval" };
  }
  return granted(wish, limits);
}

function granted(wish: TrainParameters, { maxSpeedBitsPerS, overhead }: GrantLimits): Grant {
  const { burst, datagramLen, jitterLaw } = wish;
  const packetLen = datagramLen + overhead;
  const gapMinNs = slotGapMinNs(burst);
  const fastestNs = Math.max(packetLen * 8e9 * burst / maxSpeedBitsPerS, gapMinNs * GAP_SHARE);
  const intervalNs = Math.max(wish.intervalNs, fastestNs);
  const jitterSdNs = Math.min(wish.jitterSdNs, jitterSdMaxNs(jitterLaw, intervalNs, gapMinNs));
  const train = { intervalNs, datagramLen, burst, jitterLaw, jitterSdNs };
  if (intervalNs <= wish.intervalNs * (1 + 1e-9)) return { status: WELCOME_STATUS.ok, train, note: "" };
  const note = `max_speed allows one slot in ${Math.round(intervalNs / 1e3)} us`;
  return { status: WELCOME_STATUS.rateRefused, train, note };
}

/** Whether two trains look the same but for their seeds. */
export function sameTrain(a: TrainParameters, b: TrainParameters): boolean {
  return a.intervalNs === b.intervalNs && a.datagramLen === b.datagramLen && a.burst === b.burst &&
    a.jitterLaw === b.jitterLaw && a.jitterSdNs === b.jitterSdNs;
}
