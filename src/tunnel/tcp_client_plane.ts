/** The data Worker of a client in TCP mode: 1 connect · 2 the handshake, main's · 3 record length and schedule of this path
 * · 4 parameters until the welcome · 5 streams, until the connection ends or nothing comes in the server's slots · 6 after
 * a pause, again. The train goes on from one connection to the next; while there is none, its slots are skipped. */

import { equalsConstantTime } from "../base/mod.ts";
import { DirectionError } from "../config/mod.ts";
import type { TcpState } from "../ports/mod.ts";
import { parseServerWelcome } from "../wire/inner_control.ts";
import { clientParameters } from "./client_parameters.ts";
import { INNER_TYPE } from "../wire/inner_frame.ts";
import type { Order, TcpClientWorkerConfig, TrainParameters } from "./messages.ts";
import { recordLenMax, tcpTrainOf } from "./tcp_lengths.ts";
import { type TcpConnection, TcpPeer } from "./tcp_peer.ts";
import { TcpPlane, type TcpPlanePorts } from "./tcp_plane.ts";

// Chosen here.
const CONNECT_TIMEOUT_NS = 10e9;
/** Silence after which a connection is given up: this long, or so many intervals of the server. A lost segment holds back
 * all behind it until TCP has sent it again, perhaps twice. */
const SILENCE_NS = 4e9;
const SILENCE_INTERVALS = 20;
/** Pause from one try to the next: doubled each time from the first to the last, less up to half by chance. The last one
 * is what a user waits for whose server comes back; a server of a thousand such clients has 170 handshakes a second. */
const PAUSE_MIN_NS = 0.5e9;
const PAUSE_MAX_NS = 8e9;
/** A connection that has lasted so long was a good one: the next try comes soon. */
const GOOD_NS = 10e9;
/** The path's segments are looked at so often; shorter ones than the records mean another connection. */
const PATH_CHECK_NS = 30e9;
const CLOSE_WAIT_MAX_NS = 1e9;
const CLOSE_WAIT_SLOTS = 6;

export class TcpClientPlane extends TcpPlane {
  readonly #config: TcpClientWorkerConfig;
  readonly #peer = new TcpPeer(0);
  #down: TrainParameters | undefined;
  #welcomed = false;
  #connectAtNs = 0;
  #pauseNs = PAUSE_MIN_NS;
  #establishedNs = Infinity;
  #checkedNs = 0;
  #ids = 0;
  #closingAtNs = Infinity;

  constructor(ports: TcpPlanePorts, config: TcpClientWorkerConfig) {
    super(ports, config);
    this.#config = config;
  }

