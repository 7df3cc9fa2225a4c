import { deepEqual, equal, notDeepEqual, ok, throws } from "node:assert/strict";
import type { EndpointAddress } from "../../src/ports/mod.ts";
import type { Datagram, NetworkConditions } from "./network.ts";
import { addressText, firstDifference, SimNetwork, traceLines } from "./network.ts";
import { VirtualTime } from "./virtual_time.ts";

const A: EndpointAddress = { ip: Uint8Array.from([10, 0, 0, 1]), port: 1000 };
const A2: EndpointAddress = { ip: Uint8Array.from([10, 0, 9, 9]), port: 2000 };
const B: EndpointAddress = { ip: Uint8Array.from([10, 0, 0, 2]), port: 1405 };
const COUNT = 4000;

function run(conditions: NetworkConditions, seed = 1, fill: (i: number) => number = (i) => i) {
  const time = new VirtualTime();
  const network = new SimNetwork(time, seed, conditions);
  const arrived: { timeNs: number; index: number; bytes: Uint8Array }[] = [];
  network.attach("a", A, () => {});
  network.attach("b", B, ({ bytes }) => {
    arrived.push({ timeNs: time.nowNs(), index: bytes[0] | bytes[1] << 8, bytes });
  });
  for (let i = 0; i < COUNT; i++) {
    const bytes = new Uint8Array(100).fill(fill(i));
    bytes[0] = i;
    bytes[1] = i >> 8;
    time.at(i * 1000, () => network.send(A, B, bytes));
  }
  time.runUntil(1e12);
  return { network, arrived, time };
}

Deno.test("VirtualTime runs events by time, those of one moment in the order asked for", () => {
  const time = new VirtualTime();
  const ran: string[] = [];
  const note = (name: string) => () => void ran.push(`${time.nowNs()} ${name}`);
  time.at(30, note("c"));
  time.at(10, note("a"));
  time.at(20, () => {
    note("b")();
    time.at(5, note("late"));
    time.after(10, note("d"));
  });
  time.at(10, note("a2"));
  time.runUntil(25);
  deepEqual(ran, ["10 a", "10 a2", "20 b", "20 late"]);
  deepEqual([time.nowNs(), time.nextNs], [25, 30]);
  time.runUntil(100);
  deepEqual(ran.slice(4), ["30 c", "30 d"]);
  deepEqual([time.step(), time.nowNs(), time.nextNs], [false, 100, Infinity]);
  throws(() => time.at(NaN, () => {}), RangeError);
});

Deno.test("VirtualTime keeps the order of many events", () => {
  const time = new VirtualTime();
  const ran: number[] = [];
  for (let i = 0; i < 2000; i++) time.at((i * 7919) % 2003, () => void ran.push(time.nowNs()));
  time.runUntil(3000);
  deepEqual(ran, [...ran].sort((a, b) => a - b));
  equal(ran.length, 2000);
});

Deno.test("SimNetwork delivers everything, in order and after the delay, when nothing is wrong with it", () => {
  const { network, arrived } = run({ delayMeanNs: 5e6 });
  deepEqual(arrived.map(({ index }) => index), Array.from({ length: COUNT }, (_, i) => i));
  ok(arrived.every(({ timeNs, index }) => timeNs === index * 1000 + 5e6));
  equal(network.counters.delivered, COUNT);
});

