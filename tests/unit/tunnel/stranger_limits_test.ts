import assert from "node:assert/strict";
import { SeededRandom, seedOf } from "../../../src/base/random.ts";
import { ADDR, type EndpointAddress } from "../../../src/ports/mod.ts";
import { HeapMemory } from "../../../src/record/heap_memory.ts";
import { AddressHash } from "../../../src/tunnel/address_hash.ts";
import { FairBucket } from "../../../src/tunnel/fair_bucket.ts";
import { RateTable } from "../../../src/tunnel/rate_table.ts";
import { StrangerLimits } from "../../../src/tunnel/stranger_limits.ts";
import { testEntropy } from "../flight/pipe.ts";

const memory = new HeapMemory(1 << 16);
const at = memory.alloc(ADDR.size);
const SECOND = 1e9;

/** Writes "1.2.3.4" or eight words of IPv6 as an address struct at `at`, and gives the same as an object. */
function put(text: string, port = 4711, scope = 0): EndpointAddress {
  const ip = text.includes(":")
    ? Uint8Array.from(text.split(":").flatMap((word) => [parseInt(word, 16) >> 8, parseInt(word, 16) & 0xff]))
    : Uint8Array.from(text.split(".").map(Number));
  memory.u8.fill(0, at, at + ADDR.size);
  memory.u8[at + ADDR.family] = ip.length === 4 ? 4 : 6;
  memory.u8[at + ADDR.port] = port & 0xff;
  memory.u8[at + ADDR.port + 1] = port >> 8;
  memory.u32[(at + ADDR.scope) >> 2] = scope;
  memory.u8.set(ip, at + ADDR.ip);
  return { ip, port, scope };
}

Deno.test("AddressHash.of() counts what the scope says: /24 and /56, /32 and /64, or all", () => {
  const hash = new AddressHash(memory, testEntropy(1));
  const of = (scope: "network" | "host" | "endpoint", text: string, port?: number) => {
    const address = put(text, port);
    assert.equal(hash.of(at, scope), hash.ofAddress(address, scope), text);
    return hash.of(at, scope);
  };
  const same = [
    ["network", "10.1.2.3", "10.1.2.250"],
    ["network", "20:1:2:300:5:6:7:8", "20:1:2:3ff:1:1:1:1"],
    ["host", "20:1:2:3:5:6:7:8", "20:1:2:3:1:1:1:1"],
  ] as const;
  for (const [scope, a, b] of same) assert.equal(of(scope, a, 1), of(scope, b, 2), `${scope} ${a}`);
  const different = [
    ["network", "10.1.2.3", "10.1.3.3"],
    ["network", "10.1.2.3", "11.1.2.3"],
    ["network", "20:1:2:300:5:6:7:8", "20:1:2:400:5:6:7:8"],
    ["network", "20:1:2:300:5:6:7:8", "20:1:3:300:5:6:7:8"],
    ["host", "10.1.2.3", "10.1.2.4"],
    ["host", "20:1:2:3:5:6:7:8", "20:1:2:4:5:6:7:8"],
    ["endpoint", "20:1:2:3:5:6:7:8", "20:1:2:3:5:6:7:9"],
    ["endpoint", "20:1:2:3:5:6:7:8", "20:1:2:3:5:7:7:8"],
  ] as const;
  for (const [scope, a, b] of different) assert.notEqual(of(scope, a), of(scope, b), `${scope} ${a}`);
  assert.notEqual(of("endpoint", "10.1.2.3", 1), of("endpoint", "10.1.2.3", 2));
  put("20:1:2:3:5:6:7:8", 1, 1);
  assert.notEqual(hash.of(at, "endpoint"), of("endpoint", "20:1:2:3:5:6:7:8", 1));
});

Deno.test("AddressHash.of() spreads neighbours evenly, and otherwise under another secret", () => {
  const [first, second] = [new AddressHash(memory, testEntropy(1)), new AddressHash(memory, testEntropy(2))];
  const cells = new Uint32Array(256);
  let equal = 0;
  for (let i = 0; i < 65_536; i++) {
    put(`10.62.${i >> 8}.${i & 255}`);
    cells[first.of(at, "host") & 255]++;
    if ((first.of(at, "host") & 255) === (second.of(at, "host") & 255)) equal++;
  }
  // 256 of each are expected: six standard deviations are 96.
  assert.ok(cells.every((count) => Math.abs(count - 256) < 96), cells.join());
  assert.ok(Math.abs(equal - 256) < 96, `${equal}`);
});

Deno.test("RateTable.take() gives a burst, then its rate, to each", () => {
  const table = new RateTable(3, { perSecond: 10, burst: 3 });
  const takes = (hash: number, count: number, nowNs: number) =>
    Array.from({ length: count }, () => table.take(hash, nowNs)).filter((taken) => taken).length;
  const [one, another] = [0o21, 0o43];
  assert.equal(takes(one, 5, 0), 3);
  assert.equal(takes(0o7700 + one, 5, 0), 0, "the same cells");
  assert.equal(takes(another, 5, 0), 3, "other ones");
  assert.equal(takes(0o51, 5, 0), 3, "one of its cells is used up, the other is not");
  assert.equal(takes(0o23, 5, 0), 0, "both are, by others");
  assert.equal(takes(one, 5, 0.1 * SECOND), 1);
  assert.equal(takes(one, 5, 0.35 * SECOND), 2);
  assert.equal(takes(one, 5, 1e6 * SECOND), 3, "a burst and no more after any time");
  assert.equal(takes(one, 5, 0), 0, "a clock that goes back gives nothing");
});

