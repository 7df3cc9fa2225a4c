/** How long records are, so that each fills one segment of its path and no more. */

import { type Direction, type DirectionConfig, resolveDirection } from "../config/mod.ts";
import type { TcpState } from "../ports/mod.ts";
import type { TrainParameters } from "./messages.ts";

// Set by a standard.
const TCP_HEADER_LEN = 20;
/** RFC 7323 §3.2, with its padding. */
const TIMESTAMPS_LEN = 12;
/** RFC 2018 §3: what three or four blocks take beside timestamps or alone, of 40 bytes of options. */
const SACK_LEN = { withTimestamps: 28, alone: 36 };
// Chosen here.
/** Longer outer packets pass the network only here and there. */
const PACKET_LEN_MAX = 1500;

/** Bytes of IP and TCP headers around a record; `ipLen` is that of the addresses, 4 or 16. */
export function tcpOverhead(ipLen: number, hasTimestamps: boolean): number {
  return (ipLen === 4 ? 20 : 40) + TCP_HEADER_LEN + (hasTimestamps ? TIMESTAMPS_LEN : 0);
}

/** The longest record that is one segment of this connection even when that carries selective acknowledgements. */
export function recordLenMax({ mss, hasSack, hasTimestamps }: TcpState, ipLen: number): number {
  const usual = PACKET_LEN_MAX - tcpOverhead(ipLen, hasTimestamps);
  const sackLen = !hasSack ? 0 : hasTimestamps ? SACK_LEN.withTimestamps : SACK_LEN.alone;
  return Math.min(mss, usual) - sackLen;
}

/** The train of a direction over this connection. Its packet_length, if it is given, is that of the outer IP packet, as
 * far as the path has room. Throws DirectionError for a rate that cannot be kept. */
export function tcpTrainOf(
  name: string,
  config: DirectionConfig,
  state: TcpState,
  ipLen: number,
): TrainParameters {
  const overhead = tcpOverhead(ipLen, state.hasTimestamps);
  const most = recordLenMax(state, ipLen) + overhead;
  const packetLength = Math.min(config.packetLength ?? most, most);
  const direction: Direction = resolveDirection(name, { ...config, packetLength }, most);
  return {
    intervalNs: direction.intervalNs,
    jitterLaw: direction.jitterLaw,
    jitterSdNs: direction.jitterSdNs,
    datagramLen: direction.packetLength - overhead,
    burst: direction.burst,
  };
}
