/** PacketIo over the shim: one IO struct with its arrays, one blocking call. */

import type { EndpointAddress, Memory, PacketIo } from "../src/ports/mod.ts";
import {
  ADDR,
  ADDR_FAMILY_ID,
  IO,
  RECEIVE_LEN,
  RX,
  TUN_DESC,
  TUN_SPLIT_LEN,
  TUN_STRIDE,
} from "../src/ports/mod.ts";
import { checked } from "./errors.ts";
import { writeAddress } from "../src/ports/mod.ts";
import type { Symbols } from "./symbols.ts";

/** Descriptors of files; `udpFds` one or two. `rxCap`, `tunCap`: most datagrams and TUN packets a call brings. */
export interface PacketIoConfig {
  readonly udpFds: readonly number[];
  readonly tunFd?: number;
  /** TUN_OFFLOAD bits that the device was opened with. */
  readonly tunOffloads?: number;
  readonly eventFd?: number;
  /** Of Shim.streams(): polls its connections as well. */
  readonly epollFd?: number;
  readonly rxCap: number;
  readonly tunCap: number;
}

export interface ShimPacketIo extends PacketIo {
  /** Gives the struct and its arrays back; the files stay open. */
  free(): void;
}

/** Writes the struct: it waits for ever (timeoutNs = -1) and takes rxCap and tunCap until the caller sets others. */
export function openPacketIo(symbols: Symbols, memory: Memory, config: PacketIoConfig): ShimPacketIo {
  const { u32, i32, f64 } = memory;
  if (config.udpFds.length > 2) throw new RangeError("PacketIo takes two UDP sockets at most");
  const lens = [
    IO.size,
    Math.max(config.rxCap, 1) * RX.size,
    Math.max(config.tunCap, 1) * TUN_DESC.size,
    Math.max(config.tunCap, 1) * TUN_STRIDE,
    ADDR.size,
    ADDR.size,
    (config.tunOffloads ?? 0) === 0 ? 1 : TUN_SPLIT_LEN,
    config.udpFds.length === 0 ? 1 : RECEIVE_LEN,
  ];
  const [io, rxDescs, tunDescs, tunBufs, to, from, whole, received] = lens.map((len) => memory.alloc(len));
  i32[(io + IO.udpFd0) >>> 2] = config.udpFds[0] ?? -1;
  i32[(io + IO.udpFd1) >>> 2] = config.udpFds[1] ?? -1;
  i32[(io + IO.tunFd) >>> 2] = config.tunFd ?? -1;
  i32[(io + IO.eventFd) >>> 2] = config.eventFd ?? -1;
  i32[(io + IO.epollFd) >>> 2] = config.epollFd ?? -1;
  u32[(io + IO.rxMax) >>> 2] = config.rxCap;
  u32[(io + IO.tunMax) >>> 2] = config.tunCap;
  u32[(io + IO.rxDescs) >>> 2] = rxDescs;
  u32[(io + IO.rxCap) >>> 2] = config.rxCap;
  u32[(io + IO.tunDescs) >>> 2] = tunDescs;
  u32[(io + IO.tunCap) >>> 2] = config.tunCap;
  u32[(io + IO.tunBufs) >>> 2] = tunBufs;
  u32[(io + IO.tunWhole) >>> 2] = (config.tunOffloads ?? 0) === 0 ? 0 : whole;
  u32[(io + IO.rxWhole) >>> 2] = config.udpFds.length === 0 ? 0 : received;
  f64[(io + IO.timeoutNs) >>> 3] = -1;
  return {
    io,
    poll(): number {
      return checked("poll", symbols.i405_io_poll(io));
    },
    tunWriteBatch(descs: number, count: number): number {
      return checked(
        "write to the TUN device",
        symbols.i405_tun_write_batch(config.tunFd ?? -1, descs, count, config.tunOffloads ?? 0),
      );
    },
    udpSend(
      fd: number,
      off: number,
      len: number,
      address: EndpointAddress,
      source?: EndpointAddress,
    ): number {
      writeAddress(memory, to, address);
      writeAddress(memory, from, source);
      return symbols.i405_udp_send(fd, off, len, to, source === undefined ? 0 : from);
    },
    socketDrops(): number {
      let drops = 0;
      for (const fd of config.udpFds) drops += Math.max(0, symbols.i405_udp_drops(fd));
      return drops;
    },
    setPeer(address: EndpointAddress, peer: number): void {
      writeAddress(memory, to, address);
      checked("bind an address to a peer", symbols.i405_peer_set(to, peer));
    },
    setPeerOfId(id: Uint8Array, peer: number): void {
      memory.u8.fill(0, to, to + ADDR.size);
      memory.u8[to + ADDR.family] = ADDR_FAMILY_ID;
      memory.u8.set(id, to + ADDR.ip);
      checked("bind a connection id to a peer", symbols.i405_peer_set(to, peer));
    },
    free(): void {
      [io, rxDescs, tunDescs, tunBufs, to, from, whole, received].forEach((off, index) =>
        memory.free(off, lens[index])
      );
    },
  };
}
