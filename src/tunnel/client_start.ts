/* A client that looks for the length of its datagrams: 1 at rest, nothing leaves but probes · 2 the train begins with
 * what the path carries, and its handshakes follow · 3 when hellos of that length have gone without an answer for long,
 * the train ends, and 1 again. Only what comes from outside decides, and a length never changes within a train. */

import { datagramLenMin, type DtlsClientOptions, loneHello } from "../flight/dtls_client.ts";
import { PathSearch } from "../flight/path_search.ts";
import type { Entropy } from "../handshake/types.ts";
import type { ClientControl, ClientControlPorts, ClientState } from "./client_control.ts";
import type { TrainParameters, WorkerEvent } from "./messages.ts";
import { CONNECTION_ID_LEN } from "./own_ids.ts";

// Chosen here.
/** So long without an answer, or so many slots, the length is doubted; longer each time that nothing answers probes
 * either: then it is the server that is away. */
const DOUBT_NS = 10e9;
const DOUBT_SLOTS = 16;
const DOUBT_MAX_NS = 300e9;

/** What a train is made of, and who makes its handshakes. */
export interface ClientTrain {
  readonly control: ClientControl;
  readonly up: TrainParameters;
  readonly down: TrainParameters;
  readonly rotateSlots: number;
}

export interface ClientStartOptions {
  /** Of datagrams, in bytes, the longest first. */
  readonly lengths: readonly number[];
  /** A train for a path that carries datagrams of `pathLen`. */
  readonly begin: (pathLen: number, nowNs: number) => ClientTrain;
  /** A first ClientHello of so many bytes, in a record of this number. */
  readonly hello: (datagramLen: number, sequenceNumber: number) => Uint8Array;
  readonly entropy: Entropy;
}

/** Hellos to probe with, and the length of the shortest. */
export function probesOf(offer: Omit<DtlsClientOptions, "datagramLen" | "timeoutNs">) {
  const connectionIds = { own: new Uint8Array(0), peerLen: CONNECTION_ID_LEN };
  const options = { ...offer, connectionIds, timeoutNs: Infinity }; // nobody waits for a handshake
  return {
    lenMin: datagramLenMin(options),
    hello: (datagramLen: number, number: number) => loneHello(options, datagramLen, number),
  };
}

export class ClientStart {
  readonly #options: ClientStartOptions;
  readonly #ports: Pick<ClientControlPorts, "order" | "log">;
  #search: PathSearch | undefined;
  #train: ClientTrain | undefined;
  /** What the search has found last. */
  #pathLen: number;
  #doubtNs = DOUBT_NS;
  #reconnects = 0;

  constructor(options: ClientStartOptions, ports: Pick<ClientControlPorts, "order" | "log">) {
    this.#options = options;
    this.#ports = ports;
    this.#pathLen = options.lengths[0];
  }

  get state(): ClientState {
    return this.#train?.control.state ?? "connecting";
  }

  get suiteName(): string {
    return this.#train?.control.suiteName ?? "";
  }

  get groupName(): string {
    return this.#train?.control.groupName ?? "";
  }

  get reconnects(): number {
    return this.#reconnects + (this.#train?.control.reconnects ?? 0);
  }

  handle(event: WorkerEvent, nowNs: number): void {
    if (event.type === "resting") this.#begin(nowNs);
    else if (this.#train !== undefined) this.#train.control.handle(event, nowNs);
    else if (event.type === "handshake") this.#search?.receive(event.datagram, nowNs);
    this.#advance(nowNs);
  }

  /** As ClientControl's. */
  moved(nowNs: number): void {
    if (this.#search !== undefined) this.#begin(nowNs);
    else this.#train?.control.moved(nowNs);
    this.#advance(nowNs);
  }

  woke(sleptNs: number, nowNs: number): void {
    if (this.#search !== undefined) this.#begin(nowNs);
    else this.#train?.control.woke(sleptNs, nowNs);
    this.#advance(nowNs);
  }

  nextTimeoutNs(): number {
    if (this.#search !== undefined) return this.#search.nextTimeoutNs();
    return this.#train === undefined
      ? Infinity
      : Math.min(this.#train.control.nextTimeoutNs(), this.#doubtAtNs);
  }

  handleTimeout(nowNs: number): void {
    this.#search?.handleTimeout(nowNs);
    if (this.#train !== undefined && nowNs >= this.#doubtAtNs) this.#rest();
    else if (this.#train !== undefined && nowNs >= this.#train.control.nextTimeoutNs()) {
      this.#train.control.handleTimeout(nowNs);
    }
    this.#advance(nowNs);
  }

  destroy(): void {
    this.#train?.control.destroy();
  }

  #begin(nowNs: number): void {
    if (this.#train !== undefined) return;
    const { lengths, hello, entropy } = this.#options;
    this.#search = new PathSearch({ lengths, hello, entropy }, nowNs);
  }

  #advance(nowNs: number): void {
    const search = this.#search;
    if (search === undefined) return;
    for (let probe = search.nextDatagram(); probe !== undefined; probe = search.nextDatagram()) {
      this.#ports.order({ type: "probe" }, probe);
    }
    if (search.result !== undefined) this.#depart(search, search.result, nowNs);
  }

  #depart({ sent }: PathSearch, found: number, nowNs: number): void {
    this.#search = undefined;
    if (found > 0) {
      this.#pathLen = found;
      this.#doubtNs = DOUBT_NS;
    }
    const train = this.#train = this.#options.begin(this.#pathLen, nowNs);
    const { up, down, rotateSlots, control } = train;
    const fields = { probes: sent, datagram_length: up.datagramLen };
    if (found > 0) this.#ports.log("info", "the path's length is found", fields);
    else this.#ports.log("warn", "no probe of the path was answered, starting all the same", fields);
    this.#ports.order({ type: "train", up, down, rotateSlots }, control.firstDatagram());
  }

  /** When the length of a train without answers is doubted. */
  get #doubtAtNs(): number {
    const { control, up } = this.#train!;
    return control.unansweredSinceNs + Math.max(this.#doubtNs, DOUBT_SLOTS * up.intervalNs);
  }

  #rest(): void {
    const { control, up } = this.#train!;
    this.#ports.log("warn", "hellos go without an answer, looking for the path's length again", {
      datagram_length: up.datagramLen,
    });
    this.#reconnects += control.reconnects;
    control.destroy();
    this.#train = undefined;
    this.#doubtNs = Math.min(DOUBT_MAX_NS, 2 * this.#doubtNs);
    this.#ports.order({ type: "rest" });
  }
}
