/** Blocks that are set aside at start for whoever needs one for a while: nobody else's wishes for memory can take them. When
 * all of a length are in use, others come from the memory itself. */

import type { Memory } from "../ports/mod.ts";

/** `memory` with `count` blocks of each of these lengths set aside. */
export function withReserved(memory: Memory, lens: readonly number[], count: number): Memory {
  const free = new Map(lens.map((len) => [len, Array.from({ length: count }, () => memory.alloc(len))]));
  const { u8, i32, u32, f64 } = memory;
  return {
    ...{ u8, i32, u32, f64 },
    alloc: (len) => free.get(len)?.pop() ?? memory.alloc(len),
    free(off, len) {
      const blocks = free.get(len);
      if (blocks === undefined || blocks.length >= count) return memory.free(off, len);
      u8.fill(0, off, off + len);
      blocks.push(off);
    },
  };
}
