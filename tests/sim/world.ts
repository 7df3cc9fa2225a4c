/** Both participants, the network between them and the clock, in one process and in virtual time. The planes, the
 * handshake control, sessions and schedules are the program's own; the shim's ports are their TypeScript twins. */

import { SeededRandom, seedOf } from "../../src/base/random.ts";
import type { LongTermKey } from "../../src/handshake/psk_directory.ts";
import type { EndpointAddress, Entropy, Memory, RecordProtection } from "../../src/ports/mod.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";
import { ClientControl } from "../../src/tunnel/client_control.ts";
import { ClientStart, probesOf } from "../../src/tunnel/client_start.ts";
import { ClientPlane } from "../../src/tunnel/client_plane.ts";
import { COUNTERS_LEN, DataCounters } from "../../src/tunnel/counters.ts";
import type { DataPlane, DataPlanePorts } from "../../src/tunnel/data_plane.ts";
import { Mailbox } from "../../src/tunnel/mailbox.ts";
import type { Order, TrainParameters, WorkerEvent } from "../../src/tunnel/messages.ts";
import { ServerControl } from "../../src/tunnel/server_control.ts";
import { ServerPlane } from "../../src/tunnel/server_plane.ts";
import { BRIDGE_RING_LEN, BridgeEnd } from "../../src/tunnel/stream_bridge.ts";
import { StreamMuxes } from "../../src/tunnel/stream_muxes.ts";
import { StreamRing } from "../../src/tunnel/stream_ring.ts";
import { handshakeV0Of } from "../../src/tunnel/v0.ts";
import type { ServerWelcome } from "../../src/wire/inner_control.ts";
import { EndClock } from "./end_clock.ts";
import { type Job, LocalSide } from "./mux_world.ts";
import { addressText, type NetworkConditions, SimNetwork } from "./network.ts";
import { LedgerProtection, NonceLedger } from "./nonce_ledger.ts";
import { SimIo } from "./sim_io.ts";
import { type PacerFault, SimPacer } from "./sim_pacer.ts";
import { VirtualTime } from "./virtual_time.ts";

const MEMORY_LEN = 4 << 20;
const MAILBOX_LEN = 1 << 16;
const TURNS_MAX = 64;
/** From one thread of a participant to the other. Not 0: what both do at one moment by their timers would come in an order
 * that depends on what else there is to do. */
const THREADS_NS = 30e3;
/** As by default: X25519MLKEM768, X25519, secp256r1. */
const GROUPS = [0x11ec, 0x1d, 0x17];
const GROUPS_V0 = [0x17, 0x1d];
export const CLIENT_AT: EndpointAddress = { ip: new Uint8Array([192, 0, 2, 1]), port: 40_000 };
export const OTHER_AT: EndpointAddress = { ip: new Uint8Array([192, 0, 2, 3]), port: 40_000 };
export const SERVER_AT: EndpointAddress = { ip: new Uint8Array([192, 0, 2, 2]), port: 1405 };
export const CLIENT_INNER = [10, 140, 5, 2];
export const OTHER_INNER = [10, 140, 5, 3];
export const SERVER_INNER = [10, 140, 5, 1];

export interface WorldOptions {
  readonly seed: number;
  readonly network?: NetworkConditions;
  readonly up?: TrainParameters;
  readonly down?: TrainParameters;
  readonly rekeyRecords?: number;
  /** Suites, the client's preference first. */
  readonly suites?: readonly number[];
  /** Groups, the client's preference first. */
  readonly groups?: readonly number[];
  readonly wrongKey?: boolean;
  /** The client takes another socket so often. */
  readonly rotateSlots?: number;
  /** Lengths of datagrams, the longest first, among which the client looks for what the path carries. */
  readonly lengths?: readonly number[];
  /** The server lets clients reach one another. */
  readonly betweenClients?: boolean;
  /** A second client with a key and an inner address of its own. */
  readonly twoClients?: boolean;
  /** Streams instead of packets: what they carry, by key. */
  readonly jobs?: readonly Job[];
  /** The server knows nothing of streams. */
  readonly serverHasNoStreams?: boolean;
  /** All speak inner protocol version 0, and watch their packets if that is asked for. */
  readonly version0?: "plain" | "monitored";
  /** The AEAD, if not the plain one; wrapped for a participant by who wants to plant a fault. */
  readonly protection?: (memory: Memory) => RecordProtection;
}

