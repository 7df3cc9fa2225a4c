/** Pass phrases: how strong one seems, and the key that it becomes. An observer of one handshake can guess offline, so
 * a weak phrase is refused, and each guess at a good one costs 128 MiB and a good part of a second. */

import { randomBytes, scryptSync } from "node:crypto";
import { equalsConstantTime, fromBase64Url, type SecretMemory, toBase64Url } from "../base/mod.ts";
import { KEY_LEN, PresharedKey } from "./key.ts";

// Chosen here.
export const PASSWORD_BITS_MIN = 80;
export const SALT_LEN = 16;
const SCRYPT = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 2 ** 20 };
/** 32 letters and digits that cannot be taken for one another: 5 bits each. */
const ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz";
const GROUPS = 6;
const GROUP_LEN = 4;
/** A word of a list of 7,776, as dice choose them. */
const WORD_BITS = 13;
const WORD_LEN = 8;
const WORD_LEN_MIN = 3;
/** What each further letter adds to a run that reads like language. */
const LANGUAGE_BITS = 1.8;
const LETTER_BITS = Math.log2(26);
const DIGIT_BITS = Math.log2(10);
const SIGN_BITS = 5;
/** For all that repeats, times the logarithm of how much. */
const REPEATED_BITS = 2;
/** The share of frequent pairs of letters: of random letters 0.2, of most European languages more than a half. */
const LANGUAGE_RATIO = 0.35;
const PAIRS = new Set(
  ("th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de se le sa si ar ve " +
    "ra ld ur ll li ro ri io me ne ch ic el om ma ce us ge ta co la ie un ei il ho di no ut ca so ss ec pe tr em " +
    "rs ct id we wo ee qu oo ai ow ay ac im be sh ke ck au sc ah rt ts ft am eu hr ff os as ad do un da")
    .split(" "),
);
const ROWS = ["qwertyuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz", "01234567890"];

/** The key of a pass phrase: scrypt with N = 2^17, r = 8, p = 1, over its bytes as they are. Blocks for a good part of a
 * second; once, when the configuration is read. `salt`: 16 bytes. */
export function stretch(password: Uint8Array, salt: Uint8Array, secrets: SecretMemory): PresharedKey {
  const bytes = scryptSync(password, salt, KEY_LEN, SCRYPT);
  try {
    return new PresharedKey(bytes, secrets);
  } finally {
    bytes.fill(0);
  }
}

/** A pass phrase of 120 random bits, "abcd-efgh-…", without the few that look weak. */
export function makePassword(): string {
  for (;;) {
    const chars = Array.from(randomBytes(GROUPS * GROUP_LEN), (byte) => ALPHABET[byte % ALPHABET.length]);
    const groups = Array.from(
      { length: GROUPS },
      (_, i) => chars.slice(i * GROUP_LEN, (i + 1) * GROUP_LEN).join(""),
    );
    const password = groups.join("-");
    if (estimateBits(new TextEncoder().encode(password)) >= PASSWORD_BITS_MIN) return password;
  }
}

/** A fresh salt as a configuration names it. */
export function makeSalt(): string {
  return randomBytes(SALT_LEN).toString("base64url");
}

/** The salt of its text, or undefined. */
export function parseSalt(text: string): Uint8Array | undefined {
  const chars = new TextEncoder().encode(text);
  const bytes = fromBase64Url(chars, SALT_LEN);
  return bytes !== undefined && equalsConstantTime(toBase64Url(bytes), chars) ? bytes : undefined;
}

/** What a file of a pass phrase holds. Views into its bytes. */
export interface PasswordText {
  readonly password: Uint8Array;
  /** Of its second line, `salt = "…"`. */
  readonly salt: Uint8Array | undefined;
}

/** Reads a pass phrase, one line, and behind it perhaps a line `salt = "…"`. Throws RangeError, which shows nothing of
 * it, when there is none or more than that. */
export function parsePassword(bytes: Uint8Array): PasswordText {
  const end = lineEnd(bytes, 0);
  const password = bytes.subarray(0, withoutReturn(bytes, end));
  if (password.length === 0) throw new RangeError("there is no pass phrase in its first line");
  const rest = new TextDecoder().decode(bytes.subarray(end)).trim(); // a salt is no secret
  if (rest === "") return { password, salt: undefined };
  const match = /^salt\s*=\s*"([A-Za-z0-9_-]{1,64})"$/.exec(rest);
  const salt = match === null ? undefined : parseSalt(match[1]);
  if (salt === undefined) {
    throw new RangeError('behind the pass phrase there may be one line, salt = "…", and nothing else');
  }
  return { password, salt };
}

function lineEnd(bytes: Uint8Array, from: number): number {
  const at = bytes.indexOf(0x0a, from);
  return at < 0 ? bytes.length : at;
}

