/* A UDP association at the server: 1 each datagram's host becomes an address that the client may reach · 2 it leaves from
 * a socket of that family · 3 what comes back from an address that was sent to goes to the client. */

import type { EndpointAddress } from "../ports/mod.ts";
import type { PacketSocket } from "../ports/sockets.ts";
import { RESET_REASON, type StreamAddress } from "../ports/streams.ts";
import { formatIp } from "../wire/ip_address.ts";
import type { Dialer } from "./dialer.ts";
import { IdleWatch } from "./idle_watch.ts";
import type { LocalStream } from "./local_stream.ts";
import { addressOf } from "./stream_target.ts";

// Chosen here.
const IDLE_MS = 600_000;
const NAMES_MAX = 64;
const NAME_MS = 60_000;
/** Datagrams that wait for a name or for the system. */
const WAITING_MAX = 32;
/** Addresses that may answer; the oldest is forgotten. */
const PEERS_MAX = 1024;

export class UdpExit {
  readonly #dialer: Dialer;
  readonly #stream: LocalStream;
  readonly #sockets = new Map<4 | 16, Promise<PacketSocket>>();
  #isOver = false;
  readonly #peers = new Set<string>();
  readonly #names = new Map<string, { readonly found: Promise<Uint8Array[]>; readonly atMs: number }>();
  readonly #idle: IdleWatch;
  #waiting = 0;

  constructor(dialer: Dialer, stream: LocalStream) {
    this.#dialer = dialer;
    this.#stream = stream;
    const { timers, count } = dialer.context;
    this.#idle = new IdleWatch(timers, IDLE_MS, () => {
      count("streams_idle_ended");
      stream.reset(RESET_REASON.timedOut);
    });
  }

  /** Until the client ends it. Rejects with SocketError where no socket can be had. */
  async run(): Promise<void> {
    const stream = this.#stream;
    stream.onDatagram = (to, data) => void this.#send(to, data);
    try {
      stream.accept(addressOf((await this.#socket(4)).address));
      this.#dialer.context.count("associations");
      while (await stream.read() !== undefined);
    } finally {
      this.#isOver = true;
      this.#idle.stop();
      for (const socket of this.#sockets.values()) socket.then((socket) => socket.close(), () => {});
    }
  }

  #socket(ipLen: 4 | 16): Promise<PacketSocket> {
    let socket = this.#sockets.get(ipLen);
    if (socket === undefined) {
      socket = this.#dialer.context.sockets.packets({ ip: new Uint8Array(ipLen), port: 0 });
      this.#sockets.set(ipLen, socket);
      socket.then((socket) => this.#receive(socket), () => this.#sockets.delete(ipLen));
    }
    return socket;
  }

  /** Never rejects. */
  async #send(to: StreamAddress, data: Uint8Array): Promise<void> {
    const { count, policy } = this.#dialer.context;
    this.#idle.touch();
    if (this.#waiting >= WAITING_MAX) return count("udp_dropped_waiting");
    this.#waiting++;
    try {
      const addresses = await this.#addresses(to.host);
      const ip = addresses.find((ip) => to.port !== 0 && policy.allows(ip, to.port));
      if (ip === undefined) count("udp_refused_policy");
      else if (!this.#isOver) await this.#put({ ip, port: to.port }, data);
    } catch {
      count("udp_unsent");
    }
    this.#waiting--;
  }

  async #put(to: EndpointAddress, data: Uint8Array): Promise<void> {
    const text = formatIp(to.ip);
    this.#peers.delete(text); // and to the end
    this.#peers.add(text);
    if (this.#peers.size > PEERS_MAX) this.#peers.delete(this.#peers.keys().next().value!);
    const socket = await this.#socket(to.ip.length === 4 ? 4 : 16);
    await socket.send(data, to);
  }

  #addresses(host: string | Uint8Array): Promise<Uint8Array[]> {
    if (typeof host !== "string") return this.#dialer.addresses(host);
    const nowMs = this.#dialer.context.timers.nowMs();
    const known = this.#names.get(host);
    if (known !== undefined && nowMs - known.atMs < NAME_MS) return known.found;
    const found = this.#dialer.addresses(host);
    found.catch(() => this.#names.delete(host));
    this.#names.delete(host);
    this.#names.set(host, { found, atMs: nowMs });
    if (this.#names.size > NAMES_MAX) this.#names.delete(this.#names.keys().next().value!);
    return found;
  }

  async #receive(socket: PacketSocket): Promise<void> {
    for (let came = await socket.receive(); came !== undefined; came = await socket.receive()) {
      if (!this.#peers.has(formatIp(came.from.ip))) {
        this.#dialer.context.count("udp_wrong_sender");
        continue;
      }
      this.#idle.touch();
      this.#stream.datagram(addressOf(came.from), came.data);
    }
  }
}