export const TRAIN: TrainParameters = {
  intervalNs: 10e6,
  jitterSdNs: 1e6,
  jitterLaw: "gaussian",
  datagramLen: 600,
  burst: 1,
};

class SeededEntropy implements Entropy {
  readonly #random: SeededRandom;
  constructor(seed: number) {
    this.#random = new SeededRandom(seedOf(seed));
  }
  fill(out: Uint8Array): void {
    for (let i = 0; i < out.length; i++) out[i] = this.#random.u32();
  }
}

/** Knows how much of it is in use, and was at most. */
class CountedMemory extends HeapMemory {
  usedLen = 0;
  mostLen = 0;

  override alloc(len: number): number {
    const off = super.alloc(len);
    this.usedLen += len;
    this.mostLen = Math.max(this.mostLen, this.usedLen);
    return off;
  }

  override free(off: number, len: number): void {
    super.free(off, len);
    this.usedLen -= len;
  }
}

/** What a session's keys are made of, for tests that play a hostile peer. */
export interface TakenSession {
  readonly suite: number;
  readonly clientSecret: Uint8Array;
  readonly serverSecret: Uint8Array;
  /** In the client's records. */
  readonly cid: Uint8Array;
  /** message_seq of the first message that each side sends after the handshake. */
  readonly clientMessageSeq: number;
  readonly serverMessageSeq: number;
}

interface Control {
  handle(event: WorkerEvent, nowNs: number): void;
  nextTimeoutNs(): number;
  handleTimeout(nowNs: number): void;
}

