/** The data Worker's PacketIo in simulated time: the same IO struct and descriptors as the shim's, fed from arrays.
 * `poll` never waits; the simulator turns the plane again when something comes or its time-out is over. */

import { toHex } from "../../src/base/mod.ts";
import type { EndpointAddress, Memory, PacketIo } from "../../src/ports/mod.ts";
import { IO, RX, RX_FLAG, RX_STRIDE, TUN_DESC, TUN_STRIDE, writeAddress } from "../../src/ports/mod.ts";
import { addressKey } from "../../src/tunnel/address_table.ts";

const RX_CAP = 32;
const TUN_CAP = 32;
/** As a TUN device's txqueuelen. */
const TUN_QUEUE_MAX = 500;

export interface SimDatagram {
  readonly bytes: Uint8Array;
  readonly from: EndpointAddress;
  readonly to: EndpointAddress;
}

export class SimIo implements PacketIo {
  readonly io: number;
  /** Inner packets that came out of the tunnel, in order. */
  readonly tunWritten: Uint8Array[] = [];
  /** Packets that the TUN queue dropped. */
  tunDropped = 0;
  readonly #memory: Memory;
  readonly #nowNs: () => number;
  readonly #send: (bytes: Uint8Array, to: EndpointAddress) => void;
  readonly #inbox: { readonly datagram: SimDatagram; readonly fd: number }[] = [];
  readonly #rxBufs: number;
  readonly #tun: Uint8Array[] = [];
  readonly #peers = new Map<string, number>();

  constructor(memory: Memory, nowNs: () => number, send: (bytes: Uint8Array, to: EndpointAddress) => void) {
    this.#memory = memory;
    this.#nowNs = nowNs;
    this.#send = send;
    this.io = memory.alloc(IO.size);
    const { u32, i32 } = memory;
    i32[(this.io + IO.udpFd0) >> 2] = 0;
    i32[(this.io + IO.udpFd1) >> 2] = -1;
    u32[(this.io + IO.rxMax) >> 2] = u32[(this.io + IO.rxCap) >> 2] = RX_CAP;
    u32[(this.io + IO.tunCap) >> 2] = TUN_CAP;
    u32[(this.io + IO.rxDescs) >> 2] = memory.alloc(RX_CAP * RX.size);
    this.#rxBufs = memory.alloc(RX_CAP * RX_STRIDE);
    u32[(this.io + IO.tunDescs) >> 2] = memory.alloc(TUN_CAP * TUN_DESC.size);
    u32[(this.io + IO.tunBufs) >> 2] = memory.alloc(TUN_CAP * TUN_STRIDE);
  }

  /** ECN in the IP header that a datagram comes in. */
  ecnOf: (bytes: Uint8Array) => number = () => 0;

  deliver(datagram: SimDatagram, fd = 0): void {
    this.#inbox.push({ datagram, fd });
  }

  /** A packet from the host's IP stack. */
  tunSubmit(packet: Uint8Array): void {
    if (this.#tun.length < TUN_QUEUE_MAX) this.#tun.push(packet);
    else this.tunDropped++;
  }

  /** Something that the plane would be woken for. */
  get readable(): boolean {
    return this.#inbox.length > 0 || (this.#tun.length > 0 && this.#tunMax > 0);
  }

  get timeoutNs(): number {
    return this.#memory.f64[(this.io + IO.timeoutNs) >> 3];
  }

  get #tunMax(): number {
    return this.#memory.u32[(this.io + IO.tunMax) >> 2];
  }

  poll(): number {
    const { u8, u32, i32, f64 } = this.#memory;
    f64[(this.io + IO.nowNs) >> 3] = this.#nowNs();
    const fds = [i32[(this.io + IO.udpFd0) >> 2], i32[(this.io + IO.udpFd1) >> 2]];
    const datagrams = this.#inbox.splice(0, RX_CAP).filter(({ fd }) => fds.includes(fd));
    datagrams.forEach(({ datagram: { bytes, from, to }, fd }, i) => {
      const rx = u32[(this.io + IO.rxDescs) >> 2] + i * RX.size;
      const off = this.#rxBufs + i * RX_STRIDE;
      u8.set(bytes, off);
      u32[(rx + RX.off) >> 2] = off;
      u32[(rx + RX.len) >> 2] = bytes.length;
      const id = (bytes[0] & 0xf0) === 0x30 ? toHex(bytes.subarray(1, 9)) : undefined;
      const peer = this.#peers.get(id ?? addressKey(from)) ?? -1;
      i32[(rx + RX.peer) >> 2] = peer;
      const isById = id !== undefined && peer >= 0;
      u32[(rx + RX.flags) >> 2] = (isById ? RX_FLAG.byId : 0) |
        this.ecnOf(bytes) << RX_FLAG.ecnShift | fds.indexOf(fd) << RX_FLAG.fdShift;
      writeAddress(this.#memory, rx + RX.from, from);
      writeAddress(this.#memory, rx + RX.to, to);
      f64[(rx + RX.timeNs) >> 3] = this.#nowNs();
    });
    const packets = this.#tun.splice(0, Math.min(this.#tunMax, TUN_CAP));
    packets.forEach((packet, i) => {
      const desc = u32[(this.io + IO.tunDescs) >> 2] + i * TUN_DESC.size;
      const off = u32[(this.io + IO.tunBufs) >> 2] + i * TUN_STRIDE;
      u8.set(packet, off);
      u32[(desc + TUN_DESC.off) >> 2] = off;
      u32[(desc + TUN_DESC.len) >> 2] = packet.length;
    });
    u32[(this.io + IO.rxCount) >> 2] = datagrams.length;
    u32[(this.io + IO.tunCount) >> 2] = packets.length;
    return datagrams.length + packets.length;
  }

  tunWriteBatch(descs: number, count: number): number {
    const { u8, u32 } = this.#memory;
    for (let i = 0; i < count; i++) {
      const off = u32[(descs + i * TUN_DESC.size + TUN_DESC.off) >> 2];
      const len = u32[(descs + i * TUN_DESC.size + TUN_DESC.len) >> 2];
      this.tunWritten.push(u8.slice(off, off + len));
    }
    return count;
  }

  udpSend(_fd: number, off: number, len: number, to: EndpointAddress): number {
    this.#send(this.#memory.u8.slice(off, off + len), to);
    return len;
  }

  socketDrops(): number {
    return 0; // the inbox has no end
  }

  setPeer(address: EndpointAddress, peer: number): void {
    if (peer < 0) this.#peers.delete(addressKey(address));
    else this.#peers.set(addressKey(address), peer);
  }

  /** Connection ids that lead to somebody. */
  get idCount(): number {
    return [...this.#peers.keys()].filter((key) => /^[0-9a-f]{16}$/.test(key)).length;
  }

  setPeerOfId(id: Uint8Array, peer: number): void {
    if (peer < 0) this.#peers.delete(toHex(id));
    else this.#peers.set(toHex(id), peer);
  }
}
