/** What client and server share in the main isolate: the shim, the data Worker, the way between them, the clock of the
 * handshakes. */

import type { Shim } from "../../ffi/mod.ts";
import { ShimError } from "../../ffi/mod.ts";
import type { Log } from "../status/log.ts";
import { COUNTERS_LEN, DataCounters } from "../tunnel/counters.ts";
import { Mailbox, MAILBOX_HEADER_LEN } from "../tunnel/mailbox.ts";
import type { Order, PacerReport, WorkerConfig, WorkerEvent } from "../tunnel/messages.ts";
import { DATA_NICE, MAIN_NICE } from "./priority.ts";

// Chosen here.
const MAILBOX_LEN = MAILBOX_HEADER_LEN + (1 << 18);
const STOP_WAIT_MS = 4000;
const TIMER_MAX_MS = 60_000;

/** What runs the handshakes: ClientControl or ServerControl. */
export interface Control {
  handle(event: WorkerEvent, nowNs: number): void;
  nextTimeoutNs(): number;
  handleTimeout(nowNs: number): void;
}

type OmitCommon<T> = T extends unknown
  ? Omit<T, "shim" | "mailbox" | "eventsInFlight" | "eventFd" | "counters">
  : never;
/** A WorkerConfig without what the runtime fills in. */
export type WorkerSettings = OmitCommon<WorkerConfig>;

export interface RingView {
  readonly ring: number;
  readonly intervalNs: number;
}

export class Runtime {
  readonly counters: DataCounters;
  /** Rings of the clients by index (a client has one, 0). */
  readonly rings = new Map<number, RingView>();
  /** Undefined before the Worker is ready. */
  pacer: PacerReport | undefined;
  /** Settles when the Worker is ready; never, if it fails before. */
  readonly ready: Promise<PacerReport>;
  /** Settles when the Worker has ended: "" after a stop that was asked for, else what failed. */
  readonly ended: Promise<string>;
  readonly #shim: Shim;
  readonly #shimPath: string;
  readonly #log: Log;
  readonly #mailboxOff: number;
  readonly #mailbox: Mailbox<Order>;
  readonly #eventsInFlight = new SharedArrayBuffer(4);
  readonly #eventFd: number;
  readonly #countersOff: number;
  #worker: Worker | undefined;
  #control: Control | undefined;
  #onEvent: ((event: WorkerEvent) => void) | undefined;
  #timer: number | undefined;
  #isSecond = false;
  /** Sockets of streams are this isolate's: what it does is part of the data path. */
  #hasStreams = false;
  #end!: (reason: string) => void;
  #isReady!: (pacer: PacerReport) => void;

