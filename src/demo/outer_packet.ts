/** The outer packet as an observer reads it: IPv4 (RFC 791), UDP (RFC 768) and the clear bytes of the record's header
 * (RFC 9147 §4). */

import { toHex } from "../base/mod.ts";

const IPV4_HEADER_LEN = 20;
const UDP_HEADER_LEN = 8;
const PROTOCOL_UDP = 17;
const FRAGMENT_MASK = 0x3fff; // more fragments, and the offset
const DONT_FRAGMENT = 0x4000;
/** Unified header with 16-bit number and length, with or without connection id; the two low bits are the epoch's. */
const RECORD_MASK = 0xec;
const RECORD_FORM = 0x2c;
const ID_BIT = 0x10;
const ID_LEN = 8;
const HANDSHAKE_EPOCH_BITS = 2;

export interface OuterPacket {
  /** All header fields that have to be the same in each packet of one direction, as one line of text. */
  readonly fields: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly identification: number;
  readonly firstByte: number;
  /** Length field of a record in the unified header; undefined for the hellos, which have another header. */
  readonly recordLen: number | undefined;
}

/** `undefined` unless `head` is the start of an unfragmented IPv4 packet with UDP inside and at least one byte of
 * payload. `len` is the whole packet's. */
export function parseOuterPacket(head: Uint8Array, len: number): OuterPacket | undefined {
  const payloadAt = IPV4_HEADER_LEN + UDP_HEADER_LEN;
  if (head.length <= payloadAt || head[0] !== 0x45 || head[9] !== PROTOCOL_UDP) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const fragment = view.getUint16(6);
  if ((fragment & FRAGMENT_MASK) !== 0) return undefined;
  const firstByte = head[payloadAt];
  const lengthAt = payloadAt + 3 + ((firstByte & ID_BIT) === 0 ? 0 : ID_LEN);
  return {
    fields: fieldsOf(view, head, fragment, len),
    sourcePort: view.getUint16(20),
    destinationPort: view.getUint16(22),
    identification: view.getUint16(4),
    firstByte,
    recordLen: isRecord(firstByte) && head.length >= lengthAt + 2 ? view.getUint16(lengthAt) : undefined,
  };
}

function fieldsOf(view: DataView, head: Uint8Array, fragment: number, len: number): string {
  const address = (at: number) => head.subarray(at, at + 4).join(".");
  const tos = head[1];
  return [
    `${address(12)}:${view.getUint16(20)} to ${address(16)}:${view.getUint16(22)}`,
    `TTL ${head[8]}`,
    `DSCP ${tos >> 2}`,
    `ECN ${tos & 3}`,
    `DF ${fragment & DONT_FRAGMENT ? "on" : "off"}`,
    `UDP checksum ${view.getUint16(26) === 0 ? "absent" : "present"}`,
    ...(view.getUint16(2) === len ? [] : [`IP length ${view.getUint16(2)} in ${len} bytes`]),
    ...(view.getUint16(24) === len - IPV4_HEADER_LEN ? [] : [`UDP length ${view.getUint16(24)}`]),
  ].join(", ");
}

function isRecord(firstByte: number): boolean {
  return (firstByte & RECORD_MASK) === RECORD_FORM;
}

/** Whether this is a record of epoch 3 or later: user data or chaff. Good until the epoch's low bits come round to 2
 * again, which is after 2^23 records at the earliest. */
export function isDataRecord(packet: OuterPacket): boolean {
  return isRecord(packet.firstByte) && (packet.firstByte & 3) !== HANDSHAKE_EPOCH_BITS;
}

/** How identifications go: "constant 0", "constant N", "counts up" (by one, modulo 2^16), "counts up to N in each burst"
 * (from 0; segments of one send call) or "irregular". */
export function identificationRule(identifications: readonly number[], burst = 1): string {
  const first = identifications[0] ?? 0;
  if (identifications.every((id) => id === first)) return `constant ${first}`;
  const counts = identifications.every((id, index) =>
    index === 0 || id === (identifications[index - 1] + 1 & 0xffff)
  );
  if (counts) return "counts up";
  const restarts = burst > 1 &&
    identifications.every((id, index) =>
      id < burst && (index === 0 || id === (identifications[index - 1] + 1) % burst)
    );
  return restarts ? `counts up to ${burst} in each burst` : "irregular";
}

/** The first byte as text for a table. */
export function firstByteText(byte: number): string {
  return `0x${toHex(Uint8Array.of(byte))}`;
}
