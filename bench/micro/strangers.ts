/** What a stranger's datagram costs the data Worker, in TypeScript, without the kernel's part: medians of runs. Each kind
 * is first shown to meet the fate that it is named for.
 * deno run -A bench/micro/strangers.ts [datagrams a run] */

import { assert } from "../../src/base/mod.ts";
import { DtlsClient } from "../../src/flight/dtls_client.ts";
import { HelloGate } from "../../src/flight/hello_gate.ts";
import { ADDR } from "../../src/ports/mod.ts";
import { HeapMemory } from "../../src/record/heap_memory.ts";
import { StrangerLimits } from "../../src/tunnel/stranger_limits.ts";
import { HELLO_PART, peekHello } from "../../src/wire/hello_peek.ts";

const DATAGRAM_LEN = 1372;
const RUNS = 7;
const ADDRESSES = 4096;
const ENDPOINT = Uint8Array.of(192, 0, 2, 1, 0x12, 0x34);
/** Within the cookie of a second hello, which is its first extension. */
const IN_COOKIE = 100;

const entropy = { fill: (out: Uint8Array) => void crypto.getRandomValues(out as Uint8Array<ArrayBuffer>) };
const policy = { suites: [0x1301, 0x1302, 0x1303], groups: [0x11ec, 0x1d, 0x17], entropy };
const gate = new HelloGate({ ...policy, secret: new Uint8Array(32).fill(3) });
const memory = new HeapMemory(1 << 20);
const addresses = memory.alloc(ADDRESSES * ADDR.size);
const datagramAt = memory.alloc(DATAGRAM_LEN);

function hellos(): { readonly first: Uint8Array; readonly second: Uint8Array } {
  const key = { key: new Uint8Array(32).fill(7) };
  const client = new DtlsClient({ ...policy, key, datagramLen: DATAGRAM_LEN });
  client.start(0);
  const first = client.nextDatagram()!;
  const verdict = gate.respond(first, ENDPOINT, 0);
  assert(verdict.kind === "reply", "a first hello is answered");
  client.receive(verdict.datagram, 0);
  return { first, second: client.nextDatagram()! };
}

/** Counts fates, by their names. */
const fates: Record<string, number> = {};
const meet = (fate: string) => fates[fate] = (fates[fate] ?? 0) + 1;

/** As the server's data plane judges a datagram of nobody's. */
function judge(limits: StrangerLimits, from: number, nowNs: number): void {
  const end = datagramAt + DATAGRAM_LEN;
  const part = peekHello(memory.u8, datagramAt, end);
  if (part === HELLO_PART.none) return void meet("dropped");
  const mayPass = part === HELLO_PART.first ? limits.first(from, nowNs) : limits.cookie(nowNs);
  if (!mayPass) return void meet("limited");
  meet(gate.respond(memory.u8.subarray(datagramAt, end), ENDPOINT, nowNs).kind);
}

/** Median of ns a datagram; `stepNs` is the time between two of them on the limits' clock. */
function measure(datagram: Uint8Array, fate: string, stepNs: number, count: number): number {
  memory.u8.set(datagram, datagramAt);
  const limits = new StrangerLimits(memory, entropy);
  let nowNs = 0;
  const runs = Array.from({ length: RUNS + 1 }, () => {
    for (const name of Object.keys(fates)) delete fates[name];
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      nowNs += stepNs;
      judge(limits, addresses + (i % ADDRESSES) * ADDR.size, nowNs);
    }
    return (performance.now() - start) * 1e6 / count;
  }).slice(1);
  assert((fates[fate] ?? 0) > 0.9 * count, `${fate}: ${JSON.stringify(fates)}`);
  return runs.toSorted((a, b) => a - b)[RUNS >> 1];
}

if (import.meta.main) {
  const count = Number(Deno.args[0] ?? 20_000);
  for (let i = 0; i < ADDRESSES; i++) {
    const at = addresses + i * ADDR.size;
    memory.u8.set([4, 0], at);
    memory.u8.set([10 + i % 90, i >> 4 & 255, i & 255, 1], at + ADDR.ip);
  }
  const { first, second } = hellos();
  const junk = new Uint8Array(DATAGRAM_LEN);
  entropy.fill(junk);
  junk[0] = 0x2f;
  const forged = second.slice();
  forged[IN_COOKIE] ^= 1;
  const rows: [string, Uint8Array, string, number][] = [
    ["junk", junk, "dropped", 25e3],
    ["first hello beyond the budget", first, "limited", 1],
    ["first hello, answered", first, "reply", 1e6],
    ["forged cookie", forged, "drop", 50e3],
    ["good cookie", second, "pass", 50e3],
  ];
  console.log(
    `strangers' datagrams of ${DATAGRAM_LEN} B, ${count} a run, median of ${RUNS} runs\n${
      "kind".padEnd(32)
    }ns each`,
  );
  for (const [name, datagram, fate, stepNs] of rows) {
    console.log(name.padEnd(32) + measure(datagram, fate, stepNs, count).toFixed(0).padStart(7));
  }
}
