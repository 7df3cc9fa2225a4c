/** A server's clients on the move, RFC 9853: what comes tells where they are, what leaves asks whether it is true. When
 * and for how long stands in roaming.ts. */

import type { EndpointAddress, Entropy, Memory } from "../ports/mod.ts";
import { readAddress, RX, RX_FLAG } from "../ports/mod.ts";
import type { Session } from "../session/session.ts";
import { CONTENT_TYPE } from "../wire/content_type.ts";
import { emitPathMessage, PATH_COOKIE_LEN, PATH_MESSAGE, type PathMessage } from "../wire/path_check.ts";
import type { DataCounters } from "./counters.ts";
import type { DataPlanePorts } from "./data_plane.ts";
import type { Emitter } from "./emitter.ts";
import type { OpenedRecord } from "./inbound.ts";
import type { Peer } from "./peer.ts";

export interface MovesPorts {
  /** Slots a nanosecond that the client sends; 0: not known. */
  rate(peer: Peer): number;
  /** The client has proved to be there. */
  moved(peer: Peer, to: EndpointAddress): void;
}

export class Moves {
  readonly #memory: Memory;
  readonly #entropy: Entropy;
  readonly #counters: DataCounters;
  readonly #udpFds: readonly number[];
  readonly #told: MovesPorts;

  constructor({ memory, entropy, counters }: DataPlanePorts, udpFds: readonly number[], ports: MovesPorts) {
    this.#memory = memory;
    this.#entropy = entropy;
    this.#counters = counters;
    this.#udpFds = udpFds;
    this.#told = ports;
  }

  /** To be called now and then: ends a probe whose time is up. */
  keep(peer: Peer, nowNs: number): void {
    if (peer.roaming.isOverdue(nowNs)) this.#endProbe(peer, nowNs, true);
  }

  /** An authentic record, before its content is looked at. */
  arrived(peer: Peer, record: OpenedRecord, nowNs: number): void {
    const { roaming } = peer;
    const { session, epoch, number, rx } = record;
    const from = rx + RX.from;
    if (peer.keyed !== session || session !== peer.current) return;
    if (roaming.isProbed(from)) return peer.train!.emitter.credit(record.recordLen);
    if (!session.isNewest(epoch, number)) return;
    if (!roaming.isHome(from)) this.#probe(peer, session, record, nowNs);
    else if (roaming.isProbing) this.#endProbe(peer, nowNs, false); // it is where it was
  }

  /** The newest record came from elsewhere. A move between IPv4 and IPv6 is another length of packets: that takes a new
   * handshake (protocol.md §1). */
  #probe(peer: Peer, session: Session, { rx, recordLen }: OpenedRecord, nowNs: number): void {
    const { roaming, train } = peer;
    const address = readAddress(this.#memory, rx + RX.from)!;
    if (!session.ids.rrc || !roaming.mayProbe(nowNs)) return;
    if (address.ip.length !== peer.address!.ip.length) return;
    const fd = this.#udpFds[this.#memory.u32[(rx + RX.flags) >> 2] >>> RX_FLAG.fdShift];
    const place = { fd, address, local: readAddress(this.#memory, rx + RX.to) };
    const fresh = new Uint8Array(PATH_COOKIE_LEN);
    this.#entropy.fill(fresh);
    const { emitter } = train!;
    const rate = this.#told.rate(peer);
    const intervalsNs = emitter.train.intervalNs + (rate > 0 ? 1 / rate : 0);
    const cookie = roaming.begin(place, fresh, intervalsNs, nowNs);
    const challenge = emitPathMessage(PATH_MESSAGE.challenge, cookie);
    emitter.aside({ fd, to: address, from: place.local }, CONTENT_TYPE.returnRoutabilityCheck, challenge);
    emitter.credit(recordLen);
    this.#counters.add("moves_probed");
  }

  #endProbe(peer: Peer, nowNs: number, mayAnswer: boolean): void {
    peer.roaming.fail(nowNs, mayAnswer);
    peer.train?.emitter.endAside();
    this.#counters.add("moves_failed");
  }

  /** A message of the check, which came in `record`. */
  message(peer: Peer, message: PathMessage, record: OpenedRecord, nowNs: number): void {
    const { session } = record;
    const emitter = peer.train?.emitter;
    if (emitter === undefined || peer.keyed !== session || session !== peer.current) return;
    const { roaming } = peer;
    if (message.type === PATH_MESSAGE.challenge) {
      const response = emitPathMessage(PATH_MESSAGE.response, message.cookie);
      const isPut = emitter.content(CONTENT_TYPE.returnRoutabilityCheck, response);
      if (!isPut) this.#counters.add("control_dropped");
    } else if (!roaming.isAnswer(message.cookie)) {
      return; // RFC 9853 §5.4: an answer to nothing is discarded
    } else if (message.type === PATH_MESSAGE.drop) {
      if (roaming.isProbing) this.#endProbe(peer, nowNs, false); // the client has left that place again
    } else if (this.#isThere(peer, record, nowNs)) {
      this.#moved(peer, emitter);
    }
  }

  /** The answer has come from where the question went. One that comes late tells where the client is if nothing newer has
   * come. */
  #isThere({ roaming }: Peer, { session, epoch, number, rx }: OpenedRecord, nowNs: number): boolean {
    const from = rx + RX.from;
    return roaming.isProbed(from) || roaming.isLate(from, nowNs) && session.isNewest(epoch, number);
  }

  #moved(peer: Peer, emitter: Emitter): void {
    const { fd, address, local } = peer.roaming.prove();
    peer.fd = fd;
    peer.address = address;
    peer.local = local;
    emitter.setDestination(fd, address, local);
    emitter.endAside();
    this.#counters.add("moves_proved");
    this.#told.moved(peer, address);
  }
}
