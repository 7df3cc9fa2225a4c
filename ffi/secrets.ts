/** Memory for secrets, and the way of a file into it that no copy in the engine's own memory is made of. */

import type { SecretFile, SecretMemory } from "../src/base/mod.ts";
import type { Memory } from "../src/ports/mod.ts";
import { FILE_INFO } from "../src/ports/mod.ts";
import { errnoName } from "./errors.ts";
import { writeText } from "./memory.ts";
import type { Symbols } from "./symbols.ts";

const PATH_CAP = 4096;

/** Blocks of the arena: locked, left out of core dumps, empty in a forked child. */
export function lockedSecrets(symbols: Symbols, memory: Memory): SecretMemory {
  return {
    take(len: number): Uint8Array {
      const at = memory.alloc(len);
      return memory.u8.subarray(at, at + len);
    },
    give: (block: Uint8Array) => memory.free(block.byteOffset, block.length),
    readFile: (path: string, block: Uint8Array) => readSecret(symbols, memory, path, block),
  };
}

function readSecret(symbols: Symbols, memory: Memory, path: string, block: Uint8Array): SecretFile {
  const at = memory.alloc(PATH_CAP + FILE_INFO.size);
  const info = at + PATH_CAP;
  try {
    writeText(memory, at, path, PATH_CAP);
    const len = symbols.i405_read_secret(at, block.byteOffset, block.length, info);
    if (len < 0) throw Object.assign(new Error(errnoName(-len)), { code: errnoName(-len) });
    const word = (field: number) => memory.u32[(info + field) >>> 2];
    return {
      isFile: word(FILE_INFO.regular) === 1,
      mode: word(FILE_INFO.mode),
      uid: word(FILE_INFO.uid),
      len,
    };
  } finally {
    memory.free(at, PATH_CAP + FILE_INFO.size);
  }
}
