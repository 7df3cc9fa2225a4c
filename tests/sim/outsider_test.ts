/** An attacker without keys, who reads everything and sends what he likes from any address. What leaves a victim, what
 * it hands on and what it keeps must be as if he were not there; each thing that he sends is counted. */

import assert from "node:assert/strict";
import { SeededRandom, seedOf } from "../../src/base/random.ts";
import type { EndpointAddress } from "../../src/ports/mod.ts";
import type { CounterName } from "../../src/tunnel/counters.ts";
import { addressText, type Datagram, firstDifference, type Seen } from "./network.ts";
import {
  CLIENT_AT,
  CLIENT_INNER,
  innerPacket,
  SERVER_AT,
  SERVER_INNER,
  type SimClient,
  type SimServer,
  World,
} from "./world.ts";

const SECOND = 1e9;
const STEP_NS = 10e6;
const STEPS = 600;
const RANDOM_PER_STEP = 34; // 20,400 in all

class Outsider {
  readonly #random = new SeededRandom(seedOf(4711));
  readonly #world: World;
  #hello: Uint8Array = new Uint8Array(0);
  /** The victim's connection id, as it is to be read in each of its records. */
  #cid: Uint8Array = new Uint8Array(8);

  constructor(world: World) {
    this.#world = world;
    world.network.tap = (datagram) => this.#read(datagram);
  }

  /** One step of the flood: random bytes, hellos that are nearly right, from many addresses and from the victims'. */
  step(): void {
    for (let i = 0; i < RANDOM_PER_STEP; i++) {
      const to = this.#random.below(2) === 0 ? SERVER_AT : CLIENT_AT;
      const from = this.#random.below(3) === 0
        ? (to === SERVER_AT ? CLIENT_AT : SERVER_AT)
        : this.#stranger();
      const bytes = this.#bytes(this.#random.below(1400));
      if (this.#random.below(4) === 0) bytes.set(this.#header(to).subarray(0, bytes.length));
      this.#world.network.inject({ bytes, from, to });
    }
    const hello = this.#hello.slice();
    if (this.#random.below(2) === 0) hello[this.#random.below(hello.length)] ^= 1 << this.#random.below(8);
    this.#world.network.inject({ bytes: hello, from: this.#stranger(), to: SERVER_AT });
  }

  /** Each datagram comes again one to three times, as it is; and once cut short, once with a bit changed; now and then
   * from elsewhere. */
  #read(datagram: Datagram): void {
    const { bytes } = datagram;
    if (bytes[0] === 22 && addressText(datagram.to) === addressText(SERVER_AT)) this.#hello = bytes;
    if ((bytes[0] & 0xf0) === 0x30) this.#cid = bytes.slice(1, 9);
    const later = (changed: Uint8Array) => {
      const from = this.#random.below(3) === 0 ? this.#stranger() : datagram.from;
      const delayNs = 20e6 + this.#random.unit() * 2e9;
      this.#world.time.after(
        delayNs,
        () => this.#world.network.inject({ ...datagram, bytes: changed, from }),
      );
    };
    for (let i = 1 + this.#random.below(3); i > 0; i--) later(bytes);
    later(bytes.slice(0, this.#random.below(bytes.length)));
    later(bytes.with(this.#random.below(bytes.length), this.#random.u32()));
  }

  /** How a record for `to` may begin, of any epoch and form. */
  #header(to: EndpointAddress): Uint8Array {
    const first = 0x20 | this.#random.below(16);
    return to === SERVER_AT ? Uint8Array.of(first | 0x10, ...this.#cid) : Uint8Array.of(first);
  }

  #bytes(len: number): Uint8Array {
    return Uint8Array.from({ length: len }, () => this.#random.u32());
  }

  #stranger(): EndpointAddress {
    return { ip: Uint8Array.from([203, ...this.#bytes(3)]), port: 1024 + this.#random.below(60_000) };
  }
}

function run(isAttacked: boolean) {
  const world = new World({ seed: 31 });
  const outsider = isAttacked ? new Outsider(world) : undefined;
  assert.ok(world.runUntilUp(3 * SECOND));
  world.run(3 * SECOND - world.time.nowNs());
  const before = used(world);
  for (let step = 0; step < STEPS; step++) {
    outsider?.step();
    if (step % 4 === 0) {
      world.client.io.tunSubmit(innerPacket(CLIENT_INNER, SERVER_INNER, 200 + step, step));
      world.server.io.tunSubmit(innerPacket(SERVER_INNER, CLIENT_INNER, 200 + step, step));
      world.client.wake();
      world.server.wake();
    }
    world.run(STEP_NS);
  }
  return { world, before, after: used(world) };
}

/** Bytes and keys that both participants hold. */
function used({ client, server }: World): number[] {
  return [client, server].flatMap(({ memory, protection }) => [memory.usedLen, protection.keyCount]);
}

/** The records that left for the victim's peer. Hellos are answered to whoever sends them, within the gate's limits. */
function records(world: World, sender: "client" | "server"): Seen[] {
  const to = sender === "client" ? SERVER_AT : CLIENT_AT;
  return world.network.traceOf(sender).filter(({ path, head }) =>
    path.endsWith(`>${addressText(to)}`) && (sender === "client" || head.startsWith("2"))
  );
}

/** Every datagram and every record that came in is in one counter of its fate. */
function balanced({ counters }: SimClient | SimServer): void {
  const sum = (...names: CounterName[]) => names.reduce((total, name) => total + counters.get(name), 0);
  assert.equal(counters.get("records_in"), sum("records_opened", "records_failed", "records_replayed"));
  const least = sum(
    ...["datagrams_unknown_sender", "datagrams_unexpected"] as const,
    ...["datagrams_handshake", "handshake_limited"] as const,
    ...["hello_dropped", "hello_replied", "hello_limited"] as const,
  );
  assert.ok(
    counters.get("datagrams_in") <= sum("records_in", "records_no_epoch", "datagrams_malformed") + least,
  );
}

Deno.test("an attacker without keys changes nothing of what leaves, arrives or is kept", () => {
  const calm = run(false);
  const attacked = run(true);
  for (const sender of ["client", "server"] as const) {
    assert.equal(firstDifference(records(attacked.world, sender), records(calm.world, sender)), undefined);
    assert.deepEqual(attacked.world[sender].io.tunWritten, calm.world[sender].io.tunWritten);
    assert.ok(calm.world[sender].io.tunWritten.length >= 149);
    balanced(attacked.world[sender]);
  }
  assert.deepEqual(attacked.after, attacked.before, "memory and keys");
  assert.equal(attacked.world.client.client.reconnects, 0);
  const seen: [SimClient | SimServer, CounterName[]][] = [
    [attacked.world.server, [
      "records_replayed",
      "records_failed",
      "records_no_epoch",
      "datagrams_malformed",
    ]],
    [attacked.world.server, ["datagrams_unknown_sender", "hello_dropped"]],
    [attacked.world.client, [
      "records_replayed",
      "records_failed",
      "records_no_epoch",
      "datagrams_malformed",
    ]],
    [attacked.world.client, ["datagrams_unknown_sender", "datagrams_unexpected"]],
  ];
  for (const [end, names] of seen) {
    for (const name of names) assert.ok(end.counters.get(name) > 50, `${name}: ${end.counters.get(name)}`);
  }
});