/** One participant as long as its process lives. */
abstract class End {
  readonly memory = new CountedMemory(MEMORY_LEN);
  readonly time: EndClock;
  readonly protection: LedgerProtection;
  readonly mailbox = Mailbox.create<Order>(MAILBOX_LEN);
  readonly counters: DataCounters;
  readonly pacer: SimPacer;
  readonly io: SimIo;
  readonly log: string[] = [];
  alive = true;
  /** Own addresses of the sockets. */
  readonly sockets = new Map<number, EndpointAddress>();
  protected readonly ports: DataPlanePorts;
  /** The local side of streams (at a server: the first client's), and its way to the data plane. */
  readonly local: LocalSide;
  readonly #bridge: BridgeEnd;
  plane!: DataPlane;
  protected control!: Control;
  readonly #events = new Int32Array(new SharedArrayBuffer(4));
  readonly #rings = {
    commands: StreamRing.create(BRIDGE_RING_LEN).buffer,
    events: StreamRing.create(BRIDGE_RING_LEN).buffer,
  };
  #turnAtNs = Infinity;
  #timerAtNs = Infinity;

  constructor(protected readonly world: World, at: EndpointAddress, seed: number, client: boolean) {
    const { network } = world;
    const time = this.time = new EndClock(world.time);
    this.#bridge = new BridgeEnd(
      new StreamRing(this.#rings.commands),
      new StreamRing(this.#rings.events),
      () => this.wake(),
    );
    const jobs = new Map((world.options.jobs ?? []).map((job, key) => [key, job]));
    const commands = this.#bridge.commands(0);
    this.local = new LocalSide(() => commands, time, jobs, client);
    this.sockets.set(0, at);
    this.protection = new LedgerProtection(
      this.memory,
      world.ledger,
      world.options.protection?.(this.memory),
    );
    this.pacer = new SimPacer(this.memory, this.protection, time, {
      send: (fd, bytes, to) => {
        if (this.alive) network.send(this.sockets.get(fd)!, to, bytes);
        return true;
      },
    });
    this.io = new SimIo(this.memory, () => time.nowNs(), (bytes, to) => {
      if (this.alive) network.send(at, to, bytes);
    });
    const countersOff = this.memory.alloc(COUNTERS_LEN);
    this.counters = new DataCounters(this.memory, countersOff);
    this.ports = {
      memory: this.memory,
      protection: this.protection,
      pacer: this.pacer,
      io: this.io,
      clock: time,
      entropy: new SeededEntropy(seed),
      mailbox: this.mailbox,
      counters: this.counters,
      eventsInFlight: this.#events,
      post: (event) => time.after(THREADS_NS, () => this.#handle(event)),
      streams: this.#hasStreams(client) ? this.#streams(client, seed) : undefined,
    };
  }

  #hasStreams(client: boolean): boolean {
    const { jobs, serverHasNoStreams } = this.world.options;
    return jobs !== undefined && (client || serverHasNoStreams !== true);
  }

  #streams(client: boolean, seed: number): StreamMuxes {
    const drain = () => {
      if (this.alive && this.#bridge.drainEvents(() => this.local)) this.time.after(0, drain);
    };
    const bridge = new BridgeEnd(
      new StreamRing(this.#rings.events),
      new StreamRing(this.#rings.commands),
      () => this.time.after(0, drain),
    );
    const { memory: { u8 } } = this;
    return new StreamMuxes({ client, carrier: "datagrams", u8, entropy: new SeededEntropy(-seed), bridge });
  }

  protected order(order: Order, ...bytes: readonly Uint8Array[]): void {
    const copies = bytes.map((part) => part.slice());
    this.time.after(THREADS_NS, () => {
      this.mailbox.post(order, ...copies);
      this.wake();
    });
  }

  /** Has the plane turn now, and again when it asks for it. */
  wake(): void {
    this.#turnAt(this.time.nowNs());
  }

  /** The process stands still so long, as after SIGSTOP: what comes meanwhile waits in the socket, as much as that
   * holds. */
  stand(ns: number): void {
    this.time.stall(ns);
  }

  stop(): void {
    this.order({ type: "stop" });
  }

  #turnAt(timeNs: number): void {
    if (timeNs >= this.#turnAtNs) return;
    this.#turnAtNs = timeNs;
    this.time.at(timeNs, () => {
      if (this.#turnAtNs !== timeNs || !this.alive) return;
      this.#turnAtNs = Infinity;
      for (let turn = 0; turn < TURNS_MAX; turn++) {
        if (!this.plane.turn()) return;
        if (!this.io.readable && turn > 0) break;
      }
      this.#turnAt(this.time.nowNs() + Math.max(1000, this.io.timeoutNs));
    });
  }

  #handle(event: WorkerEvent): void {
    if (!this.alive) return;
    if (event.type === "notice") this.log.push(`${event.level} ${event.text}`);
    this.#events[0]--;
    this.control.handle(event, this.time.nowNs());
    this.onEvent(event);
    this.armControl();
  }

  protected onEvent(_event: WorkerEvent): void {}

  protected armControl(): void {
    const atNs = this.control.nextTimeoutNs();
    if (atNs === Infinity || atNs === this.#timerAtNs) return;
    this.#timerAtNs = atNs;
    this.time.at(atNs, () => {
      if (this.#timerAtNs !== atNs || !this.alive) return;
      this.#timerAtNs = Infinity;
      this.control.handleTimeout(this.time.nowNs());
      this.armControl();
    });
  }
}

export class SimClient extends End {
  readonly welcomes: ServerWelcome[] = [];
  readonly client: ClientControl | ClientStart;
  /** Sockets that are left and closed, in order. */
  readonly closedSockets: number[] = [];
  /** What it learns of packets of version 0. */
  readonly packetRows: Uint8Array[] = [];
  /** The newest session that the handshake has made. */
  taken: TakenSession | undefined;

  constructor(
    world: World,
    seed: number,
    at = CLIENT_AT,
    ownKey = world.key,
    options: WorldOptions = world.options,
  ) {
    super(world, at, seed, true);
    const key = options.wrongKey ? new Uint8Array(32).fill(0x77) : ownKey;
    const offer = {
      key: longTermKey(key, options),
      suites: options.suites ?? (options.version0 ? [0x1301] : [0x1301, 0x1303]),
      groups: options.groups ?? (options.version0 ? GROUPS_V0 : GROUPS),
      shareGroups: options.version0 ? [GROUPS_V0[0]] : [],
      version0: options.version0 !== undefined,
      entropy: this.ports.entropy,
    };
    const ports = {
      order: (order: Order, ...bytes: readonly Uint8Array[]) => {
        if (order.type === "session") {
          this.taken = {
            suite: order.suite,
            clientSecret: bytes[0].slice(),
            serverSecret: bytes[1].slice(),
            cid: bytes[3].slice(),
            clientMessageSeq: order.sendMessageSeq,
            serverMessageSeq: order.receiveMessageSeq,
          };
        }
        this.order(order, ...bytes);
      },
      log: (level: string, message: string) => void this.log.push(`${level} ${message}`),
      welcomed: (welcome: ServerWelcome) => void this.welcomes.push(welcome),
    };
    const { up = TRAIN, down = TRAIN, lengths } = options;
    const newControl = ({ datagramLen, intervalNs }: TrainParameters, nowNs: number) =>
      new ClientControl({ ...offer, datagramLen, intervalNs }, ports, nowNs);
    const first = lengths === undefined ? newControl(up, this.time.nowNs()) : undefined;
    const { lenMin, hello } = probesOf(offer);
    this.client = first ?? new ClientStart({
      lengths: lengths!.filter((len) => len >= lenMin),
      begin: (datagramLen, nowNs) => {
        const trains = { up: { ...up, datagramLen }, down: { ...down, datagramLen } };
        return { ...trains, control: newControl(trains.up, nowNs), rotateSlots: options.rotateSlots ?? 0 };
      },
      hello,
      entropy: this.ports.entropy,
    }, ports);
    this.control = this.client;
    const nonce = new Uint8Array(8);
    this.ports.entropy.fill(nonce);
    this.plane = new ClientPlane(this.ports, {
      ...common(world),
      role: "client",
      peer: SERVER_AT,
      up: options.up ?? TRAIN,
      down: options.down ?? TRAIN,
      nonce,
      firstDatagram: first?.firstDatagram() ?? new Uint8Array(0),
      rotateSlots: options.rotateSlots ?? 0,
      mssMtuMax: Infinity,
      handshakeV0: options.version0 &&
        handshakeV0Of(options.up ?? TRAIN, options.down ?? TRAIN, 28, options.version0 === "monitored"),
    });
    this.armControl();
    this.wake();
  }

  /** Own address of the newest socket. */
  get at(): EndpointAddress {
    return this.sockets.get(this.sockets.size - 1)!;
  }

  /** Another socket, at another address, is used from now on, or from slot `slot` on. */
  moveTo(at: EndpointAddress, slot = 0): void {
    const fd = this.sockets.size;
    this.sockets.set(fd, at);
    this.world.network.attach("client", at, (datagram) => {
      if (!this.alive || this.time.isSuspended || this.closedSockets.includes(fd)) return;
      this.io.deliver(datagram, fd);
      this.wake();
    });
    this.order({ type: "move", fd, slot });
    this.tell((client) => client.moved(this.time.nowNs()));
  }

  /** The machine sleeps for so long, and the client notices that it did. */
  suspend(ns: number): void {
    this.time.suspend(ns);
    this.time.after(0, () => {
      if (this.alive) this.tell((client) => client.woke(ns, this.time.nowNs()));
    });
  }

  /** What the process notices of its machine. */
  tell(body: (client: ClientControl | ClientStart) => void): void {
    body(this.client);
    this.armControl();
  }

  protected override onEvent(event: WorkerEvent): void {
    if (event.type === "rotate") this.moveTo({ ...CLIENT_AT, port: 41_000 + this.sockets.size }, event.slot);
    if (event.type === "socket left") this.closedSockets.push(event.fd);
    if (event.type === "packets") this.packetRows.push(event.rows);
  }
}

export class SimServer extends End {
  readonly server: ServerControl;
  readonly closed: string[] = [];
  /** Addresses that clients have moved to, in order. */
  readonly moves: string[] = [];
  /** Types of all events that main has been told of, but handshakes. */
  readonly events: string[] = [];

  constructor(world: World, seed: number) {
    super(world, SERVER_AT, seed, false);
    const suites = [0x1301, 0x1303, 0x1302];
    const groups = GROUPS;
    const cookieSecret = new Uint8Array(32);
    this.ports.entropy.fill(cookieSecret);
    this.server = new ServerControl(
      {
        keys: [world.key, world.otherKey].map((key) => longTermKey(key, world.options)),
        version0: world.options.version0 !== undefined,
        suites,
        groups,
        secret: cookieSecret,
        entropy: this.ports.entropy,
      },
      {
        order: (order, ...bytes) => this.order(order, ...bytes),
        send: (_fd, datagram, to) => world.network.send(SERVER_AT, to, datagram),
        log: (level, message) => this.log.push(`${level} ${message}`),
        clientName: (index) => index === 0 ? "client" : "other",
      },
    );
    this.control = this.server;
    this.plane = new ServerPlane(this.ports, {
      ...common(world),
      role: "server",
      cookieSecret,
      cookiePolicy: { suites, groups },
      clients: [
        serverClient("client", CLIENT_INNER, world.options),
        serverClient("other", OTHER_INNER, world.options),
      ],
      hasVersion0: world.options.version0 !== undefined,
      innerAddresses: [`${SERVER_INNER.join(".")}/24`],
      mtu: 1400,
      clampsMss: true,
      betweenClients: world.options.betweenClients ?? false,
      datagramMaxLen: 1472,
    });
    this.armControl();
    this.wake();
  }

  protected override onEvent(event: WorkerEvent): void {
    if (event.type === "closed") this.closed.push(event.reason);
    if (event.type === "moved") this.moves.push(addressText(event.to));
    if (event.type !== "handshake") this.events.push(event.type);
  }
}

function longTermKey(key: Uint8Array, { version0 }: WorldOptions): LongTermKey {
  return version0 === undefined ? { key } : { key, plainIdentity: new Uint8Array(0) };
}

function serverClient(name: string, inner: readonly number[], { version0 }: WorldOptions) {
  const address = inner.join(".");
  const protocol = version0 === undefined ? "v1" as const : "v0" as const;
  return { name, protocol, addresses: [`${address}/32`], given: [`${address}/24`], maxSpeedBitsPerS: 1e10 };
}

function common(world: World) {
  return {
    shim: "",
    mailbox: { off: 0, len: 0 }, // the plane has it
    eventsInFlight: new SharedArrayBuffer(4),
    eventFd: -1,
    tunFd: -1,
    udpFds: [0],
    counters: 0,
    pacer: { pollMode: "hybrid", fifo: true, cpu: "auto" } as const,
    traceCount: 0,
    rekeyRecords: world.options.rekeyRecords ?? 2 ** 23,
  };
}

export class World {
  readonly time = new VirtualTime();
  readonly network: SimNetwork;
  readonly key: Uint8Array;
  readonly otherKey = new Uint8Array(32).fill(0x22);
  readonly ledger = new NonceLedger();
  client!: SimClient;
  other: SimClient | undefined;
  server!: SimServer;
  #starts = 0;

  constructor(readonly options: WorldOptions) {
    this.network = new SimNetwork(this.time, options.seed, options.network ?? { delayMeanNs: 5e6 });
    this.key = new Uint8Array(32).fill(0x11);
    this.network.attach("client", CLIENT_AT, (datagram) => this.#deliver(this.client, datagram));
    this.network.attach("server", SERVER_AT, (datagram) => this.#deliver(this.server, datagram));
    if (options.twoClients) {
      this.network.attach("other", OTHER_AT, (datagram) => this.#deliver(this.other, datagram));
    }
    this.startServer();
    this.startClient();
    if (options.twoClients) this.startOther();
  }

  /** `changes`: the client comes back with another configuration. */
  startClient(changes: Partial<WorldOptions> = {}): void {
    const options = { ...this.options, ...changes };
    this.client = new SimClient(
      this,
      this.options.seed * 1000 + this.#starts++,
      CLIENT_AT,
      this.key,
      options,
    );
  }

  startOther(at: EndpointAddress = OTHER_AT): void {
    this.other = new SimClient(this, this.options.seed * 1000 + 250 + this.#starts++, at, this.otherKey);
  }

  startServer(): void {
    this.server = new SimServer(this, this.options.seed * 1000 + 500 + this.#starts++);
  }

  /** Ends a process as a power cut does. */
  kill(end: SimClient | SimServer): void {
    end.alive = false;
  }

  run(ns: number): void {
    this.time.runUntil(this.time.nowNs() + ns);
  }

  /** Runs until the client has been welcomed `times` times in its life, at most `limitNs`. */
  runUntilUp(limitNs: number, times = 1): boolean {
    const endNs = this.time.nowNs() + limitNs;
    while (this.client.welcomes.length < times && this.time.nowNs() < endNs) this.run(10e6);
    return this.client.welcomes.length >= times;
  }

  setFault(fault: PacerFault): void {
    this.client.pacer.fault = fault;
  }

  #deliver(end: SimClient | SimServer | undefined, datagram: Parameters<SimIo["deliver"]>[0]): void {
    if (end === undefined || !end.alive || end.time.isSuspended) return;
    end.io.deliver(datagram);
    end.wake();
  }
}

/** An IPv4 packet of `len` bytes whose payload tells which one it is. */
export function innerPacket(
  from: readonly number[],
  to: readonly number[],
  len: number,
  mark: number,
): Uint8Array {
  const packet = new Uint8Array(len);
  packet[0] = 0x45;
  packet[2] = len >> 8;
  packet[3] = len;
  packet[8] = 64;
  packet[9] = 17;
  packet.set(from, 12);
  packet.set(to, 16);
  for (let i = 20; i < len; i++) packet[i] = mark + i;
  return packet;
}
