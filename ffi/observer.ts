/** What passes an interface, seen by a packet socket with the kernel's time stamps. */

import type { Memory } from "../src/ports/mod.ts";
import { SEEN } from "../src/ports/mod.ts";
import { checked } from "./errors.ts";
import { writeText } from "./memory.ts";
import type { Symbols } from "./symbols.ts";

/** IFNAMSIZ, the terminating NUL included. */
export const INTERFACE_NAME_CAP = 16;

export interface Observer {
  /** Waits up to `timeoutMs` for the first frame; writes up to `max` (at most 64 a call) SEEN structs at `out`.
   * Returns how many. Throws ShimError when the interface is gone. */
  read(out: number, max: number, timeoutMs: number): number;
  close(): void;
}

/** Opens an observer of interface `name`. Throws ShimError: EPERM (needs CAP_NET_RAW), ENODEV. */
export function openObserver(
  symbols: Symbols,
  memory: Memory,
  name: string,
  incomingOnly: boolean,
): Observer {
  const text = memory.alloc(INTERFACE_NAME_CAP);
  try {
    writeText(memory, text, name, INTERFACE_NAME_CAP);
    const fd = checked(`observe interface ${name}`, symbols.i405_observe_open(text, incomingOnly ? 1 : 0));
    return {
      read(out: number, max: number, timeoutMs: number): number {
        return checked(`observe interface ${name}`, symbols.i405_observe_read(fd, out, max, timeoutMs));
      },
      close(): void {
        checked("close an observer", symbols.i405_close(fd));
      },
    };
  } finally {
    memory.free(text, INTERFACE_NAME_CAP);
  }
}

/** Bytes that `max` frames need at `out`. */
export function seenLen(max: number): number {
  return max * SEEN.size;
}
