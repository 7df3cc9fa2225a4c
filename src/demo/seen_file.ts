/** What the observer writes: a header, then one entry per frame in the order of reading.
 *
 *     header  8 bytes "I405SEEN" · f64 Unix time in ns of the observer's time 0
 *     entry   u32 index of the interface · u32 zero · SEEN of src/ports/layout.ts
 *
 * Numbers are little-endian, as the SEEN struct is in memory. */

import { assert } from "../base/mod.ts";
import { SEEN } from "../ports/mod.ts";

const MAGIC = new TextEncoder().encode("I405SEEN");
export const SEEN_HEADER_LEN = 16;
export const SEEN_ENTRY_LEN = 8 + SEEN.size;
/** `direction` of frames that the observing machine itself sends (PACKET_OUTGOING of packet(7)). */
export const DIRECTION_OUTGOING = 4;

export interface SeenFrame {
  readonly interfaceIndex: number;
  /** On the observer's clock. */
  readonly timeNs: number;
  /** Without the link's header. */
  readonly len: number;
  readonly outgoing: boolean;
  /** The first bytes from the network header on: at most SEEN.headLen, a view into the file. */
  readonly head: Uint8Array;
}

export interface SeenFile {
  /** Unix time in ns of the observer's time 0, exact to 256 ns. */
  readonly wallBaseNs: number;
  readonly frames: readonly SeenFrame[];
}

/** Writes SEEN_HEADER_LEN bytes at the start of `out`. */
export function emitSeenHeader(wallBaseNs: number, out: Uint8Array): number {
  out.set(MAGIC);
  new DataView(out.buffer, out.byteOffset).setFloat64(8, wallBaseNs, true);
  return SEEN_HEADER_LEN;
}

/** Writes SEEN_ENTRY_LEN bytes at the start of `out`; `seen` is one SEEN struct. */
export function emitSeenEntry(interfaceIndex: number, seen: Uint8Array, out: Uint8Array): number {
  assert(seen.length === SEEN.size, "one SEEN struct makes one entry");
  const view = new DataView(out.buffer, out.byteOffset);
  view.setUint32(0, interfaceIndex, true);
  view.setUint32(4, 0, true);
  out.set(seen, 8);
  return SEEN_ENTRY_LEN;
}

/** Reads a file; an entry cut short at the end is left out. Throws RangeError for anything but such a file. */
export function parseSeenFile(bytes: Uint8Array): SeenFile {
  if (bytes.length < SEEN_HEADER_LEN || MAGIC.some((byte, index) => bytes[index] !== byte)) {
    throw new RangeError("Not a file of an observer");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const frames: SeenFrame[] = [];
  for (let at = SEEN_HEADER_LEN; at + SEEN_ENTRY_LEN <= bytes.length; at += SEEN_ENTRY_LEN) {
    const seen = at + 8;
    const len = view.getUint32(seen + SEEN.len, true);
    const head = seen + SEEN.head;
    frames.push({
      interfaceIndex: view.getUint32(at, true),
      timeNs: view.getFloat64(seen + SEEN.timeNs, true),
      len,
      outgoing: view.getUint32(seen + SEEN.direction, true) === DIRECTION_OUTGOING,
      head: bytes.subarray(head, head + Math.min(len, SEEN.headLen)),
    });
  }
  return { wallBaseNs: view.getFloat64(8, true), frames };
}
