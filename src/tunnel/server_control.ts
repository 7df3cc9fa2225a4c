/** The server's handshakes, in the main isolate: one DtlsServer per address that has returned a cookie, bounded in
 * number and time. */

import { equalsConstantTime, type SecretMemory } from "../base/mod.ts";
import { wipe } from "../crypto/wipe.ts";
import type { DtlsServerOptions } from "../flight/dtls_server.ts";
import { DtlsServer } from "../flight/dtls_server.ts";
import { type LongTermKey, PskDirectory } from "../handshake/psk_directory.ts";
import { FairBucket } from "./fair_bucket.ts";
import type { Order, PlainAddress, WorkerEvent } from "./messages.ts";
import { addressKey } from "./address_table.ts";
import { newConnectionId } from "./own_ids.ts";
import { addressBytes } from "./server_plane.ts";

// Chosen here.
const HALF_OPEN_MAX = 256;
/** A client with the longest interval needs a few slots of 10 s. Only holders of a key keep a place so long: parts of a
 * hello leave when others want it. */
const HANDSHAKE_TIMEOUT_NS = 60e9;
/** A handshake that is done stays so long, to acknowledge a repeated Finished. */
const LINGER_NS = 5e9;
/** Plaintext DTLS record header; what follows it is the same in each transmission of a message. */
const RECORD_HEADER_LEN = 13;
/** Handshakes begun a second, all addresses together. With a key each costs a key exchange, some ms. Without, a look
 * through all clients, about 10 us for each client and identity: so many looks a second take a quarter of a core. */
const BEGIN_PER_SECOND = 100;
const LOOKS_PER_SECOND = 25_000;
const SEED_LEN = 32;
const NONE = new Uint8Array(0);

export interface ServerControlPorts {
  order(order: Order, ...bytes: readonly Uint8Array[]): void;
  /** Sends a handshake datagram at once. */
  send(fdIndex: number, datagram: Uint8Array, to: PlainAddress, from: PlainAddress | undefined): void;
  log(level: "error" | "warn" | "info" | "debug", message: string, fields?: Record<string, unknown>): void;
  clientName(index: number): string;
}

export interface ServerControlOptions extends Omit<DtlsServerOptions, "lookup"> {
  /** Of the clients, by index. Not needed any more once the control is made. */
  readonly keys: readonly LongTermKey[];
  /** Where what is needed of them lies. */
  readonly secrets?: SecretMemory;
}

interface Handshake {
  readonly dtls: DtlsServer;
  readonly hello: Uint8Array;
  readonly event: Extract<WorkerEvent, { type: "handshake" }>;
  untilNs: number;
  /** The client whose session came of it; -1 before. */
  client: number;
  /** The session has shown a sign of life: nothing more is to be said here. */
  proven: boolean;
}

export class ServerControl {
  readonly counters = { begun: 0, done: 0, failed: 0, refusedBusy: 0, refusedRate: 0, timedOut: 0 };
  readonly #options: DtlsServerOptions;
  readonly #directory: PskDirectory;
  readonly #ports: ServerControlPorts;
  /** By address, the oldest first. */
  readonly #handshakes = new Map<string, Handshake>();
  readonly #beginnings: FairBucket;

