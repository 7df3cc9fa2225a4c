/** G0 over TCP: what has to be exact, over a whole run: records, segments, header fields, slots. */

import { identificationRule, parseOuterPacket } from "../demo/outer_packet.ts";
import type { SeenFrame } from "../demo/seen_file.ts";
import type { DirectionCounts } from "./evidence.ts";
import { exactGate, OTHER_PORT } from "./exact.ts";
import { type Gate, gate } from "./gate.ts";
import type { Pairing } from "./pairing.ts";
import { RecordCounts, RecordStream } from "./tcp_records.ts";
import { parseSegment, type TcpSegment } from "./tcp_segment.ts";

// Set by the design of the proof.
/** Share of records that leave as one segment each. */
const ALONE_MIN = 0.99;

/** That of the load of this name, which is no part of the tunnel. */
function isOtherTraffic({ head, len }: SeenFrame): boolean {
  return parseOuterPacket(head, len)?.destinationPort === OTHER_PORT;
}

/** What was seen of one direction, in any number of parts. */
export class TcpExactCounts implements DirectionCounts {
  /** Of outer packets with payload. */
  readonly lengths = new Map<number, number>();
  readonly records = new RecordCounts();
  readonly headers = new Set<string>();
  readonly dataFlags = new Set<string>();
  readonly connections = new Set<string>();
  readonly identification = new Set<string>();
  segments = 0;
  pureAcks = 0;
  withSack = 0;
  slots = 0;
  skipped = 0;
  missing = 0;
  unscheduled = 0;
  otherFrames = 0;

  /** Counts the frames of one part and returns the times of the records, ns on the observer's clock. */
  frames(frames: readonly SeenFrame[], serverPort: number, from: "client" | "server"): number[] {
    const times: number[] = [];
    const identifications: number[] = [];
    const stream = new RecordStream(this.records);
    for (const frame of frames) {
      const segment = parseSegment(frame.head, frame.len);
      const port = from === "server" ? segment?.sourcePort : segment?.destinationPort;
      if (segment === undefined || port !== serverPort) {
        if (!isOtherTraffic(frame)) this.otherFrames++;
        continue;
      }
      identifications.push(segment.identification);
      this.#segment(segment, frame.len);
      if (segment.payloadLen === 0) continue;
      for (let left = stream.add(segment); left > 0; left--) times.push(frame.timeNs);
    }
    if (identifications.length > 0) this.identification.add(identificationRule(identifications));
    return times;
  }

  pairing({ pairs, skippedNs, missing, unscheduled }: Pairing): void {
    this.slots += pairs.length + missing + skippedNs.length;
    this.skipped += skippedNs.length;
    this.missing += missing;
    this.unscheduled += unscheduled;
  }

  #segment(segment: TcpSegment, len: number): void {
    const { sourcePort, destinationPort, flags, fields, isEdge, hasSack, payloadLen } = segment;
    this.segments++;
    this.headers.add(fields);
    this.connections.add(`ports ${sourcePort} to ${destinationPort}${isEdge ? `, ${flags}` : ""}`);
    if (hasSack) this.withSack++;
    if (payloadLen === 0) {
      this.pureAcks++;
      return;
    }
    this.lengths.set(len, (this.lengths.get(len) ?? 0) + 1);
    this.dataFlags.add(flags);
  }

  /** What the kernel adds to the records, which follows from the path and the other side's slots. */
  note(): string {
    const { retransmitted } = this.records;
    return `the kernel added ${this.pureAcks} acknowledgements without data and ${retransmitted} retransmissions; ` +
      `${this.withSack} of ${this.segments} segments had selective acknowledgements`;
  }

  /** `packetLen` undefined: whichever there is. `isOwnLink`: nothing but the tunnel belongs on the link. */
  gates(packetLen: number | undefined, isOwnLink: boolean): Gate[] {
    const { records } = this;
    const usual = [...this.lengths].toSorted((a, b) => b[1] - a[1])[0]?.[0];
    const all = (name: string, found: ReadonlySet<unknown>) =>
      exactGate(name, found.size === 1, this.segments, [...found].join(" | "));
    const alone = exactGate(
      "nothing else on the link",
      this.otherFrames === 0,
      this.segments,
      `${this.otherFrames} frames`,
    );
    return [
      exactGate(
        "records of one length",
        records.lengths.size === 1 && (packetLen === undefined || usual === packetLen),
        records.records,
        `records of ${[...records.lengths].join(", ")} bytes in packets of ${usual}`,
      ),
      this.#oneSegment(),
      all("one set of header fields", this.headers),
      all("one set of flags of segments with data", this.dataFlags),
      all("one connection throughout", this.connections),
      exactGate(
        "IP identification by one rule",
        this.identification.size === 1 && !this.identification.has("irregular"),
        this.segments,
        [...this.identification].join(", "),
      ),
      exactGate(
        "each record is a slot, each slot that was sent a record",
        this.missing === 0 && this.unscheduled === 0,
        this.slots,
        `${this.slots} slots, ${this.skipped} skipped, ${this.missing} not seen, ${this.unscheduled} unscheduled`,
      ),
      ...(isOwnLink ? [alone] : []),
    ];
  }

  #oneSegment(): Gate {
    const { records, alone } = this.records;
    const share = alone / records;
    return gate("G0", "records that left as exactly one segment", {
      verdict: records === 0 ? "not shown" : share >= ALONE_MIN ? "holds" : "fails",
      detail: `${(100 * share).toFixed(3)} % of ${records}, at least ${100 * ALONE_MIN} %`,
    });
  }
}
