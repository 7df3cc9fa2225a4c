/** Programs that a test starts: their lines are kept, waited for, and they always end. */

const decoder = new TextDecoder();

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs to the end, or kills after `timeoutMs` (then code is 124). */
export async function run(
  command: readonly string[],
  options: { timeoutMs?: number; cwd?: string } = {},
): Promise<Finished> {
  const child = new Deno.Command(command[0], {
    args: command.slice(1),
    cwd: options.cwd,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killQuietly(child, "SIGKILL");
  }, options.timeoutMs ?? 60_000);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);
  return { code: timedOut ? 124 : code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** As `run`, but throws with all output unless it ends with 0. Returns standard output. */
export async function must(
  command: readonly string[],
  options: { timeoutMs?: number; cwd?: string } = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(command, options);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}\n${stdout}${stderr}`);
  return stdout;
}

function killQuietly(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended.
  }
}

/** A program running beside the test. */
export class Program {
  readonly pid: number;
  /** Every line of standard output and error so far. */
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #name: string;
  readonly #done: Promise<unknown>;
  readonly #waiting = new Set<() => void>();
  #status: Deno.CommandStatus | undefined;

  constructor(command: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}) {
    this.#name = command.join(" ");
    this.#child = new Deno.Command(command[0], {
      args: command.slice(1),
      ...options,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.pid = this.#child.pid;
    const status = this.#child.status.then((ended) => {
      this.#status = ended;
    });
    this.#done = Promise.all([this.#collect(this.#child.stdout), this.#collect(this.#child.stderr), status])
      .then(() => this.#wake());
  }

  get running(): boolean {
    return this.#status === undefined;
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    for await (
      const text of stream.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
    ) {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      this.lines.push(...parts);
      this.#wake();
    }
    if (rest !== "") this.lines.push(rest);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  /** The first line from index `from` on that matches; throws when the program ends or `timeoutMs` pass before. */
  async waitFor(pattern: RegExp, options: { timeoutMs?: number; from?: number } = {}): Promise<string> {
    const deadline = Date.now() + (options.timeoutMs ?? 30_000);
    for (let at = options.from ?? 0;;) {
      for (; at < this.lines.length; at++) if (pattern.test(this.lines[at])) return this.lines[at];
      const left = deadline - Date.now();
      if (!this.running || left <= 0) {
        const why = this.running ? "was not printed in time" : `was not printed before it ended`;
        throw new Error(`${this.#name}: ${pattern} ${why}. Its output:\n${this.lines.slice(-80).join("\n")}`);
      }
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, left);
        this.#waiting.add(wake);
      });
    }
  }

  signal(signal: Deno.Signal): void {
    killQuietly(this.#child, signal);
  }

  /** Sends `signal` and waits for the end, killing after 10 s. Returns the exit status. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<Deno.CommandStatus> {
    if (this.running) this.signal(signal);
    const timer = setTimeout(() => this.signal("SIGKILL"), 10_000);
    await this.#done;
    clearTimeout(timer);
    return this.#status!;
  }

  /** Sends `signal` and throws, with the last lines, unless the program then ends with code 0. */
  async stopCleanly(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    const { code } = await this.stop(signal);
    if (code !== 0) {
      throw new Error(
        `${this.#name} ended with ${code} after ${signal}:\n${this.lines.slice(-40).join("\n")}`,
      );
    }
  }

  /** Waits for the end by itself, killing after `timeoutMs`. */
  async ended(timeoutMs = 30_000): Promise<Deno.CommandStatus> {
    const timer = setTimeout(() => this.signal("SIGKILL"), timeoutMs);
    await this.#done;
    clearTimeout(timer);
    return this.#status!;
  }
}

/** Calls `probe` until it returns something, every `everyMs`; throws what `otherwise` says after `timeoutMs`. */
export async function until<T>(
  probe: () => Promise<T | undefined> | T | undefined,
  otherwise: () => string,
  options: { timeoutMs?: number; everyMs?: number } = {},
): Promise<T> {
  const deadline = Date.now() + (options.timeoutMs ?? 30_000);
  while (true) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() >= deadline) throw new Error(otherwise());
    await sleep(options.everyMs ?? 100);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
