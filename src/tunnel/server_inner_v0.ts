/* A server's side of inner protocol version 0, for the deployed client: 1 each copy of its handshake is answered at once,
 * alone in a record · 2 its first data record says that the answer came: the train begins · 3 data records, each with
 * its sequence number.
 * Before 2 the client's process ends over anything but the answer, so nothing else is sent. */

import { equalsConstantTime } from "../base/mod.ts";
import type { Session } from "../session/session.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { outerOverhead } from "../wire/ip_header.ts";
import { emitServerHandshakeV0, parseClientHandshakeV0, V0_TYPE } from "../wire/v0_message.ts";
import type { ClientHandshakeV0 } from "../wire/v0_message.ts";
import { type Grant, grantTrain } from "./grant.ts";
import type { TrainParameters } from "./messages.ts";
import { ServerMonitorV0 } from "./server_monitor_v0.ts";
import { CLOSE_SLOTS, type ServerInner, type ServerLine } from "./server_inner.ts";
import {
  filledV0,
  lostAfter,
  recordPrefixV0,
  trainOfHandshakeV0,
  V0_FRAMES,
  V0_PROTOCOL_VERSION,
} from "./v0.ts";

// Chosen here.
/** A record with its sequence number and a fragment fits. */
const DATAGRAM_LEN_MIN = 140;
const TIMEOUT_MIN_NS = 2e9;
const TIMEOUT_MAX_NS = 3600e9;
/** Answers that one session gets: a client sends its handshake six times. */
const ANSWERS_MAX = 64;

/** What a session's handshake came to. */
interface Agreed {
  readonly session: Session;
  readonly bytes: Uint8Array;
  readonly handshake: ClientHandshakeV0;
  readonly train: TrainParameters;
  answers: number;
}

export class ServerInnerV0 implements ServerInner {
  readonly frames = V0_FRAMES;
  readonly #line: ServerLine;
  readonly #wallBaseNs: number;
  #agreed: Agreed | undefined;
  #monitor: ServerMonitorV0 | undefined;

  constructor(line: ServerLine, wallBaseNs: number) {
    this.#line = line;
    this.#wallBaseNs = wallBaseNs;
  }

  get timeoutNs(): number | undefined {
    const wish = this.#agreed?.handshake.serverTimeoutNs;
    return wish === undefined ? undefined : Math.min(TIMEOUT_MAX_NS, Math.max(TIMEOUT_MIN_NS, wish));
  }

  control(session: Session, type: number, off: number, len: number): void {
    if (type === V0_TYPE.clientHandshake) this.#handshake(session, off, len);
    else if (type === V0_TYPE.sequenceNumber) this.#dataRecord(session);
    this.#monitor?.message(type, off);
  }

  #handshake(session: Session, off: number, len: number): void {
    const { counters, memory, peer } = this.#line;
    if (peer.keyed === session) return; // it has had its answer, or it would not send data
    const bytes = memory.u8.slice(off, off + len);
    const handshake = parseClientHandshakeV0(bytes);
    if (handshake === undefined) return counters.add("control_malformed");
    if (this.#agreed?.session !== session) this.#agree(session, bytes, handshake);
    const agreed = this.#agreed;
    if (agreed?.session !== session) return;
    if (!equalsConstantTime(agreed.bytes, bytes)) {
      return this.#refuse(session, agreed.train.datagramLen, "two handshakes that differ");
    }
    if (agreed.answers++ < ANSWERS_MAX) this.#answer(session, agreed.train.datagramLen, true);
  }

  #agree(session: Session, bytes: Uint8Array, handshake: ClientHandshakeV0): void {
    const { peer, client: { maxSpeedBitsPerS }, config: { datagramMaxLen } } = this.#line;
    const overhead = outerOverhead(peer.address!.ip.length);
    const wanted = trainOfHandshakeV0(handshake, overhead);
    const limits = { maxSpeedBitsPerS, datagramMaxLen, datagramMinLen: DATAGRAM_LEN_MIN, overhead };
    const { train, note } = handshake.oldestVersion > V0_PROTOCOL_VERSION
      ? { note: `the client needs inner protocol ${handshake.oldestVersion}` } as Partial<Grant>
      : grantTrain(wanted, limits);
    if (train === undefined) return this.#refuse(session, wanted.datagramLen, note ?? "");
    this.#agreed = { session, bytes, handshake, train, answers: 0 };
    const { intervalNs, datagramLen } = train;
    this.#line.tell({ type: "parameters", client: peer.index, intervalNs, datagramLen, note: note ?? "" });
  }

  /** Numbered by the session itself: the pacer gets its key with the train. */
  #answer(session: Session, datagramLen: number, success: boolean): void {
    const message = emitServerHandshakeV0({ protocolVersion: V0_PROTOCOL_VERSION, success });
    const content = filledV0(message, datagramLen);
    this.#line.sendNow(session.sealEarly(CONTENT_TYPE.applicationData, content, datagramLen));
  }

  #refuse(session: Session, wantedLen: number, reason: string): void {
    const { datagramMaxLen } = this.#line.config;
    this.#answer(session, Math.min(datagramMaxLen, Math.max(DATAGRAM_LEN_MIN, wantedLen)), false);
    this.#line.end(`refused: ${reason}`);
  }

  /** The first one begins the train; the parameters of a session settle its schedule. */
  #dataRecord(session: Session): void {
    const { peer } = this.#line;
    const agreed = this.#agreed;
    if (peer.keyed === session) return;
    if (agreed?.session !== session) return this.#line.counters.add("control_malformed");
    const { monitorPackets, c2sIntervalMinNs } = agreed.handshake;
    const prefix = recordPrefixV0(monitorPackets, this.#wallBaseNs);
    const counted = (token: number, count: number) => this.#monitor?.counted(token, count);
    const problem = this.#line.useTrain(session, agreed.train, { prefix, counted });
    if (problem !== undefined) return this.#line.end(problem);
    this.#monitor = monitorPackets
      ? new ServerMonitorV0(this.#line, this.#wallBaseNs, lostAfter(c2sIntervalMinNs))
      : undefined;
    this.#line.setReceiveRate(session, 1 / Math.max(1e3, agreed.handshake.c2sIntervalMinNs));
    peer.open = true;
  }

  keep(): void {
    this.#monitor?.keep();
  }

  goodbye(): void {
    for (let i = 0; i < CLOSE_SLOTS; i++) this.#line.sayCloseNotify();
  }

  ended(): void {
    this.#agreed = this.#monitor = undefined;
  }
}
