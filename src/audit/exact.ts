/** G0: what has to be exact, over a whole run: lengths, header fields, packets and slots. */

import { identificationRule, isDataRecord, parseOuterPacket } from "../demo/outer_packet.ts";
import type { OuterPacket } from "../demo/outer_packet.ts";
import type { SeenFrame } from "../demo/seen_file.ts";
import type { DirectionCounts } from "./evidence.ts";
import { type Gate, gate } from "./gate.ts";
import type { Pairing } from "./pairing.ts";

/** Keys change after 2^23 records, and a block of 10 s more. */
const RECORDS_PER_EPOCH_MIN = 2 ** 23;
/** Where the load "other traffic" goes: no packet of the tunnel's. */
export const OTHER_PORT = 8406;

/** What was seen of one direction, in any number of parts. */
export class ExactCounts implements DirectionCounts {
  readonly lengths = new Map<number, number>();
  readonly headers = new Set<string>();
  readonly recordHeaders = new Set<string>();
  readonly identification = new Set<string>();
  packets = 0;
  slots = 0;
  skipped = 0;
  missing = 0;
  unscheduled = 0;
  needless = 0;
  otherFrames = 0;
  epochChanges = 0;
  #epochBits = -1;

  /** Counts the frames of one part and returns the times of the tunnel's, ns on the observer's clock. */
  frames(
    frames: readonly SeenFrame[],
    serverPort: number,
    from: "client" | "server",
    burst = 1,
  ): number[] {
    const times: number[] = [];
    const identifications: number[] = [];
    for (const frame of frames) {
      const outer = parseOuterPacket(frame.head, frame.len);
      if (outer?.destinationPort === OTHER_PORT) continue;
      const port = from === "server" ? outer?.sourcePort : outer?.destinationPort;
      if (outer === undefined || port !== serverPort) {
        this.otherFrames++;
        continue;
      }
      times.push(frame.timeNs);
      identifications.push(outer.identification);
      this.#packet(outer, frame.len);
    }
    if (identifications.length > 0) this.identification.add(identificationRule(identifications, burst));
    return times;
  }

  pairing({ pairs, skippedNs, missing, unscheduled, needless }: Pairing): void {
    this.slots += pairs.length + missing + skippedNs.length;
    this.skipped += skippedNs.length;
    this.missing += missing;
    this.unscheduled += unscheduled;
    this.needless += needless;
  }

  #packet(outer: OuterPacket, len: number): void {
    this.packets++;
    this.lengths.set(len, (this.lengths.get(len) ?? 0) + 1);
    this.headers.add(outer.fields);
    const epochBits = outer.firstByte & 3;
    if (this.#epochBits >= 0 && epochBits !== this.#epochBits) this.epochChanges++;
    this.#epochBits = epochBits;
    this.recordHeaders.add(
      isDataRecord(outer) ? `data record of ${outer.recordLen} bytes` : "no data record",
    );
  }

  /** `packetLen` undefined: whichever there is. `isOwnLink`: nothing but the tunnel belongs on the link. */
  gates(packetLen: number | undefined, isOwnLink: boolean): Gate[] {
    const lengths = [...this.lengths.keys()];
    const alone = exactGate(
      "nothing else on the link",
      this.otherFrames === 0,
      this.packets,
      `${this.otherFrames} frames`,
    );
    return [
      exactGate(
        "one length",
        lengths.length === 1 && lengths[0] === (packetLen ?? lengths[0]),
        this.packets,
        lengths.join(", "),
      ),
      exactGate(
        "one set of header fields",
        this.headers.size === 1,
        this.packets,
        [...this.headers].join(" | "),
      ),
      exactGate(
        "data records of one form",
        this.recordHeaders.size === 1,
        this.packets,
        [
          ...this.recordHeaders,
        ].join(" | "),
      ),
      exactGate(
        "epochs change with the count of records alone",
        this.epochChanges <= Math.ceil(this.packets / RECORDS_PER_EPOCH_MIN),
        this.packets,
        `${this.epochChanges} changes in ${this.packets} packets`,
      ),
      exactGate(
        "IP identification by one rule",
        this.identification.size === 1 && !this.identification.has("irregular"),
        this.packets,
        [...this.identification].join(", "),
      ),
      exactGate(
        "each packet is a slot, each slot that was sent a packet",
        this.missing === 0 && this.unscheduled === 0,
        this.slots,
        `${this.slots} slots, ${this.skipped} skipped, ${this.missing} not seen, ${this.unscheduled} unscheduled`,
      ),
      exactGate(
        "no slot left out that could have been sent",
        this.needless === 0,
        this.slots,
        `${this.needless} of ${this.skipped} that were not sent`,
      ),
      ...(isOwnLink ? [alone] : []),
    ];
  }
}

export function exactGate(name: string, holds: boolean, count: number, detail: string): Gate {
  return gate("G0", name, { verdict: count === 0 ? "not shown" : holds ? "holds" : "fails", detail });
}
