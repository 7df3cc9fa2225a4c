/** What cutting and joining of inner packets do, said plainly: the reference that c/split.c and c/coalesce.c are compared
 * with. One packet at a time, each header written anew. */

export const GSO = { none: 0, tcp4: 1, tcp6: 4, udp: 5, ecn: 0x80 } as const;
const TCP = 6;
const UDP = 17;
const FLAG = { fin: 1, psh: 8, ack: 0x10, ece: 0x40, cwr: 0x80 } as const;
const PACKET_MAX = 2048;

/** struct virtio_net_hdr, fields as numbers. */
export interface VirtioHeader {
  readonly needsCheck: boolean;
  readonly gsoType: number;
  readonly headerLen: number;
  readonly gsoSize: number;
  readonly checkStart: number;
  readonly checkOffset: number;
}

export interface Written {
  readonly header: VirtioHeader;
  readonly packet: Uint8Array;
}

export function parseVirtio(bytes: Uint8Array): VirtioHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    needsCheck: (bytes[0] & 1) !== 0,
    gsoType: bytes[1],
    headerLen: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    checkStart: view.getUint16(6, true),
    checkOffset: view.getUint16(8, true),
  };
}

export function emitVirtio(header: VirtioHeader): Uint8Array {
  const bytes = new Uint8Array(10);
  const view = new DataView(bytes.buffer);
  bytes[0] = header.needsCheck ? 1 : 0;
  bytes[1] = header.gsoType;
  view.setUint16(2, header.headerLen, true);
  view.setUint16(4, header.gsoSize, true);
  view.setUint16(6, header.checkStart, true);
  view.setUint16(8, header.checkOffset, true);
  return bytes;
}

export function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}
export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}
function get32(bytes: Uint8Array, at: number): number {
  return (get16(bytes, at) * 65_536 + get16(bytes, at + 2)) >>> 0;
}
function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value & 0xffff);
}

/** RFC 1071: the folded sum of the words of `bytes`, on top of `start`. */
export function wordSum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** What is known of a packet with plain headers: IPv4 without options or IPv6 without extensions, then TCP or UDP. */
export interface Headers {
  readonly v4: boolean;
  readonly tcp: boolean;
  readonly l4: number;
  readonly headerLen: number;
}

export function pseudoSum(packet: Uint8Array, protocol: number, l4Len: number): number {
  const addresses = packet[0] >> 4 === 4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
  return wordSum(addresses, protocol + l4Len);
}

/** Writes lengths and all checksums of a packet anew. `protocol` and the place of its header are as given. */
export function finish(packet: Uint8Array, l4: number, tcp: boolean): void {
  const v4 = packet[0] >> 4 === 4;
  if (v4) {
    put16(packet, 2, packet.length);
    put16(packet, 10, 0);
    put16(packet, 10, ~wordSum(packet.subarray(0, l4)) & 0xffff);
  } else put16(packet, 4, packet.length - 40);
  if (!tcp) put16(packet, l4 + 4, packet.length - l4);
  const at = l4 + (tcp ? 16 : 6);
  put16(packet, at, 0);
  const sum = pseudoSum(packet, tcp ? TCP : UDP, packet.length - l4);
  const check = ~wordSum(packet.subarray(l4), sum) & 0xffff;
  put16(packet, at, check === 0 ? 0xffff : check);
}

