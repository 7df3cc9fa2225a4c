import assert from "node:assert/strict";
import { DtlsClient } from "../../../src/flight/dtls_client.ts";
import { HelloGate } from "../../../src/flight/hello_gate.ts";
import { ADDRESS, GROUPS, KEY, SUITES, testEntropy } from "./pipe.ts";

function drain(client: DtlsClient): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  for (let next = client.nextDatagram(); next !== undefined; next = client.nextDatagram()) {
    datagrams.push(next);
  }
  return datagrams;
}

Deno.test("DtlsClient repeats its first hello at its period without back-off, and nothing else of it so often", () => {
  const client = new DtlsClient({
    ...{ key: { key: KEY }, suites: SUITES, groups: GROUPS, entropy: testEntropy(2), datagramLen: 500 },
    ...{ helloRepeatNs: 50e6, timeoutNs: 400e6, timeoutMaxNs: 6e9 },
  });
  client.start(0);
  const hellos = drain(client);
  for (let nowNs = client.nextTimeoutNs(); nowNs < 2e9; nowNs = client.nextTimeoutNs()) {
    client.handleTimeout(nowNs);
    hellos.push(...drain(client));
  }
  assert.equal(hellos.length, 40);
  for (const hello of hellos) assert.deepEqual(hello.subarray(13), hellos[0].subarray(13));
  const secret = new Uint8Array(32);
  const gate = new HelloGate({ secret, entropy: testEntropy(1), suites: SUITES, groups: GROUPS });
  const verdict = gate.respond(hellos[39], ADDRESS, 0);
  assert.ok(verdict.kind === "reply");
  client.receive(verdict.datagram, 2e9);
  assert.equal(client.nextTimeoutNs(), 2.4e9);
});
