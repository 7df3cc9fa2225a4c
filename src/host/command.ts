/** Runs the system's network commands. The only place that starts a program for the tunnel. */

/** What this machine refused, with the remedy. */
export class HostError extends Error {
  override readonly name = "HostError";
}

export interface Command {
  readonly program: "ip" | "nft" | "sysctl";
  readonly args: readonly string[];
  /** For standard input; none when absent. */
  readonly input?: string;
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Throws HostError only when the program is not there. */
export type Run = (command: Command) => Promise<CommandResult>;

const PACKAGES = { ip: "iproute2", nft: "nftables", sysctl: "procps" } as const;

export const ip = (...args: readonly string[]): Command => ({ program: "ip", args });

/** `log` gets the line of each command before it runs, and what a failed one said. */
export function hostRunner(log: (line: string) => void): Run {
  return async (command) => {
    log(lineOf(command));
    const result = await execute(command);
    if (result.code !== 0) log(`${lineOf(command)}: ${saidBy(result)}`);
    return result;
  };
}

async function execute({ program, args, input }: Command): Promise<CommandResult> {
  try {
    const child = new Deno.Command(program, {
      args: [...args],
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      env: { LC_ALL: "C" },
      detached: true, // Ctrl-C at a terminal goes to its whole process group: not to a command that undoes something
    }).spawn();
    if (input !== undefined) await write(child.stdin, input);
    const { code, stdout, stderr } = await child.output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable)) throw error;
    throw new HostError(
      `There is no program ${program}. Install it with: apt-get install -y ${
        PACKAGES[program]
      } (or add /usr/sbin to PATH)`,
    );
  }
}

async function write(stream: WritableStream<Uint8Array>, text: string): Promise<void> {
  const writer = stream.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // It ended before it had read all; its exit code tells why.
  }
}

export function lineOf({ program, args }: Command): string {
  return [program, ...args].join(" ");
}

/** What a failed command said, on one line. */
export function saidBy({ code, stderr }: CommandResult): string {
  const said = stderr.trim().replace(/^(?:RTNETLINK answers|Error): /, "").replace(/\s*\n\s*/g, "; ");
  return said === "" ? `exit code ${code}` : said;
}

/** Runs `command`; throws HostError that names it, what it said and the remedy, when it fails. */
export async function mustRun(run: Run, command: Command): Promise<string> {
  const result = await run(command);
  if (result.code !== 0) throw failure(command, result);
  return result.stdout;
}

export function failure(command: Command, result: CommandResult): HostError {
  const denied = /Operation not permitted|Permission denied|permission denied|you must be root/i.test(
    result.stderr,
  );
  const remedy = denied ? "; run as root or with CAP_NET_ADMIN" : "";
  return new HostError(`Cannot run \`${lineOf(command)}\`: ${saidBy(result)}${remedy}`);
}

/** What `ip -j …` prints; an empty list for no output. Throws HostError. */
export async function ipJson(run: Run, ...args: readonly string[]): Promise<Record<string, unknown>[]> {
  const command = ip("-j", ...args);
  return listOf(command, await mustRun(run, command));
}

/** As ipJson, but an empty list when the command fails: the thing asked for is not there. */
export async function ipJsonIfAny(run: Run, ...args: readonly string[]): Promise<Record<string, unknown>[]> {
  const command = ip("-j", ...args);
  const result = await run(command);
  return result.code === 0 ? listOf(command, result.stdout) : [];
}

function listOf(command: Command, text: string): Record<string, unknown>[] {
  if (text.trim() === "") return [];
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list)) return list.filter((item) => typeof item === "object" && item !== null);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new HostError(
    `\`${lineOf(command)}\` printed no JSON list; a newer iproute2 is needed: apt-get install -y iproute2`,
  );
}
