/** Messages of inner protocol version 0, beside the packets and fragments that it has in common with version 1. Each
 * has a length of its own, and a reader cannot skip a type that it does not know. All integers are big-endian.
 *
 *   0x01 client handshake   magic u32, serdes version u32, protocol version u32, oldest compatible version u32,
 *                           flags u32, s2c packet length u16, s2c interval min u64, s2c interval max u64,
 *                           c2s interval min u64, s2c finalize delta u64, server timeout u64 (all in ns)
 *   0x02 server handshake   magic u32, protocol version u32, success u8
 *   0x03 ack                first u64, last u64
 *   0x04 sequence number    u64
 *   0x05 send time          planned, Unix ns u64
 *   0x06 packet status      sequence number u64, send time u64, receive time u64; both times 0: lost */

import { FieldReader, FieldWriter } from "./fields.ts";
import { FRAME_ERROR, type InnerFrame, parseFrame } from "./inner_frame.ts";

export const V0_TYPE = {
  clientHandshake: 0x01,
  serverHandshake: 0x02,
  ack: 0x03,
  sequenceNumber: 0x04,
  sendTime: 0x05,
  packetStatus: 0x06,
} as const;

/** Types of packets and fragments begin here; those of both versions are the same. */
const PACKET_FIRST = 0x10;
const PACKET_LAST = 0x21;
/** Lengths behind the type byte, by type. */
const BODY_LENS = [0, 62, 9, 16, 8, 8, 24];
const MAGIC = 0x14051405;
const SERDES_VERSION = 0;
const MONITOR_FLAG = 1;

/** Whole messages, type byte included. */
export const SEQUENCE_NUMBER_LEN = 9;
export const SEND_TIME_LEN = 9;
export const ACK_LEN = 17;
export const PACKET_STATUS_LEN = 25;
export const CLIENT_HANDSHAKE_LEN = 63;

/** 0x01: what the client is, and which schedule it wants of the server. Times in ns. */
export interface ClientHandshakeV0 {
  readonly protocolVersion: number;
  readonly oldestVersion: number;
  /** Records carry their send time, and the server reports on those of the client. */
  readonly monitorPackets: boolean;
  /** Of outer IP packets, as version 0 counts them (docs/protocol.md). */
  readonly s2cPacketLen: number;
  readonly s2cIntervalMinNs: number;
  readonly s2cIntervalMaxNs: number;
  readonly c2sIntervalMinNs: number;
  readonly s2cFinalizeDeltaNs: number;
  /** Silence after which the server gives the client up. */
  readonly serverTimeoutNs: number;
}

/** 0x02. */
export interface ServerHandshakeV0 {
  readonly protocolVersion: number;
  readonly success: boolean;
}

/** As `parseFrame`, for version 0. */
export function parseV0Frame(bytes: Uint8Array, off: number, end: number, frame: InnerFrame): number {
  if (off >= end) return FRAME_ERROR.truncated;
  const type = bytes[off];
  if (type === 0 || (type >= PACKET_FIRST && type <= PACKET_LAST)) return parseFrame(bytes, off, end, frame);
  if (type >= BODY_LENS.length) return FRAME_ERROR.unknownType;
  frame.type = type;
  frame.bodyOff = off + 1;
  frame.bodyLen = BODY_LENS[type];
  frame.end = frame.bodyOff + frame.bodyLen;
  return frame.end > end ? FRAME_ERROR.truncated : FRAME_ERROR.none;
}

/** True for the types of `V0_TYPE`. */
export function isV0Message(type: number): boolean {
  return type >= V0_TYPE.clientHandshake && type <= V0_TYPE.packetStatus;
}

