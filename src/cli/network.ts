/** Names, routes and lengths of the outer path. */

import type { Shim } from "../../ffi/mod.ts";
import { ShimError } from "../../ffi/mod.ts";
import type { Direction, HostPort } from "../config/mod.ts";
import type { EndpointAddress } from "../ports/mod.ts";
import { formatIp, parseIp } from "../wire/ip_address.ts";
import type { TrainParameters } from "../tunnel/messages.ts";
import type { Log } from "../status/log.ts";
import type { Stop } from "./stop.ts";
import { addressesOf } from "./names.ts";

// Chosen here.
const RETRY_MS = 2000;
/** The peer's address; undefined (with the reason) while the name cannot be found. */
export async function resolvePeer(peer: HostPort): Promise<EndpointAddress | string> {
  const literal = parseIp(peer.host);
  if (literal !== undefined) return { ip: literal, port: peer.port };
  try {
    const [ip] = await addressesOf(peer.host);
    return ip === undefined ? "the name has no address" : { ip, port: peer.port };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Source address towards `to` and its interface's MTU, or the reason why there is no way. */
export function probeRoute(
  shim: Shim,
  to: EndpointAddress,
): { mtu: number; local: EndpointAddress } | string {
  try {
    return shim.routeProbe(to);
  } catch (error) {
    if (error instanceof ShimError) return error.errnoName;
    throw error;
  }
}

/** The peer and the way to it. Tries for ever: a name that cannot be found and a network that is down are states that
 * pass. Undefined once `stop` is asked for. */
export async function findRoute(
  host: HostPort,
  shim: Shim,
  log: Log,
  stop: Stop,
): Promise<{ peer: EndpointAddress; mtu: number; local: EndpointAddress } | undefined> {
  for (let tries = 0;; tries++) {
    const peer = await resolvePeer(host);
    const route = typeof peer === "string" ? peer : probeRoute(shim, peer);
    if (typeof peer !== "string" && typeof route !== "string") return { peer, ...route };
    if (tries % 15 === 0) {
      const reason = typeof peer === "string" ? peer : `no route (${route})`;
      log.warn("the server cannot be reached yet, trying again", { peer: host.host, reason });
    }
    await Promise.race([stop.asked, new Promise((resolve) => setTimeout(resolve, RETRY_MS))]);
    if (stop.signal !== undefined) return undefined;
  }
}

/** A direction as the data plane wants it: lengths of datagrams. */
export function trainOf(direction: Direction, overhead: number): TrainParameters {
  return {
    intervalNs: direction.intervalNs,
    jitterLaw: direction.jitterLaw,
    jitterSdNs: direction.jitterSdNs,
    datagramLen: direction.packetLength - overhead,
    burst: direction.burst,
  };
}

/** "address:port" for a log. */
export function endpointText(address: EndpointAddress): string {
  const text = formatIp(address.ip);
  return address.ip.length === 4 ? `${text}:${address.port}` : `[${text}]:${address.port}`;
}

/** Mbit/s of outer IP packets, for a log. */
export function rateText(train: TrainParameters, overhead: number): string {
  const bitsPerS = (train.datagramLen + overhead) * 8e9 * train.burst / train.intervalNs;
  return bitsPerS >= 1e6 ? `${round(bitsPerS / 1e6)} Mbit/s` : `${round(bitsPerS / 1e3)} kbit/s`;
}

/** "1.4 ms" or "50 us". */
export function intervalText(ns: number): string {
  return ns >= 1e6 ? `${round(ns / 1e6)} ms` : `${round(ns / 1e3)} us`;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
