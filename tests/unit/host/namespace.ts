/** A network namespace of the test's own, and all that the commands of src/host can change in it as text. */

import { hostRunner, type Run } from "../../../src/host/mod.ts";

export interface Namespace {
  readonly name: string;
  /** Runs commands inside. */
  readonly run: Run;
  /** Lines of the commands that were run. */
  readonly lines: string[];
  /** Addresses, rules, routes, firewall and forwarding. */
  state(): Promise<string>;
}

/** Whether this machine lets the test have a namespace; the reason is said once where it does not. */
export const cannot = Deno.uid() === 0 ? "" : "needs root";
if (cannot !== "") console.error(`src/host: tests in a network namespace are skipped: ${cannot}`);

let count = 0;

export async function inNamespace(work: (namespace: Namespace) => Promise<void>): Promise<void> {
  const name = `i405t${Deno.pid}n${count++}`;
  const lines: string[] = [];
  const outside = hostRunner(() => {});
  const logged = hostRunner((line) => lines.push(line.replace(`ip netns exec ${name} `, "")));
  const inside = (run: Run): Run => ({ program, args, input }) =>
    run({ program: "ip", args: ["netns", "exec", name, program, ...args], input });
  const { code, stderr } = await outside({ program: "ip", args: ["netns", "add", name] });
  if (code !== 0) throw new Error(`ip netns add ${name}: ${stderr}`);
  const quiet = inside(outside);
  const state = async () => {
    const parts = [];
    for (
      const [program, ...args] of [
        ["ip", "addr"],
        ["ip", "rule"],
        ["ip", "-6", "rule"],
        ["ip", "route", "show", "table", "all"],
        ["ip", "-6", "route", "show", "table", "all"],
        ["nft", "list", "ruleset"],
        ["sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"],
      ] as const
    ) {
      const { code, stdout, stderr } = await quiet({ program, args });
      if (code !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}`);
      parts.push(`$ ${program} ${args.join(" ")}\n${stdout}`);
    }
    return parts.join("");
  };
  try {
    await quiet({ program: "ip", args: ["link", "set", "lo", "up"] });
    await work({ name, run: inside(logged), lines, state });
  } finally {
    await outside({ program: "ip", args: ["netns", "del", name] });
  }
}
