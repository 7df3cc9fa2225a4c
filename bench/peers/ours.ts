/** i405 with constant traffic on all the time, at several settings. */

import { INNER_SERVER, type Lab, type Slots, Tunnel, type TunnelOptions } from "../tunnel/ends.ts";
import { payloadLimitMbitPerS } from "../../src/demo/traffic.ts";
import type { Contender } from "./contender.ts";

export interface Setting {
  readonly name: string;
  readonly parts: Contender["parts"];
  readonly up: Slots;
  readonly down: Slots;
  readonly pollMode: TunnelOptions["pollMode"];
  readonly packetLen: number;
}

/** Outer packets of the path's 1500 bytes, as the others send them. */
const PACKET_LEN = 1500;
/** Records of 1500 bytes in a slot: what one call takes. */
const BURST = 43;
const NO_DATA_NS = 1e6; // one packet of 1500 bytes each millisecond for ACKs
/** Slots of the largest burst so far apart, fastest first. */
export const INTERVALS_US = [125, 160, 200, 250, 350, 500] as const;
/** 200 Mbit/s of UDP payload with what its headers and these records add, and some room. */
const PACED_SPEED = 225e6;

export function fastest(intervalUs: number): Setting {
  return {
    name: `i405, ${BURST} / ${intervalUs} µs up`,
    parts: "all",
    up: { intervalNs: intervalUs * 1e3, burst: BURST },
    down: { intervalNs: NO_DATA_NS, burst: 1 },
    pollMode: "hybrid",
    packetLen: PACKET_LEN,
  };
}

/** That speed in slots of so many packets: 5 are what is chosen without a setting. */
export function paced(pollMode: TunnelOptions["pollMode"], burst: number): Setting {
  const intervalNs = Math.round(PACKET_LEN * 8e9 * burst / PACED_SPEED);
  return {
    name: `i405, ${burst} / ${Math.round(intervalNs / 1e3)} µs up, ${pollMode}`,
    parts: "paced",
    up: { intervalNs, burst },
    down: { intervalNs: NO_DATA_NS, burst: 1 },
    pollMode,
    packetLen: PACKET_LEN,
  };
}

/** Slots of one record, 50 µs apart, each way. */
export const SINGLES: Setting = {
  name: "i405, 1 / 50 µs each way, sleepy",
  parts: "all",
  up: { intervalNs: 50e3, burst: 1 },
  down: { intervalNs: 50e3, burst: 1 },
  pollMode: "sleepy",
  packetLen: PACKET_LEN,
};

export function ours(version: string, setting: Setting, cpus: TunnelOptions["cpus"]): Contender {
  return {
    name: setting.name,
    version,
    parts: setting.parts,
    async start(lab: Lab) {
      const { up, down, pollMode, packetLen } = setting;
      const tunnel = await Tunnel.start(lab, {
        intervalNs: up.intervalNs,
        up,
        down,
        pollMode,
        packetLen,
        cpus,
      });
      const limitMbitPerS = up.burst * payloadLimitMbitPerS(await tunnel.mtu(), up.intervalNs);
      return {
        address: INNER_SERVER,
        ends: tunnel,
        limitMbitPerS,
        async skippedRatio() {
          const { slots, skipped } = (await tunnel.status("client")).peers[0].slots;
          return skipped / slots;
        },
        stop: () => tunnel.stop(),
      };
    },
  };
}
