/** Which peer an outer address belongs to. Two peers may hold one address for a while (a client is gone, and another
 * one has its port now): the newer one gets what comes from there, and when it leaves, the older one again. */

import type { EndpointAddress, PacketIo } from "../ports/mod.ts";

/** Text that is the same for the same address and port. */
export function addressKey(address: EndpointAddress): string {
  return `${address.ip.join(".")}:${address.port}%${address.scope ?? 0}`;
}

/** The table of a PacketIo with an owner for each entry: nobody removes another one's. */
export class AddressTable {
  readonly #io: PacketIo;
  /** Peers that hold an address, the newest last. */
  readonly #holders = new Map<string, number[]>();

  constructor(io: PacketIo) {
    this.#io = io;
  }

  /** Addresses in the table. */
  get size(): number {
    return this.#holders.size;
  }

  bind(address: EndpointAddress, peer: number): void {
    const key = addressKey(address);
    const others = (this.#holders.get(key) ?? []).filter((holder) => holder !== peer);
    this.#holders.set(key, [...others, peer]);
    this.#io.setPeer(address, peer);
  }

  /** Does nothing when `peer` does not hold the address. */
  unbind(address: EndpointAddress, peer: number): void {
    const key = addressKey(address);
    const holders = this.#holders.get(key);
    if (holders === undefined || !holders.includes(peer)) return;
    const others = holders.filter((holder) => holder !== peer);
    if (others.length === 0) this.#holders.delete(key);
    else this.#holders.set(key, others);
    this.#io.setPeer(address, others.at(-1) ?? -1);
  }
}
