/** Names to addresses by the system's resolver. */

// Not "node:dns/promises", which prints a warning about a module of its own.
import { lookup } from "node:dns";
import { parseIp } from "../wire/ip_address.ts";

/** Addresses of 4 or 16 bytes in the system's order, maybe none. Rejects with an Error that has Node's `code`. */
export function addressesOf(name: string): Promise<Uint8Array[]> {
  return new Promise((resolve, reject) => {
    lookup(name, { all: true }, (error, found) => {
      if (error) reject(error);
      else resolve(found.map(({ address }) => parseIp(address)).filter((ip) => ip !== undefined));
    });
  });
}
