import assert from "node:assert/strict";
import { DtlsClient } from "../../../src/flight/dtls_client.ts";
import { HelloGate } from "../../../src/flight/hello_gate.ts";
import { ServerControl } from "../../../src/tunnel/server_control.ts";
import { addressBytes } from "../../../src/tunnel/server_plane.ts";
import type { Order, PlainAddress } from "../../../src/tunnel/messages.ts";
import { KEY, testEntropy } from "../flight/pipe.ts";

const SECOND = 1e9;
const POLICY = { suites: [0x1301], groups: [0x11ec] };
const SECRET = new Uint8Array(32).fill(3);
const at = (last: number): PlainAddress => ({
  ip: Uint8Array.of(192, 0, last >> 8, last & 255),
  port: 40_000,
});

class Server {
  readonly sent: Uint8Array[] = [];
  readonly orders: Order[] = [];
  readonly control: ServerControl;

  /** The client's key stands among `clients`. */
  constructor(clients = 1) {
    const others = Array.from({ length: clients - 1 }, (_, i) => ({ key: new Uint8Array(32).fill(i) }));
    this.control = new ServerControl(
      { ...POLICY, keys: [{ key: KEY }, ...others], secret: SECRET, entropy: testEntropy(1) },
      {
        order: (order) => this.orders.push(order),
        send: (_fd, datagram) => this.sent.push(datagram),
        log: () => {},
        clientName: () => "client",
      },
    );
  }

  give(datagram: Uint8Array, from: PlainAddress, first: boolean, nowNs: number): void {
    this.control.handle({ type: "handshake", first, fdIndex: 0, from, local: undefined, datagram }, nowNs);
  }
}

/** A client at `from` with its second hello, in datagrams. */
function secondHello(from: PlainAddress, seed = 2): { client: DtlsClient; hello: Uint8Array[] } {
  const gate = new HelloGate({ secret: SECRET, entropy: testEntropy(1), ...POLICY });
  const client = new DtlsClient({
    ...{ ...POLICY, key: { key: KEY }, entropy: testEntropy(seed), datagramLen: 700 },
  });
  client.start(0);
  const verdict = gate.respond(client.nextDatagram()!, addressBytes(from), 0);
  assert.ok(verdict.kind === "reply");
  client.receive(verdict.datagram, 0);
  return { client, hello: datagramsOf(client) };
}

function datagramsOf(client: DtlsClient): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let next = client.nextDatagram(); next !== undefined; next = client.nextDatagram()) all.push(next);
  return all;
}

Deno.test("ServerControl.handle() begins one handshake for a hello in fragments, however often it comes", () => {
  const server = new Server();
  const { client, hello } = secondHello(at(1));
  assert.ok(hello.length > 1);
  server.give(hello[0], at(1), true, 0);
  client.handleTimeout(SECOND);
  const again = datagramsOf(client);
  again.forEach((datagram, index) => server.give(datagram, at(1), index === 0, SECOND));
  assert.equal(server.control.counters.begun, 1);
  assert.ok(server.sent.length > 0);
  for (const datagram of server.sent) client.receive(datagram, SECOND);
  for (const datagram of datagramsOf(client)) server.give(datagram, at(1), false, SECOND);
  assert.equal(server.control.counters.done, 1);
  assert.deepEqual(server.orders.map(({ type }) => type), ["session"]);
});

Deno.test("ServerControl.handle() begins anew when the same address sends another hello", () => {
  const server = new Server();
  server.give(secondHello(at(1)).hello[0], at(1), true, 0);
  const { hello } = secondHello(at(1), 3);
  hello.forEach((datagram, index) => server.give(datagram, at(1), index === 0, 0));
  assert.equal(server.control.counters.begun, 2);
  assert.equal(server.control.halfOpen, 1);
  assert.ok(server.sent.length > 0);
});

Deno.test("ServerControl.handle() keeps nothing of a fragment from an address without a first one", () => {
  const server = new Server();
  server.give(secondHello(at(1)).hello[1], at(1), false, 0);
  assert.equal(server.control.halfOpen, 0);
  assert.equal(server.sent.length, 0);
});

Deno.test("ServerControl.handle() lets parts of hellos keep nobody out, and answers none of them", () => {
  const server = new Server();
  const { hello: [first] } = secondHello(at(1));
  for (let i = 0; i < 1000; i++) server.give(first, at(1000 + i), true, i * SECOND / 50);
  assert.equal(server.control.halfOpen, 256);
  assert.equal(server.sent.length, 0);
  const nowNs = 1000 * SECOND / 50;
  assert.ok(nowNs < 30 * SECOND, "cookies are still good");
  const { hello } = secondHello(at(2));
  hello.forEach((datagram, index) => server.give(datagram, at(2), index === 0, nowNs));
  assert.ok(server.sent.length > 0);
  assert.equal(server.control.halfOpen, 256);
});

Deno.test("ServerControl.handle() forgets no handshake of a key's holder for a part of a hello", () => {
  const server = new Server();
  const { hello } = secondHello(at(2));
  hello.forEach((datagram, index) => server.give(datagram, at(2), index === 0, 0));
  const flight = server.sent.length;
  for (let i = 0; i < 600; i++) server.give(hello[0], at(1000 + i), true, SECOND + i * SECOND / 50);
  server.control.handleTimeout(20 * SECOND);
  assert.ok(server.sent.length > flight, "it still repeats its flight");
});

Deno.test("ServerControl.handle() begins so many handshakes a second and no more, fewer with many clients", () => {
  const { hello: [first] } = secondHello(at(1));
  for (const [clients, least, most] of [[1, 100, 300], [1000, 25, 75]]) {
    const server = new Server(clients);
    for (let i = 0; i < 4000; i++) server.give(first, at(1000 + i), true, i * SECOND / 2000); // for two seconds
    const { begun, refusedRate } = server.control.counters;
    assert.equal(begun + refusedRate, 4000);
    assert.ok(begun > least && begun <= most, `${begun} with ${clients} clients`);
  }
});
