/** What the search for a path's length and the queue of inner packets read of what others have written. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { loneHello } from "../../../src/flight/dtls_client.ts";
import { HelloGate } from "../../../src/flight/hello_gate.ts";
import { PathSearch } from "../../../src/flight/path_search.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { PacketQueue } from "../../../src/tunnel/packet_queue.ts";
import { parseVersion } from "../../../src/wire/ip_header.ts";
import { clampMss } from "../../../src/wire/tcp_mss.ts";
import { ADDRESS, GROUPS, KEY, SUITES, testEntropy } from "../../unit/flight/pipe.ts";
import type { FuzzTarget } from "../harness.ts";

const offer = () => ({
  key: { key: KEY },
  suites: SUITES,
  groups: GROUPS,
  entropy: testEntropy(2),
  timeoutNs: 1e9,
  connectionIds: { own: new Uint8Array(0), peerLen: 8 },
});
const newSearch = () => {
  const [options, entropy] = [offer(), testEntropy(3)];
  const hello = (len: number, number: number) => loneHello(options, len, number);
  return new PathSearch({ lengths: [700, 600], hello, entropy }, 0);
};
const gate = new HelloGate({
  secret: new Uint8Array(32),
  entropy: testEntropy(1),
  suites: SUITES,
  groups: GROUPS,
});

function answers(): Uint8Array[] {
  const search = newSearch();
  return [search.nextDatagram()!, search.nextDatagram()!].map((probe) => {
    const verdict = gate.respond(probe, ADDRESS, 0);
    ok(verdict.kind === "reply");
    return verdict.datagram;
  });
}

const SEARCH: FuzzTarget = {
  name: "path-search",
  share: 0.01,
  samples: answers,
  read(input) {
    const search = newSearch();
    search.receive(input, 1e6);
    // Nothing but the longest probe's answer ends it at once, and nothing raises it beyond that.
    const result = search.result;
    ok(result === undefined || result === 700);
    ok(result === undefined || input.length === 700);
    return result ?? (search.nextTimeoutNs() < 1e9 ? "shorter" : "refused");
  },
};

const SYN = Uint8Array.from([
  ...[0x45, 2, 0, 44, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2],
  ...[0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 255, 255, 0, 0, 0, 0, 2, 4, 5, 0xb4],
]);
const SYN_V6 = Uint8Array.from([
  ...[0x60, 0x20, 0, 0, 0, 24, 6, 64, ...new Array(31).fill(0xfd), 1],
  ...[0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 255, 255, 0, 0, 0, 0, 2, 4, 5, 0xb4],
]);

/** An inner packet as it is clamped and queued: nothing but its MSS changes, and it comes out as it went in. */
const QUEUED: FuzzTarget = {
  name: "queued-packet",
  samples: () => [SYN, SYN_V6, new Uint8Array([0x45, 0, 0, 20, ...new Array(16).fill(9)])],
  lenMax: 2048,
  share: 0.2,
  read(input) {
    if (parseVersion(input, 0, input.length) === 0) return "refused";
    const memory = new HeapMemory(1 << 16);
    const at = memory.alloc(2048);
    memory.u8.set(input, at);
    const isClamped = clampMss(memory.u8, at, input.length, 1300);
    const packet = memory.u8.slice(at, at + input.length);
    const changed = packet.filter((byte, i) => byte !== input[i]).length;
    ok(isClamped ? changed <= 4 : changed === 0, "MSS and checksum alone");
    const queue = new PacketQueue(memory, 4, 7, () => 0);
    ok(queue.push(at, input.length));
    equal(memory.u8.slice(queue.frontOff(), queue.frontOff() + queue.frontLen()), packet);
    queue.pop();
    return `${isClamped} ${queue.count}`;
  },
};

export const PATH_TARGETS: readonly FuzzTarget[] = [SEARCH, QUEUED];
