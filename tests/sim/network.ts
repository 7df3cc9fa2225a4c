/** A simulated datagram network. What it does to a participant's nth datagram follows from the seed and n alone: two
 * runs that send the same count of datagrams at the same times meet the same losses and delays, whatever is in them.
 * Beside each participant sits an observer, who records what leaves. */

import { assert, toHex } from "../../src/base/mod.ts";
import { SeededRandom, seedOf } from "../../src/base/random.ts";
import type { EndpointAddress } from "../../src/ports/mod.ts";
import { formatIp } from "../../src/wire/ip_address.ts";
import type { VirtualTime } from "./virtual_time.ts";

/** Ratios are of 0..1; what is left out is 0. */
export interface NetworkConditions {
  readonly lossRatio?: number;
  readonly delayMeanNs?: number;
  /** Delays lie evenly within mean ± this. */
  readonly delayJitterNs?: number;
  /** Share of datagrams that come later by up to `reorderDelayNs` more. */
  readonly reorderRatio?: number;
  readonly reorderDelayNs?: number;
  readonly duplicateRatio?: number;
  /** Share of datagrams in which one to three bits change. */
  readonly corruptRatio?: number;
  /** Longer datagrams are lost; absent: none is too long. */
  readonly lenMax?: number;
}

export interface Datagram {
  readonly bytes: Uint8Array;
  readonly from: EndpointAddress;
  readonly to: EndpointAddress;
}

/** What an observer sees of one datagram: not its content, which is random to him, but all that is not. */
export interface Seen {
  readonly timeNs: number;
  /** Name of the participant that sent it. */
  readonly sender: string;
  /** Addresses on the wire. */
  readonly path: string;
  readonly len: number;
  /** Constant header bytes in hexadecimal: of a protected record the first byte (epoch bits) and the length, of a
   * plaintext one the whole header. */
  readonly head: string;
}

export interface NetworkCounters {
  sent: number;
  lost: number;
  duplicated: number;
  corrupted: number;
  reordered: number;
  /** Sent while the network was parted or its sender muted, or to an address where nobody is. */
  undelivered: number;
  delivered: number;
}

interface Participant {
  readonly name: string;
  readonly own: EndpointAddress;
  readonly deliver: (datagram: Datagram) => void;
  readonly random: SeededRandom;
  /** Its address on the wire. */
  outer: EndpointAddress;
  sentCount: number;
}

const WORDS_PER_DATAGRAM = 32;
const CID_LEN = 8;
const PLAINTEXT_HEADER_LEN = 13; // RFC 9147 §4

export class SimNetwork {
  readonly trace: Seen[] = [];
  readonly counters: NetworkCounters = {
    sent: 0,
    lost: 0,
    duplicated: 0,
    corrupted: 0,
    reordered: 0,
    undelivered: 0,
    delivered: 0,
  };
  conditions: NetworkConditions;
  /** Somebody on the path who reads everything that leaves. */
  tap: ((datagram: Datagram) => void) | undefined;
  readonly #time: VirtualTime;
  readonly #seed: number;
  readonly #byOwn = new Map<string, Participant>();
  readonly #byOuter = new Map<string, Participant>();
  readonly #muted = new Set<string>();
  #parted = false;

  constructor(time: VirtualTime, seed: number, conditions: NetworkConditions = {}) {
    this.#time = time;
    this.#seed = seed;
    this.conditions = conditions;
  }

