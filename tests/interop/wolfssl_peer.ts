/** wolfSSL's example programs as processes, and a UDP socket on the loopback for our side. */

import { type RemoteInfo, type Socket } from "node:dgram";
import { createSocket } from "node:dgram";
import { EpochKeys, splitDatagram } from "../../src/record/handshake_records.ts";
import { CONTENT_TYPE } from "../../src/wire/content_type.ts";
import type { DtlsResult } from "../../src/flight/dtls_client.ts";

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
const GUARD_MS = 30_000;

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

/** A UDP socket on the loopback. */
export class Loopback {
  readonly port: number;
  readonly #socket: Socket;
  /** Whether to lose the datagram with this index, of those sent. */
  readonly #loses: (index: number) => boolean;
  #sent = 0;

  private constructor(socket: Socket, loses: (index: number) => boolean) {
    this.#socket = socket;
    this.#loses = loses;
    this.port = socket.address().port;
    socket.on("error", () => {}); // an ICMP error of a peer that is not there yet
  }

  static open(loses: (index: number) => boolean = () => false): Promise<Loopback> {
    return new Promise((resolve) => {
      const socket = createSocket("udp4");
      socket.bind(0, "127.0.0.1", () => resolve(new Loopback(socket, loses)));
    });
  }

  onDatagram(handler: (datagram: Uint8Array, from: RemoteInfo) => void): void {
    this.#socket.on("message", (message, from) => handler(new Uint8Array(message), from));
  }

  send(datagram: Uint8Array, port: number): void {
    if (!this.#loses(this.#sent++)) this.#socket.send(datagram, port, "127.0.0.1");
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }
}

/** A UDP port that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const socket = await Loopback.open();
  const { port } = socket;
  await socket.close();
  return port;
}

/** Application data in epoch 3 after a handshake. */
export class Epoch3 {
  readonly #send: EpochKeys;
  readonly #receive: EpochKeys;

  constructor(result: DtlsResult, role: "client" | "server") {
    const { suite, clientSecret, serverSecret } = result;
    this.#send = new EpochKeys(suite, role === "client" ? clientSecret : serverSecret, 3);
    this.#receive = new EpochKeys(suite, role === "client" ? serverSecret : clientSecret, 3);
  }

  line(text: string): Uint8Array {
    return this.#send.seal(CONTENT_TYPE.applicationData, new TextEncoder().encode(text), 200);
  }

  closeNotify(): Uint8Array {
    return this.#send.seal(CONTENT_TYPE.alert, Uint8Array.of(1, 0));
  }

  /** Contents of the records of epoch 3 in a datagram, authentic ones only. */
  open(datagram: Uint8Array): { readonly contentType: number; readonly text: string }[] {
    const contents: { contentType: number; text: string }[] = [];
    for (const record of splitDatagram(datagram)) {
      if (record.kind !== "ciphertext") continue;
      const opened = this.#receive.open(record);
      if (typeof opened === "string") continue;
      contents.push({ contentType: opened.contentType, text: new TextDecoder().decode(opened.content) });
    }
    return contents;
  }
}

/** Monotonic, in nanoseconds. */
export function nowNs(): number {
  return performance.now() * 1e6;
}
