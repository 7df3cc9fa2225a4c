/** All traffic into the tunnel, but the tunnel's own: a routing table and three rules.
 *
 *     1 to PEER:      main                             the outer flow stays outside
 *     2 everything:   main, but not its default route  local networks stay reachable as they are
 *     3 everything:   our table: default dev TUN
 *
 * A family that the tunnel does not carry is unreachable in our table, for else it would go past the tunnel. */

import { formatIp } from "../wire/ip_address.ts";
import type { Change, Step } from "./changes.ts";
import { ip, type Run } from "./command.ts";

export interface DefaultRoute {
  readonly tunName: string;
  /** Addresses of the server. */
  readonly peers: readonly Uint8Array[];
  /** Families of the tunnel's own addresses. */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Traffic stays unreachable while the device is away, also after a crash, until the next start. */
  readonly lockdown: boolean;
}

// Chosen here.
/** Marks our rules and routes; RTPROT numbers above static (4) are anybody's. */
const PROTOCOL = "140";
const TABLE_BASE = 1_405_000;
const PRIORITY_BASE = 14_050;
const RULES = 3;
const PLACES = 1024;
/** The largest but one: `ip route flush` takes the largest for the kernel's own entry. */
const METRIC_LAST = "4294967294";

/** Table and rule priorities of a device, the same at each start. */
function placeOf(tunName: string): { table: string; priorities: readonly [string, string, string] } {
  let hash = 0;
  for (const char of tunName) hash = (hash * 31 + char.codePointAt(0)!) % PLACES;
  const first = PRIORITY_BASE + RULES * hash;
  return {
    table: String(TABLE_BASE + hash),
    priorities: [String(first), String(first + 1), String(first + 2)],
  };
}

/** The rules come after the table and the outer flow's rule first, so that at no moment anything is lost. */
export async function defaultRouteChange(run: Run, route: DefaultRoute): Promise<Change> {
  const steps: Step[] = [];
  for (const family of ["-4", "-6"] as const) {
    const hasFamily = (await run(ip(family, "rule", "show"))).code === 0; // a kernel may lack IPv6
    if (hasFamily) steps.push(...familySteps(family, route));
  }
  return { title: "default route", steps };
}

function familySteps(family: "-4" | "-6", route: DefaultRoute): Step[] {
  const { table, priorities } = placeOf(route.tunName);
  const carried = family === "-4" ? route.ipv4 : route.ipv6;
  const peers = route.peers.filter((peer) => peer.length === (family === "-4" ? 4 : 16));
  const routeStep = (...args: string[]): Step => ({
    run: ip(family, "route", "add", ...args, "table", table, "protocol", PROTOCOL),
    undo: ip(family, "route", "del", ...args, "table", table),
  });
  const ruleStep = (priority: string, ...args: string[]): Step => ({
    run: ip(family, "rule", "add", "pref", priority, ...args, "protocol", PROTOCOL),
    undo: ip(family, "rule", "del", "pref", priority, ...args),
  });
  return [
    ...carried ? [routeStep("default", "dev", route.tunName)] : [],
    ...carried && !route.lockdown ? [] : [routeStep("unreachable", "default", "metric", METRIC_LAST)],
    ...peers.map((peer) => ruleStep(priorities[0], "to", formatIp(peer), "lookup", "main")),
    ruleStep(priorities[1], "lookup", "main", "suppress_prefixlength", "0"),
    ruleStep(priorities[2], "lookup", table),
  ];
}

/** Removes rules and routes that a run which could not clean up has left. Only while the device is ours: they are
 * found by its name. Returns a line for each thing removed. */
export async function removeDefaultRouteLeftovers(run: Run, tunName: string): Promise<string[]> {
  const { table, priorities } = placeOf(tunName);
  const removed: string[] = [];
  for (const family of ["-4", "-6"] as const) {
    for (const priority of await ourRules(run, family, priorities)) {
      const { code } = await run(ip(family, "rule", "del", "pref", priority, "protocol", PROTOCOL));
      if (code === 0) removed.push(`${family} rule ${priority}`);
    }
    const routes = await run(ip(family, "route", "show", "table", table, "protocol", PROTOCOL));
    if (routes.code !== 0 || routes.stdout.trim() === "") continue;
    const { code } = await run(ip(family, "route", "flush", "table", table, "protocol", PROTOCOL));
    if (code === 0) removed.push(`${family} table ${table}`);
  }
  return removed;
}

/** A line of `ip rule`: "14050:\tfrom all to 192.0.2.1 lookup main proto 140". */
async function ourRules(run: Run, family: "-4" | "-6", priorities: readonly string[]): Promise<string[]> {
  const { code, stdout } = await run(ip(family, "rule", "show"));
  if (code !== 0) return [];
  return stdout.split("\n").flatMap((line) => {
    const match = /^(\d+):.* proto (\S+)/.exec(line);
    return match !== null && match[2] === PROTOCOL && priorities.includes(match[1]) ? [match[1]] : [];
  });
}
