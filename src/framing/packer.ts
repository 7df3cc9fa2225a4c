/** Fills one plaintext at a time with inner packets, back to back; the last one is split when it does not fit, and
 * its rest opens the next plaintext. Works on offsets into one block of bytes and allocates nothing.
 *
 * The caller keeps a split packet where it lies, and hands in the same packet again first in the next plaintext. */

import { assert } from "../base/mod.ts";
import {
  emitFragmentHead,
  emitPacketHead,
  FRAGMENT_FIRST_HEAD_LEN,
  FRAGMENT_HEAD_LEN,
  PACKET_HEAD_LEN,
} from "../wire/inner_frame.ts";
import { PACKET_MAX_LEN } from "./reassembler.ts";

// Chosen here.
/** A fragment is not made for less than this much of a packet. */
export const FRAGMENT_MIN_LEN = 32;
/** A plaintext must be able to hold a fragment worth its head. */
export const PLAINTEXT_MIN_LEN = 64;
assert(PLAINTEXT_MIN_LEN >= FRAGMENT_HEAD_LEN + FRAGMENT_MIN_LEN, "every fresh plaintext takes a fragment");

/** What `packet` did: all of it (or its rest) is written · the beginning is written, the rest must come first in the
 * next plaintext · nothing is written, there is no room. */
export const PACKED = { whole: 0, split: 1, full: 2 } as const;

/** What writes control frames into what is left of a plaintext: the multiplexer of streams. */
export interface FrameSource {
  /** Whether `fill` would write something, given room. */
  wants(nowNs: number): boolean;
  /** Whether that should leave before what was written already and has not left yet. */
  urgent(): boolean;
  /** Writes one frame of at most `len` bytes at `off` and returns its length; 0: nothing, or too little room. */
  fill(off: number, len: number, nowNs: number): number;
}

export class Packer {
  readonly #u8: Uint8Array;
  #off = 0;
  #at = 0;
  #end = 0;
  #nextId = 0;
  /** Bytes of the split packet that are written; 0: none is split. */
  #done = 0;
  #splitOff = 0;
  #splitLen = 0;

  /** Reads packets from and writes plaintexts to `u8`. */
  constructor(u8: Uint8Array) {
    this.#u8 = u8;
  }

  /** Starts the plaintext of `len` bytes (content type byte not counted) at `off`. */
  begin(off: number, len: number): void {
    this.resume(off, len, 0);
  }

  /** Goes on behind the `used` bytes of a plaintext that was finished before. */
  resume(off: number, len: number, used: number): void {
    assert(len >= PLAINTEXT_MIN_LEN && used <= len, "a plaintext has room for a fragment");
    this.#off = off;
    this.#at = off + used;
    this.#end = off + len;
  }

  /** Appends the packet of `len` bytes (1..PACKET_MAX_LEN) at `srcOff`, or what is left of it. Returns a PACKED.
   * Another packet than the split one abandons that: its receiver drops it after a while. */
  packet(srcOff: number, len: number): number {
    assert(len > 0 && len <= PACKET_MAX_LEN, "an inner packet has 1 to PACKET_MAX_LEN bytes");
    if (this.#done > 0) {
      if (srcOff === this.#splitOff && len === this.#splitLen) return this.#rest();
      this.abandon();
    }
    const room = this.#end - this.#at;
    if (len + PACKET_HEAD_LEN <= room) {
      this.#at += emitPacketHead(this.#u8, this.#at, len);
      this.#copy(srcOff, len);
      return PACKED.whole;
    }
    if (room < FRAGMENT_FIRST_HEAD_LEN + FRAGMENT_MIN_LEN) return PACKED.full;
    this.#splitOff = srcOff;
    this.#splitLen = len;
    this.#nextId = (this.#nextId + 1) & 0xffff;
    const now = room - FRAGMENT_FIRST_HEAD_LEN; // less than len, for len + 3 > room: the last fragment has bytes
    this.#at += emitFragmentHead(this.#u8, this.#at, this.#nextId, 0, now, false);
    this.#copy(srcOff, now);
    this.#done = now;
    return PACKED.split;
  }

  /** Appends a whole control frame; false when it does not fit in what is left. */
  control(frame: Uint8Array): boolean {
    if (frame.length > this.#end - this.#at) return false;
    this.#u8.set(frame, this.#at);
    this.#at += frame.length;
    return true;
  }

  /** Appends frames of `source` while there are some that fit; whether there were. */
  frames(source: FrameSource, nowNs: number): boolean {
    const from = this.#at;
    for (let len = 1; len > 0; this.#at += len) {
      len = source.fill(this.#at, this.#end - this.#at, nowNs);
      assert(len <= this.#end - this.#at, "a frame stays within its plaintext");
    }
    return this.#at > from;
  }

  /** Fills up with padding (type 0x00 and zeros). Returns how many bytes are used, for `resume`. */
  finish(): number {
    this.#u8.fill(0, this.#at, this.#end);
    return this.#at - this.#off;
  }

  /** Whether it is worth resuming this plaintext with `used` bytes used. */
  appendable(used: number): boolean {
    return this.#done === 0 && this.#end - this.#off - used >= FRAGMENT_FIRST_HEAD_LEN + FRAGMENT_MIN_LEN;
  }

  /** Forgets the split packet: to be called when its bytes may change (its queue was emptied). */
  abandon(): void {
    this.#done = 0;
  }

  #rest(): number {
    const left = this.#splitLen - this.#done;
    const room = this.#end - this.#at - FRAGMENT_HEAD_LEN;
    if (room < Math.min(left, FRAGMENT_MIN_LEN)) return PACKED.full;
    const now = Math.min(left, room);
    const last = now === left;
    this.#at += emitFragmentHead(this.#u8, this.#at, this.#nextId, this.#done, now, last);
    this.#copy(this.#splitOff + this.#done, now);
    this.#done = last ? 0 : this.#done + now;
    return last ? PACKED.whole : PACKED.split;
  }

  #copy(srcOff: number, len: number): void {
    this.#u8.copyWithin(this.#at, srcOff, srcOff + len);
    this.#at += len;
  }
}