Deno.test("FairBucket.take() gives each of a flood the same chance, first rank before second", () => {
  const bucket = new FairBucket({ perSecond: 1000, burst: 100 }, seedOf(3));
  const random = new SeededRandom(seedOf(4));
  const taken = { flood: 0, honest: 0, second: 0 };
  const asked = { flood: 0, honest: 0, second: 0 };
  for (let i = 1; i <= 200_000; i++) { // 10,000 a second for 20 s
    const who = random.below(100) === 0 ? "honest" : random.below(2) === 0 ? "second" : "flood";
    asked[who]++;
    if (bucket.take(i * SECOND / 10_000, who !== "second")) taken[who]++;
  }
  const total = taken.flood + taken.honest + taken.second;
  assert.ok(Math.abs(total - 20_000) < 200, `the rate is kept: ${total}`);
  assert.ok(taken.second < 100, `nothing is left for the second rank: ${taken.second}`);
  const shares = [taken.flood / asked.flood, taken.honest / asked.honest];
  assert.ok(Math.abs(shares[0] - shares[1]) < 0.05 && shares[1] > 0.15, shares.join());
});

Deno.test("FairBucket.take() refuses nobody below its rate, the second rank neither", () => {
  const bucket = new FairBucket({ perSecond: 1000, burst: 100 }, seedOf(3));
  for (let i = 1; i <= 10_000; i++) assert.ok(bucket.take(i * SECOND / 900, i % 2 === 0));
  assert.ok(bucket.take(0, true), "a clock that goes back changes nothing");
});

Deno.test("StrangerLimits.first(): one network's flood costs others nothing, nor its own members every chance", () => {
  const limits = new StrangerLimits(memory, testEntropy(5));
  const random = new SeededRandom(seedOf(6));
  let [flood, victim, others, othersAsked, victimAsked] = [0, 0, 0, 0, 0];
  for (let i = 0; i < 60_000; i++) { // 20,000 a second for 3 s, under one network's addresses
    const nowNs = i * SECOND / 20_000;
    put(`10.9.9.${random.below(256)}`, 1024 + random.below(60_000));
    if (limits.first(at, nowNs)) flood++;
    if (i % 1000 === 999) {
      put("10.9.9.7");
      victimAsked++;
      if (limits.first(at, nowNs)) victim++;
      put(`10.7.${random.below(256)}.1`);
      othersAsked++;
      if (limits.first(at, nowNs)) others++;
    }
  }
  assert.ok(flood < 3 * 3000 + 200, `the budget holds: ${flood}`);
  assert.equal(others, othersAsked, "who is elsewhere is answered at once");
  assert.ok(victim >= 1 && victim < victimAsked, `${victim} of ${victimAsked}`);
});

Deno.test("StrangerLimits.proved() bounds hosts, networks and all together, more() hosts", () => {
  const limits = new StrangerLimits(memory, testEntropy(5));
  const count = (take: () => boolean, tries: number) =>
    Array.from({ length: tries }, take).filter((taken) => taken).length;
  put("10.9.9.7");
  assert.equal(count(() => limits.proved(at, SECOND), 100), 16);
  let network = 16;
  for (let host = 8; host < 40; host++) {
    put(`10.9.9.${host}`);
    network += count(() => limits.proved(at, SECOND), 10);
  }
  assert.equal(network, 48);
  let all = network;
  for (let net = 0; net < 200; net++) {
    put(`10.10.${net}.1`);
    all += count(() => limits.proved(at, SECOND), 4);
  }
  assert.ok(all > 80 && all <= 100, `${all} of all networks together`);
  assert.equal(count(() => limits.more(at, SECOND), 1000), 128);
  const calm = count(() => limits.more(at, 2 * SECOND), 50);
  assert.equal(calm, 50);
});

Deno.test("StrangerLimits.more() leaves who is flooded under its own address a chance, and others all of theirs", () => {
  const limits = new StrangerLimits(memory, testEntropy(5));
  let [flood, victim, other] = [0, 0, 0];
  for (let i = 0; i < 60_000; i++) { // 20,000 a second for 3 s
    const nowNs = i * SECOND / 20_000;
    put("10.9.9.7");
    if (limits.more(at, nowNs)) flood++;
    if (i % 1000 === 999) {
      if (limits.more(at, nowNs)) victim++;
      put("10.8.8.8");
      if (limits.more(at, nowNs)) other++;
    }
  }
  assert.ok(flood < 3 * 2000 + 300, `the budget holds: ${flood}`);
  assert.ok(victim > 0, "some of the victim's own pass");
  assert.equal(other, 60);
});