  constructor({ keys, secrets, ...options }: ServerControlOptions, ports: ServerControlPorts) {
    const directory = this.#directory = new PskDirectory("dtls", keys, secrets);
    this.#options = {
      ...options,
      lookup: (identity, hash) => directory.lookup(identity, hash),
      newConnectionId: () => newConnectionId(options.entropy),
    };
    this.#ports = ports;
    const perSecond = Math.ceil(Math.min(BEGIN_PER_SECOND, LOOKS_PER_SECOND / keys.length));
    const seed = new Uint8Array(SEED_LEN);
    options.entropy.fill(seed);
    this.#beginnings = new FairBucket({ perSecond, burst: perSecond }, seed);
  }

  /** Ends all handshakes and wipes what they and the clients' keys have left. */
  destroy(): void {
    for (const { dtls } of this.#handshakes.values()) dtls.destroy();
    this.#handshakes.clear();
    this.#directory.wipe();
  }

  get halfOpen(): number {
    return this.#handshakes.size;
  }

  handle(event: WorkerEvent, nowNs: number): void {
    if (event.type === "authentic") return this.#proven(event.client);
    if (event.type !== "handshake") return;
    const key = addressKey(event.from);
    const hello = event.datagram.subarray(RECORD_HEADER_LEN);
    let handshake = this.#handshakes.get(key);
    if (event.first && (handshake === undefined || !equalsConstantTime(handshake.hello, hello))) {
      handshake = this.#begin(key, event, hello, nowNs);
    }
    if (handshake === undefined || handshake.proven) return;
    handshake.dtls.receive(event.datagram, nowNs);
    this.#advance(key, handshake, nowNs);
  }

  /** From the first authentic record of a session on, hellos and Finished of its handshake that come late or again get
   * no answer: an answer would be a datagram beside the train. */
  #proven(client: number): void {
    for (const handshake of this.#handshakes.values()) {
      if (handshake.client === client) handshake.proven = true;
    }
  }

  nextTimeoutNs(): number {
    let next = Infinity;
    for (const { dtls, untilNs, proven } of this.#handshakes.values()) {
      next = Math.min(next, untilNs, proven ? Infinity : dtls.nextTimeoutNs());
    }
    return next;
  }

  handleTimeout(nowNs: number): void {
    for (const [key, handshake] of this.#handshakes) {
      if (nowNs >= handshake.untilNs) {
        if (handshake.client < 0) {
          this.counters.timedOut++;
          this.#ports.log("info", "handshake not finished", { from: textOf(handshake.event.from) });
        }
        this.#forget(key, handshake);
      } else if (!handshake.proven && nowNs >= handshake.dtls.nextTimeoutNs()) {
        handshake.dtls.handleTimeout(nowNs);
        this.#advance(key, handshake, nowNs);
      }
    }
  }

  #begin(key: string, event: Handshake["event"], hello: Uint8Array, nowNs: number): Handshake | undefined {
    if (!this.#beginnings.take(nowNs, true)) {
      this.counters.refusedRate++;
      return undefined;
    }
    if (this.#handshakes.size >= HALF_OPEN_MAX && !this.#handshakes.has(key) && !this.#forgetPart()) {
      this.counters.refusedBusy++;
      return undefined;
    }
    this.counters.begun++;
    const handshake: Handshake = {
      dtls: new DtlsServer(this.#options, addressBytes(event.from)),
      hello: hello.slice(),
      event,
      untilNs: nowNs + HANDSHAKE_TIMEOUT_NS,
      client: -1,
      proven: false,
    };
    handshake.dtls.start(nowNs);
    const before = this.#handshakes.get(key);
    if (before !== undefined) this.#forget(key, before);
    this.#handshakes.set(key, handshake);
    return handshake;
  }

  #forget(key: string, handshake: Handshake): void {
    handshake.dtls.destroy();
    this.#handshakes.delete(key);
  }

  /** Forgets the oldest handshake of which only a part of the hello is there: for that a cookie is enough, but no key. */
  #forgetPart(): boolean {
    for (const [key, handshake] of this.#handshakes) {
      if (handshake.dtls.phase !== "hello") continue;
      this.#forget(key, handshake);
      this.counters.refusedBusy++;
      return true;
    }
    return false;
  }

  #advance(key: string, handshake: Handshake, nowNs: number): void {
    const { dtls, event } = handshake;
    for (let datagram = dtls.nextDatagram(); datagram !== undefined; datagram = dtls.nextDatagram()) {
      this.#ports.send(event.fdIndex, datagram, event.from, event.local);
    }
    if (dtls.phase === "failed") {
      this.counters.failed++;
      this.#ports.log("warn", "handshake refused", {
        from: textOf(event.from),
        reason: dtls.failure?.reason,
      });
      this.#forget(key, handshake);
      return;
    }
    const result = dtls.result;
    if (result === undefined || handshake.client >= 0 || dtls.phase !== "connected") return;
    handshake.client = result.clientIndex!;
    handshake.untilNs = nowNs + LINGER_NS;
    this.counters.done++;
    this.#ports.order(
      {
        type: "session",
        client: result.clientIndex!,
        suite: result.suite.id,
        sendMessageSeq: result.sendMessageSeq,
        receiveMessageSeq: result.receiveMessageSeq,
        rrc: result.connectionIds?.rrc ?? false,
        fdIndex: event.fdIndex,
        port: event.from.port,
        scope: event.from.scope ?? 0,
        localPort: event.local?.port ?? 0,
        roundTripNs: 0,
      },
      result.serverSecret,
      result.clientSecret,
      result.connectionIds?.own ?? NONE,
      result.connectionIds?.peer ?? NONE,
      event.from.ip,
      event.local?.ip ?? NONE,
    );
    wipe(result.serverSecret, result.clientSecret, result.exporterSecret);
    this.#ports.log("info", "handshake done", {
      client: this.#ports.clientName(result.clientIndex!),
      from: textOf(event.from),
      suite: result.suite.name,
      group: result.groupName,
    });
  }
}

/** An address as a log shows it. */
export function textOf(address: PlainAddress): string {
  const { ip, port } = address;
  if (ip.length === 4) return `${ip.join(".")}:${port}`;
  const words: string[] = [];
  for (let i = 0; i < 16; i += 2) words.push((ip[i] << 8 | ip[i + 1]).toString(16));
  return `[${words.join(":")}]:${port}`;
}
