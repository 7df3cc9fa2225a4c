/* Two local sides, each with its end of a bridge to a real multiplexer, and what the multiplexers say to each other
 * carried here, in records of one length, some of them lost if that is asked for:
 *
 *   ClientSide ── BridgeEnd ═ rings ═ BridgeEnd ── Mux ── records ── Mux ── BridgeEnd ═ rings ═ BridgeEnd ── ServerSide
 */

import { SeededRandom, seedOf } from "../../src/base/random.ts";
import { Mux } from "../../src/mux/mux.ts";
import type { StreamCommands, StreamEvents } from "../../src/ports/streams.ts";
import { BRIDGE_RING_LEN, BridgeEnd } from "../../src/tunnel/stream_bridge.ts";
import { StreamRing } from "../../src/tunnel/stream_ring.ts";

const RECORD_LEN = 1350;
const HEAD_LEN = 3; // of an inner frame
const FILL_OFF = 64;
const RECEIVE_OFF = 4096;
const RECORDS_PER_TURN = 256;

export interface CarrierOptions {
  readonly carrier: "ordered" | "datagrams";
  readonly lossRatio: number;
}

/** One side: its multiplexer and the bridge between that and its local side. */
class End {
  readonly u8 = new Uint8Array(8192);
  readonly mux: Mux;
  /** The local side's end. */
  readonly main: BridgeEnd;
  readonly #worker: BridgeEnd;
  #events: StreamEvents | undefined;
  #isMainWoken = false;

  constructor(client: boolean, { carrier }: CarrierOptions, turn: () => void) {
    const [commands, events] = [StreamRing.create(BRIDGE_RING_LEN), StreamRing.create(BRIDGE_RING_LEN)];
    this.main = new BridgeEnd(commands, events, turn);
    this.#worker = new BridgeEnd(
      new StreamRing(events.buffer),
      new StreamRing(commands.buffer),
      () => this.#wakeMain(),
    );
    this.mux = new Mux({
      ...{ client, carrier, u8: this.u8, events: this.#worker.events(0) },
      ...{ instance: crypto.getRandomValues(new Uint8Array(8)), peerIntervalNs: 1e6, packetsMax: 4096 },
    });
    this.mux.newSession();
  }

  joined(events: StreamEvents): void {
    this.#events = events;
  }

  #wakeMain(): void {
    if (this.#isMainWoken) return;
    this.#isMainWoken = true;
    setTimeout(() => {
      this.#isMainWoken = false;
      if (this.main.drainEvents(() => this.#events)) this.#wakeMain();
    }, 0);
  }

  /** Takes what the local side has said; true when there is more. */
  drain(): boolean {
    return this.#worker.drainCommands(() => this.mux);
  }

  /** The next record for the other side, as a view into `u8`. */
  record(nowNs: number): Uint8Array | undefined {
    if (!this.mux.wants(nowNs)) return undefined;
    const len = this.mux.fill(FILL_OFF, RECORD_LEN, nowNs);
    return len === 0 ? undefined : this.u8.subarray(FILL_OFF + HEAD_LEN, FILL_OFF + len);
  }

  take(body: Uint8Array, nowNs: number): void {
    this.u8.set(body, RECEIVE_OFF);
    this.mux.receive(RECEIVE_OFF, body.length, nowNs);
  }
}

type Side = { readonly events: StreamEvents };

/** Makes both sides with the commands of each, and joins them until `close`. */
export function joinByMux<Client extends Side, Server extends Side>(
  makeClient: (commands: StreamCommands) => Client,
  makeServer: (commands: StreamCommands) => Server,
  options: CarrierOptions,
): { readonly client: Client; readonly server: Server; close(): void } {
  const random = new SeededRandom(seedOf(1405));
  let timer: number | undefined;
  let isClosed = false;
  const later = (ms: number) => {
    clearTimeout(timer);
    if (!isClosed) timer = setTimeout(turn, ms);
  };
  const ends = [true, false].map((client) => new End(client, options, () => later(0)));

  function turn(): void {
    const nowNs = performance.now() * 1e6;
    let isBusy = false;
    for (const [index, end] of ends.entries()) {
      isBusy = end.drain() || isBusy;
      for (let i = 0; i < RECORDS_PER_TURN; i++) {
        const body = end.record(nowNs);
        if (body === undefined) break;
        isBusy = true;
        if (random.u32() / 2 ** 32 >= options.lossRatio) ends[1 - index].take(body, nowNs);
      }
    }
    const deadlineNs = Math.min(...ends.map(({ mux }) => mux.deadlineNs));
    if (isBusy) later(0);
    else if (deadlineNs < Infinity) later(Math.max(0, (deadlineNs - nowNs) / 1e6));
  }

  const client = makeClient(ends[0].main.commands(0));
  const server = makeServer(ends[1].main.commands(0));
  ends[0].joined(client.events);
  ends[1].joined(server.events);
  const close = () => {
    isClosed = true;
    clearTimeout(timer);
  };
  return { client, server, close };
}
