/** Inner packets that are told apart, and what may come of them: each arrives once or not at all, where it was sent to,
 * and byte for byte as it was. */

import { assert } from "../../src/base/mod.ts";
import { CLIENT_INNER, innerPacket, SERVER_INNER, type World } from "./world.ts";

const MARK_AT = 24;

export type Way = "up" | "down";

interface Sent {
  readonly len: number;
  arrived: boolean;
}

/** Tells what it found wrong, since a peer's plaintext cannot be. */
export class TrafficError extends Error {}

export class Traffic {
  /** Of the packets sent since `count` was called. */
  readonly arrived = { up: 0, down: 0 };
  readonly #sent: Record<Way, Sent[]> = { up: [], down: [] };
  #countedFrom = 0;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Counts arrivals of packets from now on, and of those only. */
  count(): void {
    this.#countedFrom = this.#sent.up.length;
    this.arrived.up = this.arrived.down = 0;
  }

  /** How many were sent each way since. */
  get sent(): number {
    return this.#sent.up.length - this.#countedFrom;
  }

  /** One packet of `len` bytes (28 at least) each way. */
  send(len: number): void {
    const { client, server } = this.#world;
    client.io.tunSubmit(this.#packet("up", len));
    server.io.tunSubmit(this.#packet("down", len));
    client.wake();
    server.wake();
  }

  /** Checks what came out of the tunnel, and forgets it. To be called before an end is replaced, too. */
  take(): void {
    const { client, server } = this.#world;
    for (const packet of server.io.tunWritten) this.#check("up", packet);
    for (const packet of client.io.tunWritten) this.#check("down", packet);
    server.io.tunWritten.length = client.io.tunWritten.length = 0;
  }

  #packet(way: Way, len: number): Uint8Array {
    const mark = this.#sent[way].push({ len, arrived: false }) - 1;
    return packetOf(way, len, mark);
  }

  #check(way: Way, packet: Uint8Array): void {
    const mark = packet.length < MARK_AT + 4 ? -1 : new DataView(packet.buffer).getUint32(MARK_AT);
    const sent = this.#sent[way][mark];
    if (sent === undefined || !equal(packet, packetOf(way, sent.len, mark))) {
      throw new TrafficError(`a packet came ${way} that was not sent: mark ${mark}, ${packet.length} bytes`);
    }
    if (sent.arrived) throw new TrafficError(`packet ${mark} came ${way} twice`);
    sent.arrived = true;
    if (mark >= this.#countedFrom) this.arrived[way]++;
  }
}

function packetOf(way: Way, len: number, mark: number): Uint8Array {
  assert(len >= MARK_AT + 4, "a packet has room for its mark");
  const [from, to] = way === "up" ? [CLIENT_INNER, SERVER_INNER] : [SERVER_INNER, CLIENT_INNER];
  const packet = innerPacket(from, to, len, mark * 7);
  new DataView(packet.buffer).setUint32(MARK_AT, mark);
  return packet;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
