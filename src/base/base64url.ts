/** Base64url without padding (RFC 4648 §5) between bytes: no text is made, since a text of a secret cannot be wiped. */

const ALPHABET = new TextEncoder().encode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

/** The ASCII characters that stand for `bytes`. */
export function toBase64Url(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(Math.ceil(bytes.length * 8 / 6));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const byte of bytes) {
    held = (held << 8 | byte) & 0xffff;
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      out[at++] = ALPHABET[held >> bits & 63];
    }
  }
  if (bits > 0) out[at++] = ALPHABET[held << (6 - bits) & 63];
  return out;
}

/** The first `len` bytes that `text` stands for, or `undefined` if it is too short or a character among theirs is none
 * of the alphabet. Spare bits of the last character may be anything. */
export function fromBase64Url(text: Uint8Array, len: number): Uint8Array | undefined {
  const out = new Uint8Array(len);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; at < len; i++) {
    const value = ALPHABET.indexOf(text[i]);
    if (value < 0) return undefined;
    held = (held << 6 | value) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[at++] = held >> bits;
    }
  }
  return out;
}
