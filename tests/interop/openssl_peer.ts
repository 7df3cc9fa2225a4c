/** OpenSSL's s_server and s_client as processes, with TLS 1.3 and an external PSK, on the loopback. */

import { concat } from "../../src/base/mod.ts";
import type { CipherSuite } from "../../src/crypto/suites.ts";

/** Ends a test that hangs; nothing is measured by it. */
const GUARD_MS = 30_000;
export const IDENTITY = "i405-interop";
export const KEY = Uint8Array.from({ length: 32 }, (_, index) => index * 7 + 1);

/** The version of OpenSSL on this machine, or why there is none to be had. */
export async function findOpenssl(): Promise<{ readonly version: string } | { readonly missing: string }> {
  try {
    const { stdout } = await new Deno.Command("openssl", { args: ["version"] }).output();
    const version = new TextDecoder().decode(stdout).trim();
    return /^OpenSSL (?:[3-9]|\d\d)\./.test(version) ? { version } : { missing: `${version} is too old` };
  } catch {
    return { missing: "there is no openssl" };
  }
}

/** A running s_server or s_client. What is written to it goes over the connection, and it prints what comes. */
export class OpensslPeer {
  output = "";
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #guard: number;
  readonly #drained: Promise<unknown>;
  #ended = false;
  #wake: (() => void)[] = [];

  private constructor(args: readonly string[]) {
    const command = new Deno.Command("openssl", {
      args: [...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
    this.#child = command.spawn();
    this.#stdin = this.#child.stdin.getWriter();
    this.#guard = setTimeout(() => this.#child.kill("SIGKILL"), GUARD_MS);
    this.#drained = Promise.all([this.#drain(this.#child.stdout), this.#drain(this.#child.stderr)]).then(
      () => {
        this.#ended = true;
        this.#wakeAll();
      },
    );
  }

  /** s_server on a port of its own choice, once it listens. */
  static async server(args: readonly string[]): Promise<{ peer: OpensslPeer; port: number }> {
    const fixed = ["s_server", "-tls1_3", "-nocert", "-accept", "127.0.0.1:0", "-naccept", "1"];
    const peer = new OpensslPeer([...fixed, "-psk_identity", IDENTITY, ...args]);
    const [, port] = await peer.expect(/ACCEPT \S*?:(\d+)/);
    return { peer, port: Number(port) };
  }

  static client(port: number, args: readonly string[]): OpensslPeer {
    return new OpensslPeer(["s_client", "-tls1_3", "-connect", `127.0.0.1:${port}`, ...args]);
  }

  /** The match, as soon as the output has one; throws with the output if the process ends before. */
  async expect(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = this.output.match(pattern);
      if (match !== null) return match;
      if (this.#ended) throw new Error(`OpenSSL ended without ${pattern}:\n${this.output}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Types a line. */
  async say(line: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(line + "\n"));
  }

  /** Waits for its end, which a closed input brings about; `code` as it was given. */
  async end(): Promise<number> {
    await this.#stdin.close().catch(() => {}); // it may have ended by itself
    const [{ code }] = await Promise.all([this.#child.status, this.#drained]);
    clearTimeout(this.#guard);
    return code;
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    if (!this.#ended) this.#child.kill("SIGTERM");
    await this.end();
  }

  async #drain(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.output += decoder.decode(chunk, { stream: true });
      this.#wakeAll();
    }
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** A session file for -psk_session, which makes OpenSSL use `key` as an external PSK for the hash of `suite`. */
export function sessionPem(suite: CipherSuite, key: Uint8Array): string {
  const der = asn1(
    0x30,
    asn1(0x02, Uint8Array.of(1)), // version of the structure
    asn1(0x02, Uint8Array.of(0x03, 0x04)), // of TLS
    asn1(0x04, Uint8Array.of(suite.id >> 8, suite.id)),
    asn1(0x04), // no session id
    asn1(0x04, key),
  );
  const base64 = btoa(String.fromCharCode(...der)).replace(/.{64}/g, "$&\n");
  return `-----BEGIN SSL SESSION PARAMETERS-----\n${base64}\n-----END SSL SESSION PARAMETERS-----\n`;
}

/** DER of one element shorter than 128 bytes. */
function asn1(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = concat(...contents);
  if (content.length > 127) throw new RangeError(`Cannot write ${content.length} bytes with a short length`);
  return concat(Uint8Array.of(tag, content.length), content);
}
