/** Our side of a conversation with a foreign peer: handshake and session over a UDP socket on the loopback. */

import { DtlsClient, type DtlsClientOptions, type DtlsResult } from "../../src/flight/dtls_client.ts";
import { DtlsServer, type DtlsServerOptions } from "../../src/flight/dtls_server.ts";
import { filler } from "../../src/flight/filler.ts";
import { HelloGate } from "../../src/flight/hello_gate.ts";
import type { SessionOptions } from "../../src/session/session.ts";
import { CONTENT_TYPE } from "../../src/wire/content_type.ts";
import { Loopback, nowNs } from "./loopback.ts";
import { Talk } from "./talk.ts";

/** Ends a test that hangs; nothing is measured by it. */
const GUARD_MS = 50_000;
/** How often something is said that may get lost, and looked at what is awaited. */
const REPEAT_MS = 5;
const CHAFF_MS = 1;

const TIMERS = { timeoutNs: 200e6, timeoutMaxNs: 1e9 };

export const entropy = {
  fill: (out: Uint8Array) => void crypto.getRandomValues(out as Uint8Array<ArrayBuffer>),
};

/** What both roles do the same way. */
abstract class OurEnd {
  /** Application data that came, but for empty ones. */
  readonly lines: string[] = [];
  talk: Talk | undefined;
  /** What the peer says, for the error of a wait in vain. */
  explain: () => string = () => "";
  /** Whether a HelloRetryRequest was answered. */
  wasRetried = false;
  protected readonly socket: Loopback;
  protected abstract readonly endpoint: DtlsClient | DtlsServer | undefined;
  protected abstract readonly peerPort: number;
  readonly #role: "client" | "server";
  readonly #sessionOptions: Partial<SessionOptions>;
  #timer: number | undefined;
  #chaff: number | undefined;
  #chaffCount = 0;
  #wake: (() => void)[] = [];

  constructor(role: "client" | "server", socket: Loopback, sessionOptions: Partial<SessionOptions>) {
    this.#role = role;
    this.socket = socket;
    this.#sessionOptions = sessionOptions;
  }

  get phase(): string {
    return this.endpoint?.phase ?? "hello";
  }

  get result(): DtlsResult | undefined {
    return this.endpoint?.result;
  }

  /** Waits until `test` holds, which is asked after each datagram, and once there is a session does `again` meanwhile:
   * application data has nobody else to repeat it. */
  async until(test: () => boolean, again?: () => void, everyMs = REPEAT_MS): Promise<void> {
    let doneMs = -Infinity;
    const endMs = performance.now() + GUARD_MS;
    while (!test()) {
      if (performance.now() > endMs) throw new Error(`It never came to ${test}: ${this.#state()}`);
      if (again !== undefined && this.talk !== undefined && performance.now() - doneMs >= everyMs) {
        doneMs = performance.now();
        again();
      }
      let timer: number | undefined;
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
        timer = setTimeout(resolve, REPEAT_MS);
      });
      clearTimeout(timer);
    }
  }

  /** Sends a line once there is a session, and what the session has to say. */
  say(text: string): void {
    if (this.talk === undefined) return;
    this.socket.send(this.talk.line(text), this.peerPort);
    this.#controls();
  }

  /** From now on, and beside all else, datagrams of random bytes in the form of records of epochs 2 and 3, as slots carry
   * them that have nothing else to carry. */
  chaff(len: number): void {
    this.#chaff = setInterval(() => {
      if (this.peerPort === 0 || this.#chaff === undefined) return; // one more comes when it is cleared while due
      const record = filler(len, entropy);
      record[0] |= this.#chaffCount++ & 1;
      this.socket.send(record, this.peerPort);
    }, CHAFF_MS);
  }

  closeNotify(): void {
    if (this.talk !== undefined) this.socket.send(this.talk.closeNotify(), this.peerPort);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    clearInterval(this.#chaff);
    this.#chaff = undefined;
    await this.socket.close();
  }

  /** A datagram for the endpoint and the session. */
  protected take(datagram: Uint8Array): void {
    const endpoint = this.endpoint!;
    endpoint.receive(datagram, nowNs());
    this.wasRetried ||= endpoint.phase === "cookie";
    this.turn();
    if (endpoint.result === undefined) return;
    this.talk ??= new Talk(endpoint.result, this.#role, this.#sessionOptions);
    this.lines.push(...this.talk.open(datagram).filter((text) => text.length > 0));
    const isAuthentic = this.talk.session.receiveEpochs.some(({ authenticated }) => authenticated > 0);
    if (isAuthentic && endpoint instanceof DtlsClient) endpoint.noteAuthenticRecord();
    this.#controls();
  }

  protected wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Sends the endpoint's datagrams and keeps its timer running. */
  protected turn(): void {
    const endpoint = this.endpoint!;
    for (let out = endpoint.nextDatagram(); out !== undefined; out = endpoint.nextDatagram()) {
      this.socket.send(out, this.peerPort);
    }
    clearTimeout(this.#timer);
    const nextNs = endpoint.nextTimeoutNs();
    if (nextNs === Infinity) return;
    this.#timer = setTimeout(() => {
      endpoint.handleTimeout(nowNs());
      this.turn();
    }, Math.max(0, (nextNs - nowNs()) / 1e6));
  }

  #controls(): void {
    for (const control of this.talk!.controls()) this.socket.send(control, this.peerPort);
  }

  #state(): string {
    const session = this.talk?.session;
    const epochs = session &&
      `sends ${session.sendEpoch}, reads ${session.receiveEpochs.map((one) => one.epoch)}`;
    const known = { phase: this.phase, drops: this.endpoint?.drops, epochs, lines: this.lines };
    return `${JSON.stringify(known)}\n${this.explain()}`;
  }
}

