/** A UDP socket on the loopback for our side of a conversation with a foreign peer. */

import { createSocket, type RemoteInfo, type Socket } from "node:dgram";

export class Loopback {
  readonly port: number;
  readonly #socket: Socket;
  /** Whether to lose the datagram with this index, of those sent. */
  readonly #loses: (index: number) => boolean;
  #sent = 0;

  private constructor(socket: Socket, loses: (index: number) => boolean) {
    this.#socket = socket;
    this.#loses = loses;
    this.port = socket.address().port;
    socket.on("error", () => {}); // an ICMP error of a peer that is not there yet
  }

  static open(loses: (index: number) => boolean = () => false): Promise<Loopback> {
    return new Promise((resolve) => {
      const socket = createSocket("udp4");
      socket.bind(0, "127.0.0.1", () => resolve(new Loopback(socket, loses)));
    });
  }

  onDatagram(handler: (datagram: Uint8Array, from: RemoteInfo) => void): void {
    this.#socket.on("message", (message, from) => handler(new Uint8Array(message), from));
  }

  send(datagram: Uint8Array, port: number): void {
    if (!this.#loses(this.#sent++)) this.#socket.send(datagram, port, "127.0.0.1");
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}

/** A UDP port that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const socket = await Loopback.open();
  const { port } = socket;
  await socket.close();
  return port;
}

/** Monotonic, in nanoseconds. */
export function nowNs(): number {
  return performance.now() * 1e6;
}
