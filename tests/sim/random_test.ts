/** Whatever happens to a tunnel, in whatever order: data flows again soon after, nothing arrives twice, nothing arrives
 * that was not sent, and no nonce is used twice (the world's ledger throws). A failure prints fast-check's seed, which
 * SIM_SEED takes. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { CLIENT_INNER, innerPacket, SERVER_INNER, TRAIN, World } from "./world.ts";

const SECOND = 1e9;
/** The server forgets a client that moved or restarted at the latest then; a handshake follows. */
const RECOVERY_NS = 60e9;
const MARK_AT = 24;

/** Sends packets that are told apart, and knows what may arrive. */
class Traffic {
  #mark = 0;
  readonly #sent = new Set<string>();
  readonly #world: World;
  /** What ends that have since been replaced have handed on. */
  readonly #arrived: Uint8Array[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  send(len: number): void {
    const { client, server } = this.#world;
    client.io.tunSubmit(this.#packet(CLIENT_INNER, SERVER_INNER, len));
    server.io.tunSubmit(this.#packet(SERVER_INNER, CLIENT_INNER, len));
    client.wake();
    server.wake();
  }

  /** To be called before an end is replaced. */
  keep(packets: readonly Uint8Array[]): void {
    this.#arrived.push(...packets);
  }

  check(): void {
    const { client, server } = this.#world;
    const all = [...this.#arrived, ...client.io.tunWritten, ...server.io.tunWritten].map((bytes) =>
      bytes.join()
    );
    assert.equal(new Set(all).size, all.length, "nothing arrives twice");
    for (const packet of all) assert.ok(this.#sent.has(packet), "nothing arrives that was not sent");
  }

  #packet(from: readonly number[], to: readonly number[], len: number): Uint8Array {
    const packet = innerPacket(from, to, len, this.#mark);
    new DataView(packet.buffer).setUint32(MARK_AT, ++this.#mark);
    this.#sent.add(packet.join());
    return packet;
  }
}

type Event =
  | { readonly kind: "loss"; readonly ratio: number }
  | {
    readonly kind:
      | "disorder"
      | "partition"
      | "server restart"
      | "client restart"
      | "other schedule"
      | "move"
      | "socket";
  }
  | { readonly kind: "quiet"; readonly seconds: number }
  | { readonly kind: "load"; readonly packets: number; readonly len: number };

const EVENTS: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ kind: fc.constant("loss" as const), ratio: fc.double({ min: 0.05, max: 0.6, noNaN: true }) }),
  fc.record({
    kind: fc.constantFrom(
      "disorder" as const,
      "partition" as const,
      "server restart" as const,
      "client restart" as const,
      "other schedule" as const,
      "move" as const,
      "socket" as const,
    ),
  }),
  fc.record({ kind: fc.constant("quiet" as const), seconds: fc.integer({ min: 1, max: 12 }) }),
  fc.record({
    kind: fc.constant("load" as const),
    packets: fc.integer({ min: 1, max: 300 }),
    len: fc.integer({ min: 28, max: 1280 }),
  }),
);
const CALM = { delayMeanNs: 5e6 };
const DISORDER = {
  delayMeanNs: 20e6,
  delayJitterNs: 10e6,
  reorderRatio: 0.3,
  reorderDelayNs: 80e6,
  duplicateRatio: 0.3,
  corruptRatio: 0.05,
};

function happen(world: World, traffic: Traffic, event: Event, index: number): void {
  if (event.kind === "loss") {
    world.network.conditions = { ...world.network.conditions, lossRatio: event.ratio };
  } else if (event.kind === "disorder") world.network.conditions = DISORDER;
  else if (event.kind === "partition") world.network.part(true);
  else if (event.kind === "server restart") {
    traffic.keep(world.server.io.tunWritten);
    world.kill(world.server);
    world.startServer();
  } else if (event.kind === "client restart" || event.kind === "other schedule") {
    traffic.keep(world.client.io.tunWritten);
    world.kill(world.client);
    const down = { ...TRAIN, intervalNs: (5 + index) * 1e6, jitterSdNs: 0, datagramLen: 600 + index };
    world.startClient(event.kind === "client restart" ? {} : { down });
  } else if (event.kind === "move") {
    world.network.move(world.client.at, {
      ip: Uint8Array.from([198, 51, 100, index + 1]),
      port: 50_000 + index,
    });
  } else if (event.kind === "socket") {
    world.client.moveTo({ ip: Uint8Array.from([203, 0, 113, index + 1]), port: 60_000 + index });
  } else if (event.kind === "load") {
    for (let i = 0; i < event.packets; i++) traffic.send(event.len);
  }
  world.run(event.kind === "quiet" ? event.seconds * SECOND : 0.7 * SECOND);
}

/** Virtual time until a packet has come through each way. */
function recover(world: World, traffic: Traffic): boolean {
  world.network.part(false);
  world.network.conditions = CALM;
  const { client, server } = world;
  const before = [client.io.tunWritten.length, server.io.tunWritten.length];
  const endNs = world.time.nowNs() + RECOVERY_NS;
  while (world.time.nowNs() < endNs) {
    traffic.send(100);
    world.run(0.2 * SECOND);
    if (client.io.tunWritten.length > before[0] && server.io.tunWritten.length > before[1]) return true;
  }
  return false;
}

Deno.test("after any sequence of mishaps data flows again, nothing twice, nothing invented, no nonce repeated", () => {
  const seed = Deno.env.get("SIM_SEED");
  const runs = Number(Deno.env.get("SIM_RUNS") ?? 25);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), fc.array(EVENTS, { maxLength: 8 }), (worldSeed, events) => {
      const world = new World({ seed: worldSeed, network: CALM, rekeyRecords: 300 });
      const traffic = new Traffic(world);
      world.run(SECOND);
      events.forEach((event, index) => happen(world, traffic, event, index));
      assert.ok(recover(world, traffic), `no data within ${RECOVERY_NS / SECOND} s`);
      world.run(5 * SECOND);
      traffic.check();
    }),
    { numRuns: runs, ...(seed === undefined ? {} : { seed: Number(seed) }) },
  );
});
