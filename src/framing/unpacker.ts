/** Reads the plaintext of an authentic record and hands on what is in it: packets, control frames, fragments to the
 * reassembler. A peer may write anything here; nothing throws, and the rest of a record after nonsense is dropped. */

import { FRAME_ERROR, INNER_TYPE, InnerFrame, isKnownControl, parseFrame } from "../wire/inner_frame.ts";
import type { Reassembler } from "./reassembler.ts";

export interface UnpackerSink {
  /** A whole inner packet. It is valid during the call; where `Reassembler.holds(off)`, no longer than that. */
  packet(off: number, len: number): void;
  /** The body of a control frame of a known type. */
  control(type: number, off: number, len: number): void;
  /** The rest of the record makes no sense: a FRAME_ERROR. */
  malformed(reason: number): void;
}

/** What the versions of the inner protocol differ in, to a reader of frames; packets and fragments are the same. */
export interface FrameDialect {
  parse(bytes: Uint8Array, off: number, end: number, frame: InnerFrame): number;
  isKnownControl(type: number): boolean;
}

const VERSION_1: FrameDialect = { parse: parseFrame, isKnownControl };

export class Unpacker {
  /** Control frames of types that this version does not know: skipped. */
  unknownControls = 0;
  readonly #u8: Uint8Array;
  readonly #reassembler: Reassembler;
  readonly #dialect: FrameDialect;
  readonly #frame = new InnerFrame();
  #newestNumber = -1;

  /** Reads plaintexts out of `u8`, in which the reassembler's storage lies too. */
  constructor(u8: Uint8Array, reassembler: Reassembler, dialect: FrameDialect = VERSION_1) {
    this.#dialect = dialect;
    this.#u8 = u8;
    this.#reassembler = reassembler;
  }

  /** Reads the `len` bytes of content (content type byte not counted) at `off`. `number` is the record's place among all
   * records of all epochs, which ages fragments; left out, records count as consecutive. */
  read(off: number, len: number, sink: UnpackerSink, number = this.#newestNumber + 1): void {
    this.#newestNumber = number;
    const frame = this.#frame;
    const end = off + len;
    for (let at = off; at < end; at = frame.end) {
      const error = this.#dialect.parse(this.#u8, at, end, frame);
      if (error !== FRAME_ERROR.none) {
        sink.malformed(error);
        return;
      }
      if (frame.type === INNER_TYPE.padding) return;
      // The sink may read another record before it returns: nothing of `frame` but its end is used after this.
      const next = frame.end;
      this.#handle(frame, sink, number);
      frame.end = next;
    }
  }

  #handle(frame: InnerFrame, sink: UnpackerSink, number: number): void {
    const { type, bodyOff, bodyLen } = frame;
    if (type === INNER_TYPE.packet) {
      sink.packet(bodyOff, bodyLen);
    } else if (isFragment(type)) {
      this.#fragment(frame, sink, number);
    } else if (this.#dialect.isKnownControl(type)) {
      sink.control(type, bodyOff, bodyLen);
    } else {
      this.unknownControls++;
    }
  }

  #fragment(frame: InnerFrame, sink: UnpackerSink, number: number): void {
    const { type, id, fragmentOffset, bodyOff, bodyLen } = frame;
    if (type !== INNER_TYPE.fragmentFirst && fragmentOffset === 0) {
      this.#reassembler.refuse(); // only a first fragment begins a packet
      return;
    }
    const last = type === INNER_TYPE.fragmentLast;
    const packet = this.#reassembler.add(id, fragmentOffset, bodyOff, bodyLen, last, number);
    if (packet !== 0) sink.packet(packet, this.#reassembler.completedLen);
  }
}

function isFragment(type: number): boolean {
  return type === INNER_TYPE.fragmentFirst || type === INNER_TYPE.fragmentMiddle ||
    type === INNER_TYPE.fragmentLast;
}
