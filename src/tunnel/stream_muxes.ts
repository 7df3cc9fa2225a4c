/** Streams in the data Worker: a multiplexer for each peer that has some, all over one bridge to the main isolate. They
 * outlive sessions: each begins where the last one stopped. */

import type { FrameSource } from "../framing/packer.ts";
import { Mux } from "../mux/mux.ts";
import type { Entropy } from "../ports/mod.ts";
import { RESET_REASON } from "../ports/mod.ts";
import type { BridgeEnd } from "./stream_bridge.ts";

// Chosen here.
/** Records of this time, or at least so many, may be on their way. */
const PACKETS_NS = 1e9;
const PACKETS_MIN = 256;
const PACKETS_MAX = 1 << 17;

export interface StreamMuxesOptions {
  readonly client: boolean;
  readonly carrier: "ordered" | "datagrams";
  readonly u8: Uint8Array;
  readonly entropy: Entropy;
  readonly bridge: BridgeEnd;
}

/** What takes frames for the slots to come. */
export interface FrameTaker {
  pumpFrames(source: FrameSource, nowNs: number): void;
  /** When it will take more. */
  nextRoomNs(nowNs: number): number;
}

/** Totals for the status. */
export interface StreamCounts {
  streams: number;
  packetsLost: number;
  datagramsDropped: number;
}

export class StreamMuxes {
  readonly #options: StreamMuxesOptions;
  readonly #muxes = new Map<number, Mux>();
  /** Of peers whose multiplexer is gone: ids of their streams that the main isolate has not seen yet. */
  readonly #localIds = new Map<number, number>();
  /** Peers whose multiplexer may have something to send, now or later. */
  readonly #active = new Set<number>();

  constructor(options: StreamMuxesOptions) {
    this.#options = options;
  }

  /** The peer may have streams from now on; `packetNs` is the time from one record of this side to the next,
   * `peerIntervalNs` from one slot of the other side to the next, and a packet may be overtaken by so many later ones
   * before it leaves. */
  make(peer: number, packetNs: number, peerIntervalNs: number, overtakingMax: number): void {
    if (this.#muxes.has(peer)) return;
    const { client, carrier, u8, bridge } = this.#options;
    const packets = Math.min(PACKETS_MAX, Math.max(PACKETS_MIN, PACKETS_NS / packetNs));
    const mux = new Mux({
      client,
      carrier,
      u8,
      instance: this.#instance(),
      events: bridge.events(peer),
      peerIntervalNs,
      overtaking: { countMax: overtakingMax, timeMaxNs: overtakingMax * packetNs },
      packetsMax: 2 ** Math.ceil(Math.log2(packets)),
      localIdNext: this.#localIds.get(peer),
    });
    this.#muxes.set(peer, mux);
  }

  /** A session carries the peer's streams from now on, and no other one. */
  begin(peer: number): void {
    this.#muxes.get(peer)?.newSession();
    this.#active.add(peer);
  }

  /** The peer's streams are over, here and, from its next session on, there: nothing of its multiplexer is kept, which may
   * be megabytes, and what `make` makes anew has another name. */
  end(peer: number): void {
    const mux = this.#muxes.get(peer);
    if (mux === undefined) return;
    mux.end(RESET_REASON.sessionLost, this.#instance());
    this.#localIds.set(peer, mux.localIdNext);
    this.#muxes.delete(peer);
    this.#active.delete(peer);
  }

  /** Whether the other side has been heard in the session of now. */
  hasMet(peer: number): boolean {
    return this.#muxes.get(peer)?.hasMet ?? false;
  }

  receive(peer: number, off: number, len: number, nowNs: number): void {
    this.#muxes.get(peer)?.receive(off, len, nowNs);
    this.#active.add(peer);
  }

  /** Hands on what the main isolate has said; true if it has said more since. What a client says before it has a
   * multiplexer waits in the bridge; at a server it is for a peer that is gone, and dropped. */
  drain(): boolean {
    if (this.#options.client && this.#muxes.size === 0) return false;
    return this.#options.bridge.drainCommands((peer) => {
      this.#active.add(peer);
      return this.#muxes.get(peer);
    });
  }

  /** Moves frames into the slots to come of those peers that `takerOf` knows. Returns when to be called again. */
  pump(takerOf: (peer: number) => FrameTaker | undefined, nowNs: number): number {
    let wakeNs = Infinity;
    for (const peer of this.#active) {
      const mux = this.#muxes.get(peer);
      const taker = takerOf(peer);
      if (mux !== undefined && taker !== undefined) {
        taker.pumpFrames(mux, nowNs);
        const nextNs = mux.wants(nowNs) ? taker.nextRoomNs(nowNs) : mux.deadlineNs;
        wakeNs = Math.min(wakeNs, nextNs);
        if (nextNs < Infinity) continue;
      }
      this.#active.delete(peer);
    }
    return wakeNs;
  }

  count(): StreamCounts {
    const counts = { streams: 0, packetsLost: 0, datagramsDropped: this.#options.bridge.datagramsDropped };
    for (const mux of this.#muxes.values()) {
      const { streams, packetsLost, datagramsDropped } = mux.snapshot();
      counts.streams += streams;
      counts.packetsLost += packetsLost;
      counts.datagramsDropped += datagramsDropped;
    }
    return counts;
  }

  #instance(): Uint8Array {
    const instance = new Uint8Array(8);
    this.#options.entropy.fill(instance);
    return instance;
  }
}