Deno.test("SimNetwork loses, repeats, delays, reorders and corrupts the share asked for", () => {
  const near = (count: number, share: number) =>
    ok(Math.abs(count - share * COUNT) < 5 * Math.sqrt(share * COUNT), `${count}`);
  const { network: lossy, arrived: rest } = run({ lossRatio: 0.2 });
  near(lossy.counters.lost, 0.2);
  equal(rest.length, COUNT - lossy.counters.lost);
  const { network: twice, arrived: all } = run({ duplicateRatio: 0.1 });
  near(twice.counters.duplicated, 0.1);
  equal(all.length, COUNT + twice.counters.duplicated);
  const { arrived: jittered } = run({ delayMeanNs: 5e6, delayJitterNs: 2e6 });
  const delays = jittered.map(({ timeNs, index }) => timeNs - index * 1000);
  ok(Math.min(...delays) >= 3e6 && Math.min(...delays) < 3.1e6);
  ok(Math.max(...delays) <= 7e6 && Math.max(...delays) > 6.9e6);
  const { arrived: mixed } = run({ reorderRatio: 0.1, reorderDelayNs: 1e6 });
  near(mixed.filter(({ timeNs, index }) => timeNs > index * 1000).length, 0.1);
  ok(mixed.some(({ index }, i) => i > 0 && index < mixed[i - 1].index));
  const { network: noisy, arrived: changed } = run({ corruptRatio: 0.3 });
  near(noisy.counters.corrupted, 0.3);
  const broken = changed.filter(({ bytes }, i) =>
    bytes[0] !== (i & 0xff) || bytes[1] !== i >> 8 || bytes.some((b, at) => at > 1 && b !== (i & 0xff))
  );
  ok(broken.length > 0.28 * COUNT && broken.length <= noisy.counters.corrupted); // two flips of one bit cancel
});

Deno.test("SimNetwork treats the nth datagram by seed and n alone, whatever is in it", () => {
  const conditions = { lossRatio: 0.1, delayJitterNs: 1e6, duplicateRatio: 0.1, corruptRatio: 0.1 };
  const fates = (seed: number, fill: (i: number) => number) =>
    run(conditions, seed, fill).arrived.map(({ timeNs }) => timeNs);
  deepEqual(fates(1, (i) => i), fates(1, () => 0));
  notDeepEqual(fates(1, (i) => i), fates(2, (i) => i));
});

Deno.test("SimNetwork shows a moved participant at its new address and forgets the old one", () => {
  const time = new VirtualTime();
  const network = new SimNetwork(time, 1, { delayMeanNs: 10 });
  const atA: string[] = [];
  const atB: string[] = [];
  const note = (list: string[]) => ({ from, to }: Datagram) =>
    void list.push(`${addressText(from)}>${addressText(to)}`);
  network.attach("a", A, note(atA));
  network.attach("b", B, note(atB));
  network.send(A, B, new Uint8Array(1));
  network.send(B, A, new Uint8Array(1)); // on its way when a moves
  network.move(A, A2);
  network.send(A, B, new Uint8Array(1));
  time.runUntil(20);
  network.send(B, A, new Uint8Array(1));
  network.send(B, A2, new Uint8Array(1));
  time.runUntil(40);
  network.part(true);
  network.send(A, B, new Uint8Array(1));
  time.runUntil(60);
  deepEqual(atB, ["10.0.0.1:1000>10.0.0.2:1405", "10.0.9.9:2000>10.0.0.2:1405"]);
  deepEqual(atA, ["10.0.0.2:1405>10.0.0.1:1000"], "it knows itself by its own address");
  equal(network.counters.undelivered, 3);
  equal(network.traceOf("a").length, 3, "the observer beside the sender sees what is lost later");
});

Deno.test("SimNetwork.traceOf() holds what is constant of a header, and not what is random", () => {
  const time = new VirtualTime();
  const network = new SimNetwork(time, 1);
  network.attach("a", A, () => {});
  const hello = Uint8Array.from({ length: 40 }, (_, i) => i === 0 ? 22 : i);
  network.send(A, B, Uint8Array.from([0x2f, 0xaa, 0xbb, 0x05, 0x30, 1, 2, 3]));
  time.runUntil(7);
  network.send(A, B, hello);
  network.send(A, B, new Uint8Array(0));
  deepEqual(traceLines(network.traceOf("a")), [
    "0 a 10.0.0.1:1000>10.0.0.2:1405 8 2f0530",
    "7 a 10.0.0.1:1000>10.0.0.2:1405 40 160102030405060708090a0b0c",
    "7 a 10.0.0.1:1000>10.0.0.2:1405 0 ",
  ]);
  const [first, second] = network.trace;
  equal(firstDifference([first], [first]), undefined);
  equal(firstDifference([first, second], [first]), `datagram 1: ${traceLines([second])[0]} | none`);
});
