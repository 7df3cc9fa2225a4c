/** The shim as the core's ports. The only folder that calls Deno.dlopen; nothing is opened at import. */

import { randomFillSync } from "node:crypto";
import type { SecretMemory } from "../src/base/mod.ts";
import type { Clock, EndpointAddress, Entropy, Memory, RecordProtection } from "../src/ports/mod.ts";
import { ADDR, readAddress, writeAddress } from "../src/ports/mod.ts";
import { checked } from "./errors.ts";
import { ARENA_LEN, openMemory, readText, writeText } from "./memory.ts";
import { INTERFACE_NAME_CAP, type Observer, openObserver } from "./observer.ts";
import { openPacer, type ShimPacer } from "./pacer.ts";
import { openPacketIo, type PacketIoConfig, type ShimPacketIo } from "./packet_io.ts";
import { openProtection } from "./protection.ts";
import { openStreamIo, type ShimStreamIo } from "./stream_io.ts";
import { lockedSecrets } from "./secrets.ts";
import { SYMBOLS, type Symbols } from "./symbols.ts";

export { errnoName, ShimError } from "./errors.ts";
export { histogramBucket, histogramBucketNs, histogramQuantile } from "./histogram.ts";
export { shimPath } from "./locate.ts";
export { type Observer, seenLen } from "./observer.ts";
export type { PacerConfig, PacerState, ShimPacer } from "./pacer.ts";
export type { PacketIoConfig, ShimPacketIo } from "./packet_io.ts";
export type { ShimStreamIo } from "./stream_io.ts";

const PATH_CAP = 4096;
const FILE_CAP = 2 ** 16;
const FILE_MISSING = new Set([2, 13, 20]); // ENOENT, EACCES, ENOTDIR

/** Everything native, of one thread. Threads of a process that open the same library share arena, keys, pacer and
 * files, not this object. Methods throw ShimError (errno, errnoName) for what the machine refuses. */
export interface Shim {
  readonly memory: Memory;
  /** Blocks of `memory`: locked, left out of core dumps, empty in a forked child. */
  readonly secrets: SecretMemory;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly protection: RecordProtection;
  readonly pacer: ShimPacer;
  newIo(config: PacketIoConfig): ShimPacketIo;
  /** The process's set of TCP connections, for the one thread that polls them. */
  streams(): ShimStreamIo;
  /** Resets a TCP connection of Deno's, which is still to be closed. False when there is none between these. */
  socketAbort(local: EndpointAddress, remote: EndpointAddress): boolean;
  /** A listening TCP socket; port 0 takes any. `address` is the one really bound. */
  tcpListen(address: EndpointAddress): { readonly fd: number; readonly address: EndpointAddress };
  /** A bound, unconnected, non-blocking UDP socket; port 0 takes any. `address` is the one really bound. */
  udpOpen(
    address: EndpointAddress,
    ecn?: boolean,
  ): { readonly fd: number; readonly address: EndpointAddress };
  /** Opens or attaches to a TUN device; the kernel completes a `name` like "i405%d". */
  tunOpen(
    name: string,
    options?: { readonly persist?: boolean },
  ): { readonly fd: number; readonly name: string };
  /** Has the stack hand over and take many packets in one piece, as far as the kernel can: the TUN_OFFLOAD bits that
   * PacketIoConfig.tunOffloads of every reader must be. */
  tunOffload(fd: number): number;
  /** Makes the device outlast its file, or not; `owner` is a user id that may attach to it. */
  tunPersist(fd: number, on: boolean, owner?: number): void;
  /** EBUSY while a ring sends on `fd`. */
  close(fd: number): void;
  eventOpen(): number;
  eventSignal(fd: number): void;
  /** The first 64 KiB of a text file, also in /proc and /sys; `undefined` when there is none to read. */
  readFile(path: string): string | undefined;
  /** Writes a small text to a file of /proc or /sys; false when the machine refused. */
  writeFile(path: string, text: string): boolean;
  /** Where a symbolic link points; `undefined` when there is none. */
  readLink(path: string): string | undefined;
  /** Sets the calling thread's nice value, its timer slack to 1 ns and its CPUs to all but `cpuNot`. Returns false
   * when the machine refused part of it. */
  threadSetup(nice: number, cpuNot?: number): boolean;
  setDumpable(on: boolean): void;
  /** Keeps all CPUs out of idle states that take time to leave, until the process ends; false when it may not. */
  holdLatency(): boolean;
  /** Has every UDP socket that is opened from now on ask the kernel when its slots' packets left; whoever polls takes
   * the answers in. Returns the offset of the STAMPS struct, the same one each time. */
  stampTransmits(): number;
  /** CPUs that the process might use when the shim was opened first. */
  cpuCount(): number;
  /** `incomingOnly`: what this machine sends by the interface is left out, where the kernel can. */
  observeOpen(interfaceName: string, incomingOnly?: boolean): Observer;
  /** The local address that the kernel would use towards `to`, and the MTU of its interface in bytes. */
  routeProbe(to: EndpointAddress): { readonly local: EndpointAddress; readonly mtu: number };
  /** Bytes of native memory that could not be locked (RLIMIT_MEMLOCK). */
  unlockedLen(): number;
}

/** Loads the library at `path` (see shimPath()) and joins or maps the process's arena. Every thread opens it with the
 * same path. Throws TypeError when there is no such library, ShimError when memory cannot be had. */
