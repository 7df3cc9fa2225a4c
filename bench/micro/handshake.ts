/** Handshakes: milliseconds of CPU that one costs a client and a server, for each group, medians and 99th percentiles;
 * and what a server spends on a first hello, which costs it no key exchange. Whole handshakes over datagrams of 1,372
 * bytes in memory, each proved to end with the same secrets.
 * deno run -A bench/micro/handshake.ts [handshakes] */

import { assert, toHex } from "../../src/base/mod.ts";
import { GROUP } from "../../src/crypto/key_exchange.ts";
import { DtlsClient } from "../../src/flight/dtls_client.ts";
import { DtlsServer } from "../../src/flight/dtls_server.ts";
import { HelloGate } from "../../src/flight/hello_gate.ts";
import { PskDirectory } from "../../src/handshake/psk_directory.ts";

const DATAGRAM_LEN = 1372;
const ADDRESS = Uint8Array.of(192, 0, 2, 1, 0x12, 0x34);
const WARM_UP = 30;

const entropy = { fill: (out: Uint8Array) => void crypto.getRandomValues(out as Uint8Array<ArrayBuffer>) };

/** Adds up the time that one participant works. */
class Clock {
  ms = 0;

  run<T>(work: () => T): T {
    const start = performance.now();
    const result = work();
    this.ms += performance.now() - start;
    return result;
  }
}

function datagramsOf(endpoint: DtlsClient | DtlsServer): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let next = endpoint.nextDatagram(); next !== undefined; next = endpoint.nextDatagram()) all.push(next);
  return all;
}

interface Cost {
  readonly client: number;
  readonly server: number;
  readonly firstHello: number;
}

/** One handshake, in milliseconds. */
function handshake(group: number): Cost {
  const [client, server, gate] = [new Clock(), new Clock(), new Clock()];
  const key = { key: new Uint8Array(32).fill(7) };
  const policy = { suites: [0x1301], groups: [group], entropy };
  const secret = new Uint8Array(32).fill(3);
  const directory = new PskDirectory("dtls", [key]);
  const hellos = new HelloGate({ ...policy, secret });

  const ours = client.run(() => new DtlsClient({ ...policy, key, datagramLen: DATAGRAM_LEN }));
  client.run(() => ours.start(0));
  const [first] = datagramsOf(ours);
  const verdict = gate.run(() => hellos.respond(first, ADDRESS, 0));
  assert(verdict.kind === "reply", "a first hello is answered");
  client.run(() => ours.receive(verdict.datagram, 0));
  const theirs = new DtlsServer({
    ...{ ...policy, secret, lookup: (identity, hash) => directory.lookup(identity, hash) },
  }, ADDRESS);
  server.run(() => theirs.start(0));
  for (const datagram of datagramsOf(ours)) {
    server.run(() => hellos.respond(datagram, ADDRESS, 0));
    server.run(() => theirs.receive(datagram, 0));
  }
  for (const datagram of datagramsOf(theirs)) client.run(() => ours.receive(datagram, 0));
  for (const datagram of datagramsOf(ours)) server.run(() => theirs.receive(datagram, 0));
  assert(
    toHex(ours.result!.clientSecret) === toHex(theirs.result!.clientSecret),
    "both have the same secrets",
  );
  return { client: client.ms, server: server.ms, firstHello: gate.ms };
}

function quantile(values: readonly number[], ratio: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(ratio * sorted.length))].toFixed(2).padStart(7);
}

if (import.meta.main) {
  const count = Number(Deno.args[0] ?? 300);
  console.log(`handshakes over datagrams of ${DATAGRAM_LEN} B, ${count} for each group, ms: p50 p99`);
  console.log("group              client           server      first hello   server's core does a second");
  for (const [name, group] of Object.entries(GROUP)) {
    for (let i = 0; i < Math.min(WARM_UP, count); i++) handshake(group);
    const costs = Array.from({ length: count }, () => handshake(group));
    const cells = (["client", "server", "firstHello"] as const).map((side) => {
      const values = costs.map((cost) => cost[side]);
      return `${quantile(values, 0.5)}${quantile(values, 0.99)}`;
    });
    const totalMs = costs.reduce((sum, { server, firstHello }) => sum + server + firstHello, 0);
    console.log(`${name.padEnd(15)}${cells.join("  ")}${(1e3 * count / totalMs).toFixed(0).padStart(10)}`);
  }
}
