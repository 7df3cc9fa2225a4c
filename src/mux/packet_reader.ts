/* A packet: 1 does it count, is it known? · 2 its frames in order, each taken in at once · 3 marked for the ack, if all of it was
 * taken in. What is taken in twice changes nothing. Nothing that comes throws; what breaks the rules is counted, and
 * ends at most the stream that it names. */

import { RESET_REASON, type StreamAddress } from "../ports/mod.ts";
import { parseWireAddress, wireAddressLen } from "../wire/stream_address.ts";
import {
  eachAckRange,
  parseStreamFrame,
  parseU48,
  STREAM_FRAME,
  STREAM_KINDS,
} from "../wire/stream_frames.ts";
import { StreamFrame } from "../wire/stream_frames.ts";
import type { Greeting } from "./greeting.ts";
import { TAKEN } from "./receive_half.ts";
import type { ReceivedPackets } from "./received_packets.ts";
import type { ItemSink, SentPackets } from "./sent_packets.ts";
import type { Stream } from "./stream.ts";
import type { StreamTable } from "./stream_table.ts";

const NUMBER_LEN = 6;
const KNOWN_REASONS: ReadonlySet<number> = new Set(Object.values(RESET_REASON));

export interface ReaderParts {
  readonly u8: Uint8Array;
  readonly table: StreamTable;
  readonly greeting: Greeting;
  readonly sent: SentPackets;
  readonly received: ReceivedPackets;
  readonly items: ItemSink;
  /** The other side has begun anew: what was shared with it is over. */
  readonly peerRestarted: () => void;
}