/** Whether to lose the datagram with this index, of those sent. */
export type Loses = (index: number) => boolean;

export class OurClient extends OurEnd {
  protected readonly endpoint: DtlsClient;
  protected readonly peerPort: number;

  private constructor(socket: Loopback, port: number, client: DtlsClient, session: Partial<SessionOptions>) {
    super("client", socket, session);
    this.endpoint = client;
    this.peerPort = port;
  }

  /** Begins a handshake with the server at `port`. */
  static async start(
    port: number,
    options: Partial<DtlsClientOptions> & Pick<DtlsClientOptions, "key">,
    session: Partial<SessionOptions> = {},
    loses?: Loses,
  ): Promise<OurClient> {
    const client = new DtlsClient({
      suites: [0x1301, 0x1303],
      groups: [0x1d, 0x17],
      entropy,
      datagramLen: 0,
      ...TIMERS,
      ...options,
    });
    const end = new OurClient(await Loopback.open(loses), port, client, session);
    end.socket.onDatagram((datagram) => {
      end.take(datagram);
      end.wakeAll();
    });
    client.start(nowNs());
    end.turn();
    return end;
  }
}

export class OurServer extends OurEnd {
  protected endpoint: DtlsServer | undefined;
  protected peerPort = 0;

  private constructor(socket: Loopback, session: Partial<SessionOptions>) {
    super("server", socket, session);
  }

  /** Waits for one client; `port` is where. */
  static async start(
    options: Partial<DtlsServerOptions> & Pick<DtlsServerOptions, "lookup">,
    session: Partial<SessionOptions> = {},
    loses?: Loses,
  ): Promise<OurServer> {
    const all: DtlsServerOptions = {
      secret: crypto.getRandomValues(new Uint8Array(32)),
      suites: [0x1301, 0x1303],
      groups: [0x1d, 0x17],
      entropy,
      ...TIMERS,
      ...options,
    };
    const gate = new HelloGate(all);
    const end = new OurServer(await Loopback.open(loses), session);
    end.socket.onDatagram((datagram, from) => {
      end.#admit(gate, all, datagram, `${from.address}:${from.port}`, from.port);
      if (end.endpoint !== undefined) end.take(datagram);
      end.wakeAll();
    });
    return end;
  }

  get port(): number {
    return this.socket.port;
  }

  /** What the data Worker does with a datagram in the clear: RFC 9147 §5.1. */
  #admit(
    gate: HelloGate,
    options: DtlsServerOptions,
    datagram: Uint8Array,
    from: string,
    port: number,
  ): void {
    if (datagram[0] !== CONTENT_TYPE.handshake) return;
    const address = new TextEncoder().encode(from);
    const verdict = gate.respond(datagram, address, nowNs());
    if (verdict.kind === "reply") this.socket.send(verdict.datagram, port);
    if (verdict.kind !== "pass" || this.endpoint !== undefined) return;
    this.peerPort = port;
    this.endpoint = new DtlsServer(options, address);
    this.endpoint.start(nowNs());
  }
}