/** The packets that the kernel would have sent without offloads, or undefined for what makes no sense. */
export function split({ header, packet }: Written): Uint8Array[] | undefined {
  if (packet.length === 0) return undefined;
  if (header.gsoType === GSO.none) return whole(header, packet);
  const type = header.gsoType & ~GSO.ecn;
  const version = packet[0] >> 4;
  const v4 = version === 4 && packet.length >= 20;
  const v6 = version === 6 && packet.length >= 40;
  const tcp = type !== GSO.udp;
  const isType = type === GSO.tcp4 ? v4 : type === GSO.tcp6 ? v6 : type === GSO.udp && (v4 || v6);
  const { checkStart: l4, checkOffset, gsoSize, needsCheck } = header;
  if (!isType || !needsCheck || gsoSize === 0 || checkOffset !== (tcp ? 16 : 6)) return undefined;
  if (v4 ? l4 < 20 || l4 !== (packet[0] & 15) * 4 : l4 < 40) return undefined;
  if (packet.length < l4 + (tcp ? 20 : 8)) return undefined;
  const headerLen = l4 + (tcp ? (packet[l4 + 12] >> 4) * 4 : 8);
  if (headerLen < l4 + (tcp ? 20 : 8) || headerLen >= packet.length) return undefined;
  if (headerLen + gsoSize > PACKET_MAX) return undefined;
  const pieces: Uint8Array[] = [];
  for (let at = headerLen; at < packet.length; at += gsoSize) {
    const last = at + gsoSize >= packet.length;
    const piece = new Uint8Array([
      ...packet.subarray(0, headerLen),
      ...packet.subarray(at, at + gsoSize),
    ]);
    if (v4) put16(piece, 4, (get16(packet, 4) + pieces.length) & 0xffff);
    if (tcp) {
      put32(piece, l4 + 4, get32(packet, l4 + 4) + at - headerLen);
      if (pieces.length > 0) piece[l4 + 13] &= ~FLAG.cwr;
      if (!last) piece[l4 + 13] &= ~(FLAG.fin | FLAG.psh);
    }
    // What is not the pseudo header's sum of this packet (a damaged one, a routing header) is carried along.
    const checkAt = l4 + checkOffset;
    const carried = wordSum(
      new Uint8Array(),
      get16(packet, checkAt) + (~(packet.length - l4) & 0xffff) + piece.length - l4,
    );
    finish(piece, l4, tcp);
    put16(piece, checkAt, carried);
    const check = ~wordSum(piece.subarray(l4)) & 0xffff;
    put16(piece, checkAt, check === 0 ? 0xffff : check);
    pieces.push(piece);
  }
  return pieces;
}

function whole(header: VirtioHeader, packet: Uint8Array): Uint8Array[] | undefined {
  if (packet.length > PACKET_MAX) return undefined;
  const out = packet.slice();
  if (!header.needsCheck) return [out];
  const { checkStart, checkOffset } = header;
  if (checkStart + checkOffset + 2 > out.length) return undefined;
  const check = ~wordSum(out.subarray(checkStart)) & 0xffff;
  put16(out, checkStart + checkOffset, check === 0 ? 0xffff : check);
  return [out];
}

/** Undefined for what belongs to no flow that can be told. */
export function headersOf(packet: Uint8Array): Headers | undefined {
  const v4 = packet[0] === 0x45 && packet.length >= 20;
  const v6 = packet[0] >> 4 === 6 && packet.length >= 40;
  if (v4) {
    if (get16(packet, 2) !== packet.length || (get16(packet, 6) & 0xbfff) !== 0) return undefined;
    if (wordSum(packet.subarray(0, 20)) !== 0xffff) return undefined;
  } else if (!v6 || get16(packet, 4) !== packet.length - 40) return undefined;
  const l4 = v4 ? 20 : 40;
  const protocol = packet[v4 ? 9 : 6];
  const l4Len = packet.length - l4;
  if (protocol === TCP && l4Len >= 20) {
    const tcpLen = (packet[l4 + 12] >> 4) * 4;
    return { v4, tcp: true, l4, headerLen: tcpLen < 20 || tcpLen > l4Len ? packet.length : l4 + tcpLen };
  }
  if (protocol === UDP && l4Len >= 8) {
    return { v4, tcp: false, l4, headerLen: get16(packet, l4 + 4) === l4Len ? l4 + 8 : packet.length };
  }
  return undefined;
}

/** Addresses, ports and protocol as one text. */
export function flowOf(packet: Uint8Array, { v4, tcp, l4 }: Headers): string {
  return `${tcp} ${packet.subarray(v4 ? 12 : 8, v4 ? 20 : 40)} ${packet.subarray(l4, l4 + 4)}`;
}