  constructor(shim: Shim, path: string, log: Log) {
    this.#shim = shim;
    this.#shimPath = path;
    this.#log = log;
    this.#mailboxOff = shim.memory.alloc(MAILBOX_LEN);
    this.#mailbox = new Mailbox(shim.memory.u8.buffer, this.#mailboxOff, MAILBOX_LEN);
    this.#eventFd = shim.eventOpen();
    this.#countersOff = shim.memory.alloc(COUNTERS_LEN);
    this.counters = new DataCounters(shim.memory, this.#countersOff);
    this.ended = new Promise((resolve) => this.#end = resolve);
    this.ready = new Promise((resolve) => this.#isReady = resolve);
  }

  /** Starts the Worker; with a PacerReport as `pacer` beside the one whose pacer it is. `onEvent` sees every event after `control` has handled it. */
  start(settings: WorkerSettings, control: Control, onEvent: (event: WorkerEvent) => void): void {
    this.#control = control;
    this.#onEvent = onEvent;
    this.#isSecond = "leadNs" in settings.pacer;
    this.#hasStreams = settings.bridge !== undefined;
    // Held from before the first slot to the end, whatever the tunnel carries.
    if (!this.#shim.holdLatency()) this.#log.debug("idle states of the CPU are not held off: only root may");
    const worker = new Worker(new URL("./data_worker.ts", import.meta.url), { type: "module" });
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<WorkerEvent>) => this.#event(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#end(`the data thread failed: ${event.message}`);
    };
    const config = {
      ...settings,
      shim: this.#shimPath,
      mailbox: { off: this.#mailboxOff, len: MAILBOX_LEN },
      eventsInFlight: this.#eventsInFlight,
      eventFd: this.#eventFd,
      counters: this.#countersOff,
    } as WorkerConfig;
    worker.postMessage(config);
    this.#arm();
  }

  /** An order for the Worker; the handshakes' own retransmission makes up for one that finds no room. */
  order(order: Order, ...bytes: readonly Uint8Array[]): void {
    if (!this.#mailbox.post(order, ...bytes)) this.counters.add("orders_dropped");
    this.wake();
  }

  /** Has the Worker look at what is there for it. */
  wake(): void {
    this.#shim.eventSignal(this.#eventFd);
  }

  /** Lets `body` work on what runs the handshakes, whose timer may change by it. */
  run(body: (nowNs: number) => void): void {
    body(this.#shim.clock.nowNs());
    this.#arm();
  }

  /** Says goodbye in slots and ends the Worker; bounded in time. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#worker === undefined) return;
    this.order({ type: "stop" });
    let timer: number | undefined;
    const timeout = new Promise<string>((resolve) =>
      timer = setTimeout(() => resolve("the data thread did not end in time"), STOP_WAIT_MS)
    );
    const reason = await Promise.race([this.ended, timeout]);
    clearTimeout(timer);
    if (reason !== "") this.#log.warn("not ended cleanly", { reason });
    this.#worker.terminate();
  }

  /** Closes a file that rings may have used; the system does it at exit where that is refused. */
  close(fd: number): void {
    try {
      this.#shim.close(fd);
    } catch (error) {
      if (!(error instanceof ShimError)) throw error;
      this.#log.debug("a file stays open until exit", { reason: error.message });
    }
  }

  /** Gives the rings back, after `stop` and when nobody reads them any more; only then their sockets can be closed. */
  freeRings(): void {
    for (const { ring } of this.rings.values()) this.#shim.pacer.ringFree(ring);
    this.rings.clear();
  }

  #event(event: WorkerEvent): void {
    const nowNs = this.#shim.clock.nowNs();
    if (event.type === "failed") return this.#end(event.message);
    if (event.type === "stopped") return this.#end("");
    if (event.type === "ready") {
      this.pacer = event.pacer;
      const { sharedCpu, cpu } = event.pacer;
      const nice = this.#hasStreams ? DATA_NICE : MAIN_NICE;
      this.#shim.threadSetup(nice, sharedCpu ? -1 : cpu); // the pacer's CPU is its own
      if (!this.#isSecond) this.#reportPacer(event.pacer);
      this.#isReady(event.pacer);
    } else {
      Atomics.sub(new Int32Array(this.#eventsInFlight), 0, 1);
      if (event.type === "ring") {
        this.rings.set(event.client, { ring: event.ring, intervalNs: event.intervalNs });
      } else if (event.type === "resting") this.rings.clear();
      this.#control!.handle(event, nowNs);
    }
    this.#onEvent!(event);
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const nextNs = this.#control!.nextTimeoutNs();
    if (nextNs === Infinity) return;
    const ms = Math.min(TIMER_MAX_MS, Math.max(0, (nextNs - this.#shim.clock.nowNs()) / 1e6));
    this.#timer = setTimeout(() => {
      this.#control!.handleTimeout(this.#shim.clock.nowNs());
      this.#arm();
    }, ms);
  }

  /** One line of what the pacer found, and one warning for each thing that it wanted and did not get. */
  #reportPacer(pacer: PacerReport): void {
    const us = (ns: number) => Number((ns / 1e3).toFixed(1));
    this.#log.info("pacer started", {
      cpu: pacer.cpu,
      fifo: !pacer.noFifo,
      lead_us: us(pacer.leadNs),
      wake_p50_us: us(pacer.wakeP50Ns),
      wake_p999_us: us(pacer.wakeP999Ns),
    });
    for (const [isSo, message, remedy] of timingWarnings(pacer)) {
      if (isSo) this.#log.warn(message, { remedy });
    }
  }
}

function timingWarnings(pacer: PacerReport): [boolean, string, string][] {
  return [
    [
      pacer.noFifo,
      "timing: no SCHED_FIFO, slots may be late when the machine is busy",
      "run as root or grant CAP_SYS_NICE",
    ],
    [
      pacer.sharedCpu,
      "timing: the pacer shares its CPU with the rest, so how busy the machine is can show",
      "use a machine with two CPUs or more",
    ],
    [
      pacer.noLock,
      "timing: memory could not be locked, a page fault can make a slot late",
      "raise `ulimit -l` or grant CAP_IPC_LOCK",
    ],
    [
      pacer.throttled,
      "timing: the kernel may take the CPU from the pacer (real-time throttling)",
      "use --poll-mode sleepy or longer intervals",
    ],
  ];
}
