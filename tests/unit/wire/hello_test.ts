import assert from "node:assert/strict";
import { concat, fromHex } from "../../../src/base/mod.ts";
import {
  cookieOfFirstFragment,
  emitClientHello,
  FIRST_EXTENSIONS_MAX,
  parseClientHello,
} from "../../../src/wire/client_hello.ts";
import { emitCookie, emitGroups, emitPadding } from "../../../src/wire/extensions.ts";
import {
  emitHandshakeFragment,
  emitHandshakeMessage,
  emitTlsHandshakeMessage,
  parseHandshakeHeader,
} from "../../../src/wire/handshake_header.ts";
import { emitKeyUpdate, parseKeyUpdate } from "../../../src/wire/key_update.ts";
import {
  emitServerHello,
  isRetryRandom,
  parseServerHello,
  retryRandom,
} from "../../../src/wire/server_hello.ts";

const clientHello = {
  legacyVersion: 0xfefd,
  random: new Uint8Array(32).fill(0xab),
  sessionId: Uint8Array.of(1, 2, 3),
  legacyCookie: new Uint8Array(0),
  suites: [0x1301, 0x1303],
  compressions: Uint8Array.of(0),
  extensions: [emitCookie(Uint8Array.of(9, 8, 7)), emitGroups([0x1d]), emitPadding(5)],
};

Deno.test("parseClientHello() reads what emitClientHello() wrote, and nothing shorter or longer", () => {
  for (const protocol of ["dtls", "tls"] as const) {
    const body = emitClientHello(protocol, clientHello);
    assert.deepEqual(parseClientHello(protocol, body), clientHello);
    for (let len = 0; len < body.length; len++) {
      assert.equal(parseClientHello(protocol, body.subarray(0, len)), undefined);
    }
    assert.equal(parseClientHello(protocol, concat(body, Uint8Array.of(0))), undefined);
  }
});

Deno.test("emitClientHello() has legacy_cookie in DTLS alone", () => {
  const dtls = emitClientHello("dtls", clientHello);
  assert.equal(dtls.length, emitClientHello("tls", clientHello).length + 1);
  assert.equal(dtls[2 + 32 + 4], 0); // after version, random and session id
});

Deno.test("cookieOfFirstFragment() finds a cookie that is there whole", () => {
  const body = emitClientHello("dtls", clientHello);
  const cookieEnd = 2 + 32 + 4 + 1 + 6 + 2 + 2 + 4 + 2 + 3;
  assert.deepEqual(cookieOfFirstFragment(body.subarray(0, cookieEnd)), Uint8Array.of(9, 8, 7));
  assert.equal(cookieOfFirstFragment(body.subarray(0, cookieEnd - 1)), undefined);
  assert.equal(cookieOfFirstFragment(emitClientHello("dtls", { ...clientHello, extensions: [] })), undefined);
});

Deno.test("cookieOfFirstFragment() looks behind other extensions, but not behind many", () => {
  const cookie = emitCookie(Uint8Array.of(9, 8, 7));
  const hello = (before: number) => {
    const others = Array.from(
      { length: before },
      (_, index) => ({ type: 1000 + index, body: new Uint8Array(3) }),
    );
    return emitClientHello("dtls", { ...clientHello, extensions: [...others, cookie, emitPadding(9)] });
  };
  for (const before of [0, 1, FIRST_EXTENSIONS_MAX - 1]) {
    assert.deepEqual(cookieOfFirstFragment(hello(before)), Uint8Array.of(9, 8, 7));
    assert.deepEqual(cookieOfFirstFragment(hello(before).subarray(0, -13)), Uint8Array.of(9, 8, 7));
    assert.equal(cookieOfFirstFragment(hello(before).subarray(0, -14)), undefined);
  }
  assert.equal(cookieOfFirstFragment(hello(FIRST_EXTENSIONS_MAX)), undefined);
});

Deno.test("parseServerHello() reads what emitServerHello() wrote, and nothing shorter or longer", () => {
  const hello = {
    legacyVersion: 0xfefd,
    random: new Uint8Array(32).fill(0xcd),
    sessionIdEcho: new Uint8Array(0),
    suite: 0x1301,
    compression: 0,
    extensions: [{ type: 43, body: fromHex("fefc") }],
  };
  const body = emitServerHello(hello);
  assert.deepEqual(parseServerHello(body), hello);
  for (let len = 0; len < body.length; len++) {
    assert.equal(parseServerHello(body.subarray(0, len)), undefined);
  }
  assert.equal(parseServerHello(concat(body, Uint8Array.of(0))), undefined);
});

Deno.test("retryRandom() is SHA-256 of HelloRetryRequest", async () => {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("HelloRetryRequest"));
  assert.deepEqual(retryRandom(), new Uint8Array(digest));
  assert.ok(isRetryRandom(retryRandom()));
  assert.ok(!isRetryRandom(new Uint8Array(32)));
});

Deno.test("parseHandshakeHeader() reads what was written, at any place", () => {
  const body = Uint8Array.from({ length: 300 }, (_, index) => index);
  const message = emitHandshakeFragment(2, 0x1234, body, 100, 260);
  const record = concat(Uint8Array.of(0xa5, 0xa5), message);
  assert.deepEqual(parseHandshakeHeader(record, 2), {
    type: 2,
    len: 300,
    messageSeq: 0x1234,
    fragmentOffset: 100,
    fragmentLen: 160,
  });
  assert.deepEqual(record.subarray(14), body.subarray(100, 260));
  assert.equal(parseHandshakeHeader(record.subarray(0, record.length - 1), 2), undefined);
  assert.deepEqual(
    emitHandshakeMessage(20, 1, body.subarray(0, 2)),
    fromHex("14 000002 0001 000000 000002 00 01"),
  );
  assert.deepEqual(emitTlsHandshakeMessage(20, body.subarray(0, 2)), fromHex("14 000002 00 01"));
});

Deno.test("parseHandshakeHeader() refuses a fragment beyond its message and an empty one of a message", () => {
  assert.equal(parseHandshakeHeader(fromHex("14 000002 0001 000001 000002 00 01")), undefined);
  assert.equal(parseHandshakeHeader(fromHex("14 000002 0001 000000 000000")), undefined);
  assert.equal(parseHandshakeHeader(fromHex("14 000000 0001 000000 000000"))?.len, 0);
});

Deno.test("parseKeyUpdate() reads one byte, 0 or 1", () => {
  assert.deepEqual(parseKeyUpdate(emitKeyUpdate(true)), { requested: true });
  assert.deepEqual(parseKeyUpdate(emitKeyUpdate(false)), { requested: false });
  for (const text of ["", "02", "0000"]) assert.equal(parseKeyUpdate(fromHex(text)), undefined);
});
