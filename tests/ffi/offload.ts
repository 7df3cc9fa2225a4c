/** Runs the shim's cutting and joining on bytes. */

import { TUN_DESC, TUN_STRIDE } from "../../src/ports/mod.ts";
import { memory, symbols } from "./support.ts";
import { emitVirtio, parseVirtio, type Written } from "./offload_reference.ts";

const EBADMSG = -74;
const PIECES_MAX = 64 * 1024;
const WHOLE_MAX = 65_610;
const OUT_LEN = 16 << 20;
const input = memory.alloc(WHOLE_MAX);
const descs = memory.alloc(PIECES_MAX * TUN_DESC.size);
const block = memory.alloc(OUT_LEN);

/** The packets that reading `written` from the device gives; undefined: none, it makes no sense. */
export function shimSplit({ header, packet }: Written): Uint8Array[] | undefined {
  const max = Math.floor(OUT_LEN / TUN_STRIDE);
  memory.u8.set(emitVirtio(header), input);
  memory.u8.set(packet, input + 10);
  memory.u8.fill(0xa5, block, block + 4 * TUN_STRIDE);
  const count = symbols.i405_tun_split(input, 10 + packet.length, block, descs, max);
  if (count === EBADMSG) return undefined;
  if (count < 0) throw new Error(`i405_tun_split: ${count}`);
  return Array.from({ length: count }, (_, i) => {
    const desc = (descs + i * TUN_DESC.size) >>> 2;
    return memory.u8.slice(memory.u32[desc], memory.u32[desc] + memory.u32[desc + 1]);
  });
}

/** What writing `packets` as one batch gives to the kernel. */
export function shimCoalesce(packets: readonly Uint8Array[], offloads = 15): Written[] {
  let at = block + (OUT_LEN >> 1);
  packets.forEach((packet, i) => {
    memory.u8.set(packet, at);
    memory.u32[(descs + i * TUN_DESC.size) >>> 2] = at;
    memory.u32[(descs + i * TUN_DESC.size + TUN_DESC.len) >>> 2] = packet.length;
    at += packet.length;
  });
  const used = symbols.i405_tun_coalesce(descs, packets.length, offloads, block, OUT_LEN >> 1);
  if (used < 0) throw new Error(`i405_tun_coalesce: ${used}`);
  const written: Written[] = [];
  const view = new DataView(memory.u8.buffer, memory.u8.byteOffset);
  for (let off = block; off < block + used;) {
    const len = view.getUint32(off, true);
    const bytes = memory.u8.slice(off + 4, off + 4 + len);
    written.push({ header: parseVirtio(bytes), packet: bytes.subarray(10) });
    off += 4 + len;
  }
  return written;
}
