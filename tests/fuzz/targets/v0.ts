/** What a peer of version 0 with a valid password may write into a record. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { Reassembler } from "../../../src/framing/reassembler.ts";
import { Unpacker } from "../../../src/framing/unpacker.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { Arrivals, StatusReports } from "../../../src/tunnel/packet_fates.ts";
import { trainOfHandshakeV0, V0_FRAMES } from "../../../src/tunnel/v0.ts";
import {
  ACK_LEN,
  type ClientHandshakeV0,
  emitAckV0,
  emitClientHandshakeV0,
  emitServerHandshakeV0,
  parseClientHandshakeV0,
  parseServerHandshakeV0,
  readU64,
  V0_TYPE,
  writeU64,
} from "../../../src/wire/v0_message.ts";
import type { FuzzTarget } from "../harness.ts";

const HANDSHAKE: ClientHandshakeV0 = {
  protocolVersion: 0,
  oldestVersion: 0,
  monitorPackets: true,
  s2cPacketLen: 1400,
  s2cIntervalMinNs: 750_000,
  s2cIntervalMaxNs: 1_250_000,
  c2sIntervalMinNs: 1_500_000,
  s2cFinalizeDeltaNs: 100_000,
  serverTimeoutNs: 10e9,
};

const clientHandshake: FuzzTarget = {
  name: "v0-client-handshake",
  samples: () => [emitClientHandshakeV0(HANDSHAKE).slice(1)],
  lenMax: 128,
  read(input) {
    const read = parseClientHandshakeV0(input);
    if (read === undefined) return "refused";
    equal(parseClientHandshakeV0(emitClientHandshakeV0(read).slice(1)), read);
    const { intervalNs, jitterLaw } = trainOfHandshakeV0(read, 28);
    ok(intervalNs >= read.s2cIntervalMinNs && intervalNs <= read.s2cIntervalMaxNs);
    return `${jitterLaw} ${read.monitorPackets} ${read.oldestVersion === 0}`;
  },
};

const serverHandshake: FuzzTarget = {
  name: "v0-server-handshake",
  samples: () =>
    [true, false].map((success) => emitServerHandshakeV0({ protocolVersion: 0, success }).slice(1)),
  lenMax: 32,
  read(input) {
    const read = parseServerHandshakeV0(input);
    if (read === undefined) return "refused";
    equal(emitServerHandshakeV0(read).slice(1), input.slice());
    return `${read.success} ${read.protocolVersion === 0}`;
  },
};

/** Data records as both sides write them, the numbers of some far apart. */
function records(): Uint8Array[] {
  return [0, 5, 100, 2 ** 33].map((number) => {
    const numbers = new Uint8Array(18);
    numbers[0] = V0_TYPE.sequenceNumber;
    numbers[9] = V0_TYPE.sendTime;
    writeU64(numbers, 1, number);
    const ack = new Uint8Array(ACK_LEN);
    emitAckV0(ack, 0, 0, number);
    const status = new Uint8Array(25).fill(3);
    status[0] = V0_TYPE.packetStatus;
    return concat(numbers, ack, status, Uint8Array.of(0x10, 0, 3, 1, 2, 3), new Uint8Array(20));
  });
}

/** What is handed on lies within the record, and the book-keeping of sequence numbers stays small whatever they are. */
function frames(): FuzzTarget {
  const memory = new HeapMemory(1 << 16);
  const off = memory.alloc(1400);
  const reassembler = new Reassembler(memory, 4);
  const unpacker = new Unpacker(memory.u8, reassembler, V0_FRAMES);
  let seen = { packets: 0, controls: 0, malformed: 0, lost: 0 };
  let arrivals = new Arrivals(64);
  let reports = new StatusReports();
  const sink = {
    packet: () => void seen.packets++,
    control(type: number, at: number, len: number) {
      ok(at >= off && at + len <= off + 1400);
      seen.controls++;
      const number = readU64(memory.u8, at);
      if (type === V0_TYPE.ack) reports.acked(number, readU64(memory.u8, at + 8));
      if (type !== V0_TYPE.sequenceNumber || number < 0) return;
      if (arrivals.receive(number)) reports.add(number);
      for (let lost = arrivals.nextLost(); lost >= 0; lost = arrivals.nextLost()) seen.lost++;
    },
    malformed: () => void seen.malformed++,
  };
  return {
    name: "v0-frames",
    samples: records,
    lenMax: 1400,
    read(input) {
      seen = { packets: 0, controls: 0, malformed: 0, lost: 0 };
      arrivals = new Arrivals(64);
      reports = new StatusReports();
      memory.u8.set(input, off);
      reassembler.reset();
      unpacker.read(off, input.length, sink, 1);
      reports.send(1300, 0, (statuses, token) => {
        reports.counted(token, 1);
        return statuses.length > 0;
      });
      ok(seen.lost <= 16_384);
      return `${Math.min(seen.packets, 3)} ${Math.min(seen.controls, 5)} ${seen.malformed} ${seen.lost > 0}`;
    },
  };
}

export const V0_TARGETS: readonly FuzzTarget[] = [clientHandshake, serverHandshake, frames()];
