/** One block of ChaCha20, RFC 8439 §2.3. Here and not the library's stream cipher, since that refuses the last counter,
 * which a ciphertext's first bytes may well be: a peer could end the process with one datagram. */

const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);

/** The 64-byte block of a 32-byte `key` and 16 bytes of `counterAndNonce` (4 of counter, 12 of nonce, little-endian). */
export function chachaBlock(key: Uint8Array, counterAndNonce: Uint8Array): Uint8Array {
  const start = new Uint32Array(16);
  start.set(SIGMA);
  readWords(key, start, 4, 8);
  readWords(counterAndNonce, start, 12, 4);
  const state = start.slice();
  for (let round = 0; round < 20; round += 2) {
    for (let i = 0; i < 4; i++) quarterRound(state, i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) quarterRound(state, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
  }
  const out = new Uint8Array(64);
  for (let i = 0; i < 16; i++) {
    const word = state[i] + start[i];
    for (let b = 0; b < 4; b++) out[4 * i + b] = word >>> (8 * b);
  }
  start.fill(0);
  state.fill(0);
  return out;
}

function readWords(bytes: Uint8Array, words: Uint32Array, at: number, count: number): void {
  for (let i = 0; i < count; i++) {
    words[at + i] = bytes[4 * i] | bytes[4 * i + 1] << 8 | bytes[4 * i + 2] << 16 | bytes[4 * i + 3] << 24;
  }
}

/** RFC 8439 §2.1. */
function quarterRound(s: Uint32Array, a: number, b: number, c: number, d: number): void {
  s[a] += s[b];
  s[d] = rotateLeft(s[d] ^ s[a], 16);
  s[c] += s[d];
  s[b] = rotateLeft(s[b] ^ s[c], 12);
  s[a] += s[b];
  s[d] = rotateLeft(s[d] ^ s[a], 8);
  s[c] += s[d];
  s[b] = rotateLeft(s[b] ^ s[c], 7);
}

function rotateLeft(word: number, count: number): number {
  return word << count | word >>> (32 - count);
}
