/** The outside world as interfaces. The core takes these, never a socket, a clock or a random source of its own;
 * `ffi/` implements them over the shim, `src/record/plain_protection.ts` and the simulator in TypeScript. */

import type { StreamMode } from "./layout.ts";

export * from "./address.ts";
export * from "./layout.ts";
export * from "./streams.ts";

/** One block of memory and four views on it, made once. Offsets are bytes; offset 0 means "none". */
export interface Memory {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  /** A zeroed block aligned to 64 bytes. Throws RangeError when there is no room. */
  alloc(len: number): number;
  /** Wipes and returns a block; `len` as it was asked for. */
  free(off: number, len: number): void;
}

/** Nanoseconds since the process's base; never goes back. */
export interface Clock {
  nowNs(): number;
  /** Unix time in ns of nowNs() = 0, as of now; exact to 256 ns. */
  wallBaseNs(): number;
}

/** Cryptographically strong random bytes. */
export interface Entropy {
  fill(out: Uint8Array): void;
}

/** AEAD and record number encryption over descriptors (RECORD in layout.ts) in a Memory. */
export interface RecordProtection {
  /** Makes a key of the KEY_MATERIAL at `materialOff` and wipes that. Throws RangeError for an unknown suite. */
  newKey(materialOff: number): number;
  freeKey(key: number): void;
  /** Record number encryption, its own inverse, in place (RFC 9147 §4.2.3). */
  unmaskBatch(records: number, count: number): void;
  /** Opens to `dst`; `result` is the plaintext's length, content type byte included, or negative. Returns how many opened. */
  openBatch(records: number, count: number): number;
  /** Seals the plaintext at `dst` behind the header at `src`, then encrypts the number. */
  sealBatch(records: number, count: number): void;
}

export interface RingConfig {
  readonly fd: number;
  readonly datagramLen: number;
  readonly hdrLen: number;
  readonly seqOff: number;
  readonly seqLen: number;
  readonly burst: number;
  readonly bufCount: number;
  readonly timesCount: number;
  readonly traceCount: number;
  readonly intervalNs: number;
  readonly to: EndpointAddress;
  readonly from?: EndpointAddress;
  /** One TLS record of implicit number a slot over TCP: `fd` is -1, `to` without bytes, `seqLen` 0, `burst` 1. */
  readonly stream?: boolean;
  readonly stamps?: Stamps;
}

/** What the pacer writes at freeze into its copy of each counted plaintext, and of chaff: big-endian numbers of 64 bits. */
export interface Stamps {
  /** Offset of a count that goes up by one with each; more than 0. */
  readonly countOff: number;
  /** Offset of the slot's planned time, as wall-clock ns; 0: none. */
  readonly timeOff: number;
  /** What makes a time of the process's clock a wall-clock one. */
  readonly wallBaseNs: number;
}

/** Where numbers of a new key begin. */
export interface Numbering {
  /** The first record's number; those before have been used by another key object of the same secret. */
  readonly first: number;
  /** The first count of Stamps; absent: it goes on. */
  readonly firstCount?: number;
}

/** An IP address in network order (4 or 16 bytes), a port, and for link-local IPv6 a scope id. */
export interface EndpointAddress {
  readonly ip: Uint8Array;
  readonly port: number;
  readonly scope?: number;
}

/** Where slots with credit go, and the plaintext (plaintextLen bytes at this offset, copied) that their first record
 * carries; it takes nothing of the ring's buffers. */
export interface Aside {
  readonly fd: number;
  readonly to: EndpointAddress;
  readonly from?: EndpointAddress;
  readonly plaintext: number;
}

