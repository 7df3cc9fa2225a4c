/** Which flow an inner packet belongs to, by a hash under a secret of addresses, protocol and ports, as RFC 8290 §4.1.1
 * wants it: nobody outside can choose flows that fall together. Reads where the packet lies, and allocates nothing. */

const TCP = 6;
const UDP = 17;
const SCTP = 132;
const DCCP = 33;
const UDPLITE = 136;

/** 32 bits for the IP packet of `len` bytes at `off`, whose header is whole. Fragments have no ports, and are one flow of
 * their addresses. */
export function flowHash(bytes: Uint8Array, off: number, len: number, seed: number): number {
  const isV4 = bytes[off] >> 4 === 4;
  const addresses = isV4 ? off + 12 : off + 8;
  const addressesEnd = addresses + (isV4 ? 8 : 32);
  const protocol = bytes[off + (isV4 ? 9 : 6)];
  let hash = Math.imul(seed ^ protocol, 0x9e3779b1);
  for (let at = addresses; at < addressesEnd; at += 4) hash = mix(hash, word(bytes, at));
  const ports = off + (isV4 ? (bytes[off] & 15) * 4 : 40);
  const isFragment = isV4 && ((bytes[off + 6] & 0x3f) | bytes[off + 7]) !== 0;
  if (hasPorts(protocol) && !isFragment && ports + 4 <= off + len) hash = mix(hash, word(bytes, ports));
  return finish(hash);
}

function hasPorts(protocol: number): boolean {
  return protocol === TCP || protocol === UDP || protocol === SCTP || protocol === DCCP ||
    protocol === UDPLITE;
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
}

/** As MurmurHash3 takes in a word. */
function mix(hash: number, value: number): number {
  value = Math.imul(value, 0xcc9e2d51);
  hash ^= Math.imul(value << 15 | value >>> 17, 0x1b873593);
  return Math.imul(hash << 13 | hash >>> 19, 5) + 0xe6546b64 | 0;
}

function finish(hash: number): number {
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
  return (hash ^ hash >>> 16) >>> 0;
}