  /** Puts a participant at `address`. */
  attach(name: string, address: EndpointAddress, deliver: (datagram: Datagram) => void): void {
    const seed = seedOf(this.#seed);
    seed[31] = 1 + this.#byOwn.size; // each participant has a stream of its own
    const random = new SeededRandom(seed);
    const participant = { name, own: address, deliver, random, outer: address, sentCount: 0 };
    this.#byOwn.set(addressText(address), participant);
    this.#byOuter.set(addressText(address), participant);
  }

  /** From now on the participant at `own` is seen at `outer` (it moved, or a translator on the way did); what is on
   * its way to the old address is lost. */
  move(own: EndpointAddress, outer: EndpointAddress): void {
    const participant = this.#byOwn.get(addressText(own));
    assert(participant !== undefined, "who moves was attached");
    this.#byOuter.delete(addressText(participant.outer));
    participant.outer = outer;
    this.#byOuter.set(addressText(outer), participant);
  }

  /** While parted, everything is lost. */
  part(parted: boolean): void {
    this.#parted = parted;
  }

  /** While muted, all that this participant sends is lost: a path that works one way only. */
  mute(name: string, muted: boolean): void {
    if (muted) this.#muted.add(name);
    else this.#muted.delete(name);
  }

  /** Takes a datagram off the participant at `from`, its own address. `bytes` is copied. */
  send(from: EndpointAddress, to: EndpointAddress, bytes: Uint8Array): void {
    const sender = this.#byOwn.get(addressText(from));
    assert(sender !== undefined, "who sends was attached");
    this.counters.sent++;
    this.trace.push({
      timeNs: this.#time.nowNs(),
      sender: sender.name,
      path: `${addressText(sender.outer)}>${addressText(to)}`,
      len: bytes.length,
      head: constantHead(bytes),
    });
    sender.random.seek(sender.sentCount++ * WORDS_PER_DATAGRAM);
    const datagram = { bytes: bytes.slice(), from: sender.outer, to };
    this.tap?.({ ...datagram, bytes: bytes.slice() });
    if (this.#muted.has(sender.name)) this.counters.undelivered++;
    else this.#carry(datagram, sender.random);
  }

  /** Puts a datagram of somebody else's on the path, with whatever source address: it arrives at once, unless the
   * network is parted, and shifts nobody's losses. */
  inject(datagram: Datagram): void {
    this.#time.after(0, () => this.#arrive(datagram));
  }

  /** What the observer beside `sender` saw; all of it if no name is given. */
  traceOf(sender?: string): Seen[] {
    return this.trace.filter((seen) => sender === undefined || seen.sender === sender);
  }

  /** Draws in a fixed order, so that one decision does not shift the next. */
  #carry(datagram: Datagram, random: SeededRandom): void {
    const { lossRatio = 0, duplicateRatio = 0, corruptRatio = 0, lenMax = Infinity } = this.conditions;
    const lost = random.unit() < lossRatio || datagram.bytes.length > lenMax;
    const twice = random.unit() < duplicateRatio;
    const corrupt = random.unit() < corruptRatio;
    const delays = [this.#delayNs(random), this.#delayNs(random)];
    if (corrupt && datagram.bytes.length > 0) {
      this.counters.corrupted++;
      for (let bits = 1 + random.below(3); bits > 0; bits--) {
        datagram.bytes[random.below(datagram.bytes.length)] ^= 1 << random.below(8);
      }
    }
    if (lost) this.counters.lost++;
    if (twice && !lost) this.counters.duplicated++;
    const copies = lost ? 0 : twice ? 2 : 1;
    for (const delayNs of delays.slice(0, copies)) this.#time.after(delayNs, () => this.#arrive(datagram));
  }

  #delayNs(random: SeededRandom): number {
    const { delayMeanNs = 0, delayJitterNs = 0, reorderRatio = 0, reorderDelayNs = 0 } = this.conditions;
    const jitter = (2 * random.unit() - 1) * delayJitterNs;
    const late = random.unit() < reorderRatio;
    const more = random.unit() * reorderDelayNs;
    if (late) this.counters.reordered++;
    return Math.max(0, delayMeanNs + jitter + (late ? more : 0));
  }

  #arrive(datagram: Datagram): void {
    const receiver = this.#byOuter.get(addressText(datagram.to));
    if (receiver === undefined || this.#parted) {
      this.counters.undelivered++;
      return;
    }
    this.counters.delivered++;
    receiver.deliver({ bytes: datagram.bytes.slice(), from: datagram.from, to: receiver.own });
  }
}

/** One line per datagram: time, sender, path, length, head. */
export function traceLines(trace: readonly Seen[]): string[] {
  return trace.map(({ timeNs, sender, path, len, head }) => `${timeNs} ${sender} ${path} ${len} ${head}`);
}

/** The first line in which two traces differ, or undefined. */
export function firstDifference(a: readonly Seen[], b: readonly Seen[]): string | undefined {
  const [left, right] = [traceLines(a), traceLines(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    if (left[i] !== right[i]) return `datagram ${i}: ${left[i] ?? "none"} | ${right[i] ?? "none"}`;
  }
  return undefined;
}

export function addressText({ ip, port }: EndpointAddress): string {
  return ip.length === 4 ? `${formatIp(ip)}:${port}` : `[${formatIp(ip)}]:${port}`;
}

/** RFC 9147 §4: 001CSLEE, perhaps a connection id, then our 16-bit number (encrypted, random to the observer) and the
 * length. */
function constantHead(bytes: Uint8Array): string {
  if (bytes.length === 0) return "";
  const isUnified = (bytes[0] & 0xe0) === 0x20;
  const numberAt = (bytes[0] & 0x10) === 0 ? 1 : 1 + CID_LEN;
  if (isUnified) {
    return toHex(bytes.subarray(0, numberAt)) + toHex(bytes.subarray(numberAt + 2, numberAt + 4));
  }
  return toHex(bytes.subarray(0, PLAINTEXT_HEADER_LEN));
}
