/** Plays a story, and holds the tunnel to its promises: no nonce twice (the ledger throws) · nothing arrives twice, or
 * that was not sent, or changed · once the network allows, data flows again within bounded time, and then every packet
 * arrives · memory and keys stay bounded, and are given back · an observer sees the same with data and without. */

import type { EndpointAddress } from "../../src/ports/mod.ts";
import { firstDifference } from "./network.ts";
import type { Mishap, Story } from "./story.ts";
import { Traffic } from "./traffic.ts";
import { TRAIN, World, type WorldOptions } from "./world.ts";

// Chosen here.
const SECOND = 1e9;
const STEP_NS = 0.1 * SECOND;
/** The server forgets a client that moved or restarted after 30 s at the latest; a handshake follows. */
const RECOVERY_MAX_NS = 60 * SECOND;
/** What is under way when data flows again. */
const SETTLE_NS = 2 * SECOND;
/** What has queued up before goes first. */
const ARRIVAL_MAX_NS = 20 * SECOND;
const GOODBYE_NS = 1.5 * SECOND;
const GOODBYE_MAX_NS = 5 * SECOND;
const OUTAGE_MAX_NS = 40 * SECOND;
const SUSPENDED_MAX_NS = 50 * SECOND;
const STALLED_MAX_NS = 4 * SECOND;
const PACKETS_MAX = 40;
const STEPS_AT_THE_END = 12;
const PACKET_LENS = [28, 60, 300, 576, 1280];
/** Two sessions of two epochs each, the sealing key and the next, and one that nobody knows. */
const KEYS_MAX = 8;
/** Of a participant with one peer: the plane's own blocks, queue and reassembler, and two rings for a while. */
const MEMORY_MAX = 1500 << 10;

export interface Outcome {
  readonly world: World;
  /** How many steps of 100 ms each wait took: until data flowed again, until all had come, until the goodbye was heard. */
  readonly waits: readonly number[];
  readonly handshakes: number;
  /** Of the client's data, as far as two bits tell them. */
  readonly epochs: number;
}

/** Puts something into a world that has run for a second: a fault, to see that it is found. */
type Plant = (world: World) => void;

/** Plays to the end; throws when a promise is broken. `options` may change the world; with `waits`, no data is sent, and
 * all goes as in a play that waited so long. */
export function play(
  story: Story,
  options: Partial<WorldOptions> = {},
  plant: Plant = () => {},
  waits?: readonly number[],
): Outcome {
  const player = new Player(story, { ...story.options, ...options }, waits);
  plant(player.world);
  for (const mishap of story.mishaps) player.happen(mishap);
  player.recover();
  player.exchange();
  player.part();
  return player;
}

/** Plays with data and without, and compares what an observer sees. */
export function playTwins(story: Story, options: Partial<WorldOptions> = {}, plant?: Plant): Outcome {
  const busy = play(story, options, plant);
  const idle = play(story, options, plant, busy.waits);
  const difference = firstDifference(busy.world.network.trace, idle.world.network.trace);
  if (difference !== undefined) throw new Error(`an observer sees data: ${difference}`);
  return busy;
}

class Player implements Outcome {
  readonly world: World;
  readonly waits: number[] = [];
  readonly #traffic: Traffic;
  readonly #story: Story;
  /** Of the play that this one is the twin of. */
  readonly #waitsBefore: readonly number[] | undefined;
  #steps = 0;
  #moves = 0;
  #welcomesBefore = 0;

  constructor(story: Story, options: WorldOptions, waitsBefore: readonly number[] | undefined) {
    this.#story = story;
    this.#waitsBefore = waitsBefore;
    this.world = new World(options);
    this.#traffic = new Traffic(this.world);
    this.#pass(SECOND);
  }

  get handshakes(): number {
    return this.#welcomesBefore + this.world.client.welcomes.length;
  }

  get epochs(): number {
    const heads = this.world.network.traceOf("client").map(({ head }) => parseInt(head.slice(0, 2), 16));
    return new Set(heads.filter((head) => (head & 0xe0) === 0x20 && (head & 3) !== 2).map((head) => head & 3))
      .size;
  }