export function openShim(path: string, arenaLen = ARENA_LEN): Shim {
  const { symbols } = Deno.dlopen(path, SYMBOLS);
  return shimOf(symbols, openMemory(symbols, arenaLen));
}

/** The same over an opened library. */
export function shimOf(symbols: Symbols, memory: Memory): Shim {
  return {
    memory,
    secrets: lockedSecrets(symbols, memory),
    clock: { nowNs: () => symbols.i405_now(), wallBaseNs: () => symbols.i405_wall_base() },
    entropy: { fill: (out) => void randomFillSync(out) },
    protection: openProtection(symbols),
    pacer: openPacer(symbols, memory),
    newIo: (config) => openPacketIo(symbols, memory, config),
    streams: () => openStreamIo(symbols, memory),
    ...openFiles(symbols, memory),
    ...openHost(symbols, memory),
    observeOpen: (interfaceName, incomingOnly = false) =>
      openObserver(symbols, memory, interfaceName, incomingOnly),
  };
}

/** Runs `body` with a block of `len` bytes that is given back afterwards. */
function withBlock<T>(memory: Memory, len: number, body: (at: number) => T): T {
  const at = memory.alloc(len);
  try {
    return body(at);
  } finally {
    memory.free(at, len);
  }
}

function openFiles(symbols: Symbols, memory: Memory) {
  return {
    udpOpen: (address: EndpointAddress, ecn = false) =>
      withBlock(memory, ADDR.size, (at) => {
        writeAddress(memory, at, address);
        const fd = checked("open a UDP socket", symbols.i405_udp_open(at, ecn ? 1 : 0));
        return { fd, address: readAddress(memory, at)! };
      }),
    tcpListen: (address: EndpointAddress) =>
      withBlock(memory, ADDR.size, (at) => {
        writeAddress(memory, at, address);
        const fd = checked("listen for TCP", symbols.i405_tcp_listen(at));
        return { fd, address: readAddress(memory, at)! };
      }),
    socketAbort: (local: EndpointAddress, remote: EndpointAddress) =>
      withBlock(memory, 2 * ADDR.size, (at) => {
        writeAddress(memory, at, local);
        writeAddress(memory, at + ADDR.size, remote);
        return symbols.i405_socket_abort(at, at + ADDR.size) === 0;
      }),
    tunOpen: (name: string, options: { readonly persist?: boolean } = {}) =>
      withBlock(memory, INTERFACE_NAME_CAP, (at) => {
        writeText(memory, at, name, INTERFACE_NAME_CAP);
        const fd = checked(`open TUN device ${name}`, symbols.i405_tun_open(at, options.persist ? 1 : 0));
        return { fd, name: readText(memory, at, INTERFACE_NAME_CAP) };
      }),
    tunOffload: (fd: number) => checked("set offloads of the TUN device", symbols.i405_tun_offload(fd)),
    tunPersist: (fd: number, on: boolean, owner = -1) => {
      checked(
        "change the TUN device's owner or persistence",
        symbols.i405_tun_persist(fd, on ? 1 : 0, owner),
      );
    },
    close: (fd: number) => void checked(`close file ${fd}`, symbols.i405_close(fd)),
    eventOpen: () => checked("open an eventfd", symbols.i405_event_open()),
    eventSignal: (fd: number) => void checked("signal an eventfd", symbols.i405_event_signal(fd)),
  };
}

function openHost(symbols: Symbols, memory: Memory) {
  return {
    readFile: (path: string): string | undefined =>
      withBlock(memory, PATH_CAP + FILE_CAP, (at) => {
        writeText(memory, at, path, PATH_CAP);
        const len = symbols.i405_read_file(at, at + PATH_CAP, FILE_CAP);
        if (FILE_MISSING.has(-len)) return undefined;
        checked(`read ${path}`, len);
        return new TextDecoder().decode(memory.u8.slice(at + PATH_CAP, at + PATH_CAP + len));
      }),
    writeFile: (path: string, text: string): boolean =>
      withBlock(memory, 2 * PATH_CAP, (at) => {
        writeText(memory, at, path, PATH_CAP);
        writeText(memory, at + PATH_CAP, text, PATH_CAP);
        return symbols.i405_write_file(at, at + PATH_CAP, new TextEncoder().encode(text).length) === 0;
      }),
    readLink: (path: string): string | undefined =>
      withBlock(memory, 2 * PATH_CAP, (at) => {
        writeText(memory, at, path, PATH_CAP);
        const len = symbols.i405_read_link(at, at + PATH_CAP, PATH_CAP);
        return len < 0
          ? undefined
          : new TextDecoder().decode(memory.u8.slice(at + PATH_CAP, at + PATH_CAP + len));
      }),
    threadSetup: (nice: number, cpuNot = -1) => symbols.i405_thread_setup(nice, cpuNot) === 0,
    setDumpable: (on: boolean) => void checked("set dumpable", symbols.i405_set_dumpable(on ? 1 : 0)),
    holdLatency: () => symbols.i405_hold_latency() >= 0,
    cpuCount: () => symbols.i405_cpu_count(),
    routeProbe: (to: EndpointAddress) =>
      withBlock(memory, 2 * 64, (at) => {
        writeAddress(memory, at, to);
        const mtu = checked("find a route", symbols.i405_route_probe(at, at + 64));
        return { local: readAddress(memory, at + 64)!, mtu };
      }),
    unlockedLen: () => symbols.i405_unlocked_len(),
    stampTransmits: () => checked("have transmissions stamped", symbols.i405_stamps_open()),
  };
}
