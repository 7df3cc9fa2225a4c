/** Client and server of TCP mode in simulated time: planes, handshakes, multiplexers, stream rings, local sides. What an
 * observer sees is `net.trace`. */

import { heapSecrets } from "../../src/base/mod.ts";
import { SeededRandom, seedOf } from "../../src/base/random.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";
import { COUNTERS_LEN, DataCounters } from "../../src/tunnel/counters.ts";
import { Mailbox } from "../../src/tunnel/mailbox.ts";
import type { Order, WorkerEvent } from "../../src/tunnel/messages.ts";
import { BRIDGE_RING_LEN, BridgeEnd } from "../../src/tunnel/stream_bridge.ts";
import { StreamMuxes } from "../../src/tunnel/stream_muxes.ts";
import { StreamRing } from "../../src/tunnel/stream_ring.ts";
import { TcpClientControl } from "../../src/tunnel/tcp_client_control.ts";
import { TcpClientPlane } from "../../src/tunnel/tcp_client_plane.ts";
import type { TcpPlane, TcpPlanePorts } from "../../src/tunnel/tcp_plane.ts";
import { TcpServerControl } from "../../src/tunnel/tcp_server_control.ts";
import { TcpServerPlane } from "../../src/tunnel/tcp_server_plane.ts";
import { type Job, LocalSide } from "./mux_world.ts";
import { LedgerProtection, NonceLedger } from "./nonce_ledger.ts";
import { TcpNet, TcpSide } from "./tcp_net.ts";
import { TcpPacer } from "./tcp_pacer.ts";
import { VirtualTime } from "./virtual_time.ts";

const MEMORY_LEN = 2 ** 25;
const MAILBOX_LEN = 1 << 16;
const KEY = new Uint8Array(32).fill(7);
const SUITES = [0x1303];
const GROUPS = [0x1d];
const LISTENER = 5;
const TURNS_MAX = 50;

export interface TcpWorldOptions {
  readonly seed: number;
  readonly delayNs?: number;
  readonly intervalNs?: number;
  readonly rekeyRecords?: number;
}

interface Control {
  handle(event: WorkerEvent, nowNs: number): void;
}

/** One machine. */
export class TcpEnd {
  readonly memory = new HeapMemory(MEMORY_LEN);
  readonly protection: LedgerProtection;
  readonly pacer: TcpPacer;
  readonly tcp: TcpSide;
  readonly counters: DataCounters;
  readonly mailbox: Mailbox<Order>;
  readonly log: string[] = [];
  readonly events: WorkerEvent[] = [];
  readonly local: LocalSide;
  plane!: TcpPlane;
  control!: Control;
  protected readonly ports: TcpPlanePorts;
  readonly #world: TcpWorld;
  readonly #main: BridgeEnd;
  readonly #inFlight = new Int32Array(new SharedArrayBuffer(4));
  #turnAtNs = Infinity;

