/** The TUN device as the system sees it: addresses, MTU, routes, and devices that outlast the program. */

import { formatPrefix, type IpPrefix, parseIp } from "../wire/ip_address.ts";
import type { ServerConfig } from "../config/mod.ts";
import { networkOf, prefixesOverlap } from "../config/mod.ts";
import type { Change, Step } from "./changes.ts";
import { failure, HostError, ip, ipJson, ipJsonIfAny, mustRun, type Run } from "./command.ts";

export interface TunState {
  readonly mtu: number;
  readonly gsoMaxLen: number;
  readonly up: boolean;
  readonly persistent: boolean;
  /** Of global scope. */
  readonly addresses: readonly IpPrefix[];
}

export interface TunSetup {
  readonly name: string;
  /** With host bits: "10.140.5.2/24". */
  readonly addresses: readonly IpPrefix[];
  readonly mtu: number;
  /** Networks to be reached through the device, beyond those of its addresses. */
  readonly routes: readonly IpPrefix[];
  /** Largest packet that the kernel hands over in one piece; undefined leaves it. */
  readonly gsoMaxLen?: number;
}

/** undefined when there is no such interface. Throws HostError when there is one of another kind. */
export async function tunState(run: Run, name: string): Promise<TunState | undefined> {
  const [link] = await ipJsonIfAny(run, "-d", "link", "show", "dev", name);
  if (link === undefined) return undefined;
  const info = link.linkinfo as
    | { info_kind?: string; info_data?: { persist?: boolean; type?: string } }
    | undefined;
  if (info?.info_kind !== "tun" || info.info_data?.type !== "tun") {
    throw new HostError(`${name} is an interface of another kind; choose another name with --tun-name`);
  }
  const [device] = await ipJson(run, "addr", "show", "dev", name);
  const entries = (device?.addr_info ?? []) as readonly {
    local?: string;
    prefixlen?: number;
    scope?: string;
  }[];
  return {
    mtu: Number(link.mtu),
    gsoMaxLen: Number(link.gso_max_size ?? 65_536),
    up: Array.isArray(link.flags) && link.flags.includes("UP"),
    persistent: info.info_data.persist === true,
    addresses: entries.filter(({ scope }) => scope === "global").map(({ local, prefixlen }) => {
      return { ip: parseIp(local ?? "") ?? new Uint8Array(4), prefixLen: prefixlen ?? 0 };
    }),
  };
}

/** What must be done for the device to be as `setup` says: no steps at all when it is so already, so that a device of
 * `i405 tun add` needs no rights. Throws HostError when there is no device. */
export async function tunChange(run: Run, setup: TunSetup): Promise<Change> {
  const state = await tunState(run, setup.name);
  if (state === undefined) throw new HostError(`There is no TUN device ${setup.name}`);
  const dev = ["dev", setup.name];
  const steps: Step[] = [
    ...lengthSteps(setup, state),
    ...addressSteps(setup, state),
    ...state.up ? [] : [{ run: ip("link", "set", ...dev, "up"), undo: ip("link", "set", ...dev, "down") }],
    ...await routeSteps(run, setup, state),
  ];
  return { title: `TUN device ${setup.name}`, steps };
}

/** A device of `i405 tun add` may keep another MTU: inner packets are fragmented as need be. */
function lengthSteps(setup: TunSetup, state: TunState): Step[] {
  const dev = ["dev", setup.name];
  const steps: Step[] = [];
  const optional = state.persistent ? { optional: true as const } : {};
  // No link-local address, so the system itself sends nothing into the tunnel when the device comes up.
  if (!state.up) steps.push({ run: ip("link", "set", ...dev, "addrgenmode", "none"), optional: true });
  if (state.mtu !== setup.mtu) {
    const undo = ip("link", "set", ...dev, "mtu", String(state.mtu));
    steps.push({ run: ip("link", "set", ...dev, "mtu", String(setup.mtu)), undo, ...optional });
  }
  if (setup.gsoMaxLen !== undefined && setup.gsoMaxLen !== state.gsoMaxLen) {
    const undo = ip("link", "set", ...dev, "gso_max_size", String(state.gsoMaxLen));
    steps.push({
      run: ip("link", "set", ...dev, "gso_max_size", String(setup.gsoMaxLen)),
      undo,
      optional: true,
    });
  }
  return steps;
}