  happen({ kind, strength, durationNs, weather }: Mishap): void {
    const { network, client, server } = this.world;
    const outageNs = strength ** 3 * OUTAGE_MAX_NS;
    if (kind === "weather") network.conditions = weather;
    else if (kind === "outage") this.#mute(outageNs, "client", "server");
    else if (kind === "deaf client") this.#mute(outageNs, "server");
    else if (kind === "deaf server") this.#mute(outageNs, "client");
    else if (kind === "move") this.#move();
    else if (kind === "move and back") this.#moveAndBack(strength * SECOND);
    else if (kind === "socket") client.moveTo({ ...this.#otherAddress(), ip: Uint8Array.of(203, 0, 113, 7) });
    else if (kind === "server restart") this.#restartServer();
    else if (kind === "client restart") this.#restartClient({});
    else if (kind === "other schedule") this.#restartClient(otherSchedule(strength));
    else if (kind === "goodbye") this.#goodbye();
    else if (kind === "client suspended") client.suspend(strength ** 3 * SUSPENDED_MAX_NS);
    else if (kind === "server suspended") server.time.suspend(strength ** 3 * SUSPENDED_MAX_NS);
    else if (kind === "client stalled") client.time.stall(strength * STALLED_MAX_NS);
    else if (kind === "server stalled") server.time.stall(strength * STALLED_MAX_NS);
    else if (kind === "load") { for (let i = 0; i < strength * PACKETS_MAX; i++) this.#send(); }
    this.#pass(durationNs);
  }

  /** The network is good, everybody is awake: data has to flow both ways again, soon. */
  recover(): void {
    const { network, client, server } = this.world;
    network.conditions = this.#story.calm;
    this.#pass(Math.max(client.time.asleepNs, server.time.asleepNs));
    const { arrived } = this.#traffic;
    this.#traffic.count();
    if (this.#wait(RECOVERY_MAX_NS, () => arrived.up > 0 && arrived.down > 0, () => this.#send())) return;
    const { log, client: { state } } = client;
    throw new Error(`no data: ${JSON.stringify(arrived)}, client ${state}: ${log.slice(-3).join("; ")}`);
  }

  /** On a good network nothing is lost any more: every packet comes, at the first try. */
  exchange(): void {
    const { arrived } = this.#traffic;
    this.#pass(SETTLE_NS);
    this.#traffic.count();
    for (let i = 0; i < STEPS_AT_THE_END; i++) this.#pass(STEP_NS);
    const { sent } = this.#traffic;
    if (this.#wait(ARRIVAL_MAX_NS, () => arrived.up === sent && arrived.down === sent)) return;
    throw new Error(`of packets each way on a good network came ${JSON.stringify(arrived)}`);
  }

  /** The client says goodbye, and the server has nothing left of it. */
  part(): void {
    const { client, server } = this.world;
    const heard = () => server.closed.filter((reason) => reason === "the client closed the session").length;
    const before = heard();
    client.stop();
    if (!this.#wait(GOODBYE_MAX_NS, () => heard() > before)) {
      throw new Error(`a goodbye was not heard: ${server.closed.join("; ")}`);
    }
    if (server.protection.keyCount !== 0) throw new Error(`${server.protection.keyCount} keys are left`);
    this.#checkBounds();
  }

  /** Goes on, a step at a time, until `isDone`, at most for so long: then false. */
  #wait(mostNs: number, isDone: () => boolean, act: () => void = () => {}): boolean {
    const stepsBefore = this.#waitsBefore?.[this.waits.length];
    let steps = 0;
    while (stepsBefore === undefined ? !isDone() && steps * STEP_NS <= mostNs : steps < stepsBefore) {
      act();
      this.world.run(STEP_NS);
      this.#traffic.take();
      steps++;
    }
    this.waits.push(steps);
    return steps * STEP_NS <= mostNs;
  }

  #pass(ns: number): void {
    const { time } = this.world;
    const endNs = time.nowNs() + ns;
    while (time.nowNs() < endNs) {
      this.#send();
      time.runUntil(Math.min(endNs, time.nowNs() + STEP_NS));
      this.#traffic.take();
    }
    this.#checkBounds();
  }

  #send(): void {
    if (this.#waitsBefore === undefined) this.#traffic.send(PACKET_LENS[this.#steps++ % PACKET_LENS.length]);
  }

  #checkBounds(): void {
    for (const end of [this.world.client, this.world.server]) {
      const { keyCount } = end.protection;
      if (keyCount > KEYS_MAX) throw new Error(`${keyCount} keys are alive`);
      const { mostLen } = end.memory;
      if (mostLen > MEMORY_MAX) throw new Error(`${mostLen} bytes are in use`);
    }
  }

  #mute(ns: number, ...names: readonly string[]): void {
    for (const name of names) this.world.network.mute(name, true);
    this.#pass(ns);
    for (const name of names) this.world.network.mute(name, false);
  }

  #otherAddress(): EndpointAddress {
    return { ip: Uint8Array.of(198, 51, 100, ++this.#moves), port: 50_000 + this.#moves };
  }

  #move(): void {
    this.world.network.move(this.world.client.at, this.#otherAddress());
  }

  #moveAndBack(ns: number): void {
    const { at } = this.world.client;
    this.#move();
    this.#pass(ns);
    this.world.network.move(at, at);
  }

  #restartServer(): void {
    this.#traffic.take();
    this.world.kill(this.world.server);
    this.world.startServer();
  }

  #restartClient(changes: Partial<WorldOptions>): void {
    this.#traffic.take();
    this.#welcomesBefore += this.world.client.welcomes.length;
    this.world.kill(this.world.client);
    this.world.startClient(changes);
  }

  #goodbye(): void {
    this.world.client.stop();
    this.#pass(GOODBYE_NS);
    this.#restartClient({});
  }
}

function otherSchedule(strength: number): Partial<WorldOptions> {
  const down = {
    ...TRAIN,
    intervalNs: (15 + 30 * strength) * 1e6,
    datagramLen: 600 + Math.floor(200 * strength),
  };
  return { down };
}
