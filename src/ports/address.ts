/** Addresses as the shim has them: struct i405_addr (ADDR). */

import { ADDR } from "./layout.ts";
import type { EndpointAddress, Memory } from "./mod.ts";

/** Writes `address` as struct i405_addr at `at` (ADDR.size bytes); `undefined` as family 0. Allocates nothing. */
export function writeAddress(memory: Memory, at: number, address: EndpointAddress | undefined): void {
  memory.u8.fill(0, at, at + ADDR.size);
  if (address === undefined) return;
  memory.u8[at + ADDR.family] = address.ip.length === 4 ? 4 : 6;
  memory.u8[at + ADDR.port] = address.port & 0xff;
  memory.u8[at + ADDR.port + 1] = address.port >>> 8;
  memory.u32[(at + ADDR.scope) >>> 2] = address.scope ?? 0;
  memory.u8.set(address.ip, at + ADDR.ip);
}

/** Reads struct i405_addr at `at`; `undefined` for family 0. `ip` is a copy. */
export function readAddress(memory: Memory, at: number): EndpointAddress | undefined {
  const family = memory.u8[at + ADDR.family];
  if (family !== 4 && family !== 6) return undefined;
  const ip = memory.u8.slice(at + ADDR.ip, at + ADDR.ip + (family === 4 ? 4 : 16));
  const port = memory.u8[at + ADDR.port] | (memory.u8[at + ADDR.port + 1] << 8);
  const scope = memory.u32[(at + ADDR.scope) >>> 2];
  return scope === 0 ? { ip, port } : { ip, port, scope };
}

/** Whether two of these structs say the same. Allocates nothing. */
export function equalAddresses(memory: Memory, a: number, b: number): boolean {
  const { u32 } = memory;
  for (let at = 0; at < ADDR.size; at += 4) {
    if (u32[(a + at) >>> 2] !== u32[(b + at) >>> 2]) return false;
  }
  return true;
}
