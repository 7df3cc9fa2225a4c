import { type Command, InvalidArgumentError } from "commander";
import { openShim, shimPath } from "../../../ffi/mod.ts";
import type { AuditOptions } from "../../audit/mod.ts";
import { stderrLog } from "../../status/log.ts";
import { OperatorError } from "../exit.ts";
import { VERSION } from "../version.ts";

const EXAMPLES = `
Examples:
  sudo i405 audit                        two minutes: gross faults
  sudo i405 audit --full                 three hours: enough sessions for every gate
  sudo i405 audit --minutes 20 --jitter off --loads host-busy --traces /tmp/audit
  sudo i405 audit --mode tcp             a proxy over one TCP connection: segments, ACKs, windows
  sudo i405 audit --interface eth0 --plan client.trace --inner 10.140.5.1 --minutes 60

Exit codes: 0 every gate holds, 1 one fails, 2 not shown by so few sessions, 77 no right to make it.
docs/timing.md says what the gates are.`;

const QUICK_MINUTES = 2;
const FULL_MINUTES = 180;
const MINUTES_MAX = 10_000;
const BURST_MAX = 44; // of 1,400 bytes in one call
const LOADS_HELP =
  "bulk-up, bulk-down, one-in-flight, page-like-bursts, host-busy, other-traffic, short-requests, slow-reader";

interface Options {
  readonly quick?: boolean;
  readonly full?: boolean;
  readonly minutes?: number;
  readonly mode: AuditOptions["mode"];
  readonly jitter: AuditOptions["jitter"];
  readonly loads?: string;
  readonly interval: number;
  readonly burst: number;
  readonly pollMode: string;
  readonly schedFifo: boolean;
  readonly json?: boolean;
  readonly out: string;
  readonly traces?: string;
  readonly seed?: number;
  readonly interface?: string;
  readonly plan?: string;
  readonly inner?: string;
  readonly port: number;
}

function number(min: number, max: number, what: string) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= min && value <= max)) {
      throw new InvalidArgumentError(`Expected ${what} from ${min} to ${max}.`);
    }
    return value;
  };
}

function whole(min: number, max: number) {
  const read = number(min, max, "a whole number");
  return (text: string): number => {
    const value = read(text);
    if (!Number.isInteger(value)) throw new InvalidArgumentError(`Expected a whole number, not ${text}.`);
    return value;
  };
}

function choice<const T extends string>(...names: readonly T[]) {
  return (text: string): T => {
    const found = names.find((name) => name === text);
    if (found === undefined) throw new InvalidArgumentError(`Expected ${names.join(", ")}.`);
    return found;
  };
}

/** `i405 audit`, and the hidden command that it runs in its namespaces. */
export function addAudit(program: Command, exit: (code: number) => void): void {
  program.command("audit").summary("measure what an observer can tell")
    .description(
      "Runs a tunnel on this machine, idle and under loads in random order, and judges what is seen on its outer link.",
    )
    .option("--quick", `${QUICK_MINUTES} minutes (the default)`)
    .option("--full", `${FULL_MINUTES / 60} hours`)
    .option("--minutes <n>", "of measurement, in all", number(0.2, MINUTES_MAX, "minutes"))
    .option(
      "--mode <mode>",
      "of the tunnel: tun, or udp or tcp with a proxy",
      choice("tun", "udp", "tcp"),
      "tun" as const,
    )
    .option(
      "--jitter <which>",
      "on, off, or both one after the other",
      choice("on", "off", "both"),
      "both" as const,
    )
    .option("--loads <names>", `some of ${LOADS_HELP} (default: all, the last two with a proxy)`)
    .option("--interval <us>", "between slots, in µs", number(100, 1e6, "microseconds"), 1000)
    .option("--burst <n>", "packets in each slot", whole(1, BURST_MAX), 1)
    .option("--poll-mode <mode>", "of the pacers", choice("sleepy", "hybrid", "spinny"), "hybrid" as const)
    .option("--no-sched-fifo", "pacers without real-time scheduling")
    .option("--json", "print the result as JSON")
    .option("--out <file>", "where the page goes", "audit.html")
    .option("--traces <dir>", "keep what was seen (pcap) and planned in this new directory")
    .option("--interface <name>", "look at a client that runs here, where its packets leave this machine")
    .option("--plan <file>", "with --interface: the status.slot_trace of that client")
    .option("--inner <address>", "with --interface: inner address of its server, for the load bulk-up")
    .option("--port <n>", "with --interface: its server's port", number(1, 65_535, "a port"), 1405)
    .option("--seed <n>", "order of loads, for another run with the same", number(0, 2 ** 48, "a number"))
    .addHelpText("after", EXAMPLES)
    .action(async (options: Options) => exit(await run(options)));
  program.command("audit-child", { hidden: true }).argument("<part...>").allowUnknownOption().helpOption(
    false,
  )
    .action(async (part: string[]) => {
      const { runAuditChild } = await import("../../audit/mod.ts");
      exit(await runAuditChild(part));
    });
}

async function run(options: Options): Promise<number> {
  const { parseLoads, runAudit, usualLoads } = await import("../../audit/mod.ts");
  const { interval, quick, full, minutes, loads, seed, ...rest } = options;
  if (options.mode === "tcp" && options.burst > 1) {
    throw new OperatorError("--burst is not for --mode tcp: a slot is one record there");
  }
  const chosen = minutes ?? (full ? FULL_MINUTES : QUICK_MINUTES);
  const shim = openShim(shimPath());
  return await runAudit(
    {
      ...rest,
      version: VERSION,
      minutes: quick ? QUICK_MINUTES : chosen,
      loads: loads === undefined ? usualLoads(options.mode) : loadsOf(loads, parseLoads),
      intervalNs: interval * 1e3,
      tap: tapOf(options),
      seed: seed ?? crypto.getRandomValues(new Uint32Array(1))[0],
    },
    stderrLog("info", "plain"),
    shim,
  );
}

function tapOf({ mode, interface: interfaceName, plan, inner, port }: Options): AuditOptions["tap"] {
  if (interfaceName === undefined) return undefined;
  if (mode !== "tun" && inner !== undefined) {
    throw new OperatorError(`--inner is an address in a tunnel with a device, and not with --mode ${mode}`);
  }
  if (plan === undefined) {
    throw new OperatorError("--interface needs the plan of the client: --plan FILE, its status.slot_trace");
  }
  return { interfaceName, planPath: plan, inner, serverPort: port };
}

function loadsOf(text: string, parse: (text: string) => AuditOptions["loads"]): AuditOptions["loads"] {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof RangeError) throw new OperatorError(error.message);
    throw error;
  }
}