export function isCheckValid(packet: Uint8Array, { tcp, l4 }: Headers): boolean {
  return wordSum(packet.subarray(l4), pseudoSum(packet, tcp ? TCP : UDP, packet.length - l4)) === 0xffff;
}

/** Whether joining `packets` (two or more, of one flow, in order) loses nothing: all that a group may be. */
export function mayJoin(packets: readonly Uint8Array[]): boolean {
  const first = packets[0];
  const headers = headersOf(first)!;
  const { v4, tcp, l4, headerLen } = headers;
  const total = packets.reduce((sum, packet) => sum + packet.length - headerLen, headerLen);
  const flags = tcp ? first[l4 + 13] : 0;
  if (total > 65_535 || packets.length > 64) return false;
  const plain = 0xff & ~(FLAG.ack | FLAG.ece | FLAG.cwr);
  if (tcp && ((flags & plain) !== 0 || !(flags & FLAG.ack) || (first[l4 + 12] & 15) !== 0)) return false;
  // Written as one and cut again they must be what they were.
  const joined = join(packets);
  const cut = split(joined);
  if (cut === undefined || cut.length !== packets.length) return false;
  return packets.every((packet, i) => {
    const piece = cut[i].slice();
    const same = packet.slice();
    if (v4 && (packet[6] & 0x40) !== 0 && get16(packet, 4) === get16(first, 4)) {
      for (const bytes of [piece, same]) bytes.fill(0, 4, 6), bytes.fill(0, 10, 12); // RFC 6864 §4.1
    }
    return isCheckValid(packet, headers) && equals(piece, same);
  });
}

export function equals(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** As the kernel wants packets of one flow in one piece. */
export function join(packets: readonly Uint8Array[]): Written {
  const [first] = packets;
  const { v4, tcp, l4, headerLen } = headersOf(first)!;
  const payloads = packets.map((packet) => packet.subarray(headerLen));
  const packet = new Uint8Array([...first.subarray(0, headerLen), ...payloads.flatMap((p) => [...p])]);
  if (tcp) packet[l4 + 13] |= packets[packets.length - 1][l4 + 13] & (FLAG.fin | FLAG.psh);
  finish(packet, l4, tcp);
  put16(packet, l4 + (tcp ? 16 : 6), pseudoSum(packet, tcp ? TCP : UDP, packet.length - l4));
  const ecn = tcp && (packet[l4 + 13] & FLAG.cwr) !== 0 ? GSO.ecn : 0;
  return {
    packet,
    header: {
      needsCheck: true,
      gsoType: (!tcp ? GSO.udp : v4 ? GSO.tcp4 : GSO.tcp6) | ecn,
      headerLen,
      gsoSize: first.length - headerLen,
      checkStart: l4,
      checkOffset: tcp ? 16 : 6,
    },
  };
}

/** One open group a flow, groups written in the order of their first packets. `joins`: which kinds may be joined. */
export function coalesce(
  packets: readonly Uint8Array[],
  joins: (headers: Headers) => boolean = () => true,
): Written[] {
  const groups: Uint8Array[][] = [];
  const open = new Map<string, Uint8Array[]>();
  for (const packet of packets) {
    const headers = headersOf(packet);
    if (headers === undefined) open.clear();
    const flow = headers === undefined ? "" : flowOf(packet, headers);
    const group = open.get(flow);
    const hasPayload = headers !== undefined && headers.headerLen < packet.length;
    if (group !== undefined && hasPayload && mayJoin([...group, packet])) {
      group.push(packet);
    } else {
      const fresh = [packet];
      groups.push(fresh);
      if (headers !== undefined) open.delete(flow);
      if (hasPayload && joins(headers)) open.set(flow, fresh);
    }
  }
  return groups.map((group) => {
    if (group.length > 1) return join(group);
    const zero = { needsCheck: false, gsoType: 0, headerLen: 0, gsoSize: 0, checkStart: 0, checkOffset: 0 };
    return { header: zero, packet: group[0] };
  });
}
