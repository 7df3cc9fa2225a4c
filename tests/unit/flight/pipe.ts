/** A client, a gate and a server in memory, with a clock and a path that loses, delays, repeats and damages. */

import assert from "node:assert/strict";
import { SeededRandom, seedOf } from "../../../src/base/random.ts";
import { DtlsClient, type DtlsClientOptions } from "../../../src/flight/dtls_client.ts";
import { DtlsServer, type DtlsServerOptions } from "../../../src/flight/dtls_server.ts";
import { type GateVerdict, HelloGate } from "../../../src/flight/hello_gate.ts";
import { PskDirectory } from "../../../src/handshake/psk_directory.ts";
import type { Entropy } from "../../../src/handshake/types.ts";

export const ADDRESS = Uint8Array.of(192, 0, 2, 7, 0x12, 0x34);
export const KEY = new Uint8Array(32).fill(7);
export const SUITES = [0x1301, 0x1303, 0x1302];
export const GROUPS = [0x1d, 0x17];

/** Numbers that look random and are the same in every run. */
export function testEntropy(seed: number): Entropy {
  const random = new SeededRandom(seedOf(seed));
  return { fill: (out) => out.forEach((_, index) => out[index] = random.u32()) };
}

export interface Conditions {
  readonly seed: number;
  readonly lossRatio: number;
  readonly repeatRatio: number;
  readonly damageRatio: number;
  readonly delayMaxNs: number;
}

export const CLEAN: Conditions = { seed: 1, lossRatio: 0, repeatRatio: 0, damageRatio: 0, delayMaxNs: 1e6 };

interface InFlight {
  readonly atNs: number;
  readonly order: number;
  readonly toServer: boolean;
  readonly datagram: Uint8Array;
}

export class Pipe {
  nowNs = 0;
  readonly client: DtlsClient;
  readonly gate: HelloGate;
  server: DtlsServer | undefined;
  /** Each datagram that was put on the path. */
  readonly trace: { readonly toServer: boolean; readonly datagram: Uint8Array }[] = [];
  readonly verdicts: GateVerdict[] = [];
  readonly #serverOptions: DtlsServerOptions;
  readonly #conditions: Conditions;
  readonly #chance: SeededRandom;
  #travelling: InFlight[] = [];

  constructor(
    conditions: Conditions,
    clientOptions: Partial<DtlsClientOptions> = {},
    serverOptions: Partial<DtlsServerOptions> = {},
  ) {
    this.#conditions = conditions;
    this.#chance = new SeededRandom(seedOf(conditions.seed));
    const directory = new PskDirectory("dtls", [{ key: new Uint8Array(32).fill(9) }, { key: KEY }]);
    this.#serverOptions = {
      secret: new Uint8Array(32).fill(3),
      suites: SUITES,
      groups: GROUPS,
      entropy: testEntropy(conditions.seed + 0.25),
      lookup: (identity, hash) => directory.lookup(identity, hash),
      ...serverOptions,
    };
    this.gate = new HelloGate(this.#serverOptions);
    this.client = new DtlsClient({
      key: { key: KEY },
      suites: SUITES,
      groups: GROUPS,
      entropy: testEntropy(conditions.seed + 0.5),
      datagramLen: 600,
      ...clientOptions,
    });
  }

  /** Runs until both are connected, or one failed, or `endNs`. */
  run(endNs: number): void {
    this.client.start(this.nowNs);
    for (let steps = 0; steps < 20_000; steps++) {
      this.#collect();
      const isDone = this.client.phase === "connected" && this.server?.phase === "connected";
      if (isDone || this.client.phase === "failed") return;
      const next = this.#nextNs();
      if (next > endNs) return;
      this.nowNs = Math.max(this.nowNs, next);
      this.#deliverDue();
      if (this.client.nextTimeoutNs() <= this.nowNs) this.client.handleTimeout(this.nowNs);
      if (this.server !== undefined && this.server.nextTimeoutNs() <= this.nowNs) {
        this.server.handleTimeout(this.nowNs);
      }
    }
    throw new Error("the handshake does not come to rest");
  }

  /** What the server does with a datagram: the gate first, then the handshake that it let pass. */
  toServer(datagram: Uint8Array): void {
    if (datagram[0] !== 22) {
      this.server?.receive(datagram, this.nowNs);
      return;
    }
    const verdict = this.gate.respond(datagram, ADDRESS, this.nowNs);
    this.verdicts.push(verdict);
    if (verdict.kind === "reply") this.#send(false, verdict.datagram);
    if (verdict.kind === "continuation") this.server?.receive(datagram, this.nowNs);
    if (verdict.kind !== "pass") return;
    if (this.server === undefined || this.server.phase === "failed") {
      this.server = new DtlsServer(this.#serverOptions, ADDRESS);
      this.server.start(this.nowNs);
    }
    this.server.receive(datagram, this.nowNs);
  }

  #nextNs(): number {
    const arrival = this.#travelling.reduce((least, { atNs }) => Math.min(least, atNs), Infinity);
    return Math.min(arrival, this.client.nextTimeoutNs(), this.server?.nextTimeoutNs() ?? Infinity);
  }

  #collect(): void {
    for (
      let datagram = this.client.nextDatagram();
      datagram !== undefined;
      datagram = this.client.nextDatagram()
    ) {
      this.#send(true, datagram);
    }
    const { server } = this;
    for (let datagram = server?.nextDatagram(); datagram !== undefined; datagram = server?.nextDatagram()) {
      this.#send(false, datagram);
    }
  }

  #send(toServer: boolean, datagram: Uint8Array): void {
    this.trace.push({ toServer, datagram: datagram.slice() });
    const { lossRatio, repeatRatio, damageRatio, delayMaxNs } = this.#conditions;
    if (this.#chance.unit() < lossRatio) return;
    const copies = this.#chance.unit() < repeatRatio ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const arriving = datagram.slice();
      if (this.#chance.unit() < damageRatio) {
        arriving[this.#chance.below(arriving.length)] ^= 1 + this.#chance.below(255);
      }
      const atNs = this.nowNs + this.#chance.unit() * delayMaxNs;
      this.#travelling.push({ atNs, order: this.trace.length, toServer, datagram: arriving });
    }
  }

  #deliverDue(): void {
    const due = this.#travelling.filter(({ atNs }) => atNs <= this.nowNs);
    this.#travelling = this.#travelling.filter(({ atNs }) => atNs > this.nowNs);
    due.sort((a, b) => a.atNs - b.atNs || a.order - b.order);
    for (const { toServer, datagram } of due) {
      if (toServer) this.toServer(datagram);
      else this.client.receive(datagram, this.nowNs);
    }
  }
}

/** Both ends are connected, and have the same secrets. */
export function assertConnected(pipe: Pipe): void {
  assert.equal(pipe.client.phase, "connected");
  assert.equal(pipe.server?.phase, "connected");
  const client = pipe.client.result!;
  const server = pipe.server!.result!;
  assert.deepEqual(client.clientSecret, server.clientSecret);
  assert.deepEqual(client.serverSecret, server.serverSecret);
  assert.deepEqual(client.exporterSecret, server.exporterSecret);
  assert.notDeepEqual(client.clientSecret, client.serverSecret);
  assert.ok(client.clientSecret.some((byte) => byte !== 0));
  assert.equal(client.suite.id, server.suite.id);
  assert.equal(client.group, server.group);
  assert.equal(client.sendMessageSeq, server.receiveMessageSeq);
  assert.equal(client.receiveMessageSeq, server.sendMessageSeq);
}