function withoutReturn(bytes: Uint8Array, end: number): number {
  return end > 0 && bytes[end - 1] === 0x0d ? end - 1 : end;
}

/** About how many bits an attacker must guess who knows words, sequences and the habits of people: an estimate that errs
 * to the low side. */
export function estimateBits(password: Uint8Array): number {
  const known = new Set<number>();
  const isMixed = password.some((byte) => kindOf(byte) === "large") &&
    password.some((byte) => kindOf(byte) === "small");
  let bits = 0;
  let repeated = 0;
  for (let at = 0; at < password.length;) {
    const end = partEnd(password, at);
    const part = partBits(password, at, end, isMixed, known);
    bits += part.bits;
    repeated += part.repeated;
    at = end;
  }
  return bits + REPEATED_BITS * Math.log2(1 + repeated);
}

/** Parts: a run of letters, all large, or small with at most the first one large; a run of digits; any other character
 * alone. */
function partEnd(password: Uint8Array, from: number): number {
  const kind = kindOf(password[from]);
  let end = from + 1;
  if (kind === "other") return end;
  let isLarge = kind === "large";
  while (end < password.length) {
    const next = kindOf(password[end]);
    const isSmall = next === "small" || next === "high";
    const goesOn = kind === "digit"
      ? next === "digit"
      : isSmall
      ? end === from + 1 || !isLarge
      : isLarge && next === "large";
    if (!goesOn) break;
    if (isSmall) isLarge = false;
    end++;
  }
  return end;
}

function kindOf(byte: number): "small" | "large" | "high" | "digit" | "other" {
  if (byte >= 0x61 && byte <= 0x7a) return "small";
  if (byte >= 0x41 && byte <= 0x5a) return "large";
  if (byte >= 0x30 && byte <= 0x39) return "digit";
  return byte >= 0x80 ? "high" : "other";
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

/** Bits of one part, and how many of its characters bring nothing: the next of a sequence, a pair that came before, a
 * sign that came before. `known` are these pairs and signs. */
function partBits(password: Uint8Array, from: number, end: number, isMixed: boolean, known: Set<number>) {
  const kind = kindOf(password[from]);
  const isWord = kind !== "digit" && kind !== "other";
  const isShort = end - from < WORD_LEN_MIN;
  const charBits = isWord ? LETTER_BITS : kind === "digit" ? DIGIT_BITS : SIGN_BITS;
  const each = charBits + (isMixed && isShort && kind !== "other" ? 1 : 0);
  let bits = 0;
  let repeated = 0;
  let frequent = 0;
  for (let at = from; at < end; at++) {
    if ((password[at] & 0xc0) === 0x80) continue; // the rest of a character of UTF-8
    const pair = (at === 0 ? 0 : lower(password[at - 1])) << 8 | lower(password[at]);
    const mark = kind === "other" ? password[at] : pair;
    if (known.has(mark) || isSequence(pair >> 8, pair & 0xff)) repeated++;
    else bits += each;
    known.add(mark);
    if (at > from && PAIRS.has(String.fromCharCode(pair >> 8, pair & 0xff))) frequent++;
  }
  const isLanguage = isWord && !isShort && frequent / (end - from - 1) >= LANGUAGE_RATIO;
  const wordBits = WORD_BITS + Math.max(0, end - from - WORD_LEN) * LANGUAGE_BITS;
  return { bits: isLanguage ? Math.min(bits, wordBits) : bits, repeated };
}

/** Neighbours in the alphabet, among the digits or on a keyboard, or the same again. */
function isSequence(before: number, after: number): boolean {
  if (before === after) return true;
  return ROWS.some((row) => {
    const [a, b] = [row.indexOf(String.fromCharCode(before)), row.indexOf(String.fromCharCode(after))];
    return a >= 0 && b >= 0 && Math.abs(a - b) === 1;
  });
}

/** Throws RangeError, with the remedy, for a pass phrase that can be guessed. */
export function checkStrength(password: Uint8Array): void {
  const bits = estimateBits(password);
  if (bits < PASSWORD_BITS_MIN) {
    throw new RangeError(
      `the pass phrase can be guessed: about ${Math.floor(bits)} bits instead of ${PASSWORD_BITS_MIN}; ` +
        "take seven words that dice choose, or one that `i405 keygen --password` makes",
    );
  }
}

/** The key of `password` with `salt`, or why not: a RangeError that shows nothing of either. */
export function keyOfPassword(
  password: Uint8Array,
  salt: Uint8Array | undefined,
  secrets: SecretMemory,
): PresharedKey {
  checkStrength(password);
  if (salt === undefined) {
    throw new RangeError(
      "a pass phrase needs the salt that both sides share; `i405 keygen --password` makes both",
    );
  }
  return stretch(password, salt, secrets);
}
