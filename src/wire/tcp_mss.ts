/** The MSS option of a TCP SYN, lowered where it lies: RFC 9293 §3.2 and §3.7.1, checksum by RFC 1624. So hosts that
 * cannot be told of a short MTU in any other way keep to it. */

const TCP = 6;
const V4_HEADER_MIN_LEN = 20;
const V6_HEADER_LEN = 40;
const TCP_HEADER_LEN = 20;
const SYN = 0x02;
const OPTION = { end: 0, none: 1, mss: 2 } as const;
const MSS_OPTION_LEN = 4;
/** RFC 8200 §4.1: hop-by-hop options, routing, destination options; the fragment header has a length of its own. */
const V6_OPTIONS = [0, 43, 60];
const V6_FRAGMENT = 44;
const V6_EXTENSIONS_MAX = 8;
/** Least MTU of the two versions: RFC 791 §3.2, RFC 8200 §5. A lower limit would be a mistake. */
const MSS_MIN = 536;

/** Lowers the MSS of the packet of `len` bytes at `off`, if it is a SYN that announces more than fits into inner packets
 * of `mtu` bytes; whether it did. Anything else is left alone. The packet's checksum must be whole. */
export function clampMss(bytes: Uint8Array, off: number, len: number, mtu: number): boolean {
  const end = off + len;
  const version = bytes[off] >> 4;
  const tcp = version === 4 ? tcpOfV4(bytes, off, end) : version === 6 ? tcpOfV6(bytes, off, end) : 0;
  if (tcp === 0 || tcp + TCP_HEADER_LEN > end || (bytes[tcp + 13] & SYN) === 0) return false;
  const most = Math.max(MSS_MIN, mtu - (version === 4 ? V4_HEADER_MIN_LEN : V6_HEADER_LEN) - TCP_HEADER_LEN);
  const at = mssAt(bytes, tcp, Math.min(end, tcp + (bytes[tcp + 12] >> 4) * 4));
  if (at === 0) return false;
  const was = bytes[at] << 8 | bytes[at + 1];
  if (was <= most) return false;
  bytes[at] = most >> 8;
  bytes[at + 1] = most & 0xff;
  const isOdd = (at - tcp & 1) === 1;
  updateChecksum(bytes, tcp + 16, isOdd ? swap(was) : was, isOdd ? swap(most) : most);
  return true;
}

/** Offset of the TCP header, or 0. */
function tcpOfV4(bytes: Uint8Array, off: number, end: number): number {
  if (off + V4_HEADER_MIN_LEN > end || bytes[off + 9] !== TCP) return 0;
  const isFirst = ((bytes[off + 6] & 0x1f) | bytes[off + 7]) === 0;
  const headerLen = (bytes[off] & 15) * 4;
  return isFirst && headerLen >= V4_HEADER_MIN_LEN ? off + headerLen : 0;
}

function tcpOfV6(bytes: Uint8Array, off: number, end: number): number {
  if (off + V6_HEADER_LEN > end) return 0;
  let next = bytes[off + 6];
  let at = off + V6_HEADER_LEN;
  for (let count = 0; next !== TCP; count++) {
    if (count === V6_EXTENSIONS_MAX || at + 8 > end) return 0;
    const isFragment = next === V6_FRAGMENT;
    if (!isFragment && !V6_OPTIONS.includes(next)) return 0;
    if (isFragment && (bytes[at + 2] << 8 | bytes[at + 3]) >> 3 !== 0) return 0;
    next = bytes[at];
    at += isFragment ? 8 : 8 * (bytes[at + 1] + 1);
  }
  return at;
}

/** Offset of the value of the MSS option, or 0. */
function mssAt(bytes: Uint8Array, tcp: number, end: number): number {
  for (let at = tcp + TCP_HEADER_LEN; at < end && bytes[at] !== OPTION.end;) {
    if (bytes[at] === OPTION.none) {
      at++;
      continue;
    }
    const len = at + 1 < end ? bytes[at + 1] : 0;
    if (len < 2 || at + len > end) return 0;
    if (bytes[at] === OPTION.mss) return len === MSS_OPTION_LEN ? at + 2 : 0;
    at += len;
  }
  return 0;
}

function swap(word: number): number {
  return (word & 0xff) << 8 | word >> 8;
}

/** RFC 1624 §3, equation 3: a word of what the checksum at `at` covers has become another one. */
export function updateChecksum(bytes: Uint8Array, at: number, was: number, is: number): void {
  const before = bytes[at] << 8 | bytes[at + 1];
  let sum = (~before & 0xffff) + (~was & 0xffff) + is;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
  bytes[at] = sum >> 8;
  bytes[at + 1] = sum & 0xff;
}
