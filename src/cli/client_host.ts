/** What a client changes on its machine, and the way back. */

import type { Shim } from "../../ffi/mod.ts";
import type { ClientConfig } from "../config/mod.ts";
import {
  defaultRouteChange,
  HostChanges,
  HostError,
  hostRunner,
  removeLeftovers,
  tunChange,
  tunState,
} from "../host/mod.ts";
import type { EndpointAddress } from "../ports/mod.ts";
import type { Log } from "../status/log.ts";
import type { ServerWelcome } from "../wire/inner_control.ts";
import { formatPrefix } from "../wire/ip_address.ts";
import { openTunDevice } from "./open.ts";

/** The kernel may hand over so much of the train in one piece. */
const GSO_NS = 4e6;

export class ClientHost {
  readonly #config: ClientConfig;
  readonly #shim: Shim;
  readonly #log: Log;
  readonly #run;
  readonly #changes: HostChanges;
  #tunFd = -1;
  #routed = false;

  constructor(config: ClientConfig, shim: Shim, log: Log) {
    this.#config = config;
    this.#shim = shim;
    this.#log = log;
    this.#run = hostRunner((line) => log.debug(line));
    this.#changes = new HostChanges(this.#run);
  }

  openTun(): number {
    this.#tunFd = openTunDevice(this.#shim, this.#config.tun.name);
    return this.#tunFd;
  }

  /** Removes what a killed run has left. */
  async clean(): Promise<void> {
    try {
      for (const line of await removeLeftovers(this.#run, this.#config.tun.name)) {
        this.#log.info("removed what an earlier run has left", { what: line });
      }
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      this.#log.debug(error.message);
    }
  }

  /** Addresses, MTU and routes as the server gives them. A second welcome changes only what differs. Returns false,
   * and says why, when the machine refuses. */
  async welcome(
    welcome: ServerWelcome,
    peer: EndpointAddress,
    innerMtu: number,
    intervalNs: number,
  ): Promise<boolean> {
    const { tun } = this.#config;
    const addresses = tun.addresses.length > 0 ? tun.addresses : welcome.addresses;
    const mtu = tun.mtu ?? innerMtu;
    const gsoMaxLen = Math.max(2 * mtu, Math.round(GSO_NS / intervalNs * mtu));
    try {
      const setup = {
        name: tun.name,
        addresses,
        mtu,
        routes: welcome.routes,
        gsoMaxLen: Math.min(gsoMaxLen, 65_536),
      };
      this.#warn(await this.#changes.apply(await tunChange(this.#run, setup)));
      if (tun.defaultRoute && !this.#routed) {
        this.#routed = true;
        const change = await defaultRouteChange(this.#run, {
          tunName: tun.name,
          peers: [peer.ip],
          ipv4: addresses.some(({ ip }) => ip.length === 4),
          ipv6: addresses.some(({ ip }) => ip.length === 16),
          lockdown: tun.lockdown,
        });
        this.#warn(await this.#changes.apply(change));
      }
      return true;
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      await this.#refused(error, addresses.map(formatPrefix));
      return false;
    }
  }

  async undo(): Promise<void> {
    for (const line of await this.#changes.undoAll()) this.#log.warn("could not undo", { what: line });
    if (this.#tunFd >= 0) this.#shim.close(this.#tunFd);
    this.#tunFd = -1;
  }

  #warn(failed: readonly string[]): void {
    for (const line of failed) this.#log.warn("the TUN device is not quite as wanted", { what: line });
  }

  async #refused(error: HostError, addresses: readonly string[]): Promise<void> {
    const state = await tunState(this.#run, this.#config.tun.name);
    const remedy = state?.persistent
      ? `i405 tun add --user ... --address ${addresses.join(" --address ")}`
      : "run as root, or make a device once with: i405 tun add";
    this.#log.error("cannot set up the TUN device", { reason: error.message, remedy });
  }
}
