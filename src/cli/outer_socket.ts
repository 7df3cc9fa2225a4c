/** A client's way out: notices that this machine has another address towards the server, or has slept, and gives the data
 * Worker another socket when it needs one. */

import type { Shim } from "../../ffi/mod.ts";
import { ShimError } from "../../ffi/mod.ts";
import type { EndpointAddress } from "../ports/mod.ts";
import type { Log } from "../status/log.ts";
import type { Order, WorkerEvent } from "../tunnel/messages.ts";
import { formatIp } from "../wire/ip_address.ts";
import { probeRoute } from "./network.ts";
import { SleepClock } from "./sleep_clock.ts";

// Chosen here.
const LOOK_MS = 250;

export interface OuterSocketPorts {
  readonly shim: Shim;
  /** Whether all packets say that they may be marked. */
  readonly ecn: boolean;
  readonly log: Log;
  order(order: Order): void;
  close(fd: number): void;
  /** The address has changed, or the network is back: what waits for an answer need not wait longer. */
  moved(): void;
  /** The machine has slept for so long. */
  woke(sleptNs: number): void;
}

export class OuterSocket {
  readonly #peer: EndpointAddress;
  readonly #ports: OuterSocketPorts;
  readonly #sleep: SleepClock;
  readonly #fds: Set<number>;
  #local: string;
  #isRouted = true;
  #timer: number | undefined;

  /** `fd`: the first socket, this object's from here on. `local`: the address that it sends from. */
  constructor(peer: EndpointAddress, local: EndpointAddress, fd: number, ports: OuterSocketPorts) {
    this.#peer = peer;
    this.#ports = ports;
    this.#local = formatIp(local.ip);
    this.#fds = new Set([fd]);
    this.#sleep = new SleepClock(uptimeNs(ports.shim), ports.shim.clock.nowNs());
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  event(event: WorkerEvent): void {
    if (event.type === "rotate") this.#change(event.slot);
    if (event.type !== "socket left" || !this.#fds.delete(event.fd)) return;
    this.#ports.close(event.fd);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** After the Worker has ended and its rings are freed. */
  close(): void {
    for (const fd of this.#fds) this.#ports.close(fd);
    this.#fds.clear();
  }

  #look(): void {
    const { shim, log } = this.#ports;
    const sleptNs = this.#sleep.sleptNs(uptimeNs(shim), shim.clock.nowNs());
    if (sleptNs > 0) this.#ports.woke(sleptNs);
    const route = probeRoute(shim, this.#peer);
    if (typeof route === "string") {
      if (this.#isRouted) log.warn("no way to the server, the slots go on", { reason: route });
      this.#isRouted = false;
      return;
    }
    const local = formatIp(route.local.ip);
    const isElsewhere = local !== this.#local;
    if (isElsewhere) {
      log.info("this machine's address has changed", { from: this.#local, to: local });
      this.#local = local;
      this.#change(0);
    }
    if (isElsewhere || !this.#isRouted) this.#ports.moved();
    this.#isRouted = true;
  }

  #change(slot: number): void {
    const { shim, log, ecn } = this.#ports;
    try {
      const { fd } = shim.udpOpen({ ip: new Uint8Array(this.#peer.ip.length), port: 0 }, ecn);
      this.#fds.add(fd);
      this.#ports.order({ type: "move", fd, slot });
    } catch (error) {
      if (!(error instanceof ShimError)) throw error;
      log.warn("no new socket, going on with the old one", { reason: error.message });
    }
  }
}

/** Since the machine started, the time that it slept included. */
function uptimeNs(shim: Shim): number {
  return Number(shim.readFile("/proc/uptime")?.split(" ")[0] ?? 0) * 1e9;
}