/** A whole message. Times are rounded to whole ns. */
export function emitClientHandshakeV0(handshake: ClientHandshakeV0): Uint8Array {
  const writer = new FieldWriter(CLIENT_HANDSHAKE_LEN);
  writer.u8(V0_TYPE.clientHandshake);
  writer.u32(MAGIC);
  writer.u32(SERDES_VERSION);
  writer.u32(handshake.protocolVersion);
  writer.u32(handshake.oldestVersion);
  writer.u32(handshake.monitorPackets ? MONITOR_FLAG : 0);
  writer.u16(handshake.s2cPacketLen);
  writer.u64(Math.round(handshake.s2cIntervalMinNs));
  writer.u64(Math.round(handshake.s2cIntervalMaxNs));
  writer.u64(Math.round(handshake.c2sIntervalMinNs));
  writer.u64(Math.round(handshake.s2cFinalizeDeltaNs));
  writer.u64(Math.round(handshake.serverTimeoutNs));
  return writer.written();
}

/** The body of a 0x01, or `undefined` if it is none. Flags without meaning are passed over. */
export function parseClientHandshakeV0(body: Uint8Array): ClientHandshakeV0 | undefined {
  const reader = new FieldReader(body);
  const magic = reader.u32();
  const serdesVersion = reader.u32();
  const handshake = {
    protocolVersion: reader.u32(),
    oldestVersion: reader.u32(),
    monitorPackets: (reader.u32() & MONITOR_FLAG) !== 0,
    s2cPacketLen: reader.u16(),
    s2cIntervalMinNs: reader.u64(),
    s2cIntervalMaxNs: reader.u64(),
    c2sIntervalMinNs: reader.u64(),
    s2cFinalizeDeltaNs: cappedU64(reader),
    serverTimeoutNs: cappedU64(reader),
  };
  if (!reader.complete() || magic !== MAGIC || serdesVersion !== SERDES_VERSION) return undefined;
  return handshake.s2cIntervalMaxNs < handshake.s2cIntervalMinNs ? undefined : handshake;
}

/** A time so long that it is none: what does not fit a number exactly is as good as its largest. */
function cappedU64(reader: FieldReader): number {
  return Math.min(reader.u32() * 2 ** 32 + reader.u32(), Number.MAX_SAFE_INTEGER);
}

/** A whole message. */
export function emitServerHandshakeV0({ protocolVersion, success }: ServerHandshakeV0): Uint8Array {
  const writer = new FieldWriter(1 + BODY_LENS[V0_TYPE.serverHandshake]);
  writer.u8(V0_TYPE.serverHandshake);
  writer.u32(MAGIC);
  writer.u32(protocolVersion);
  writer.u8(success ? 1 : 0);
  return writer.written();
}

/** The body of a 0x02, or `undefined` if it is none. */
export function parseServerHandshakeV0(body: Uint8Array): ServerHandshakeV0 | undefined {
  const reader = new FieldReader(body);
  const magic = reader.u32();
  const protocolVersion = reader.u32();
  const success = reader.u8();
  if (!reader.complete() || magic !== MAGIC || success > 1) return undefined;
  return { protocolVersion, success: success === 1 };
}

/** A 64-bit number at `off`; -1 for one beyond 2^53. */
export function readU64(bytes: Uint8Array, off: number): number {
  const high = readU32(bytes, off);
  return high >= 2 ** 21 ? -1 : high * 2 ** 32 + readU32(bytes, off + 4);
}

/** A 32-bit number at `off`. */
export function readU32(bytes: Uint8Array, off: number): number {
  return (bytes[off] << 24 | bytes[off + 1] << 16 | bytes[off + 2] << 8 | bytes[off + 3]) >>> 0;
}

/** Writes a whole number below 2^53 as 64 bits. */
export function writeU64(bytes: Uint8Array, off: number, value: number): void {
  writeU32(bytes, off, Math.floor(value / 2 ** 32));
  writeU32(bytes, off + 4, value % 2 ** 32);
}

export function writeU32(bytes: Uint8Array, off: number, value: number): void {
  bytes[off] = value >>> 24;
  bytes[off + 1] = value >>> 16;
  bytes[off + 2] = value >>> 8;
  bytes[off + 3] = value;
}

/** Writes a whole 0x03 for the numbers first..last at `off`; returns its length. */
export function emitAckV0(bytes: Uint8Array, off: number, first: number, last: number): number {
  bytes[off] = V0_TYPE.ack;
  writeU64(bytes, off + 1, first);
  writeU64(bytes, off + 9, last);
  return ACK_LEN;
}
