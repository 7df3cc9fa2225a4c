import { deepEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { BodyMeter } from "../../../src/wire/http_body.ts";
import {
  bodyOf,
  emitHead,
  HTTP_HEAD_LEN_MAX,
  listOf,
  readRequestHead,
  readResponseHead,
} from "../../../src/wire/http_head.ts";

const bytesOf = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

function request(text: string) {
  const head = readRequestHead(bytesOf(text));
  if (typeof head === "string") throw new Error(head);
  return head;
}

Deno.test("readRequestHead() reads line and fields once all are there (RFC 9112 §3, §5)", () => {
  const text =
    "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX-A:\t b c \r\nEmpty:\r\nL: \xe9\r\n\r\n";
  const bytes = bytesOf(text);
  for (let len = 0; len < bytes.length; len++) equal(readRequestHead(bytes.subarray(0, len)), "more");
  deepEqual(readRequestHead(bytesOf(text + "body")), {
    method: "GET",
    target: "http://a.example/",
    minor: 1,
    fields: [["Host", "a.example"], ["X-A", "b c"], ["Empty", ""], ["L", "\xe9"]],
    len: bytes.length,
  });
});

Deno.test("readRequestHead() refuses what two readers could understand differently", () => {
  const heads = [
    "GET / HTTP/2.0\r\n\r\n",
    "GET  / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1 \r\n\r\n",
    "GET /\x7f HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nA : b\r\n\r\n",
    "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    "GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
    "GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
    "GET / HTTP/1.1\r\nA: \0\r\n\r\n",
    "GET / HTTP/1.1\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\n: b\r\n\r\n",
    `GET / HTTP/1.1\r\n${"a: b\r\n".repeat(257)}\r\n`,
    `GET /${"a".repeat(HTTP_HEAD_LEN_MAX)}`,
  ];
  for (const head of heads) {
    equal(readRequestHead(bytesOf(head)), "malformed", JSON.stringify(head.slice(0, 60)));
  }
});

Deno.test("readResponseHead() reads the status, with a reason or without", () => {
  deepEqual(readResponseHead(bytesOf("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n")), {
    minor: 0,
    status: 404,
    reason: "Not Found",
    fields: [["A", "b"]],
    len: 32,
  });
  for (const line of ["HTTP/1.1 200", "HTTP/1.1 200 "]) {
    const head = readResponseHead(bytesOf(`${line}\r\n\r\n`));
    equal(typeof head === "object" && head.reason, "");
  }
  for (const line of ["HTTP/1.1 20 a", "HTTP/1.1 000 a", "HTTP/3 200", "ICY 200 OK", "HTTP/1.1  200"]) {
    equal(readResponseHead(bytesOf(`${line}\r\n\r\n`)), "malformed");
  }
});

Deno.test("emitHead() writes what is read back", () => {
  const token = fc.stringMatching(/^[A-Za-z-]{1,20}$/);
  const value = fc.stringMatching(/^(?:[!-~]{1,20})?$/);
  fc.assert(fc.property(fc.array(fc.tuple(token, value), { maxLength: 20 }), (fields) => {
    const bytes = emitHead("GET / HTTP/1.1", fields);
    deepEqual(readRequestHead(bytes), { method: "GET", target: "/", minor: 1, fields, len: bytes.length });
  }));
});

Deno.test("bodyOf() finds the length or chunks, and refuses a request that has both, or two (RFC 9112 §6.3)", () => {
  const head = (fields: string, version = "1.1") =>
    bodyOf(request(`POST / HTTP/${version}\r\n${fields}\r\n`));
  deepEqual(head(""), { kind: "length", len: 0 });
  deepEqual(head("Content-Length: 12\r\n"), { kind: "length", len: 12 });
  deepEqual(head("Content-Length: 12\r\ncontent-length: 12\r\n"), { kind: "length", len: 12 });
  deepEqual(head("Transfer-Encoding: gzip\r\nTransfer-Encoding: Chunked\r\n"), { kind: "chunked" });
  const refused = [
    "Content-Length: 12\r\nContent-Length: 13\r\n",
    "Content-Length: 12, 12\r\n",
    "Content-Length: +1\r\n",
    "Content-Length: 0x1\r\n",
    "Content-Length: 1234567890123456\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
  ];
  for (const fields of refused) equal(head(fields), "malformed", fields);
  equal(head("Transfer-Encoding: chunked\r\n", "1.0"), "malformed");
});

Deno.test("listOf() splits lists over fields, in lower case", () => {
  deepEqual(listOf([["Connection", "Keep-Alive, X"], ["A", "b"], ["connection", " ,y"]], "connection"), [
    "keep-alive",
    "x",
    "y",
  ]);
});

const CHUNKED = [
  "0\r\n\r\n",
  "5\r\nhello\r\n0\r\n\r\n",
  "A;name=value\r\n0123456789\r\n1 \r\nx\r\n000\r\nTrailer: a\r\nB: c\r\n\r\n",
];

Deno.test("BodyMeter ends at the end of the body, wherever the bytes are cut, and takes none behind it", () => {
  const bodies = [
    ...CHUNKED.map((text) => ({ body: { kind: "chunked" as const }, text })),
    { body: { kind: "length" as const, len: 5 }, text: "hello" },
    { body: { kind: "length" as const, len: 0 }, text: "" },
  ];
  fc.assert(fc.property(fc.constantFrom(...bodies), fc.array(fc.nat(7)), ({ body, text }, cuts) => {
    const meter = new BodyMeter(body);
    const bytes = bytesOf(text + "GET / HTTP/1.1\r\n");
    let taken = 0;
    let at = 0;
    for (const cut of [...cuts, bytes.length]) {
      const count = meter.take(bytes.subarray(at, at + cut));
      equal(count, Math.min(cut, Math.max(text.length - at, 0), bytes.length - at));
      taken += count;
      at = Math.min(at + cut, bytes.length);
    }
    equal(taken, text.length);
    equal(meter.done, true);
  }));
});

Deno.test("BodyMeter refuses what is no chunked body", () => {
  const wrong = [
    "\r\n",
    "g\r\n",
    "-1\r\n",
    "5\nhello",
    "1\r\nab",
    "1\r\na\rb",
    "1;a\n",
    `1;${"a".repeat(2000)}`,
    "1".repeat(13),
    `0\r\n${"a".repeat(17_000)}`,
    "0\rX",
  ];
  for (const text of wrong) {
    equal(new BodyMeter({ kind: "chunked" }).take(bytesOf(text)), -1, JSON.stringify(text.slice(0, 20)));
  }
});
