/* A client of inner protocol version 0, the deployed one, which ends its process over what it does not expect:
 * 1 the server acknowledges Finished · 2 the client's handshake, again after 1, 2, 4, 8 and 16 s · 3 the server's answer,
 * alone in its record · 4 data records, each with its sequence number.
 * Until 4, slots without a handshake carry random bytes in a record's form, never chaff: that would be data too early. */

import type { Session } from "../session/session.ts";
import { ALERT, emitAlert } from "../wire/alert.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import {
  type ClientHandshakeV0,
  emitClientHandshakeV0,
  parseServerHandshakeV0,
  V0_TYPE,
} from "../wire/v0_message.ts";
import { type ClientInner, type ClientLine, CLOSE_SLOTS } from "./client_inner.ts";
import type { RecordPrefix } from "./emitter.ts";
import { ClientMonitorV0 } from "./client_monitor_v0.ts";
import { filledV0, lostAfter, recordPrefixV0, V0_FRAMES, V0_PROTOCOL_VERSION } from "./v0.ts";

// Set by what is deployed.
const REPEATS_S = [1, 2, 4, 8, 16];
// Chosen here.
/** Finished is repeated meanwhile. */
const ACK_WAIT_NS = 16e9;
const ACK_WAIT_INTERVALS = 16;
/** A server that has refused will do so again. */
const REFUSED_WAIT_NS = 16e9;

type State = "away" | "finished" | "handshake" | "refused" | "open";

export class ClientInnerV0 implements ClientInner {
  readonly frames = V0_FRAMES;
  readonly cidLen = 0;
  readonly prefix: RecordPrefix;
  readonly #handshake: ClientHandshakeV0;
  readonly #line: ClientLine;
  #session: Session | undefined;
  readonly #wallBaseNs: number;
  /** Of the open session, when packets are watched. */
  #monitor: ClientMonitorV0 | undefined;
  #state: State = "away";
  /** When the state ends, if nothing comes. */
  #untilNs = Infinity;
  #repeats = 0;

  constructor(handshake: ClientHandshakeV0, wallBaseNs: number, line: ClientLine) {
    this.#handshake = handshake;
    this.#line = line;
    this.#wallBaseNs = wallBaseNs;
    this.prefix = recordPrefixV0(handshake.monitorPackets, wallBaseNs);
  }

  /** Before, the server owes nothing but answers, and has its own time for them. */
  get isSilenceBad(): boolean {
    return this.#state === "open";
  }

  begin(session: Session): void {
    this.#session = session;
    const { emitter, nowNs } = this.#line;
    this.#enter("finished", nowNs + Math.max(ACK_WAIT_NS, ACK_WAIT_INTERVALS * emitter.train.intervalNs));
  }

  acknowledged(): void {
    if (this.#state !== "finished") return;
    this.#repeats = 0;
    this.#say();
  }

  /** The same bytes each time, in a record of its own. */
  #say(): void {
    const { datagramLen } = this.#line.emitter.train;
    this.#raw(CONTENT_TYPE.applicationData, filledV0(emitClientHandshakeV0(this.#handshake), datagramLen));
    const waitS = REPEATS_S[Math.min(this.#repeats, REPEATS_S.length - 1)];
    this.#enter("handshake", this.#line.nowNs + waitS * 1e9);
  }

  #raw(contentType: number, content: Uint8Array): void {
    const { emitter, counters } = this.#line;
    const record = this.#session!.sealEarly(contentType, content, emitter.train.datagramLen);
    if (!emitter.raw(record)) counters.add("control_dropped");
  }

  control(type: number, off: number, len: number): void {
    if (this.#state === "open") return this.#monitor?.message(type, off);
    if (type !== V0_TYPE.serverHandshake || this.#state !== "handshake") return;
    const answer = parseServerHandshakeV0(this.#line.memory.u8.slice(off, off + len));
    if (answer === undefined) return this.#line.counters.add("control_malformed");
    if (!answer.success || answer.protocolVersion !== V0_PROTOCOL_VERSION) {
      this.#enter("refused", this.#line.nowNs + REFUSED_WAIT_NS);
      const text = `the server refused the handshake of version 0 (it speaks ${answer.protocolVersion})`;
      return this.#line.tell({ type: "notice", level: "error", text });
    }
    this.#enter("open", Infinity);
    this.#monitor = this.#newMonitor();
    this.#line.useSession(this.#session!);
    this.#line.peer.open = true;
    this.#line.tell({ type: "welcome", client: 0, body: new Uint8Array(0) });
  }

  #newMonitor(): ClientMonitorV0 | undefined {
    const { monitorPackets, s2cIntervalMinNs } = this.#handshake;
    if (!monitorPackets) return undefined;
    return new ClientMonitorV0(this.#line, this.#wallBaseNs, lostAfter(s2cIntervalMinNs));
  }

  keep(): void {
    if (this.#state === "open") this.#monitor?.keep();
    if (this.#line.nowNs < this.#untilNs) return;
    if (this.#state === "handshake" && this.#repeats < REPEATS_S.length) {
      this.#repeats++;
      return this.#say();
    }
    const reason = this.#state === "finished"
      ? "the server does not acknowledge Finished"
      : this.#state === "refused"
      ? "the server refused"
      : "the server does not answer the handshake of version 0";
    this.#line.end(reason);
  }

  /** Under the old keys the server would take padding for a sign of life, and listen to nobody else. */
  lost(): void {
    const isOpen = this.#state === "open";
    this.goodbye();
    if (isOpen) this.#line.leaveSession();
  }

  goodbye(): void {
    if (this.#state === "open") {
      for (let i = 0; i < CLOSE_SLOTS; i++) this.#line.sayCloseNotify();
    } else if (this.#state !== "away") {
      this.#raw(CONTENT_TYPE.alert, emitAlert(ALERT.closeNotify));
    }
    this.#enter("away", Infinity);
  }

  #enter(state: State, untilNs: number): void {
    this.#state = state;
    this.#untilNs = untilNs;
  }
}
