/** What was seen, for other programs: pcap with nanoseconds, raw IP, the first bytes of each packet
 * (draft-ietf-opsawg-pcap). */

import type { SeenFrame } from "../demo/seen_file.ts";

const MAGIC_NS = 0xa1b23c4d;
const LINKTYPE_RAW = 101;
const HEADER_LEN = 24;
const PACKET_HEADER_LEN = 16;
const SNAP_LEN = 65_535;

/** A whole file. Times are Unix times: the frame's plus `wallBaseNs`, exact to 256 ns by the latter. */
export function pcapOf(frames: readonly SeenFrame[], wallBaseNs: number): Uint8Array<ArrayBuffer> {
  const len = frames.reduce((sum, { head }) => sum + PACKET_HEADER_LEN + head.length, HEADER_LEN);
  const out = new Uint8Array(len);
  const view = new DataView(out.buffer);
  [MAGIC_NS, 2 | 4 << 16, 0, 0, SNAP_LEN, LINKTYPE_RAW].forEach((word, i) =>
    view.setUint32(4 * i, word, true)
  );
  const baseS = Math.floor(wallBaseNs / 1e9);
  const baseNs = wallBaseNs - baseS * 1e9;
  let at = HEADER_LEN;
  for (const { timeNs, len, head } of frames) {
    const ns = Math.round(timeNs + baseNs);
    const seconds = Math.floor(ns / 1e9);
    [baseS + seconds, ns - seconds * 1e9, head.length, len].forEach((word, i) =>
      view.setUint32(at + 4 * i, word, true)
    );
    out.set(head, at + PACKET_HEADER_LEN);
    at += PACKET_HEADER_LEN + head.length;
  }
  return out;
}
