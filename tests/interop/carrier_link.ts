/** One TLS connection of ours with a foreign peer through the program's own TCP carrier: the shim's sockets and stream
 * ring, TlsEndpoint, TlsSession, TcpInbound. */

import type { TlsEndpoint } from "../../src/flight/tls_endpoint.ts";
import { STREAM_EVENT } from "../../src/ports/mod.ts";
import { TlsSession } from "../../src/session/tls_session.ts";
import { TcpEmitter } from "../../src/tunnel/tcp_emitter.ts";
import { TcpInbound, type TcpVerdict } from "../../src/tunnel/tcp_inbound.ts";
import { CONTENT_TYPE } from "../../src/wire/content_type.ts";
import { memory, shim } from "../ffi/support.ts";
import { CONFIG } from "../ffi/pacer_support.ts";
import { Poller, streams } from "../ffi/stream_support.ts";

const TRAIN = {
  intervalNs: 2e6,
  jitterLaw: "gaussian" as const,
  jitterSdNs: 1e5,
  datagramLen: 600,
  burst: 1,
};
const SCRATCH_LEN = 2048;

export class CarrierLink {
  session: TlsSession | undefined;
  emitter: TcpEmitter | undefined;
  /** All application data so far, padding included. */
  text = "";
  /** KeyUpdates of the peer's. */
  keyUpdates = 0;
  /** The record layer has given up. */
  isBroken = false;
  readonly #fd: number;
  readonly #id: number;
  readonly #tls: TlsEndpoint;
  readonly #isClient: boolean;
  readonly #poller = new Poller();
  readonly #scratch = memory.alloc(SCRATCH_LEN);
  readonly #inbound = new TcpInbound<CarrierLink>(memory, shim.protection, 1);
  #isEnded = false;

  /** Takes over a connection that is there. */
  constructor(fd: number, id: number, tls: TlsEndpoint, role: "client" | "server") {
    this.#fd = fd;
    this.#id = id;
    this.#tls = tls;
    this.#isClient = role === "client";
    shim.pacer.start(CONFIG);
  }

  /** Runs the handshake to its end; true if it ended well. */
  async handshake(): Promise<boolean> {
    streams.send(this.#fd, this.#tls.takeOutput());
    streams.mode(this.#fd, "step");
    await this.until(() => this.#tls.phase !== "handshake" || this.#isEnded);
    if (this.#tls.phase !== "connected") return false;
    const { suite, clientSecret, serverSecret } = this.#tls.result!;
    const [send, receive] = this.#isClient ? [clientSecret, serverSecret] : [serverSecret, clientSecret];
    this.session = new TlsSession(memory, shim.protection, { suite: suite.id, send, receive });
    const seed = crypto.getRandomValues(new Uint8Array(32));
    const startNs = shim.clock.nowNs() + 4e7;
    const options = { train: TRAIN, seed, startNs, traceCount: 0 };
    this.emitter = new TcpEmitter(memory, shim.pacer, shim.protection, options);
    this.emitter.connect(this.#fd, this.session.firstSendKey());
    this.emitter.start();
    streams.mode(this.#fd, "flow");
    return true;
  }

  write(text: string): void {
    this.emitter!.content(CONTENT_TYPE.applicationData, new TextEncoder().encode(text));
  }

  /** All that came, as soon as `wanted` is in it. */
  async readText(wanted: string): Promise<string> {
    await this.until(() => this.text.includes(wanted) || this.isBroken || this.#isEnded);
    return this.text;
  }

  async until(done: () => boolean): Promise<void> {
    for (const end = Date.now() + 10_000; !done() && Date.now() < end;) {
      this.#turn();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #turn(): void {
    this.#poller.poll(0);
    for (const told of this.#poller.told.splice(0)) {
      if (told.id !== this.#id) continue;
      if (STREAM_EVENT[told.event] === STREAM_EVENT.record) this.#record(told.bytes);
      else this.#isEnded = true;
    }
    while (this.emitter?.refill()) { /* go on */ }
    this.emitter?.maintain();
    if (this.session?.updateRequested === true && !this.emitter!.changing) {
      this.emitter!.update(this.session.nextSendKey(), this.emitter!.numberNext);
    }
  }

  #record(bytes: Uint8Array): void {
    if (this.session === undefined) {
      this.#tls.receive(bytes);
      streams.send(this.#fd, this.#tls.takeOutput());
      if (this.#tls.phase === "handshake") streams.mode(this.#fd, "step");
      return;
    }
    memory.u8.set(bytes, this.#scratch);
    this.#inbound.add(this, this.#scratch, bytes.length, this);
    this.#inbound.run(this);
  }

  /** TcpInboundSink. */
  plaintext(_owner: CarrierLink, contentType: number, off: number, len: number): TcpVerdict {
    const bytes = memory.u8.slice(off, off + len);
    if (contentType === CONTENT_TYPE.applicationData) {
      this.text += new TextDecoder().decode(bytes);
      return "go on";
    }
    const event = this.session!.control(contentType, bytes);
    if (event === "keys changed") this.keyUpdates++;
    return event === "keys changed" || event === "none" ? (event === "none" ? "go on" : event) : "stop";
  }

  /** TcpInboundSink. */
  broken(): void {
    this.isBroken = true;
    this.session?.close();
    this.session = undefined;
  }

  close(): void {
    shim.pacer.stop();
    this.emitter?.close();
    this.session?.close();
    streams.remove(this.#fd);
    streams.close(this.#fd);
    memory.free(this.#scratch, SCRATCH_LEN);
    this.#poller.close();
  }
}
