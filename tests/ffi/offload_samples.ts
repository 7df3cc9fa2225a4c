/** Inner packets for tests of offloads: flows of TCP segments and UDP datagrams as a stack would send them, or nearly. */

import { finish, put16 } from "./offload_reference.ts";

export interface FlowShape {
  readonly v4: boolean;
  readonly tcp: boolean;
  /** Last byte of the source address, low byte of the source port. */
  readonly host: number;
  readonly port: number;
  /** Of the TCP header, a multiple of 4. */
  readonly optionsLen?: number;
  /** DF and an identification of 0 throughout. */
  readonly atomic?: boolean;
}

export interface Segment {
  readonly payloadLen: number;
  /** TCP flags; ACK if not said. */
  readonly flags?: number;
}

/** A whole packet with right checksums; `count` and `offset`: packets and payload bytes before it in its flow. */
export function packetOf(
  shape: FlowShape,
  segment: Segment,
  count: number,
  offset: number,
  random: () => number,
) {
  const { v4, tcp, host, port, optionsLen = 0, atomic = false } = shape;
  const l4 = v4 ? 20 : 40;
  const headerLen = l4 + (tcp ? 20 + optionsLen : 8);
  const packet = new Uint8Array(headerLen + segment.payloadLen);
  if (v4) {
    packet[0] = 0x45;
    put16(packet, 4, atomic ? 0 : 0xfffe + count);
    packet[6] = atomic ? 0x40 : 0;
    packet[8] = 64;
    packet[9] = tcp ? 6 : 17;
    packet.set([10, 0, 0, host, 10, 0, 1, 1], 12);
  } else {
    packet[0] = 0x60;
    packet[6] = tcp ? 6 : 17;
    packet[7] = 64;
    packet.set([0xfd, host, 0xfe], 8);
    packet.set([0xfd, 1, 1], 24);
  }
  put16(packet, l4, 0x9c00 + port);
  put16(packet, l4 + 2, 443);
  if (tcp) {
    const sequence = (0xffff_f000 + offset) >>> 0;
    put16(packet, l4 + 4, sequence >>> 16);
    put16(packet, l4 + 6, sequence & 0xffff);
    packet[l4 + 12] = (5 + optionsLen / 4) << 4;
    packet[l4 + 13] = segment.flags ?? 0x10;
    put16(packet, l4 + 14, 500);
    packet.fill(1, l4 + 20, headerLen); // NOP
  }
  for (let i = headerLen; i < packet.length; i++) packet[i] = random() * 256;
  finish(packet, l4, tcp);
  return packet;
}

/** Packets of one flow, each behind the one before. */
export function flow(shape: FlowShape, segments: readonly Segment[], random: () => number): Uint8Array[] {
  let offset = 0;
  return segments.map((segment, count) => {
    const packet = packetOf(shape, segment, count, offset, random);
    offset += segment.payloadLen;
    return packet;
  });
}