  constructor(world: TcpWorld, index: number, client: boolean) {
    this.#world = world;
    const { time, net, ledger } = world;
    const { memory } = this;
    this.protection = new LedgerProtection(memory, ledger);
    this.tcp = new TcpSide(memory, net, index);
    this.tcp.wake = () => this.wake();
    this.pacer = new TcpPacer(memory, this.protection, time, {
      room: (fd) => net.room(fd),
      write: (fd, bytes) => net.write(fd, bytes),
    });
    this.counters = new DataCounters(memory, memory.alloc(COUNTERS_LEN));
    this.mailbox = Mailbox.create<Order>(MAILBOX_LEN);
    const random = new SeededRandom(seedOf(world.options.seed * 2 + index));
    const entropy = {
      fill: (out: Uint8Array) => {
        for (let i = 0; i < out.length; i++) out[i] = random.u32() & 0xff;
      },
    };
    const commands = StreamRing.create(BRIDGE_RING_LEN).buffer;
    const events = StreamRing.create(BRIDGE_RING_LEN).buffer;
    this.#main = new BridgeEnd(new StreamRing(commands), new StreamRing(events), () => this.wake());
    const drain = () => void this.#main.drainEvents(() => this.local);
    const bridge = new BridgeEnd(
      new StreamRing(events),
      new StreamRing(commands),
      () => time.after(0, drain),
    );
    this.local = new LocalSide(() => this.#main.commands(0), time, world.jobs, client);
    this.ports = {
      memory,
      protection: this.protection,
      pacer: this.pacer,
      io: this.tcp,
      tcp: this.tcp,
      clock: time,
      entropy,
      mailbox: this.mailbox,
      counters: this.counters,
      eventsInFlight: this.#inFlight,
      streams: new StreamMuxes({ client, carrier: "ordered", u8: memory.u8, entropy, bridge }),
      post: (event) => {
        this.events.push(event);
        time.after(1e6, () => {
          this.#inFlight[0]--;
          this.control.handle(event, time.nowNs());
        });
      },
    };
    const main = {
      order: (order: Order, ...bytes: readonly Uint8Array[]) => {
        this.mailbox.post(order, ...bytes);
        this.wake();
      },
      log: (_level: string, message: string, fields?: Record<string, unknown>) =>
        void this.log.push(`${message} ${JSON.stringify(fields ?? {})}`),
      welcomed: () => {},
      clientName: () => "laptop",
      arrived: () => {},
    };
    const common = {
      traceCount: 0,
      rekeyRecords: world.options.rekeyRecords ?? 2 ** 23,
      shim: "",
      mailbox: { off: 0, len: 0 },
      eventsInFlight: this.#inFlight.buffer as SharedArrayBuffer,
      eventFd: -1,
      tunFd: -1,
      udpFds: [],
      counters: 0,
      pacer: { pollMode: "hybrid" as const, fifo: false, cpu: "none" as const },
      bridge: { commands, events },
    };
    const direction = {
      speedBitsPerS: undefined,
      intervalNs: world.options.intervalNs ?? 2e6,
      packetLength: 700,
      jitter: undefined,
      burst: 1,
    };
    if (client) {
      const peer = { ip: Uint8Array.of(192, 0, 2, 2), port: 1405 };
      this.control = new TcpClientControl(
        { key: { key: KEY }, suites: SUITES, groups: GROUPS, entropy },
        main,
        0,
      );
      this.plane = new TcpClientPlane(this.ports, {
        ...common,
        role: "tcp client",
        peer,
        up: direction,
        down: direction,
        nonce: new Uint8Array(8).fill(3),
      });
    } else {
      this.control = new TcpServerControl(
        { keys: [{ key: KEY }], secrets: heapSecrets, suites: SUITES, groups: GROUPS, entropy },
        main,
      );
      this.plane = new TcpServerPlane(this.ports, {
        ...common,
        role: "tcp server",
        listeners: [LISTENER],
        clients: [{ name: "laptop", maxSpeedBitsPerS: 1e9 }],
      });
    }
    this.wake();
  }

  /** Turns the plane now, and again when its wait is over. */
  wake(): void {
    this.#turnAt(this.#world.time.nowNs());
  }

  #turnAt(atNs: number): void {
    if (atNs >= this.#turnAtNs) return;
    this.#turnAtNs = atNs;
    this.#world.time.at(atNs, () => {
      if (this.#turnAtNs !== atNs) return;
      this.#turnAtNs = Infinity;
      for (let turns = 0; turns < TURNS_MAX; turns++) {
        if (!this.plane.turn()) return;
        if (this.tcp.timeoutNs > 0) break;
      }
      this.#turnAt(this.#world.time.nowNs() + Math.max(1000, this.tcp.timeoutNs));
    });
  }
}

export class TcpWorld {
  readonly time = new VirtualTime();
  readonly net: TcpNet;
  readonly ledger = new NonceLedger();
  readonly jobs = new Map<number, Job>();
  readonly server: TcpEnd;
  readonly client: TcpEnd;

  constructor(readonly options: TcpWorldOptions) {
    this.net = new TcpNet(this.time, options.delayNs ?? 10e6);
    this.server = new TcpEnd(this, 1, false);
    this.client = new TcpEnd(this, 0, true);
  }

  run(forNs: number): void {
    this.time.runUntil(this.time.nowNs() + forNs);
  }
}
