/** wolfSSL's example programs as processes, and a UDP socket on the loopback for our side. */

import { type RemoteInfo, type Socket } from "node:dgram";
import { createSocket } from "node:dgram";
import { AEAD_TAG_LEN } from "../../src/crypto/suites.ts";
import type { DtlsResult } from "../../src/flight/dtls_client.ts";
import { RECORD } from "../../src/ports/mod.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";
import { PlainProtection } from "../../src/record/plain_protection.ts";
import { Session } from "../../src/session/session.ts";
import { COUNTERS_LEN, DataCounters } from "../../src/tunnel/counters.ts";
import { Inbound, type InboundPeer } from "../../src/tunnel/inbound.ts";
import { emitAlert } from "../../src/wire/alert.ts";
import { CONTENT_TYPE } from "../../src/wire/content_type.ts";
import { isUnifiedHeader } from "../../src/wire/dtls_unified_header.ts";

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
const RECORD_HEADER_LEN = 5;
const PLAINTEXT_LEN_MAX = 2048;

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

/** What follows a handshake, epoch 3 and above: the parts that a tunnel has, `Session` and `Inbound`, with a sealer in
 * place of the pacer. */
export class Talk {
  readonly session: Session;
  readonly #memory = new HeapMemory(2 ** 18);
  readonly #protection = new PlainProtection(this.#memory);
  readonly #inbound: Inbound;
  readonly #peer: InboundPeer;
  readonly #datagram = this.#memory.alloc(PLAINTEXT_LEN_MAX);
  readonly #work = this.#memory.alloc(RECORD.size);
  #key: number;
  #number = 0;

  constructor(result: DtlsResult, role: "client" | "server") {
    const { clientSecret, serverSecret, sendMessageSeq, receiveMessageSeq } = result;
    const [send, receive] = role === "client" ? [clientSecret, serverSecret] : [serverSecret, clientSecret];
    this.session = new Session(
      this.#memory,
      this.#protection,
      { suite: result.suite.id, send, receive, sendMessageSeq, receiveMessageSeq },
      { rekeyRecords: 2 ** 23, rekeyBlock: 1, receiveRate: 1e-6 },
      nowNs(),
    );
    const counters = new DataCounters(this.#memory, this.#memory.alloc(COUNTERS_LEN));
    this.#inbound = new Inbound(this.#memory, this.#protection, counters, 8);
    this.#peer = { index: 0, current: this.session, pending: undefined };
    this.#key = this.session.newSendKey();
  }

  line(text: string): Uint8Array {
    return this.#seal(CONTENT_TYPE.applicationData, new TextEncoder().encode(text), 200);
  }

  closeNotify(): Uint8Array {
    return this.#seal(CONTENT_TYPE.alert, emitAlert(0));
  }

  /** Application data of a datagram's records, authentic ones only; all other contents go to the session. */
  open(datagram: Uint8Array): string[] {
    const texts: string[] = [];
    this.#inbound.beginTurn();
    this.#memory.u8.set(datagram, this.#datagram);
    const end = this.#datagram + datagram.length;
    for (let at = this.#datagram; at < end;) {
      if (!isUnifiedHeader(this.#memory.u8[at])) break;
      const len = this.#inbound.add(this.#peer, at, end);
      if (len <= 0) break;
      at += len;
    }
    this.#inbound.run(nowNs(), {
      plaintext: (_peer, session, { epoch }, number, off, len) => {
        let last = off + len - 1;
        while (this.#memory.u8[last] === 0) last--;
        const content = this.#memory.u8.slice(off, last);
        const contentType = this.#memory.u8[last];
        if (contentType === CONTENT_TYPE.applicationData) texts.push(new TextDecoder().decode(content));
        else if (session.control(contentType, content, epoch, number, nowNs()) === "update acknowledged") {
          this.#key = session.nextSendEpoch();
          this.#number = 0;
        }
      },
    });
    return texts;
  }

  /** What the session has to say: ACKs, KeyUpdates. */
  controls(): Uint8Array[] {
    this.session.maintain(this.#number);
    const datagrams: Uint8Array[] = [];
    while (this.session.hasControl) {
      const { contentType, bytes } = this.session.takeControl()!;
      datagrams.push(this.#seal(contentType, bytes));
    }
    return datagrams;
  }

  /** One record, padded to a plaintext of `innerLen` bytes at least. */
  #seal(contentType: number, content: Uint8Array, innerLen = 0): Uint8Array {
    const inner = new Uint8Array(Math.max(innerLen, content.length + 1));
    inner.set(content);
    inner[content.length] = contentType;
    const { u8, u32, i32 } = this.#memory;
    const len = RECORD_HEADER_LEN + inner.length + AEAD_TAG_LEN;
    const [src, dst] = [this.#memory.alloc(len), this.#memory.alloc(inner.length)];
    const bodyLen = len - RECORD_HEADER_LEN;
    u8.set([0x2c | this.session.sendEpoch & 3, 0, this.#number, bodyLen >> 8, bodyLen], src);
    u8.set(inner, dst);
    const at = this.#work;
    for (
      const [field, value] of [["src", src], ["len", len], ["dst", dst], ["seqLo", this.#number]] as const
    ) {
      u32[(at + RECORD[field]) >> 2] = value;
    }
    u8[at + RECORD.hdrLen] = RECORD_HEADER_LEN;
    u8[at + RECORD.seqOff] = 1;
    u8[at + RECORD.seqLen] = 2;
    i32[(at + RECORD.key) >> 2] = this.#key;
    this.#number++;
    this.#protection.sealBatch(at, 1);
    const record = u8.slice(src, src + len);
    this.#memory.free(src, len);
    this.#memory.free(dst, inner.length);
    return record;
  }
}

/** Monotonic, in nanoseconds. */
export function nowNs(): number {
  return performance.now() * 1e6;
}
