/** Programs that the demonstration starts: their output is kept, they are waited for, and they always end. */

const STOP_WAIT_MS = 8_000;
const LINES_KEPT_MAX = 400;

/** Something that the machine refused: a command that failed, a program that ended or did not start. */
export class DemoError extends Error {}

/** Runs a command to its end, or until `abort`. Returns its standard output; throws DemoError with all that it said
 * when it fails. */
export async function runCommand(command: readonly string[], abort?: AbortSignal): Promise<string> {
  const { code, stdout, stderr } = await output(command, abort);
  if (code === 0) return stdout;
  throw new DemoError(`\`${command.join(" ")}\` ended with ${code}: ${(stderr + stdout).trim()}`);
}

/** The same, but whatever happens is the caller's to judge; 127 when there is no such program. */
export async function output(
  command: readonly string[],
  abort?: AbortSignal,
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  try {
    const done = await new Deno.Command(command[0], {
      args: command.slice(1),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal: abort,
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code: done.code, stdout: text(done.stdout), stderr: text(done.stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { code: 127, stdout: "", stderr: `there is no program ${command[0]} here` };
  }
}

/** A program running beside the demonstration. It holds the reading end of a pipe as standard input, which closes
 * when the demonstration is gone, however that ends. */
export class Child {
  readonly pid: number;
  /** The last lines of standard output and error. */
  readonly lines: string[] = [];
  readonly ended: Promise<Deno.CommandStatus>;
  readonly name: string;
  readonly #process: Deno.ChildProcess;
  readonly #waiting = new Set<() => void>();
  #running = true;
  #stopping: Promise<Deno.CommandStatus> | undefined;

  constructor(name: string, command: readonly string[]) {
    this.name = name;
    this.#process = new Deno.Command(command[0], {
      args: command.slice(1),
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.pid = this.#process.pid;
    const streams = [this.#collect(this.#process.stdout), this.#collect(this.#process.stderr)];
    this.ended = Promise.all([this.#process.status, ...streams]).then(([status]) => {
      this.#running = false;
      this.#wake();
      return status;
    });
  }

  get running(): boolean {
    return this.#running;
  }

  /** The first line so far or to come that matches. Throws DemoError when the program ends or time is up before. */
  async line(pattern: RegExp, timeoutMs: number): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    while (true) {
      const found = this.lines.find((line) => pattern.test(line));
      if (found !== undefined) return found;
      const leftMs = deadline - Date.now();
      if (!this.#running || leftMs <= 0) {
        throw new DemoError(
          `The ${this.name} ${
            this.#running ? "is not ready in time" : "ended"
          }. Its last lines:\n${this.tail()}`,
        );
      }
      await this.#changed(leftMs);
    }
  }

  /** Writes a line to its standard input. */
  async say(line: string): Promise<void> {
    const writer = this.#process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(`${line}\n`)).finally(() => writer.releaseLock());
  }

  /** The last lines, for messages. */
  tail(): string {
    return this.lines.slice(-15).map((line) => `  ${line}`).join("\n");
  }

  /** Asks it to end, and kills it when it does not. */
  stop(): Promise<Deno.CommandStatus> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<Deno.CommandStatus> {
    this.#process.stdin.close().catch(() => {/* It closed its end first. */});
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), STOP_WAIT_MS);
    const status = await this.ended;
    clearTimeout(timer);
    return status;
  }

  #signal(signal: Deno.Signal): void {
    if (!this.#running) return;
    try {
      this.#process.kill(signal);
    } catch {
      // It has just ended.
    }
  }

  #changed(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, timeoutMs);
      this.#waiting.add(wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  async #collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      this.lines.push(...parts);
      if (this.lines.length > LINES_KEPT_MAX) this.lines.splice(0, this.lines.length - LINES_KEPT_MAX);
      this.#wake();
    }
    if (rest !== "") this.lines.push(rest);
  }
}

/** Settles as `work` does, but throws DemoError as soon as one of `children` ends. */
export async function whileRunning<T>(children: readonly Child[], work: Promise<T>): Promise<T> {
  const failed = children.map(async (child) => {
    await child.ended;
    throw new DemoError(`The ${child.name} ended before its time. Its last lines:\n${child.tail()}`);
  });
  for (const promise of failed) promise.catch(() => {/* Ends come when the work is done, too. */});
  return await Promise.race([work, ...failed]);
}

/** Ends when `ms` have passed. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
