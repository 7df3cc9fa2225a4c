/** TCP in simulated time: byte streams that lose nothing, with a delay, that can stall and be reset; and the data Worker's
 * ports upon them. What an observer sees of each write is in `trace`. */

import type {
  EndpointAddress,
  Memory,
  PacketIo,
  StreamIo,
  StreamMode,
  TcpState,
} from "../../src/ports/mod.ts";
import { IO, RX, RX_FLAG, STREAM_EVENT } from "../../src/ports/mod.ts";
import type { VirtualTime } from "./virtual_time.ts";

const RX_CAP = 32;
const RECORD_MAX_LEN = 2048;
export const MSS = 1448;

/** One write as it went over the wire. */
export interface TracedWrite {
  readonly timeNs: number;
  readonly side: number;
  readonly len: number;
}

/** One end of one connection. */
class Socket {
  other: Socket | undefined;
  received: number[] = [];
  mode: StreamMode = "paused";
  id = -1;
  isOver = false;
  isTold = false;
  connectedNs = 0;

  constructor(readonly fd: number, readonly side: TcpSide) {}

  /** A whole record, and somebody who reads it. */
  get hasRecord(): boolean {
    const { received, mode } = this;
    return (mode === "step" || mode === "flow") && received.length >= 5 &&
      received.length >= 5 + (received[3] << 8 | received[4]);
  }
}

export class TcpNet {
  readonly trace: TracedWrite[] = [];
  /** Until then nothing leaves: sockets are full. */
  stalledUntilNs = 0;
  /** As each connection is told, whatever it sends. */
  mss = MSS;
  listener: TcpSide | undefined;
  readonly #delayNs: number;
  readonly #sockets = new Map<number, Socket>();
  #fds = 10;

  constructor(readonly time: VirtualTime, delayNs: number) {
    this.#delayNs = delayNs;
  }

  open(side: TcpSide): Socket {
    const socket = new Socket(this.#fds++, side);
    this.#sockets.set(socket.fd, socket);
    return socket;
  }

  connect(from: Socket): void {
    const server = this.listener;
    this.time.after(2 * this.#delayNs, () => {
      if (server === undefined || this.listener !== server) from.isOver = true;
      else {
        const to = this.open(server);
        to.other = from;
        from.other = to;
        server.waiting.push(to);
        server.wake();
      }
      from.connectedNs = this.time.nowNs();
      from.side.wake();
    });
  }

  room(fd: number): boolean {
    return this.time.nowNs() >= this.stalledUntilNs && this.#sockets.get(fd)?.isOver === false;
  }

  write(fd: number, bytes: Uint8Array): boolean {
    const socket = this.#sockets.get(fd);
    if (socket === undefined || socket.isOver) return false;
    this.trace.push({ timeNs: this.time.nowNs(), side: socket.side.index, len: bytes.length });
    const copy = [...bytes];
    const arrivesNs = Math.max(this.time.nowNs(), this.stalledUntilNs) + this.#delayNs;
    this.time.at(arrivesNs, () => {
      socket.other?.received.push(...copy);
      socket.other?.side.wake();
    });
    return true;
  }

  /** Ends every connection, as a reset does. */
  resetAll(): void {
    for (const socket of this.#sockets.values()) {
      socket.isOver = true;
      socket.side.wake();
    }
  }

  close(fd: number): void {
    const socket = this.#sockets.get(fd);
    if (socket === undefined) return;
    this.#sockets.delete(fd);
    const { other } = socket;
    socket.isOver = true;
    if (other !== undefined) {
      this.time.after(this.#delayNs, () => {
        other.isOver = true;
        other.side.wake();
      });
    }
  }

  get(fd: number): Socket | undefined {
    return this.#sockets.get(fd);
  }
}

/** A machine's TCP as its data Worker has it: both ports. */
export class TcpSide implements StreamIo, PacketIo {
  readonly io: number;
  readonly waiting: Socket[] = [];
  /** Has the Worker turn. */
  wake: () => void = () => {};
  readonly #memory: Memory;
  readonly #net: TcpNet;
  readonly #added = new Set<Socket>();
  readonly #bufs: number;
  #listener = -1;
  #listenerId = -1;

