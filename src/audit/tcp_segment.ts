/** A TCP segment as an observer reads it: IPv4 (RFC 791), TCP (RFC 9293), and the header of the TLS record at its start
 * (RFC 8446 §5.2). */

const IPV4_HEADER_LEN = 20;
const TCP_HEADER_LEN = 20;
const PROTOCOL_TCP = 6;
const FRAGMENT_MASK = 0x3fff; // more fragments, and the offset
const DONT_FRAGMENT = 0x4000;
const OPTION = { end: 0, nothing: 1, sack: 5 } as const;
const FLAG_NAMES = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"] as const;
const FLAGS_OF_BOTH_ENDS = 7; // FIN, SYN, RST
const RECORD_HEADER_LEN = 5;
const APPLICATION_DATA = 23;
const LEGACY_VERSION = 0x0303;

export interface TcpSegment {
  /** All header fields that have to be the same in each segment of one direction, as one line of text: neither flags nor
   * what counts (numbers, time stamps, window) nor selective acknowledgements. */
  readonly fields: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly identification: number;
  /** Of the first byte of the payload, modulo 2^32. */
  readonly sequence: number;
  readonly payloadLen: number;
  /** As it stands in the header, unscaled. */
  readonly window: number;
  readonly flags: string;
  /** It begins or ends a connection. */
  readonly isEdge: boolean;
  readonly hasSack: boolean;
  /** Length of the record that the payload begins with, header included; 0 when it begins with no such header; undefined
   * when that was not kept, or there is no payload. */
  readonly recordLen: number | undefined;
}

/** `undefined` unless `head` is the start of an unfragmented IPv4 packet with a whole TCP header. `len` is the whole
 * packet's. */
export function parseSegment(head: Uint8Array, len: number): TcpSegment | undefined {
  if (head.length < IPV4_HEADER_LEN + TCP_HEADER_LEN || head[0] !== 0x45 || head[9] !== PROTOCOL_TCP) {
    return undefined;
  }
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const payloadAt = IPV4_HEADER_LEN + (head[32] >> 4) * 4;
  if ((view.getUint16(6) & FRAGMENT_MASK) !== 0 || payloadAt < 40 || payloadAt > len) return undefined;
  const options = optionKinds(head.subarray(40, payloadAt));
  return {
    fields: fieldsOf(view, head, len, options),
    sourcePort: view.getUint16(20),
    destinationPort: view.getUint16(22),
    identification: view.getUint16(4),
    sequence: view.getUint32(24),
    payloadLen: len - payloadAt,
    window: view.getUint16(34),
    flags: FLAG_NAMES.filter((_, bit) => (head[33] >> bit & 1) === 1).join(" "),
    isEdge: (head[33] & FLAGS_OF_BOTH_ENDS) !== 0,
    hasSack: options.includes(OPTION.sack),
    recordLen: len === payloadAt ? undefined : recordLenAt(view, payloadAt),
  };
}

/** Kinds in order, without padding. */
function optionKinds(options: Uint8Array): number[] {
  const kinds: number[] = [];
  for (let at = 0; at < options.length && options[at] !== OPTION.end;) {
    if (options[at] !== OPTION.nothing) kinds.push(options[at]);
    at += options[at] === OPTION.nothing ? 1 : Math.max(2, options[at + 1] ?? 2);
  }
  return kinds;
}

function fieldsOf(view: DataView, head: Uint8Array, len: number, options: readonly number[]): string {
  const address = (at: number) => head.subarray(at, at + 4).join(".");
  const usual = options.filter((kind) => kind !== OPTION.sack);
  return [
    `${address(12)} to ${address(16)}`,
    `TTL ${head[8]}`,
    `DSCP ${head[1] >> 2}`,
    `ECN ${head[1] & 3}`,
    `DF ${view.getUint16(6) & DONT_FRAGMENT ? "on" : "off"}`,
    `options ${usual.join(" ") || "none"}`,
    ...((head[32] & 15) === 0 ? [] : [`reserved bits ${head[32] & 15}`]),
    ...(view.getUint16(38) === 0 ? [] : ["urgent pointer"]),
    ...(view.getUint16(2) === len ? [] : [`IP length ${view.getUint16(2)} in ${len} bytes`]),
  ].join(", ");
}

function recordLenAt(view: DataView, at: number): number | undefined {
  if (view.byteLength < at + RECORD_HEADER_LEN) return undefined;
  const isRecord = view.getUint8(at) === APPLICATION_DATA && view.getUint16(at + 1) === LEGACY_VERSION;
  return isRecord ? RECORD_HEADER_LEN + view.getUint16(at + 3) : 0;
}
