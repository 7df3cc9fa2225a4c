/** The way to the server and what leaves on it: lengths and rates, and the lengths that may have to be tried. */

import type { ClientConfig } from "../config/mod.ts";
import { DirectionError, resolveDirection } from "../config/mod.ts";
import type { EndpointAddress } from "../ports/mod.ts";
import type { TrainParameters } from "../tunnel/messages.ts";
import { innerMtuOf } from "../tunnel/inner_mtu.ts";
import { CONNECTION_ID_LEN } from "../tunnel/own_ids.ts";
import { handshakeV0Of, recordPrefixV0, V0_UNUSED_LEN } from "../tunnel/v0.ts";
import { outerOverhead } from "../wire/ip_header.ts";
import type { ClientHandshakeV0 } from "../wire/v0_message.ts";
import { trainOf } from "./network.ts";

// Set by a standard.
const IPV6_MTU_MIN = 1280; // RFC 8200 §5
// Chosen here.
const PATH_MTU_MAX = 1500;
/** Outer packets that are tried: of Ethernet, PPPoE, DS-Lite and the usual tunnels, with the smallest steps where paths
 * mostly end. */
const LENGTHS = [
  ...[1500, 1492, 1484, 1480, 1472, 1464, 1460, 1452, 1444, 1440, 1432, 1420, 1412, 1400, 1392, 1380],
  ...[1360, 1340, 1320, 1300, IPV6_MTU_MIN, 1200, 1100, 1006, 800, 576],
];

/** The interface that leads to the server: its MTU and address. */
export interface Route {
  readonly mtu: number;
  readonly local: EndpointAddress;
}

export interface ClientPath extends Route {
  readonly peer: EndpointAddress;
  readonly up: TrainParameters;
  readonly down: TrainParameters;
  readonly overhead: number;
  /** Of inner packets, at which one fills a record. */
  readonly innerMtu: number;
  /** Of inner protocol version 0. */
  readonly handshakeV0: ClientHandshakeV0 | undefined;
}

/** Whether the path's length has to be found before the first slot. */
export function isSearched({ pathMtu, up, down }: ClientConfig): boolean {
  return pathMtu === "search" && (up.packetLength === undefined || down.packetLength === undefined);
}

/** Lengths and rates where outer packets of `pathMtu` bytes pass. Throws DirectionError. */
export function pathOf(
  config: ClientConfig,
  peer: EndpointAddress,
  { mtu, local }: Route,
  pathMtu = config.pathMtu,
): ClientPath {
  const most = Math.min(mtu, PATH_MTU_MAX);
  const passes = typeof pathMtu === "number" ? Math.min(most, pathMtu) : most;
  const overhead = outerOverhead(peer.ip.length);
  const isV0 = config.protocol === "v0";
  const monitors = config.monitorPackets !== undefined;
  const unusedLen = isV0 ? V0_UNUSED_LEN : 0;
  const [up, down] = (["up", "down"] as const).map((name) => {
    const direction = config[name];
    // A length that the configuration gives is believed as far as the interface goes.
    const longest = direction.packetLength === undefined ? passes : most;
    return trainOf(resolveDirection(name, direction, longest), overhead + unusedLen);
  });
  const handshakeV0 = isV0 ? handshakeV0Of(up, down, overhead, monitors) : undefined;
  const prefixLen = isV0 ? recordPrefixV0(monitors, 0).bytes.length : 0;
  const innerMtu = innerMtuOf(up.datagramLen, isV0 ? 0 : CONNECTION_ID_LEN, prefixLen);
  return { mtu, local, peer, up, down, overhead, innerMtu, handshakeV0 };
}

/** Lengths of datagrams to be tried, the longest first: those at which the configured rates can be kept. */
export function searchedLengths(config: ClientConfig, { peer, mtu, local, overhead }: ClientPath): number[] {
  const most = Math.min(mtu, PATH_MTU_MAX);
  const least = peer.ip.length === 4 ? 0 : IPV6_MTU_MIN;
  const lengths = [most, ...LENGTHS.filter((len) => len < most && len >= least)];
  const isKept = (len: number) => {
    try {
      return pathOf(config, peer, { mtu, local }, len) !== undefined;
    } catch (error) {
      if (error instanceof DirectionError) return false;
      throw error;
    }
  };
  return lengths.filter(isKept).map((len) => len - overhead);
}

/** Slots after which the client takes another socket; 0: never. */
export function rotateSlots({ rotateNs }: ClientConfig, { up }: ClientPath): number {
  return rotateNs === undefined ? 0 : Math.ceil(rotateNs / up.intervalNs);
}