  constructor(memory: Memory, net: TcpNet, readonly index: number) {
    this.#memory = memory;
    this.#net = net;
    this.io = memory.alloc(IO.size);
    memory.u32[(this.io + IO.rxMax) >> 2] = memory.u32[(this.io + IO.rxCap) >> 2] = RX_CAP;
    memory.u32[(this.io + IO.rxDescs) >> 2] = memory.alloc(RX_CAP * RX.size);
    this.#bufs = memory.alloc(RX_CAP * RECORD_MAX_LEN);
  }

  get timeoutNs(): number {
    return this.#memory.f64[(this.io + IO.timeoutNs) >> 3];
  }

  connect(_to: EndpointAddress): number {
    const socket = this.#net.open(this);
    this.#net.connect(socket);
    return socket.fd;
  }

  accept(_listener: number) {
    const socket = this.waiting.shift();
    if (socket === undefined) return undefined;
    return { fd: socket.fd, from: { ip: Uint8Array.of(192, 0, 2, 1), port: 1000 + socket.fd } };
  }

  add(fd: number, id: number, mode: StreamMode): boolean {
    if (mode === "listening") {
      this.#listener = fd;
      this.#listenerId = id;
      this.#net.listener = this;
      return true;
    }
    const socket = this.#net.get(fd)!;
    socket.id = id;
    socket.mode = mode;
    this.#added.add(socket);
    return true;
  }

  mode(fd: number, mode: StreamMode): void {
    this.#net.get(fd)!.mode = mode;
    this.wake();
  }

  remove(fd: number): void {
    if (fd === this.#listener) this.#net.listener = undefined;
    const socket = this.#net.get(fd);
    if (socket !== undefined) this.#added.delete(socket);
  }

  send(fd: number, bytes: Uint8Array): boolean {
    return this.#net.write(fd, bytes);
  }

  state(fd: number): TcpState | undefined {
    const isThere = this.#net.get(fd)?.isOver === false;
    return isThere
      ? { mss: this.#net.mss, hasTimestamps: true, hasSack: true, rttNs: 0, retransmits: 0 }
      : undefined;
  }

  close(fd: number): boolean {
    this.#net.close(fd);
    return true;
  }

  poll(): number {
    const { f64, u32 } = this.#memory;
    f64[(this.io + IO.nowNs) >> 3] = this.#net.time.nowNs();
    u32[(this.io + IO.rxCount) >> 2] = 0;
    if (this.waiting.length > 0) this.#tell(this.#listenerId, STREAM_EVENT.accept, new Uint8Array(0), 0);
    for (const socket of this.#added) this.#read(socket);
    return u32[(this.io + IO.rxCount) >> 2];
  }

  #read(socket: Socket): void {
    if (socket.mode === "connecting") {
      if (socket.connectedNs === 0) return;
      socket.mode = "paused";
      if (!socket.isOver) this.#tell(socket.id, STREAM_EVENT.connected, new Uint8Array(0), 0);
    }
    while (socket.hasRecord && this.#memory.u32[(this.io + IO.rxCount) >> 2] < RX_CAP - 2) {
      const { received } = socket;
      const len = 5 + (received[3] << 8 | received[4]);
      this.#tell(socket.id, STREAM_EVENT.record, Uint8Array.from(received.splice(0, len)), len);
      if (socket.mode === "step") socket.mode = "paused";
    }
    if (socket.hasRecord) return this.wake(); // the next call has room again
    if (!socket.isOver || socket.isTold) return;
    socket.isTold = true;
    this.#tell(socket.id, STREAM_EVENT.ended, new Uint8Array(0), 104);
  }

  #tell(id: number, event: number, bytes: Uint8Array, len: number): void {
    const { u8, u32, i32 } = this.#memory;
    const index = u32[(this.io + IO.rxCount) >> 2]++;
    const rx = u32[(this.io + IO.rxDescs) >> 2] + index * RX.size;
    const off = this.#bufs + index * RECORD_MAX_LEN;
    u8.set(bytes, off);
    u32[(rx + RX.off) >> 2] = off;
    u32[(rx + RX.len) >> 2] = len;
    i32[(rx + RX.peer) >> 2] = id;
    u32[(rx + RX.flags) >> 2] = RX_FLAG.stream | event << RX_FLAG.eventShift;
  }

  // What TCP mode never asks for.
  tunWriteBatch(): number {
    return 0;
  }
  udpSend(): number {
    return -1;
  }
  setPeer(): void {}
  setPeerOfId(): void {}
  socketDrops(): number {
    return 0;
  }
}
