/** What programs say to the proxy, what origins answer, and what names and passwords are in files. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { parseUsers } from "../../../src/config/users.ts";
import { HttpExchange } from "../../../src/socks/http_exchange.ts";
import { basicCredentials, orderOf } from "../../../src/socks/http_order.ts";
import { parseIncomingHost, parseListenHost } from "../../../src/wire/forward_host.ts";
import { checkedHost, formatDestination, hostOf, parseDestination } from "../../../src/wire/host_port.ts";
import { BodyMeter } from "../../../src/wire/http_body.ts";
import { bodyOf, HTTP_HEAD_LEN_MAX, readRequestHead, readResponseHead } from "../../../src/wire/http_head.ts";
import * as socks from "../../../src/wire/socks5.ts";
import type { FuzzTarget } from "../harness.ts";

const bytesOf = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const textOf = (bytes: Uint8Array) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
const DICTIONARY = [
  "\r\n",
  "\r\n\r\n",
  "HTTP/1.1",
  "http://",
  "Content-Length: ",
  "chunked",
  "Connection: ",
  "[::1]:1",
]
  .map(bytesOf);

/** A reader that is given ever more: its word stays the same once it has one, and `len` lies within. */
function readAll<T extends object>(read: (bytes: Uint8Array) => socks.Read<T>, input: Uint8Array) {
  const all = read(input);
  if (typeof all === "object") ok(all.len <= input.length);
  const half = read(input.subarray(0, input.length >> 1));
  if (half === "malformed") equal(all, "malformed");
  if (typeof half === "object" && typeof all === "object") ok(half.len <= all.len);
  return all;
}

const greeting: FuzzTarget = {
  name: "socks-greeting",
  samples: () => [bytesOf("\x05\x01\0"), bytesOf("\x05\x02\0\x02\x01\x01a\x01b"), bytesOf("\x01\x01a\x01b")],
  lenMax: 600,
  read(input) {
    const hello = readAll(socks.readGreeting, input);
    const login = readAll(socks.readCredentials, input);
    if (typeof hello === "object") ok(hello.methods.length >= 1);
    if (typeof login === "object") equal(login.len, 3 + login.user.length + login.password.length);
    return `${typeof hello === "object" ? "hello" : hello} ${typeof login === "object" ? "login" : login}`;
  },
};

const request: FuzzTarget = {
  name: "socks-request",
  samples: () => [
    bytesOf("\x05\x01\0\x01\x09\x09\x09\x09\0\x50"),
    bytesOf("\x05\x03\0\x03\x09a.example\0\x50"),
    bytesOf("\x05\x01\0\x04" + "\x20\x01\x0d\xb8" + "\0".repeat(12) + "\x01\xbb"),
    bytesOf("\x04\x01\0\x50\0\0\0\x01me\0a.example\0"),
  ],
  lenMax: 600,
  read(input) {
    const found = input[0] === 4 ? readAll(socks.readRequest4, input) : readAll(socks.readRequest, input);
    if (typeof found === "string") return found;
    if (typeof found.to === "number") return `reply ${found.to}`;
    equal(checkedHost(found.to.host), found.to.host);
    return `${found.command <= 3 ? found.command : "other"} ${found.to.host.includes(":") ? 6 : 4}`;
  },
};

const datagram: FuzzTarget = {
  name: "socks-datagram",
  samples: () => [
    socks.emitDatagram({ host: "a.example", port: 53 }, bytesOf("data")),
    socks.emitDatagram({ host: "9.9.9.9", port: 53 }, bytesOf("")),
    socks.emitDatagram({ host: "2001:db8::1", port: 53 }, bytesOf("x".repeat(100))),
  ],
  read(input) {
    const found = socks.parseDatagram(input);
    if (found === undefined) return "refused";
    ok(found.data.byteOffset + found.data.length <= input.byteOffset + input.length);
    const again = socks.parseDatagram(socks.emitDatagram(found.to, found.data));
    equal([again?.to, again?.data.length], [found.to, found.data.length]);
    return found.fragment === 0 ? "whole" : "fragment";
  },
};

const httpRequest: FuzzTarget = {
  name: "http-request",
  samples: () =>
    [
      "CONNECT a.example:443 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\n\r\n",
      "GET http://a.example:8080/x?y HTTP/1.1\r\nHost: b\r\nConnection: close, x\r\nX: 1\r\n\r\n",
      "POST http://[::1]/ HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
      "PUT http://a/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nGET",
    ].map(bytesOf),
  dictionary: DICTIONARY,
  read(input) {
    const head = readAll(readRequestHead, input);
    if (typeof head === "string") return head;
    ok(head.len <= HTTP_HEAD_LEN_MAX);
    basicCredentials(head.fields);
    const order = orderOf(head);
    if (order.kind !== "forward") return order.kind;
    // What the origin gets is one request, read as the proxy has read it.
    const passed = readRequestHead(order.head);
    ok(typeof passed === "object" && passed.len === order.head.length);
    equal(bodyOf(passed), order.body);
    const taken = new BodyMeter(order.body).take(input.subarray(head.len));
    ok(taken >= -1 && taken <= input.length - head.len);
    return `${order.body.kind} ${Math.sign(taken)}`;
  },
};

const httpResponse: FuzzTarget = {
  name: "http-response",
  samples: () =>
    [
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404\r\nConnection: a\r\nA: b\r\n\r\n",
    ].map(bytesOf),
  dictionary: DICTIONARY,
  read(input) {
    const inOne = new HttpExchange(0, { kind: "length", len: 0 });
    const whole = textOf(inOne.in(input)) + textOf(inOne.inEnd());
    const inTwo = new HttpExchange(0, { kind: "length", len: 0 });
    const half = input.length >> 1;
    const parts = [inTwo.in(input.subarray(0, half)), inTwo.in(input.subarray(half)), inTwo.inEnd()];
    equal(parts.map(textOf).join(""), whole);
    const head = readResponseHead(bytesOf(whole));
    ok(typeof head === "object", "what the client gets can be read");
    return head.status < 200 ? "interim" : head.status === 502 ? "refused" : "final";
  },
};

const hosts: FuzzTarget = {
  name: "host-text",
  samples: () =>
    ["a.example:80", "[2001:db8::1]:443", "9.9.9.9:1", "@listen/::1", "@incoming/12"].map(bytesOf),
  lenMax: 300,
  read(input) {
    const text = textOf(input);
    const destination = parseDestination(text);
    if (destination !== undefined) equal(parseDestination(formatDestination(destination)), destination);
    const host = hostOf(input);
    if (host !== undefined) equal(checkedHost(host), host);
    const special = parseListenHost(text) ?? parseIncomingHost(text);
    if (special !== undefined) equal([destination, host], [undefined, undefined]);
    return `${destination !== undefined} ${host !== undefined} ${typeof special}`;
  },
};

const users: FuzzTarget = {
  name: "users-file",
  samples: () => [bytesOf("# who\n\nann:pw\r\nbob:p:w\n")],
  lenMax: 600,
  dictionary: [bytesOf(":"), bytesOf("\n"), bytesOf("#")],
  read(input) {
    try {
      const found = parseUsers(input);
      return `users ${found.accepts(bytesOf("ann"), bytesOf("pw"))}`;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      ok(!error.message.includes("pw"));
      return error.message.replace(/\d+/g, "");
    }
  },
};

export const PROXY_TARGETS: readonly FuzzTarget[] = [
  greeting,
  request,
  datagram,
  httpRequest,
  httpResponse,
  hosts,
  users,
];