  protected peers(): Iterable<TcpPeer> {
    return [this.#peer];
  }

  protected peerOf(index: number): TcpPeer | undefined {
    return index === 0 ? this.#peer : undefined;
  }

  protected otherOrder(order: Order): void {
    if (order.type !== "stop" || this.#closingAtNs !== Infinity) return;
    this.sayGoodbye(this.#peer);
    const intervalNs = this.#peer.connection === undefined ? 0 : this.#peer.emitter!.train.intervalNs;
    this.#peer.open = false;
    this.#closingAtNs = this.nowNs + Math.min(CLOSE_WAIT_MAX_NS, CLOSE_WAIT_SLOTS * intervalNs);
  }

  // --- connections

  #connect(): void {
    const { peer } = this.#config;
    this.#later();
    const fd = this.ports.tcp.connect(peer);
    if (fd < 0) return this.#note(`cannot connect: error ${-fd}`);
    this.adopt(++this.#ids, fd, peer, this.nowNs + CONNECT_TIMEOUT_NS, "connecting");
  }

  /** The next try comes after a pause, unless this one is a success. */
  #later(): void {
    const chance = new Uint32Array(1);
    this.ports.entropy.fill(new Uint8Array(chance.buffer));
    this.#connectAtNs = this.nowNs + this.#pauseNs * (1 - chance[0] / 2 ** 33);
    this.#pauseNs = Math.min(PAUSE_MAX_NS, 2 * this.#pauseNs);
  }

  protected accept(): void {
    // Nothing is listened to here.
  }

  protected connected(connection: TcpConnection): void {
    this.tell({ type: "tls open", connection: connection.id, from: connection.from });
  }

  protected lost(connection: TcpConnection, reason: string): void {
    if (connection.peer === undefined || this.#closingAtNs !== Infinity) return; // its pause runs since its beginning
    if (this.nowNs - this.#establishedNs > GOOD_NS) this.#pauseNs = PAUSE_MIN_NS;
    this.#later();
    this.tell({ type: "closed", client: 0, reason });
  }

  protected established(connection: TcpConnection, peer: TcpPeer): void {
    this.#establishedNs = this.#checkedNs = this.nowNs;
    this.#welcomed = false;
    const state = this.ports.tcp.state(connection.fd);
    if (state === undefined) return this.end(connection, "the connection is gone");
    try {
      const up = this.#trains(state, connection.from.ip.length);
      this.run(connection, peer, up);
    } catch (error) {
      if (!(error instanceof DirectionError)) throw error;
      this.#note(error.message);
      return this.end(connection, "this path is too narrow for the configured rate");
    }
    this.#sendParameters();
  }

  /** Both directions over this path; the client's own is returned. */
  #trains(state: TcpState, ipLen: number): TrainParameters {
    this.#down = tcpTrainOf("down", this.#config.down, state, ipLen);
    return tcpTrainOf("up", this.#config.up, state, ipLen);
  }

  #sendParameters(): void {
    const { nonce } = this.#config;
    const { emitter } = this.#peer;
    const up = emitter!.train;
    const down = this.#down!;
    emitter!.control(clientParameters(up, down, nonce));
  }

  protected innerControl(connection: TcpConnection, type: number, body: Uint8Array): void {
    if (type === INNER_TYPE.close) return this.end(connection, "the server closed the session");
    if (type !== INNER_TYPE.serverWelcome) return;
    const welcome = parseServerWelcome(body);
    if (welcome === undefined) return this.counters.add("control_malformed");
    if (this.#welcomed || !equalsConstantTime(welcome.nonce, this.#config.nonce)) return;
    this.#welcomed = true;
    if (welcome.status <= 1) this.openStreams(this.#peer, this.#down!.intervalNs);
    this.tell({ type: "welcome", client: 0, body });
  }

  // --- now and then

  protected override housekeeping(): void {
    super.housekeeping();
    if (this.nowNs >= this.#closingAtNs) return this.#stop();
    const { connection, emitter } = this.#peer;
    if (this.connections.size === 0 && this.nowNs >= this.#connectAtNs && this.#closingAtNs === Infinity) {
      this.#connect();
    }
    if (connection === undefined || emitter === undefined) return;
    if (!this.#welcomed && emitter.waiting === 0) this.#sendParameters();
    this.#watch(connection);
  }

  /** Nothing authentic has come in the server's slots for too long; or the path's segments have become shorter. */
  #watch(connection: TcpConnection): void {
    const limitNs = Math.max(SILENCE_NS, SILENCE_INTERVALS * this.#down!.intervalNs);
    const silentNs = this.nowNs - this.#peer.lastAuthenticNs;
    if (silentNs > limitNs) return this.end(connection, `nothing heard for ${(silentNs / 1e9).toFixed(1)} s`);
    if (this.nowNs - this.#checkedNs < PATH_CHECK_NS) return;
    this.#checkedNs = this.nowNs;
    const state = this.ports.tcp.state(connection.fd);
    const recordLen = this.#peer.emitter!.train.datagramLen;
    if (state === undefined || recordLen <= recordLenMax(state, connection.from.ip.length)) return;
    this.retire(connection, "the path's segments have become shorter than the records");
  }

  #note(text: string): void {
    this.tell({ type: "notice", level: "warn", text });
  }

  #stop(): void {
    this.stopped = true;
    for (const connection of [...this.connections.values()]) this.end(connection, "stopped");
  }
}
