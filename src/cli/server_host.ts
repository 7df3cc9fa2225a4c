/** What a server changes on its machine, and the way back. */

import type { Shim } from "../../ffi/mod.ts";
import type { ServerConfig } from "../config/mod.ts";
import { networkOf } from "../config/mod.ts";
import {
  HostChanges,
  hostRunner,
  masqueradeChange,
  removeLeftovers,
  routesToClients,
  tunChange,
} from "../host/mod.ts";
import type { EndpointAddress } from "../ports/mod.ts";
import type { Log } from "../status/log.ts";
import { openTunDevice, openUdpSocket } from "./open.ts";

export class ServerHost {
  readonly #config: ServerConfig;
  readonly #shim: Shim;
  readonly #log: Log;
  readonly #run;
  readonly #changes: HostChanges;
  #tunFd = -1;

  constructor(config: ServerConfig, shim: Shim, log: Log) {
    this.#config = config;
    this.#shim = shim;
    this.#log = log;
    this.#run = hostRunner((line) => log.debug(line));
    this.#changes = new HostChanges(this.#run);
  }

  openSocket(address: EndpointAddress): { fd: number; address: EndpointAddress } {
    return openUdpSocket(this.#shim, address, this.#config.ecn);
  }

  openTun(): number {
    this.#tunFd = openTunDevice(this.#shim, this.#config.tun.name);
    return this.#tunFd;
  }

  /** Throws HostError when the machine refuses; what was done until then is undone by undo(). */
  async configure(mtu: number): Promise<void> {
    const { tun, nat } = this.#config;
    for (const line of await removeLeftovers(this.#run, tun.name)) {
      this.#log.info("removed what an earlier run has left", { what: line });
    }
    const setup = { name: tun.name, addresses: tun.addresses, mtu, routes: routesToClients(this.#config) };
    for (const line of await this.#changes.apply(await tunChange(this.#run, setup))) {
      this.#log.warn("the TUN device is not quite as wanted", { what: line });
    }
    if (!nat.masquerade) return;
    const networks = tun.addresses.map(networkOf);
    await this.#changes.apply(await masqueradeChange(this.#run, tun.name, networks));
  }

  async undo(): Promise<void> {
    for (const line of await this.#changes.undoAll()) this.#log.warn("could not undo", { what: line });
    if (this.#tunFd >= 0) this.#shim.close(this.#tunFd);
    this.#tunFd = -1;
  }
}
