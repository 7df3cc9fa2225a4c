/** A server's side of inner protocol version 1: the client's parameters are answered by a welcome. */

import type { Session } from "../session/session.ts";
import type { ClientParameters } from "../wire/inner_control.ts";
import {
  emitClose,
  emitServerWelcome,
  parseClientParameters,
  WELCOME_STATUS,
} from "../wire/inner_control.ts";
import { INNER_TYPE } from "../wire/inner_frame.ts";
import { parsePrefix } from "../wire/ip_address.ts";
import { outerOverhead } from "../wire/ip_header.ts";
import { grant, sameTrain } from "./grant.ts";
import { CLOSE_SLOTS, type ServerInner, type ServerLine } from "./server_inner.ts";

export class ServerInnerV1 implements ServerInner {
  readonly frames = undefined;
  readonly timeoutNs = undefined;
  readonly #line: ServerLine;
  /** Of which main has been told the wish: once each. */
  #told: Session | undefined;

  constructor(line: ServerLine) {
    this.#line = line;
  }

  control(session: Session, type: number, off: number, len: number): void {
    const { counters, memory, peer } = this.#line;
    if (type === INNER_TYPE.close) return this.#line.end("the client closed the session");
    if (type !== INNER_TYPE.clientParameters) return;
    const wish = parseClientParameters(memory.u8.slice(off, off + len));
    if (wish === undefined) return counters.add("control_malformed");
    const { status, note } = this.#settle(session, wish);
    this.#tellWish(session, wish, note);
    if (peer.keyed !== session) return;
    this.#line.setReceiveRate(session, wish.c2sBurst / wish.c2sIntervalNs);
    peer.open = true;
    if (!peer.train!.emitter.control(this.#welcome(wish, status, note))) counters.add("control_dropped");
  }

  /** The first parameters of a session that can be granted settle its schedule; later ones change nothing. */
  #settle(session: Session, wish: ClientParameters): { status: number; note: string } {
    const { peer, client: { maxSpeedBitsPerS }, config: { datagramMaxLen } } = this.#line;
    const overhead = outerOverhead(peer.address!.ip.length);
    const granted = grant(wish, { maxSpeedBitsPerS, datagramMaxLen, overhead });
    const { train } = granted;
    if (peer.keyed === session) {
      if (train !== undefined && sameTrain(peer.train!.emitter.train, train)) return granted;
      return { status: WELCOME_STATUS.rateRefused, note: "another schedule needs another session" };
    }
    if (train === undefined) return granted;
    const problem = this.#line.useTrain(session, train);
    return problem === undefined ? granted : { status: WELCOME_STATUS.rateRefused, note: problem };
  }

  /** Main logs what a client wished for: once a session, however often the client says it. */
  #tellWish(session: Session, wish: ClientParameters, note: string): void {
    if (this.#told === session) return;
    this.#told = session;
    const { s2cIntervalNs: intervalNs, s2cDatagramLen: datagramLen } = wish;
    this.#line.tell({ type: "parameters", client: this.#line.peer.index, intervalNs, datagramLen, note });
  }

  #welcome(wish: ClientParameters, status: number, message: string): Uint8Array {
    const { client, config } = this.#line;
    return emitServerWelcome({
      protocolVersion: 1,
      status,
      nonce: wish.nonce,
      addresses: client.given.map((text) => parsePrefix(text)!),
      serverAddresses: config.innerAddresses.map((text) => parsePrefix(text)!),
      routes: [],
      dns: [],
      mtu: config.mtu,
      maxSpeedBitsPerS: client.maxSpeedBitsPerS,
      message,
    });
  }

  keep(): void {}

  goodbye(): void {
    const { train } = this.#line.peer;
    if (train === undefined) return;
    for (let i = 0; i < CLOSE_SLOTS; i++) train.emitter.control(emitClose(0));
    this.#line.sayCloseNotify();
  }

  ended(): void {
    this.#told = undefined;
  }
}
