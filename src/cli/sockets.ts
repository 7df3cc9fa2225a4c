/** Sockets of the main isolate over Deno's, and names over the system's resolver. */

import { createSocket } from "node:dgram";
import type { Shim } from "../../ffi/mod.ts";
import type { EndpointAddress } from "../ports/mod.ts";
import type {
  ByteConnection,
  ConnectionListener,
  PacketSocket,
  Resolver,
  SocketPlace,
  Sockets,
  Timers,
} from "../ports/sockets.ts";
import { SocketError } from "../ports/sockets.ts";
import { RESET_REASON } from "../ports/streams.ts";
import { listenPrivately, type PrivateSocket } from "../status/private_socket.ts";
import { formatIp, type IpPrefix, parseIp, parsePrefix } from "../wire/ip_address.ts";
import { addressesOf } from "./names.ts";

// Chosen here.
const DATAGRAMS_WAITING_MAX = 64;
const OWN_PREFIXES_MS = 5000;

const REASONS: Readonly<Record<string, number>> = {
  ECONNREFUSED: RESET_REASON.connectionRefused,
  ENOENT: RESET_REASON.connectionRefused,
  ENETUNREACH: RESET_REASON.networkUnreachable,
  EAFNOSUPPORT: RESET_REASON.networkUnreachable,
  EADDRNOTAVAIL: RESET_REASON.networkUnreachable,
  EHOSTUNREACH: RESET_REASON.hostUnreachable,
  ENOTFOUND: RESET_REASON.hostUnreachable,
  ENODATA: RESET_REASON.hostUnreachable,
  EACCES: RESET_REASON.notAllowed,
  EPERM: RESET_REASON.notAllowed,
  ETIMEDOUT: RESET_REASON.timedOut,
  ECONNRESET: RESET_REASON.peerReset,
  EPIPE: RESET_REASON.peerReset,
  EMFILE: RESET_REASON.limit,
  ENFILE: RESET_REASON.limit,
};

function socketError(error: unknown): SocketError {
  if (error instanceof SocketError) return error;
  const { name, code, message } = error as Error & { code?: string };
  const reason = name === "AbortError" ? RESET_REASON.timedOut : REASONS[code ?? ""];
  return new SocketError(reason ?? RESET_REASON.generalFailure, message ?? String(error));
}

/** Undefined of a socket in the file system. */
function endpointOf(address: Deno.Addr): EndpointAddress | undefined {
  if (address.transport !== "tcp") return undefined;
  const ip = parseIp(address.hostname);
  return ip === undefined ? undefined : { ip, port: address.port };
}

/** Small writes go out at once; a peer that is gone for good is noticed after some hours. */
function setOptions(connection: Deno.TcpConn): void {
  try {
    connection.setNoDelay();
    connection.setKeepAlive();
  } catch {
    // It has gone already: whoever reads will be told.
  }
}

class DenoConnection implements ByteConnection {
  readonly local: EndpointAddress | undefined;
  readonly remote: EndpointAddress | undefined;
  readonly #connection: Deno.Conn;
  readonly #shim: Shim | undefined;
  #isClosed = false;

  constructor(connection: Deno.Conn, shim: Shim | undefined) {
    this.#connection = connection;
    this.#shim = shim;
    this.local = endpointOf(connection.localAddr);
    this.remote = endpointOf(connection.remoteAddr);
    if (this.remote !== undefined) setOptions(connection as Deno.TcpConn);
  }

