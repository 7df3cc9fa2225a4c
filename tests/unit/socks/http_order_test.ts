import { deepEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { concat } from "../../../src/base/mod.ts";
import { HttpExchange } from "../../../src/socks/http_exchange.ts";
import { basicCredentials, clientHead, emitRefusal, orderOf } from "../../../src/socks/http_order.ts";
import { readRequestHead, readResponseHead } from "../../../src/wire/http_head.ts";

const bytesOf = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const textOf = (bytes: Uint8Array) => String.fromCharCode(...bytes);

function order(line: string, fields = "") {
  const head = readRequestHead(bytesOf(`${line}\r\n${fields}\r\n`));
  if (typeof head === "string") throw new Error(head);
  return orderOf(head);
}

Deno.test("orderOf() takes CONNECT with host and port, and nothing else", () => {
  deepEqual(order("CONNECT a.example:443 HTTP/1.1"), {
    kind: "connect",
    to: { host: "a.example", port: 443 },
  });
  deepEqual(order("CONNECT [::1]:443 HTTP/1.1"), { kind: "connect", to: { host: "::1", port: 443 } });
  for (
    const target of [
      "a.example",
      "a:0",
      ":443",
      "http://a/",
      "a:443/",
      "user@a:443",
      "::1:443",
      "@listen/::1:1",
    ]
  ) {
    deepEqual(order(`CONNECT ${target} HTTP/1.1`), { kind: "refuse", status: 400 }, target);
  }
});

Deno.test("orderOf() makes an origin's request of one in absolute form, for that origin alone", () => {
  const fields = "Host: other.example\r\nUser-Agent: x\r\nProxy-Connection: keep-alive\r\nKeep-Alive: 5\r\n" +
    "Connection: X-Mine, close\r\nX-Mine: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: Basic YTpi\r\n" +
    "Content-Length: 3\r\nCookie: a=b\r\n";
  const made = order("POST http://user:pass@a.example:8080/p?q=http://x/ HTTP/1.1", fields);
  if (made.kind !== "forward") throw new Error(made.kind);
  deepEqual([made.to, made.body], [{ host: "a.example", port: 8080 }, { kind: "length", len: 3 }]);
  equal(
    textOf(made.head),
    "POST /p?q=http://x/ HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: x\r\nContent-Length: 3\r\nCookie: a=b\r\n" +
      "Connection: close\r\n\r\n",
  );
});

Deno.test("orderOf() reads targets as RFC 9112 §3.2 says", () => {
  const lines: [line: string, first: string, port: number][] = [
    ["GET http://a.example HTTP/1.1", "GET / HTTP/1.1", 80],
    ["GET HTTP://a.example:81?x HTTP/1.0", "GET /?x HTTP/1.0", 81],
    ["GET http://a.example:/ HTTP/1.1", "GET / HTTP/1.1", 80],
    ["OPTIONS http://a.example HTTP/1.1", "OPTIONS * HTTP/1.1", 80],
    ["GET http://[::1]:8080/ HTTP/1.1", "GET / HTTP/1.1", 8080],
  ];
  for (const [line, first, port] of lines) {
    const made = order(line);
    if (made.kind !== "forward") throw new Error(line);
    deepEqual([textOf(made.head).split("\r\n")[0], made.to.port], [first, port]);
  }
  for (
    const target of [
      "/",
      "*",
      "https://a/",
      "http:///",
      "http://a/#x",
      "http://a b/",
      "ftp://a/",
      "http://@a:x/",
    ]
  ) {
    if (target.includes(" ")) continue;
    deepEqual(order(`GET ${target} HTTP/1.1`), { kind: "refuse", status: 400 }, target);
  }
});

Deno.test("a field that Connection names cannot take framing away", () => {
  const made = order("POST http://a/ HTTP/1.1", "Connection: content-length\r\nContent-Length: 2\r\n");
  equal(made.kind === "forward" && textOf(made.head).includes("Content-Length: 2"), true);
});

Deno.test("basicCredentials() reads RFC 7617, once or not at all", () => {
  const given = (...values: string[]) =>
    basicCredentials(values.map((value) => ["Proxy-Authorization", value] as const));
  deepEqual(given(`Basic ${btoa("a:b:c")}`), { user: bytesOf("a"), password: bytesOf("b:c") });
  deepEqual(given(`bAsIc ${btoa(":")}`), { user: bytesOf(""), password: bytesOf("") });
  for (const values of [[], ["Basic"], ["Basic !"], ["Basic Y"], [`Basic ${btoa("ab")}`], ["Bearer x"]]) {
    equal(given(...values), undefined, values.join());
  }
  equal(given(`Basic ${btoa("a:b")}`, `Basic ${btoa("a:b")}`), undefined);
});

Deno.test("emitRefusal() is a whole response, with a challenge where that is due", () => {
  for (const status of [400, 403, 407, 408, 502, 503, 504]) {
    const bytes = emitRefusal(status, "Why.");
    const head = readResponseHead(bytes);
    if (typeof head === "string") throw new Error(head);
    equal(head.status, status);
    const fields = new Map(head.fields);
    equal(Number(fields.get("Content-Length")), bytes.length - head.len);
    equal(fields.get("Connection"), "close");
    equal(fields.has("Proxy-Authenticate"), status === 407);
  }
});

const ANSWERS: [came: string, passed: string][] = [
  [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X\r\nX: 1\r\nKeep-Alive: timeout=5\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
  ],
  [
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 404 No\r\n\r\nbody\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 404 No\r\nConnection: close\r\n\r\nbody\r\n\r\n",
  ],
];

Deno.test("HttpExchange passes interim and final heads with the connection's end told, however they are cut", () => {
  fc.assert(fc.property(fc.constantFrom(...ANSWERS), fc.array(fc.nat(20)), ([came, passed], cuts) => {
    const exchange = new HttpExchange(0, { kind: "length", len: 0 });
    const bytes = bytesOf(came);
    let out = new Uint8Array() as Uint8Array;
    let at = 0;
    for (const cut of [...cuts, bytes.length]) {
      out = concat(out, exchange.in(bytes.subarray(at, at + cut)));
      at = Math.min(at + cut, bytes.length);
    }
    equal(textOf(concat(out, exchange.inEnd())), passed);
  }));
});

Deno.test("HttpExchange answers 502 for an origin that speaks something else, or nothing", () => {
  for (const came of ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nbad\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b", ""]) {
    const exchange = new HttpExchange(0, { kind: "length", len: 0 });
    const first = exchange.in(bytesOf(came));
    const rest = concat(exchange.in(bytesOf("more")), exchange.inEnd());
    equal(textOf(concat(first, rest)).split("\r\n")[0], "HTTP/1.1 502 Bad Gateway", came);
  }
});

Deno.test("HttpExchange lets the head and the body out, and nothing behind them", () => {
  const exchange = new HttpExchange(10, { kind: "length", len: 5 });
  deepEqual([4, 8, 20].map((len) => exchange.out(new Uint8Array(len))), [4, 8, 3]);
  equal(new HttpExchange(2, { kind: "chunked" }).out(bytesOf("abZZ")), -1);
});

Deno.test("clientHead() keeps the order and the bytes of what passes", () => {
  const head = readResponseHead(bytesOf("HTTP/1.1 200 \xe9\r\nB: \xff\r\nA: 1\r\nB: 2\r\n\r\n"));
  if (typeof head === "string") throw new Error(head);
  equal(
    textOf(clientHead(head)),
    "HTTP/1.1 200 \xe9\r\nB: \xff\r\nA: 1\r\nB: 2\r\nConnection: close\r\n\r\n",
  );
});