/** The pacer: alone decides when a slot leaves, seals it at freeze. Rings are RING structs in Memory. */
export interface Pacer {
  /** Returns the ring's offset. The chaff plaintext is zeros but for its last byte, 23 (application_data). */
  newRing(config: RingConfig): number;
  /** Publishes `count` slot times already written into the ring's times array. */
  ringTimes(ring: number, count: number): void;
  /** From slot `firstSlot` on: seal with `key` and the header template at `hdr` (copied), numbers from 0 unless
   * `numbering` says otherwise. */
  ringKeys(ring: number, key: number, hdr: number, firstSlot: number, numbering?: Numbering): void;
  ringDest(ring: number, fd: number, to: EndpointAddress, from?: EndpointAddress): void;
  /** From slot `firstSlot` on: to `to` from `fd`, with the header template at `hdr` (copied), under the same key. One such
   * change, or change of keys, may be pending. */
  ringMove(ring: number, fd: number, to: EndpointAddress, hdr: number, firstSlot: number): void;
  /** From now on each slot for which there is credit (burst × datagramLen bytes, which it uses up) goes aside; undefined:
   * none does. A new aside has no credit. */
  ringAside(ring: number, aside: Aside | undefined): void;
  ringCredit(ring: number, bytes: number): void;
  ringStart(ring: number): void;
  ringFree(ring: number): void;
}

/** A pacer that has stream rings too. */
export interface StreamPacer extends Pacer {
  /** From the next slot on: connection `fd` under `key`, header template at `hdr`, numbers from 0; `fd` -1
   * takes the connection away. True if that replaced a link that the pacer never reached: its key may be freed. */
  ringLink(ring: number, fd: number, key: number, hdr: number): boolean;
  /** Record `number`, or the next one if that is gone by, carries the ring's KeyUpdate; then `key`. */
  ringUpdate(ring: number, key: number, number: number): void;
}

/** What the kernel knows of a TCP connection: TCP_STATE as numbers. */
export interface TcpState {
  /** Bytes of a segment's payload. */
  readonly mss: number;
  readonly hasTimestamps: boolean;
  readonly hasSack: boolean;
  readonly rttNs: number;
  readonly retransmits: number;
}

/** TCP connections of the data Worker. What comes is told by PacketIo.poll() as RX with RX_FLAG.stream. A connection is known
 * by its fd; its id is what RX.peer tells. */
export interface StreamIo {
  /** Begins to connect; add it in mode "connecting". A negative errno if that fails at once. */
  connect(to: EndpointAddress): number;
  /** The next connection that waits at `listener`, to be added; undefined when there is none. */
  accept(listener: number): { readonly fd: number; readonly from: EndpointAddress } | undefined;
  /** False: too many connections, or no memory for one more. */
  add(fd: number, id: number, mode: StreamMode): boolean;
  mode(fd: number, mode: StreamMode): void;
  remove(fd: number): void;
  /** Sends handshake bytes at once; false if the kernel did not take them all. */
  send(fd: number, bytes: Uint8Array): boolean;
  /** Undefined when the connection is gone. */
  state(fd: number): TcpState | undefined;
  /** False while a ring still has it. */
  close(fd: number): boolean;
}

/** The data Worker's way to the network and the TUN device: one IO struct, one blocking call. */
export interface PacketIo {
  /** Offset of the IO struct; its descriptor arrays are set up. */
  readonly io: number;
  /** Reads, or waits until `timeoutNs` (in the struct) and reads. Returns the count of what came. */
  poll(): number;
  /** Writes packets described by TUN_DESC at `descs`; returns how many the kernel took. */
  tunWriteBatch(descs: number, count: number): number;
  /** Sends one datagram at once. Returns its length or a negative errno. */
  udpSend(fd: number, off: number, len: number, to: EndpointAddress, from?: EndpointAddress): number;
  /** Datagrams that came and found the sockets' buffers full, since they were opened. */
  socketDrops(): number;
  /** Binds datagrams from `address` to `peer` in RX.peer; a negative peer removes. */
  setPeer(address: EndpointAddress, peer: number): void;
  /** The same for records with this connection id, of 8 bytes: RX_FLAG.byId is set for them. */
  setPeerOfId(id: Uint8Array, peer: number): void;
}
