/** A made-up run for tests: slots, what an observer sees of them, and a user, all from a seed. */

import { SeededRandom, seedOf } from "../../../src/base/random.ts";
import type { DirectionInput } from "../../../src/demo/direction.ts";
import type { Phase, UserView } from "../../../src/demo/result.ts";
import type { SeenFrame } from "../../../src/demo/seen_file.ts";
import { summarize } from "../../../src/base/statistics.ts";
import type { TracedSlot } from "../../../src/demo/trace_file.ts";

export const INTERVAL_NS = 1e6;
export const PACKET_LEN = 1400;
const SERVER_PORT = 1405;
const FROM_SERVER = [SERVER_PORT, 40_000] as const;
export const PHASES: readonly Phase[] = [
  { kind: "idle", fromS: 1, toS: 3 },
  { kind: "busy", fromS: 3, toS: 5 },
];
const SECONDS = 6;
/** The observer's clock is this much behind the sender's. */
const CLOCK_DIFFERENCE_NS = 123_456_789;
const PATH_NS = 7_000;
const RECORD_LEN = PACKET_LEN - 28 - 5;

export interface HeadOptions {
  readonly len?: number;
  readonly ttl?: number;
  readonly tos?: number;
  readonly identification?: number;
  readonly firstByte?: number;
  readonly recordLen?: number;
  readonly ports?: readonly [source: number, destination: number];
}

/** The first 64 bytes of an outer packet. */
export function headOf(options: HeadOptions = {}): Uint8Array {
  const len = options.len ?? PACKET_LEN;
  const head = new Uint8Array(64).fill(0xa5);
  const view = new DataView(head.buffer);
  head.set([0x45, options.tos ?? 0]);
  view.setUint16(2, len);
  view.setUint16(4, options.identification ?? 0);
  view.setUint16(6, 0x4000);
  head.set([options.ttl ?? 64, 17], 8);
  head.set([192, 0, 2, 2, 198, 51, 100, 2], 12);
  const [source, destination] = options.ports ?? [40_000, SERVER_PORT];
  view.setUint16(20, source);
  view.setUint16(22, destination);
  view.setUint16(24, len - 20);
  view.setUint16(26, 0x1234);
  head[28] = options.firstByte ?? 0x2f;
  const idLen = (head[28] & 0x10) === 0 ? 0 : 8;
  view.setUint16(31 + idLen, options.recordLen ?? RECORD_LEN - idLen);
  return head;
}

export function frameAt(timeNs: number, options: HeadOptions = {}): SeenFrame {
  return {
    interfaceIndex: 0,
    timeNs,
    len: options.len ?? PACKET_LEN,
    outgoing: false,
    head: headOf(options),
  };
}

/** Two hellos, then one record a millisecond; every 500th slot is skipped, busy slots carry data. */
export function makeDirection(from: "client" | "server", seed = 1): DirectionInput {
  const random = new SeededRandom(seedOf(seed));
  const slots: TracedSlot[] = [];
  const frames: SeenFrame[] = [];
  for (let slot = 0; slot < SECONDS * 1e9 / INTERVAL_NS; slot++) {
    const plannedNs = (slot + 0.5) * INTERVAL_NS + (random.unit() - 0.5) * 0.4 * INTERVAL_NS;
    const skipped = slot % 500 === 499;
    const actualNs = skipped ? 0 : plannedNs + 20 + random.unit() * 100;
    const busy = PHASES.some(({ kind, fromS, toS }) =>
      kind === "busy" && plannedNs >= fromS * 1e9 && plannedNs < toS * 1e9
    );
    slots.push({
      slot,
      plannedNs,
      actualNs,
      dataRecords: busy ? 1 : 0,
      skipped,
      late: false,
      refused: false,
    });
    if (!skipped) {
      const timeNs = actualNs + PATH_NS + random.unit() * 500 - CLOCK_DIFFERENCE_NS;
      frames.push(frameAt(timeNs, { firstByte: slot < 2 ? 0x16 : 0x2f }));
    }
  }
  return {
    name: `${from} to the other`,
    from,
    intervalNs: INTERVAL_NS,
    packetLen: PACKET_LEN,
    serverPort: SERVER_PORT,
    frames: from === "server" ? asServer(frames) : frames,
    slots,
    clockDifferenceNs: CLOCK_DIFFERENCE_NS,
    startNs: 0,
    phases: PHASES,
  };
}

/** A server's train has no hellos in it; its answers to the handshake come before. */
function asServer(frames: readonly SeenFrame[]): SeenFrame[] {
  const train = frames.map((frame) => ({ ...frame, head: headOf({ ports: FROM_SERVER }) }));
  return [
    frameAt(-CLOCK_DIFFERENCE_NS - 3e6, { firstByte: 0x16, len: 90, ports: FROM_SERVER }),
    frameAt(-CLOCK_DIFFERENCE_NS - 1e6, { firstByte: 0x2e, len: 300, ports: FROM_SERVER }),
    ...train,
  ];
}

export function makeUser(equal = true): UserView {
  const transfer = { bytes: 1e6, seconds: 1, mbitPerS: 8, limitMbitPerS: 10, equal };
  const trips = { sent: 4, ms: summarize([1, 2, 3, 4]) };
  return {
    roundTripKind: "ICMP echo (ping)",
    roundTrips: { idle: trips, busy: trips },
    download: transfer,
    upload: transfer,
  };
}
