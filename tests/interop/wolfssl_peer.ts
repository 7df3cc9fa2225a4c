/** Foreign peers built on wolfSSL, as processes: its example programs, and wolfssl_peer.c. */

/** What the programs say over the connection: the client first. */
export const CLIENT_LINE = "hello wolfssl!";
export const SERVER_LINE = "I hear you fa shizzle!";
/** The identity and the key of TLS 1.3 that the programs have built in. */
export const PEER_KEY = {
  plainIdentity: new TextEncoder().encode("Client_identity"),
  key: Uint8Array.from(
    { length: 32 },
    (_, index) => [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef][index % 8],
  ),
};
/** The client adds the suite's hash to the identity; the server does not mind. */
export const PEER_CLIENT_KEY = {
  ...PEER_KEY,
  plainIdentity: new TextEncoder().encode("Client_identitySHA256"),
};
export const SUITE_NAMES: ReadonlyMap<number, string> = new Map([
  [0x1301, "TLS13-AES128-GCM-SHA256"],
  [0x1302, "TLS13-AES256-GCM-SHA384"],
  [0x1303, "TLS13-CHACHA20-POLY1305-SHA256"],
]);
/** Ends a test that hangs; nothing is measured by it. */
const GUARD_MS = 60_000;

/** Where the programs are, built if need be; or why they cannot be had. */
export async function findPeer(): Promise<{ readonly dir: string } | { readonly missing: string }> {
  const script = new URL("wolfssl.sh", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command("bash", { args: [script] }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  if (code === 0) return { dir: text(stdout) };
  if (code === 3) return { missing: text(stderr) };
  throw new Error(`Cannot build the foreign peer: ${text(stderr)}`);
}

export interface PeerRun {
  readonly code: number;
  readonly output: string;
}

/** Runs one of the programs with DTLS 1.3 and a PSK until it ends. */
export async function runPeer(
  dir: string,
  role: "client" | "server",
  args: readonly string[],
): Promise<PeerRun> {
  const command = new Deno.Command(`${dir}/${role}`, {
    args: ["-u", "-v", "4", "-s", ...args],
    cwd: dir,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const child = command.spawn();
  const guard = setTimeout(() => child.kill("SIGKILL"), GUARD_MS);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(guard);
  return { code, output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** A running wolfssl_peer: words go to it, lines come from it (see wolfssl_peer.c). */
export class WolfsslPeer {
  output = "";
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #guard: number;
  readonly #ended: Promise<unknown>;
  #wake: (() => void)[] = [];
  #isOver = false;

  constructor(
    dir: string,
    role: "client" | "server",
    port: number,
    options: Readonly<Record<string, string>>,
  ) {
    const command = new Deno.Command(`${dir}/wolfssl_peer`, {
      args: [role, String(port), ...Object.entries(options).map(([name, value]) => `${name}=${value}`)],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    });
    this.#child = command.spawn();
    this.#stdin = this.#child.stdin.getWriter();
    this.#guard = setTimeout(() => this.#child.kill("SIGKILL"), GUARD_MS);
    this.#ended = this.#drain();
  }

  /** A server on a port of its own choice, once it listens. */
  static async server(
    dir: string,
    options: Readonly<Record<string, string>>,
  ): Promise<{ readonly peer: WolfsslPeer; readonly port: number }> {
    const peer = new WolfsslPeer(dir, "server", 0, options);
    const [, port] = await peer.expect(/^port (\d+)$/m);
    return { peer, port: Number(port) };
  }

  /** The match, as soon as the output has one; throws with the output if the process ends before. */
  async expect(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = this.output.match(pattern);
      if (match !== null) return match;
      if (this.#isOver) throw new Error(`wolfssl_peer ended without ${pattern}:\n${this.output}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Says a word; nothing happens once it has ended. */
  say(word: string): void {
    this.#stdin.write(new TextEncoder().encode(word + "\n")).catch(() => {});
  }

  /** Ends it, however it is. */
  async kill(): Promise<void> {
    if (!this.#isOver) this.#child.kill("SIGKILL");
    await this.#stdin.close().catch(() => {}); // it may have ended by itself
    await Promise.all([this.#ended, this.#child.status]);
    clearTimeout(this.#guard);
  }

  async #drain(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) {
      this.output += decoder.decode(chunk, { stream: true });
      this.#wakeAll();
    }
    this.#isOver = true;
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
