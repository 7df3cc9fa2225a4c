/** StreamIo over the shim's TCP sockets and its one set of streams. */

import type { EndpointAddress, Memory, StreamIo, StreamMode, TcpState } from "../src/ports/mod.ts";
import { ADDR, STREAM_MODE, TCP_STATE } from "../src/ports/mod.ts";
import { checked } from "./errors.ts";
import { readAddress, writeAddress } from "../src/ports/mod.ts";
import type { Symbols } from "./symbols.ts";

/** Longer handshake messages than this are not sent: none is. */
const SEND_MAX_LEN = 8192;
const EBUSY = 16;

export interface ShimStreamIo extends StreamIo {
  /** For PacketIoConfig. */
  readonly epollFd: number;
}

/** Of the thread that polls. */
export function openStreamIo(symbols: Symbols, memory: Memory): ShimStreamIo {
  const epollFd = checked("open a set of streams", symbols.i405_streams_open());
  const [first, second, scratch] = [ADDR.size, ADDR.size, SEND_MAX_LEN].map((len) => memory.alloc(len));
  return {
    epollFd,
    connect(to: EndpointAddress): number {
      writeAddress(memory, first, to);
      return symbols.i405_tcp_connect(first);
    },
    accept(listener: number) {
      const fd = symbols.i405_tcp_accept(listener, first, second);
      return fd < 0 ? undefined : { fd, from: readAddress(memory, first)! };
    },
    add: (fd: number, id: number, mode: StreamMode) =>
      symbols.i405_stream_add(fd, id, STREAM_MODE[mode]) === 0,
    mode: (fd: number, mode: StreamMode) =>
      void checked(`read stream ${fd}`, symbols.i405_stream_mode(fd, STREAM_MODE[mode])),
    remove: (fd: number) => void checked(`forget stream ${fd}`, symbols.i405_stream_remove(fd)),
    send(fd: number, bytes: Uint8Array): boolean {
      if (bytes.length > SEND_MAX_LEN) return false;
      memory.u8.set(bytes, scratch);
      return symbols.i405_tcp_send(fd, scratch, bytes.length) === bytes.length;
    },
    state: (fd: number) => readState(symbols, memory, scratch, fd),
    close: (fd: number) => symbols.i405_close(fd) !== -EBUSY,
  };
}

function readState(symbols: Symbols, memory: Memory, at: number, fd: number): TcpState | undefined {
  if (symbols.i405_tcp_state(fd, at) !== 0) return undefined;
  const u32 = (field: number) => memory.u32[(at + field) >>> 2];
  return {
    mss: u32(TCP_STATE.mss),
    hasTimestamps: u32(TCP_STATE.timestamps) === 1,
    hasSack: u32(TCP_STATE.sack) === 1,
    rttNs: u32(TCP_STATE.rttUs) * 1e3,
    retransmits: u32(TCP_STATE.retransmits),
  };
}