  read(out: Uint8Array): Promise<number | null> {
    return this.#connection.read(out).catch((error) => {
      throw socketError(error);
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
    } catch (error) {
      throw socketError(error);
    }
  }

  async closeWrite(): Promise<void> {
    try {
      await this.#connection.closeWrite();
    } catch (error) {
      throw socketError(error);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#connection.close();
  }

  reset(): void {
    if (this.#isClosed) return;
    if (this.local !== undefined && this.remote !== undefined) {
      this.#shim?.socketAbort(this.local, this.remote);
    }
    this.close();
  }
}

class DenoListener implements ConnectionListener {
  readonly address: EndpointAddress | undefined;
  readonly #listener: Deno.Listener;
  readonly #shim: Shim | undefined;
  readonly #timers: Timers;
  readonly #remove: () => void;
  #isClosed = false;

  constructor(listener: Deno.Listener, shim: Shim | undefined, timers: Timers, remove: () => void) {
    this.#listener = listener;
    this.#shim = shim;
    this.#timers = timers;
    this.#remove = remove;
    this.address = endpointOf(listener.addr);
  }

  async accept(): Promise<ByteConnection | undefined> {
    while (!this.#isClosed) {
      try {
        return new DenoConnection(await this.#listener.accept(), this.#shim);
      } catch {
        // Closed, or out of files, or one that has gone again: the next one may come through.
        if (!this.#isClosed) await new Promise<void>((resolve) => this.#timers.after(50, resolve));
      }
    }
    return undefined;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#listener.close();
    this.#remove();
  }
}

/** Without a shim, a reset is an end. */
export function denoSockets(shim: Shim | undefined): Sockets {
  return {
    async listen(place: SocketPlace): Promise<ConnectionListener> {
      try {
        if (place.kind === "tcp") {
          const listener = Deno.listen({ hostname: formatIp(place.ip), port: place.port });
          return new DenoListener(listener, shim, systemTimers, () => {});
        }
        const socket: PrivateSocket = await listenPrivately(place.path);
        return new DenoListener(socket.listener, shim, systemTimers, () => void socket.remove());
      } catch (error) {
        throw socketError(error);
      }
    },
    async connect(place: SocketPlace, signal: AbortSignal): Promise<ByteConnection> {
      try {
        const connection = place.kind === "unix"
          ? await Deno.connect({ transport: "unix", path: place.path })
          : await Deno.connect({ hostname: formatIp(place.ip), port: place.port, signal });
        return new DenoConnection(connection, shim);
      } catch (error) {
        throw socketError(error);
      }
    },
    packets: (address) => openPackets(address),
  };
}

async function openPackets(address: EndpointAddress): Promise<PacketSocket> {
  const socket = createSocket({ type: address.ip.length === 4 ? "udp4" : "udp6", ipv6Only: true });
  const bound = Promise.withResolvers<void>();
  socket.once("error", bound.reject);
  socket.bind({ address: formatIp(address.ip), port: address.port }, bound.resolve);
  try {
    await bound.promise;
  } catch (error) {
    throw socketError(error);
  }
  return new NodePackets(socket, address.ip);
}

type Came = { readonly data: Uint8Array; readonly from: EndpointAddress };

class NodePackets implements PacketSocket {
  readonly address: EndpointAddress;
  readonly #socket: ReturnType<typeof createSocket>;
  readonly #came: Came[] = [];
  #take: ((came: Came | undefined) => void) | undefined;
  #isClosed = false;

  constructor(socket: ReturnType<typeof createSocket>, ip: Uint8Array) {
    this.#socket = socket;
    this.address = { ip: parseIp(socket.address().address) ?? ip, port: socket.address().port };
    socket.on("error", () => {}); // of a datagram that was sent: its sender is told by `send`
    socket.on("message", (data, { address, port }) => {
      const ip = parseIp(address.replace(/%.*$/, ""));
      if (ip !== undefined) this.#put({ data: new Uint8Array(data), from: { ip, port } });
    });
  }

  /** What nobody takes in time is lost, as at a full socket. */
  #put(came: Came): void {
    if (this.#take !== undefined) {
      this.#take(came);
      this.#take = undefined;
    } else if (this.#came.length < DATAGRAMS_WAITING_MAX) this.#came.push(came);
  }

  receive(): Promise<Came | undefined> {
    const came = this.#came.shift();
    if (came !== undefined || this.#isClosed) return Promise.resolve(came);
    return new Promise((resolve) => this.#take = resolve);
  }

  send(data: Uint8Array, to: EndpointAddress): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new SocketError(RESET_REASON.generalFailure, "the socket is closed"));
      this.#socket.send(data, to.port, formatIp(to.ip), (error) => {
        if (error) reject(socketError(error));
        else resolve();
      });
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
    this.#take?.(undefined);
  }
}

export const systemResolver: Resolver = {
  async lookup(name: string): Promise<readonly Uint8Array[]> {
    try {
      const addresses = await addressesOf(name);
      if (addresses.length === 0) throw new SocketError(RESET_REASON.hostUnreachable, "no address");
      return addresses;
    } catch (error) {
      throw socketError(error);
    }
  },
};

export const systemTimers: Timers = {
  nowMs: () => performance.now(),
  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** Addresses of this machine's interfaces with their networks, asked for again every few seconds. */
export function ownPrefixes(timers: Timers): () => readonly IpPrefix[] {
  let known: readonly IpPrefix[] = [];
  let atMs = -Infinity;
  return () => {
    if (timers.nowMs() - atMs >= OWN_PREFIXES_MS) {
      atMs = timers.nowMs();
      known = Deno.networkInterfaces().map(({ cidr }) => parsePrefix(cidr)).filter((one) =>
        one !== undefined
      );
    }
    return known;
  };
}
