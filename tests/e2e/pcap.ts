/** Reads what tcpdump wrote: the outer datagrams that an observer on the wire saw. */
import assert from "node:assert/strict";

export interface SeenDatagram {
  /** Nanoseconds since the epoch, as the capturing kernel stamped it. */
  readonly timeNs: bigint;
  /** Outer IP length in bytes. */
  readonly ipLen: number;
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  /** Every header field that an observer can compare, but addresses, ports, lengths, IPv4 id and checksums. */
  readonly fields: string;
  /** First bytes of the UDP payload, as far as they were captured. */
  readonly payload: Uint8Array;
}

const NANOSECOND_MAGIC = 0xa1b23c4d;
const MICROSECOND_MAGIC = 0xa1b2c3d4;
const ETHERNET_LEN = 14;

/** The UDP datagrams (IPv4 without options, IPv6 without extension headers) of an Ethernet capture, in order.
 * Throws on anything else than a whole pcap file. */
export function readPcap(file: Uint8Array): SeenDatagram[] {
  const seen: SeenDatagram[] = [];
  for (const { timeNs, frame } of readFrames(file)) {
    const datagram = readFrame(frame, timeNs);
    if (datagram !== undefined) seen.push(datagram);
  }
  return seen;
}

/** The frames of an Ethernet capture, in order, as far as they were kept. */
export function* readFrames(file: Uint8Array): Generator<{ timeNs: bigint; frame: Uint8Array }> {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const magic = view.getUint32(0, true);
  assert.ok(
    magic === NANOSECOND_MAGIC || magic === MICROSECOND_MAGIC,
    "not a pcap file of this machine's byte order",
  );
  assert.equal(view.getUint32(20, true), 1, "link type Ethernet");
  const unitNs = magic === NANOSECOND_MAGIC ? 1n : 1000n;
  for (let at = 24; at + 16 <= file.length;) {
    const timeNs = BigInt(view.getUint32(at, true)) * 1_000_000_000n +
      BigInt(view.getUint32(at + 4, true)) * unitNs;
    const capturedLen = view.getUint32(at + 8, true);
    assert.ok(at + 16 + capturedLen <= file.length, "a whole pcap file");
    yield { timeNs, frame: file.subarray(at + 16, at + 16 + capturedLen) };
    at += 16 + capturedLen;
  }
}

function readFrame(frame: Uint8Array, timeNs: bigint): SeenDatagram | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const type = view.getUint16(12);
  const ip = frame.subarray(ETHERNET_LEN);
  if (type === 0x0800 && ip[0] === 0x45 && ip[9] === 17) {
    const fragment = view.getUint16(ETHERNET_LEN + 6);
    const fields = `v4 tos=${ip[1]} ttl=${ip[8]} flags=${fragment} checksum=${hasChecksum(ip, 20)}`;
    const text = (off: number) => ip.subarray(off, off + 4).join(".");
    return readUdp(ip, 20, timeNs, view.getUint16(ETHERNET_LEN + 2), text(12), text(16), fields);
  }
  if (type === 0x86dd && ip[6] === 17) {
    const flow = view.getUint32(ETHERNET_LEN).toString(16);
    const fields = `v6 flow=${flow} ttl=${ip[7]} checksum=${hasChecksum(ip, 40)}`;
    return readUdp(
      ip,
      40,
      timeNs,
      40 + view.getUint16(ETHERNET_LEN + 4),
      text6(ip, 8),
      text6(ip, 24),
      fields,
    );
  }
  return undefined;
}

function readUdp(
  ip: Uint8Array,
  at: number,
  timeNs: bigint,
  ipLen: number,
  from: string,
  to: string,
  fields: string,
): SeenDatagram {
  const port = (off: number) => ip[at + off] << 8 | ip[at + off + 1];
  return { timeNs, ipLen, from, fromPort: port(0), to, toPort: port(2), fields, payload: ip.slice(at + 8) };
}

const hasChecksum = (ip: Uint8Array, udp: number) => (ip[udp + 6] | ip[udp + 7]) !== 0;

function text6(ip: Uint8Array, off: number): string {
  const groups = [];
  for (let i = 0; i < 16; i += 2) groups.push((ip[off + i] << 8 | ip[off + i + 1]).toString(16));
  return groups.join(":");
}

/** Each value of `key` with its count, in order of first appearance. */
export function countBy<T>(
  items: readonly T[],
  key: (item: T) => string | number,
): Map<string | number, number> {
  const counts = new Map<string | number, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}
