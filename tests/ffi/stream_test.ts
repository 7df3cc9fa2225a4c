/** TCP sockets and their records as the data Worker polls them. */

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { ANY_PORT, EINVAL, memory, randomBytes, shim, symbols } from "./support.ts";
import { connectPair, type Pair, Poller, streams } from "./stream_support.ts";

const LOOPBACK6 = { ip: new Uint8Array(16).with(15, 1), port: 0 };

function record(len: number, type = 23): Uint8Array {
  const bytes = randomBytes(5 + len);
  bytes.set([type, 3, 3, len >> 8, len & 0xff]);
  return bytes;
}

function withPair(body: (pair: Pair, poller: Poller) => void, rxCap = 64): void {
  const poller = new Poller(rxCap);
  const pair = connectPair(poller);
  try {
    body(pair, poller);
  } finally {
    pair.close();
    poller.close();
  }
}

Deno.test("records of any length up to 2048 bytes come whole and in order, however the stream is cut", () => {
  withPair((pair, poller) => {
    const sent = [1, 2043, 16, 700, 2043, 2043, 3].map((len) => record(len));
    const bytes = new Uint8Array(sent.reduce((sum, one) => sum + one.length, 0));
    let at = 0;
    for (const one of sent) {
      bytes.set(one, at);
      at += one.length;
    }
    streams.mode(pair.server, "flow");
    for (let from = 0; from < bytes.length; from += 997) {
      ok(streams.send(pair.client, bytes.subarray(from, from + 997)));
      poller.poll(20);
    }
    poller.until(() => poller.records(2).length === sent.length);
    deepStrictEqual(poller.records(2), sent);
  });
});

Deno.test("more records than a call has room for are handed out by the next ones, without waiting", () => {
  withPair((pair, poller) => {
    const sent = Array.from({ length: 40 }, (_, i) => record(20 + i));
    for (const one of sent) ok(streams.send(pair.client, one));
    streams.mode(pair.server, "flow");
    poller.poll(1000);
    for (let calls = 0; calls < 20; calls++) poller.poll(0);
    deepStrictEqual(poller.records(2), sent);
  }, 3);
});

Deno.test("a stepped stream hands out one record and is paused; the rest stays until it flows", () => {
  withPair((pair, poller) => {
    const sent = [record(10), record(2000), record(30), record(40)];
    for (const one of sent) ok(streams.send(pair.client, one));
    poller.poll(30);
    strictEqual(poller.told.length, 0, "paused");
    for (const count of [1, 2]) {
      streams.mode(pair.server, "step");
      poller.poll(1000);
      poller.poll(30);
      strictEqual(poller.records(2).length, count);
    }
    streams.mode(pair.server, "flow");
    poller.until(() => poller.records(2).length === 4);
    deepStrictEqual(poller.records(2), sent);
  });
});

for (
  const [name, bytes] of [
    ["another version", Uint8Array.of(22, 2, 1, 0, 3, 1, 2, 3)],
    ["HTTP", new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n")],
    ["a record of 2,049 bytes", Uint8Array.of(23, 3, 3, 2044 >> 8, 2044 & 255)],
    ["noise", new Uint8Array(500).fill(0xff)],
  ] as const
) {
  Deno.test(`what is no record of ours ends a stream: ${name}`, () => {
    withPair((pair, poller) => {
      streams.mode(pair.server, "flow");
      ok(streams.send(pair.client, record(33)));
      ok(streams.send(pair.client, bytes));
      poller.until(() => poller.told.some(({ event }) => event === "malformed"));
      ok(streams.send(pair.client, record(44)));
      poller.poll(50);
      deepStrictEqual(poller.told.map(({ event }) => event), ["record", "malformed"]);
    });
  });
}

Deno.test("the end of a connection is told once, behind what came before it, whether it was paused or not", () => {
  withPair((pair, poller) => {
    const last = record(77);
    ok(streams.send(pair.client, last));
    streams.remove(pair.client);
    streams.close(pair.client);
    poller.poll(30);
    streams.mode(pair.server, "flow");
    poller.until(() => poller.told.length === 2);
    poller.poll(30);
    deepStrictEqual(poller.told.map(({ event, len }) => [event, len]), [["record", last.length], [
      "ended",
      0,
    ]]);
  });
});

Deno.test("a connection that nobody accepts ends with the errno", () => {
  const poller = new Poller();
  const listener = shim.tcpListen(ANY_PORT);
  shim.close(listener.fd);
  const fd = streams.connect(listener.address);
  ok(streams.add(fd, 9, "connecting"));
  poller.until(() => poller.told.length > 0);
  deepStrictEqual(poller.told.map(({ id, event, len }) => [id, event, len]), [[9, "ended", 111]]);
  streams.remove(fd);
  streams.close(fd);
  poller.close();
});

Deno.test("a listening socket tells that somebody waits; accept() says who", () => {
  for (const address of [ANY_PORT, LOOPBACK6]) {
    const poller = new Poller();
    const listener = shim.tcpListen(address);
    ok(streams.add(listener.fd, 5, "listening"));
    strictEqual(streams.accept(listener.fd), undefined);
    const client = streams.connect(listener.address);
    poller.until(() => poller.told.length > 0);
    strictEqual(poller.told[0].event, "accept");
    const accepted = streams.accept(listener.fd)!;
    deepStrictEqual(accepted.from.ip, address.ip);
    strictEqual(streams.accept(listener.fd), undefined);
    streams.remove(listener.fd);
    for (const fd of [accepted.fd, client, listener.fd]) streams.close(fd);
    poller.close();
  }
});

Deno.test("StreamIo.state() tells the length of segments", () => {
  withPair((pair) => {
    const { mss, hasTimestamps, rttNs } = streams.state(pair.client)!;
    ok(mss >= 536 && mss <= 65_535 && rttNs >= 0, `${mss}`);
    strictEqual(typeof hasTimestamps, "boolean");
  });
  const pipe = shim.eventOpen();
  strictEqual(streams.state(pipe), undefined);
  shim.close(pipe);
});

Deno.test("stream functions refuse what is not there, and memory is given back", () => {
  throws(() => streams.mode(12_345, "flow"), { errnoName: "EINVAL" });
  throws(() => streams.remove(12_345), { errnoName: "EINVAL" });
  strictEqual(streams.add(-1, 1, "flow"), false);
  strictEqual(symbols.i405_tcp_listen(0), -14);
  const at = memory.alloc(64);
  strictEqual(symbols.i405_tcp_connect(at), EINVAL, "no family");
  memory.free(at, 64);
  const event = shim.eventOpen();
  for (let i = 0; i < 5000; i++) {
    ok(streams.add(event, 1, "flow"));
    strictEqual(streams.add(event, 2, "flow"), false, "once");
    streams.remove(event);
  }
  shim.close(event);
});
