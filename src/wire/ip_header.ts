/** What the tunnel reads of inner IP headers, where they lie and without allocation. RFC 791 §3.1, RFC 8200 §3. */

const V4_HEADER_MIN_LEN = 20;
const V6_HEADER_LEN = 40;
const V4_SOURCE = 12;
const V4_DESTINATION = 16;
const V6_SOURCE = 8;
const V6_DESTINATION = 24;

/** 4 or 6 if the `len` bytes at `off` are one whole IP packet: version, header length and total length fit; else 0.
 * IPv6 jumbograms (RFC 2675) have a length of 0 and are refused. */
export function parseVersion(bytes: Uint8Array, off: number, len: number): 0 | 4 | 6 {
  if (len < V4_HEADER_MIN_LEN) return 0;
  const version = bytes[off] >> 4;
  if (version === 4) {
    const headerLen = (bytes[off] & 15) * 4;
    const fits = headerLen >= V4_HEADER_MIN_LEN && headerLen <= len;
    return fits && u16(bytes, off + 2) === len ? 4 : 0;
  }
  if (version !== 6 || len < V6_HEADER_LEN) return 0;
  return u16(bytes, off + 4) + V6_HEADER_LEN === len ? 6 : 0;
}

/** Length of an address of this version. */
export function ipLenOf(version: 4 | 6): number {
  return version === 4 ? 4 : 16;
}

/** Offset of the source address of the packet at `off`. */
export function sourceOff(off: number, version: 4 | 6): number {
  return off + (version === 4 ? V4_SOURCE : V6_SOURCE);
}

export function destinationOff(off: number, version: 4 | 6): number {
  return off + (version === 4 ? V4_DESTINATION : V6_DESTINATION);
}

/** Protocol (IPv4), or the first next header (IPv6). */
export function protocolOf(bytes: Uint8Array, off: number, version: 4 | 6): number {
  return bytes[off + (version === 4 ? 9 : 6)];
}

function u16(bytes: Uint8Array, off: number): number {
  return bytes[off] << 8 | bytes[off + 1];
}

/** Bytes of outer IP and UDP headers around a datagram; `ipLen` is that of the addresses, 4 or 16. RFC 791, 8200, 768. */
export function outerOverhead(ipLen: number): number {
  return ipLen === 4 ? 28 : 48;
}
