/** Clients reach other networks under the server's address: a table of nftables of our own, for our own networks
 * only, and forwarding switched on. */

import { formatPrefix, type IpPrefix } from "../wire/ip_address.ts";
import { networkOf } from "../config/mod.ts";
import type { Change, Step } from "./changes.ts";
import { type Command, HostError, mustRun, type Run } from "./command.ts";

const FORWARD = { ipv4: "net.ipv4.ip_forward", ipv6: "net.ipv6.conf.all.forwarding" } as const;
type Family = keyof typeof FORWARD;

const nft = (...args: string[]): Command => ({ program: "nft", args });
const nftText = (input: string): Command => ({ program: "nft", args: ["-f", "-"], input });
const sysctl = (...args: string[]): Command => ({ program: "sysctl", args });
const tableOf = (tunName: string) => `i405_${tunName}`;

/** The table's rules bear the state of forwarding before, so that a later run can restore it after a crash. */
export async function masqueradeChange(
  run: Run,
  tunName: string,
  networks: readonly IpPrefix[],
): Promise<Change> {
  const ofFamily = { ipv4: texts(networks, 4), ipv6: texts(networks, 16) };
  const families = (["ipv4", "ipv6"] as const).filter((family) => ofFamily[family].length > 0);
  const before: Partial<Record<Family, string>> = {};
  for (const family of families) before[family] = (await mustRun(run, sysctl("-n", FORWARD[family]))).trim();
  const table = tableOf(tunName);
  const rules = families.map((family) => {
    const match = `${family === "ipv4" ? "ip" : "ip6"} saddr { ${
      ofFamily[family].join(", ")
    } } oifname != "${tunName}"`;
    return `    ${match} masquerade comment "i405 ${family} forwarding was ${before[family]}"`;
  });
  const text = `add table inet ${table}
delete table inet ${table}
table inet ${table} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
${rules.join("\n")}
  }
}
`;
  const steps: Step[] = [{ run: nftText(text), undo: nft("delete", "table", "inet", table) }];
  for (const family of families) if (before[family] === "0") steps.push(forwardStep(family));
  return { title: "masquerading", steps };
}

function forwardStep(family: Family): Step {
  const set = (value: string) => sysctl("-q", "-w", `${FORWARD[family]}=${value}`);
  return { run: set("1"), undo: set("0") };
}

/** Networks without host bits, each once. */
function texts(networks: readonly IpPrefix[], ipLen: number): string[] {
  const own = networks.filter(({ ip }) => ip.length === ipLen).map((network) =>
    formatPrefix(networkOf(network))
  );
  return [...new Set(own)];
}

/** Removes the table that a run which could not clean up has left, and restores forwarding as it was before that run.
 * Returns a line for each thing removed; none without rights or without nftables. */
export async function removeMasqueradeLeftovers(run: Run, tunName: string): Promise<string[]> {
  const table = tableOf(tunName);
  const listing = await listingOf(run, table);
  if (listing === undefined) return [];
  const removed: string[] = [];
  for (const match of listing.matchAll(/"i405 (ipv4|ipv6) forwarding was 0"/g)) {
    const family = match[1] as Family;
    await mustRun(run, sysctl("-q", "-w", `${FORWARD[family]}=0`));
    removed.push(`${family} forwarding`);
  }
  await mustRun(run, nft("delete", "table", "inet", table));
  return [...removed, `nftables table ${table}`];
}

async function listingOf(run: Run, table: string): Promise<string | undefined> {
  try {
    const { code, stdout } = await run(nft("list", "table", "inet", table));
    return code === 0 ? stdout : undefined;
  } catch (error) {
    if (error instanceof HostError) return undefined;
    throw error;
  }
}
