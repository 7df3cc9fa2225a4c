/** The arena as Memory, and small things written into it. */

import type { Memory } from "../src/ports/mod.ts";
import { checked } from "./errors.ts";
import type { Symbols } from "./symbols.ts";

/** Default of the address space that is set aside; pages are used, and locked, as blocks are handed out. */
export const ARENA_LEN = 256 * 2 ** 20;

/** Maps the process's arena, or joins the one that another thread has mapped. Throws ShimError. */
export function openMemory(symbols: Symbols, arenaLen: number): Memory {
  checked("map the arena", symbols.i405_open(arenaLen));
  const base = symbols.i405_base();
  if (base === null) throw new Error("Defect: the arena has no address");
  const bytes = Deno.UnsafePointerView.getArrayBuffer(base, symbols.i405_arena_len());
  return {
    u8: new Uint8Array(bytes),
    i32: new Int32Array(bytes),
    u32: new Uint32Array(bytes),
    f64: new Float64Array(bytes),
    alloc(len: number): number {
      const off = symbols.i405_alloc(len);
      if (off === 0) throw new RangeError(`Cannot allocate ${len} bytes in the arena`);
      return off;
    },
    free(off: number, len: number): void {
      checked(`free ${len} bytes at ${off}`, symbols.i405_free(off, len));
    },
  };
}

/** Writes `text` with a NUL at `at`. Throws RangeError when it does not fit `cap` or contains a NUL. */
export function writeText(memory: Memory, at: number, text: string, cap: number): void {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length >= cap || bytes.includes(0)) {
    throw new RangeError(`Text does not fit ${cap - 1} bytes: "${text}"`);
  }
  memory.u8.set(bytes, at);
  memory.u8[at + bytes.length] = 0;
}

/** The text before the first NUL of `cap` bytes at `at`. */
export function readText(memory: Memory, at: number, cap: number): string {
  const bytes = memory.u8.slice(at, at + cap);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