/** A device of `i405 tun add` that has one of the addresses is good for that one without rights. */
function addressSteps(setup: TunSetup, state: TunState): Step[] {
  const there = new Set(state.addresses.map(formatPrefix));
  const isUsable = state.persistent && setup.addresses.some((address) => there.has(formatPrefix(address)));
  const optional = isUsable ? { optional: true as const } : {};
  return setup.addresses.filter((address) => !there.has(formatPrefix(address))).map((address) => {
    const text = formatPrefix(address);
    const noDetection = address.ip.length === 16 ? ["nodad"] : []; // nobody else is on the link
    return {
      run: ip("addr", "add", text, "dev", setup.name, ...noDetection),
      undo: ip("addr", "del", text, "dev", setup.name),
      ...optional,
    };
  });
}

async function routeSteps(run: Run, setup: TunSetup, state: TunState): Promise<Step[]> {
  const optional = state.persistent ? { optional: true as const } : {};
  const steps: Step[] = [];
  const connected = new Set(setup.addresses.map((address) => formatPrefix(networkOf(address))));
  for (const route of setup.routes) {
    if (connected.has(formatPrefix(networkOf(route)))) continue; // the kernel adds that one with the address
    const family = route.ip.length === 4 ? "-4" : "-6";
    const args = [formatPrefix(networkOf(route)), "dev", setup.name];
    const there = await ipJsonIfAny(run, family, "route", "show", ...args);
    if (there.length > 0) continue;
    steps.push({
      run: ip(family, "route", "add", ...args),
      undo: ip(family, "route", "del", ...args),
      ...optional,
    });
  }
  return steps;
}

/** Clients' addresses and networks that lie outside of the networks on the server's device: it needs routes to them. */
export function routesToClients(config: ServerConfig): IpPrefix[] {
  const own = config.tun.addresses;
  const inside = (prefix: IpPrefix) =>
    own.some((network) => network.prefixLen <= prefix.prefixLen && prefixesOverlap(network, prefix));
  return config.clients.flatMap(({ addresses, routes }) => [...addresses, ...routes]).filter((prefix) =>
    !inside(prefix)
  );
}

export interface PersistentTun {
  readonly name: string;
  /** Name or number of the user who may use it. */
  readonly user: string;
  readonly addresses: readonly IpPrefix[];
  readonly mtu: number | undefined;
}

/** A device that stays until removePersistentTun or a restart, is up, and that `user` may open without rights. Throws
 * HostError, and leaves no device, when a step fails. */
export async function addPersistentTun(run: Run, tun: PersistentTun): Promise<void> {
  if ((await tunState(run, tun.name)) !== undefined) {
    throw new HostError(
      `There is a device ${tun.name} already; remove it with: i405 tun remove --name ${tun.name}`,
    );
  }
  await mustRun(run, ip("tuntap", "add", "dev", tun.name, "mode", "tun", "user", tun.user, "vnet_hdr"));
  try {
    const setup = { name: tun.name, addresses: tun.addresses, mtu: tun.mtu ?? 1280, routes: [] };
    for (const step of (await tunChange(run, setup)).steps) {
      const result = await run(step.run);
      if (result.code !== 0 && !step.run.args.includes("addrgenmode")) throw failure(step.run, result);
    }
  } catch (error) {
    await run(ip("tuntap", "del", "dev", tun.name, "mode", "tun"));
    throw error;
  }
}

/** Throws HostError when there is no such device, or one that is not of addPersistentTun's kind. */
export async function removePersistentTun(run: Run, name: string): Promise<void> {
  const state = await tunState(run, name);
  if (state === undefined) throw new HostError(`There is no device ${name}; \`ip tuntap show\` lists all`);
  if (!state.persistent) throw new HostError(`${name} belongs to a program that runs; end that instead`);
  await mustRun(run, ip("tuntap", "del", "dev", name, "mode", "tun"));
}