export class PacketReader {
  readonly #parts: ReaderParts;
  readonly #frame = new StreamFrame();
  #ackSeen = false;
  #nowNs = 0;
  /** The stream whose bytes are being handed on. */
  #reading: Stream | undefined;
  readonly #sink = {
    data: (bytes: Uint8Array, off: number, len: number) => {
      this.#parts.table.counters.bytesReceived += len;
      this.#parts.table.events.data(this.#reading!.localId, bytes, off, len);
    },
  };

  constructor(parts: ReaderParts) {
    this.#parts = parts;
  }

  /** Reads the body of a streams frame: `len` bytes at `off`. */
  read(off: number, len: number, nowNs: number): void {
    const { u8, table, received } = this.#parts;
    const { counters } = table;
    if (len < NUMBER_LEN) {
      counters.malformed++;
      return;
    }
    // Before all else: who has begun anew numbers its packets anew.
    if (!this.#greet(off + NUMBER_LEN, off + len)) {
      counters.beforeHello++;
      return;
    }
    const number = parseU48(u8, off);
    if (!received.isNew(number)) {
      counters.duplicates++;
      return;
    }
    this.#nowNs = nowNs;
    this.#ackSeen = false;
    const asks = this.#frames(off + NUMBER_LEN, off + len);
    if (asks === undefined) return;
    received.mark(number, asks, nowNs);
    counters.packetsReceived++;
  }

  /** Whether the packet asks for an ack; `undefined`: it was not taken in, and must not have one. */
  #frames(off: number, end: number): boolean | undefined {
    const { u8, table } = this.#parts;
    const frame = this.#frame;
    let asks = false;
    for (let at = off; at < end; at = frame.end) {
      if (!parseStreamFrame(u8, at, end, frame)) {
        table.counters.malformed++;
        return undefined;
      }
      asks ||= frame.type !== STREAM_FRAME.ack && frame.type < STREAM_FRAME.datagram;
      if (!this.#handle()) {
        table.counters.notNow++;
        return undefined;
      }
    }
    return asks;
  }

  /** Whether a packet counts: after its own hello, which is its first frame, or one of before. */
  #greet(off: number, end: number): boolean {
    const { u8, greeting, peerRestarted } = this.#parts;
    const frame = this.#frame;
    if (!parseStreamFrame(u8, off, end, frame) || frame.type !== STREAM_FRAME.hello) return greeting.open;
    if (greeting.heard(u8, frame.bodyOff)) peerRestarted();
    return greeting.counts;
  }

  /** False: not for now. */
  #handle(): boolean {
    const frame = this.#frame;
    switch (frame.type) {
      case STREAM_FRAME.ack:
        this.#ack();
        return true;
      case STREAM_FRAME.open:
        return this.#open();
      case STREAM_FRAME.data:
      case STREAM_FRAME.dataLast:
        return this.#data();
      case STREAM_FRAME.opened:
      case STREAM_FRAME.credit:
      case STREAM_FRAME.reset:
      case STREAM_FRAME.datagram:
      case STREAM_FRAME.datagramPart:
        return this.#ofStream(frame);
      default:
        return true; // hello has been heard; a ping asks for nothing but the ack
    }
  }

  #ack(): void {
    const { u8, sent, table, items } = this.#parts;
    const frame = this.#frame;
    if (this.#ackSeen) {
      table.counters.violations++; // one is enough, and each costs
      return;
    }
    this.#ackSeen = true;
    const { largest } = frame;
    if (largest >= sent.next) {
      table.counters.violations++;
      return;
    }
    sent.ackNewest(largest, frame.delayNs, this.#nowNs);
    eachAckRange(u8, frame, (first, last) => sent.ack(first, last, items));
    sent.ackEnd(largest, this.#nowNs, items);
  }

  #open(): boolean {
    const { table } = this.#parts;
    const { id, kind, window, address } = this.#frame;
    if (!table.isTheirs(id)) {
      table.counters.violations++;
    } else if (table.wasUsed(id)) {
      table.counters.strays++;
    } else if (table.theirCount >= table.limits.streamsMax) {
      if (!table.refuse(id, RESET_REASON.limit)) return false;
      table.markUsed(id);
    } else {
      table.markUsed(id);
      const stream = table.create(id, STREAM_KINDS[kind], false, address!);
      if (stream.send !== undefined) stream.send.limit = window;
      table.events.opening(stream.localId, stream.kind, address!);
    }
    return true;
  }

  #data(): boolean {
    const { u8, table } = this.#parts;
    const { id, offset, bodyOff, bodyLen, type } = this.#frame;
    const stream = table.find(id);
    if (stream === undefined) return this.#unknown(id);
    if (stream.state === "resetting") return true;
    if (stream.receive === undefined || stream.state === "asked") {
      this.#violate(stream);
      return true;
    }
    this.#reading = stream;
    const last = type === STREAM_FRAME.dataLast;
    const taken = stream.receive.take(offset, u8, bodyOff, bodyLen, last, this.#sink);
    if (taken === TAKEN.notNow) return false;
    if (taken === TAKEN.pastLimit) table.counters.pastWindow++;
    if (taken === TAKEN.yes) this.#tellFinished(stream);
    else this.#violate(stream);
    return true;
  }

  /** Bytes for a stream that is over are late; for one that never was they break the rules. */
  #unknown(id: number): boolean {
    const { table } = this.#parts;
    table.counters.strays++;
    if (table.wasUsed(id)) return true;
    if (!table.refuse(id, RESET_REASON.protocolError)) return false;
    if (table.isTheirs(id)) table.markUsed(id);
    return true;
  }

  #violate(stream: Stream): void {
    const { table } = this.#parts;
    table.counters.violations++;
    if (stream.state !== "gone" && stream.state !== "resetting") {
      table.abortBoth(stream, RESET_REASON.protocolError);
    }
  }

  #tellFinished(stream: Stream): void {
    const { table } = this.#parts;
    if (stream.finishedTold || stream.state !== "open" || !stream.receive!.finished) return;
    stream.finishedTold = true;
    table.events.finished(stream.localId);
    table.forgetIfDone(stream);
  }

  #ofStream(frame: StreamFrame): boolean {
    const { table } = this.#parts;
    const stream = table.find(frame.id);
    if (stream === undefined) {
      table.counters.strays++;
      // A reset may overtake the open that it ends.
      if (frame.type === STREAM_FRAME.reset && table.isTheirs(frame.id)) table.markUsed(frame.id);
      return true;
    }
    if (frame.type === STREAM_FRAME.reset) this.#reset(stream, frame.reason);
    else if (stream.state === "resetting") table.counters.strays++;
    else if (frame.type === STREAM_FRAME.opened) this.#opened(stream, frame.window, frame.address!);
    else if (frame.type === STREAM_FRAME.credit) this.#credit(stream, frame.limit);
    else this.#datagram(stream, frame);
    return true;
  }

  #reset(stream: Stream, reason: number): void {
    const { table } = this.#parts;
    const told = stream.state === "resetting";
    table.counters.resetThere++;
    table.forget(stream);
    const known = KNOWN_REASONS.has(reason) ? reason : RESET_REASON.generalFailure;
    if (!told) table.events.reset(stream.localId, known);
  }

  #opened(stream: Stream, window: number, bound: StreamAddress): void {
    const { table } = this.#parts;
    if (!stream.own) {
      this.#violate(stream);
      return;
    }
    if (stream.state !== "opening") return;
    stream.state = "open";
    if (stream.send !== undefined) stream.send.limit = Math.max(stream.send.limit, window);
    table.activate(stream);
    table.events.accepted(stream.localId, bound);
    if (stream.receive === undefined || stream.state !== "open") return;
    this.#reading = stream;
    stream.receive.begin(this.#sink);
    this.#tellFinished(stream);
  }

  #credit(stream: Stream, limit: number): void {
    if (stream.send === undefined) {
      this.#violate(stream);
      return;
    }
    // An honest side gives the first credit by opened, and more only after that; they may change places.
    stream.send.limit = Math.max(stream.send.limit, limit);
    this.#parts.table.activate(stream);
  }

  #datagram(stream: Stream, frame: StreamFrame): void {
    const { u8, table } = this.#parts;
    const { bodyOff, bodyLen } = frame;
    if (stream.datagrams === undefined || stream.state !== "open") {
      table.counters.datagramsRefused++;
    } else if (frame.type === STREAM_FRAME.datagram) {
      this.#deliver(stream, u8, bodyOff, bodyOff + bodyLen);
    } else {
      const part = u8.subarray(bodyOff, bodyOff + bodyLen);
      const body = table.parts.add(stream.id, frame.number, frame.datagramLen, frame.offset, part);
      if (body !== undefined) this.#deliver(stream, body, 0, body.length);
    }
  }

  #deliver(stream: Stream, bytes: Uint8Array, off: number, end: number): void {
    const { table } = this.#parts;
    const address = parseWireAddress(bytes, off, end);
    if (address === undefined) {
      table.counters.datagramsRefused++;
      return;
    }
    const payload = off + wireAddressLen(address);
    table.events.datagram(stream.localId, address, bytes, payload, end - payload);
  }
}
