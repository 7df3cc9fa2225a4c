import assert from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { buildClientHello } from "../../../src/handshake/client_hello_builder.ts";
import { pskOffers } from "../../../src/handshake/psk_directory.ts";
import type { OutMessage } from "../../../src/handshake/types.ts";
import { ALERT, alertName } from "../../../src/wire/alert.ts";
import { type ClientHello, emitClientHello, parseClientHello } from "../../../src/wire/client_hello.ts";
import {
  emitClientShares,
  emitClientVersions,
  emitCookie,
  emitExtensions,
  emitGroups,
  emitOfferedPsks,
  emitOneU16,
  emitPskModes,
  emitServerShare,
  EXTENSION,
  type Extension,
  findExtension,
} from "../../../src/wire/extensions.ts";
import {
  emitServerHello,
  parseServerHello,
  retryRandom,
  type ServerHello,
} from "../../../src/wire/server_hello.ts";
import { testEntropy } from "../flight/pipe.ts";
import { type Change, handshake, KEY, type Machines, newPair } from "./machines.ts";

function assertEqualSecrets({ client, server }: Machines): void {
  assert.equal(client.state, "done");
  assert.equal(server.state, "done");
  assert.deepEqual(client.result!.clientSecret, server.result!.clientSecret);
  assert.deepEqual(client.result!.serverSecret, server.result!.serverSecret);
  assert.deepEqual(client.result!.exporterSecret, server.result!.exporterSecret);
}

const GROUPS = [0x1d, 0x17, 0x11ec];

for (const protocol of ["tls", "dtls"] as const) {
  Deno.test(`ClientHandshake and ServerHandshake agree in ${protocol}, with a share at once or asked for`, () => {
    for (const suite of [0x1301, 0x1302, 0x1303]) {
      for (const group of GROUPS) {
        const direct = handshake(protocol, {
          client: { suites: [suite], groups: GROUPS, shareGroups: [group] },
          server: { groups: [group] },
        });
        assertEqualSecrets(direct);
        assert.equal(direct.client.isRetried, false);
        const client = { suites: [suite], groups: GROUPS };
        const retried = handshake(protocol, { client, server: { groups: [group] } });
        assertEqualSecrets(retried);
        assert.equal(retried.client.isRetried, true);
        assert.equal(retried.client.result!.group, group);
        assert.equal(retried.client.result!.suite.id, suite);
      }
    }
  });
}

Deno.test("TLS and DTLS do not derive the same secrets from the same numbers", () => {
  const [tls, dtls] = [handshake("tls"), handshake("dtls")];
  assert.notDeepEqual(tls.client.result!.clientSecret, dtls.client.result!.clientSecret);
});

Deno.test("ServerHandshake chooses by its own order", () => {
  const { client } = handshake("dtls", { server: { suites: [0x1303, 0x1301], groups: [0x17, 0x1d] } });
  assert.equal(client.result!.suite.id, 0x1303);
  assert.equal(client.result!.group, 0x17);
});

/** Replaces what `from` sends as its message `index`, a hello. */
function changeServerHello(index: number, edit: (hello: ServerHello) => ServerHello): Change {
  return (from, at, message) =>
    from === "server" && at === index
      ? { ...message, body: emitServerHello(edit(parseServerHello(message.body)!)) }
      : message;
}

function changeClientHello(index: number, edit: (hello: ClientHello) => ClientHello): Change {
  return (from, at, message) =>
    from === "client" && at === index
      ? { ...message, body: emitClientHello("dtls", edit(parseClientHello("dtls", message.body)!)) }
      : message;
}

function replaced(extensions: readonly Extension[], by: Extension): Extension[] {
  return extensions.map((extension) => extension.type === by.type ? by : extension);
}

function without(extensions: readonly Extension[], type: number): Extension[] {
  return extensions.filter((extension) => extension.type !== type);
}

const withExtensions =
  (edit: (extensions: readonly Extension[]) => Extension[]) =>
  <T extends { readonly extensions: readonly Extension[] }>(hello: T): T => ({
    ...hello,
    extensions: edit(hello.extensions),
  });

type ServerEdit = (hello: ServerHello) => ServerHello;
const share33 = { group: 0x1d, share: new Uint8Array(32).fill(9) };

/** ServerHello is message 1 of the server's, after the HelloRetryRequest for x25519. */
const SERVER_HELLO_FAULTS: readonly [string, number, ServerEdit][] = [
  ["no version", ALERT.protocolVersion, withExtensions((e) => without(e, EXTENSION.supportedVersions))],
  [
    "version 1.2",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitOneU16(EXTENSION.supportedVersions, 0xfefd))),
  ],
  ["a legacy version of 1.3", ALERT.illegalParameter, (hello) => ({ ...hello, legacyVersion: 0xfefc })],
  ["a session id", ALERT.illegalParameter, (hello) => ({ ...hello, sessionIdEcho: Uint8Array.of(1) })],
  ["another suite than before", ALERT.illegalParameter, (hello) => ({ ...hello, suite: 0x1303 })],
  ["an unknown suite", ALERT.illegalParameter, (hello) => ({ ...hello, suite: 0x1304 })],
  ["a compression", ALERT.illegalParameter, (hello) => ({ ...hello, compression: 1 })],
  ["no PSK", ALERT.handshakeFailure, withExtensions((e) => without(e, EXTENSION.preSharedKey))],
  [
    "an identity out of range",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitOneU16(EXTENSION.preSharedKey, 2))),
  ],
  ["no share", ALERT.illegalParameter, withExtensions((e) => without(e, EXTENSION.keyShare))],
  [
    "a share of another group",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitServerShare({ ...share33, group: 0x17 }))),
  ],
  [
    "an all-zero share",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitServerShare({ ...share33, share: new Uint8Array(32) }))),
  ],
  [
    "a short share",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitServerShare({ ...share33, share: new Uint8Array(31).fill(9) }))),
  ],
  [
    "an extension not offered",
    ALERT.unsupportedExtension,
    withExtensions((e) => [...e, { type: 16, body: new Uint8Array(0) }]),
  ],
  [
    "an extension in the wrong message",
    ALERT.illegalParameter,
    withExtensions((e) => [...e, emitGroups([0x1d])]),
  ],
  ["a second HelloRetryRequest", ALERT.unexpectedMessage, (hello) => ({ ...hello, random: retryRandom() })],
];

for (const [name, alert, edit] of SERVER_HELLO_FAULTS) {
  Deno.test(`ClientHandshake refuses a ServerHello with ${name}: ${alertName(alert)}`, () => {
    const { client, clientFailure } = handshake("dtls", { change: changeServerHello(1, edit) });
    assert.equal(clientFailure?.alert, alert, clientFailure?.reason);
    assert.equal(client.result, undefined);
  });
}

/** HelloRetryRequest is message 0 of the server's. */
const RETRY_FAULTS: readonly [string, number, ServerEdit][] = [
  ["no version", ALERT.protocolVersion, withExtensions((e) => without(e, EXTENSION.supportedVersions))],
  [
    "a group not offered",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitOneU16(EXTENSION.keyShare, 0x18))),
  ],
  ["nothing asked for", ALERT.illegalParameter, withExtensions((e) => without(e, EXTENSION.keyShare))],
  [
    "a cookie alone while no share was sent",
    ALERT.illegalParameter,
    withExtensions((e) => [...without(e, EXTENSION.keyShare), emitCookie(Uint8Array.of(1))]),
  ],
  [
    "an empty cookie",
    ALERT.decodeError,
    withExtensions((e) => [...e, { type: EXTENSION.cookie, body: Uint8Array.of(0, 0) }]),
  ],
  ["a PSK", ALERT.illegalParameter, withExtensions((e) => [...e, emitOneU16(EXTENSION.preSharedKey, 0)])],
  ["an unknown suite", ALERT.illegalParameter, (hello) => ({ ...hello, suite: 0x1304 })],
];

for (const [name, alert, edit] of RETRY_FAULTS) {
  Deno.test(`ClientHandshake refuses a HelloRetryRequest with ${name}: ${alertName(alert)}`, () => {
    const { client, clientFailure } = handshake("dtls", { change: changeServerHello(0, edit) });
    assert.equal(clientFailure?.alert, alert, clientFailure?.reason);
    assert.equal(client.isRetried, false);
  });
}

Deno.test("ClientHandshake refuses a HelloRetryRequest for the group that it sent a share of", () => {
  const change: Change = (from, index, message) =>
    from === "server" && index === 0
      ? {
        ...message,
        body: emitServerHello({
          legacyVersion: 0xfefd,
          random: retryRandom(),
          sessionIdEcho: new Uint8Array(0),
          suite: 0x1301,
          compression: 0,
          extensions: [emitOneU16(EXTENSION.supportedVersions, 0xfefc), emitOneU16(EXTENSION.keyShare, 0x1d)],
        }),
      }
      : message;
  const { clientFailure } = handshake("dtls", { client: { shareGroups: [0x1d] }, change });
  assert.equal(clientFailure?.alert, ALERT.illegalParameter);
});

Deno.test("ClientHandshake stays as it was when a hello in the clear does not pass", () => {
  const { client, server } = newPair("dtls", { client: { shareGroups: [0x1d] } });
  client.start();
  const [hello] = client.takeMessages();
  server.receive(0, hello.type, hello.body);
  const [serverHello, ...rest] = server.takeMessages();
  const forged = emitServerHello({ ...parseServerHello(serverHello.body)!, suite: 0x1304 });
  assert.equal(client.receive(0, serverHello.type, forged)?.alert, ALERT.illegalParameter);
  assert.equal(client.state, "server hello");
  for (const { epoch, type, body } of [serverHello, ...rest]) {
    assert.equal(client.receive(epoch, type, body), undefined);
  }
  assert.equal(client.state, "done");
});

type ClientEdit = (hello: ClientHello) => ClientHello;
const binderOff = (hello: ClientHello) => emitClientHello("dtls", hello).length - 32;

const CLIENT_HELLO_FAULTS: readonly [string, number, ClientEdit][] = [
  ["no version", ALERT.protocolVersion, withExtensions((e) => without(e, EXTENSION.supportedVersions))],
  [
    "versions without 1.3",
    ALERT.protocolVersion,
    withExtensions((e) => replaced(e, emitClientVersions([0xfefd, 0x0304]))),
  ],
  ["a legacy cookie", ALERT.illegalParameter, (hello) => ({ ...hello, legacyCookie: Uint8Array.of(1) })],
  ["a compression", ALERT.illegalParameter, (hello) => ({ ...hello, compressions: Uint8Array.of(0, 1) })],
  ["another compression", ALERT.illegalParameter, (hello) => ({ ...hello, compressions: Uint8Array.of(1) })],
  ["no PSK", ALERT.handshakeFailure, withExtensions((e) => without(e, EXTENSION.preSharedKey))],
  [
    "a PSK that is not last",
    ALERT.illegalParameter,
    withExtensions((e) => [...e, { type: 0x1a1a, body: new Uint8Array(0) }]),
  ],
  ["no PSK modes", ALERT.missingExtension, withExtensions((e) => without(e, EXTENSION.pskKeyExchangeModes))],
  ["psk_ke alone", ALERT.handshakeFailure, withExtensions((e) => replaced(e, emitPskModes([0])))],
  ["no groups", ALERT.missingExtension, withExtensions((e) => without(e, EXTENSION.supportedGroups))],
  ["no shares", ALERT.missingExtension, withExtensions((e) => without(e, EXTENSION.keyShare))],
  [
    "groups unknown here",
    ALERT.handshakeFailure,
    withExtensions((e) => replaced(replaced(e, emitGroups([0x18])), emitClientShares([]))),
  ],
  [
    "a share of a group not offered",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitClientShares([{ group: 0x18, share: new Uint8Array(97) }]))),
  ],
  [
    "two shares of one group",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitClientShares([share33, share33]))),
  ],
  ["suites unknown here", ALERT.handshakeFailure, (hello) => ({ ...hello, suites: [0x1304] })],
  [
    "too many identities",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitOfferedPsks(Array(5).fill(Uint8Array.of(1)), Array(5).fill(32)))),
  ],
  [
    "an unknown identity",
    ALERT.decryptError,
    withExtensions((e) => replaced(e, emitOfferedPsks([Uint8Array.of(1)], [32]))),
  ],
  [
    "an empty identity",
    ALERT.illegalParameter,
    withExtensions((e) => replaced(e, emitOfferedPsks([new Uint8Array(0)], [32]))),
  ],
];

for (const [name, alert, edit] of CLIENT_HELLO_FAULTS) {
  Deno.test(`ServerHandshake refuses a ClientHello with ${name}: ${alertName(alert)}`, () => {
    const client = { shareGroups: [0x1d], suites: [0x1301] };
    const { server } = handshake("dtls", { client, change: changeClientHello(0, edit) });
    assert.equal(server.failure?.alert, alert, server.failure?.reason);
    assert.equal(server.failure?.silent ?? false, alert === ALERT.decryptError);
    assert.equal(server.handshakeSecrets, undefined);
  });
}

const SECOND_HELLO_FAULTS: readonly [string, ClientEdit][] = [
  ["another random", (hello) => ({ ...hello, random: new Uint8Array(32) })],
  ["other suites", (hello) => ({ ...hello, suites: [0x1301, 0x1303] })],
  ["other groups", withExtensions((e) => replaced(e, emitGroups([0x1d])))],
  ["a new extension", withExtensions((e) => [{ type: 0x1a1a, body: new Uint8Array(0) }, ...e])],
  ["early data", withExtensions((e) => [{ type: EXTENSION.earlyData, body: new Uint8Array(0) }, ...e])],
  ["a cookie that nobody sent", withExtensions((e) => [emitCookie(Uint8Array.of(1)), ...e])],
  ["no share still", withExtensions((e) => replaced(e, emitClientShares([])))],
  [
    "a share beside the one asked for",
    withExtensions((e) =>
      replaced(e, emitClientShares([share33, { group: 0x17, share: new Uint8Array(65) }]))
    ),
  ],
];

for (const [name, edit] of SECOND_HELLO_FAULTS) {
  Deno.test(`ServerHandshake refuses a second ClientHello with ${name}`, () => {
    const { server } = handshake("dtls", { change: changeClientHello(1, edit) });
    assert.equal(server.failure?.alert, ALERT.illegalParameter, server.failure?.reason);
  });
}

Deno.test("ServerHandshake refuses a wrong binder silently, each bit of it", () => {
  for (const bit of [0, 100, 255]) {
    const change: Change = (from, _index, message) => {
      if (from !== "client") return message;
      const body = message.body.slice();
      body[binderOff(parseClientHello("dtls", body)!) + (bit >> 3)] ^= 1 << (bit & 7);
      return { ...message, body };
    };
    const client = { shareGroups: [0x1d], suites: [0x1301] };
    const { server } = handshake("dtls", { client, change });
    assert.deepEqual(server.failure, { alert: ALERT.decryptError, reason: "wrong key", silent: true });
  }
});

Deno.test("ServerHandshake refuses an all-zero share of who has the key with illegal_parameter", () => {
  const { server } = newPair("dtls", {});
  const policy = { protocol: "dtls", suites: [0x1301], groups: [0x1d] } as const;
  const body = buildClientHello({
    policy,
    random: new Uint8Array(32).fill(1),
    shares: [{ group: 0x1d, share: new Uint8Array(32) }],
    cookie: undefined,
    offers: pskOffers(KEY, "dtls", policy.suites, testEntropy(5)),
    unit: 0,
  }, undefined);
  server.receive(0, 1, body);
  assert.deepEqual(server.failure, {
    alert: ALERT.illegalParameter,
    reason: "the client's share is no valid public key",
  });
});

Deno.test("buildClientHello() makes a body of a multiple of its unit", () => {
  const entropy = testEntropy(5);
  const policy = { protocol: "dtls", suites: [0x1301], groups: [0x1d] } as const;
  const offers = pskOffers(KEY, "dtls", policy.suites, entropy);
  const parts = { policy, random: new Uint8Array(32), shares: [], cookie: undefined, offers };
  for (const unit of [1, 100, 187, 188, 300, 1347]) {
    const body = buildClientHello({ ...parts, unit }, undefined);
    assert.equal(body.length % unit, 0);
    const { extensions } = parseClientHello("dtls", body)!;
    const padding = findExtension(extensions, EXTENSION.padding)!;
    assert.ok(padding.length < unit && padding.every((byte) => byte === 0));
  }
});

for (const from of ["client", "server"] as const) {
  Deno.test(`a Finished of the ${from} with one bit changed is refused with decrypt_error`, () => {
    const change: Change = (sender, _index, message) => {
      if (sender !== from || message.type !== 20) return message;
      const body = message.body.slice();
      body[31] ^= 1;
      return { ...message, body };
    };
    const { client, server, clientFailure } = handshake("dtls", { change });
    assert.equal(from === "server" ? clientFailure?.alert : server.failure?.alert, ALERT.decryptError);
    assert.equal(server.result, undefined);
    assert.equal(client.result === undefined, from === "server");
  });
}

Deno.test("ClientHandshake refuses messages out of order and in the wrong epoch", () => {
  const swaps: readonly [string, (message: OutMessage) => OutMessage][] = [
    ["Finished in place of EncryptedExtensions", (message) => ({ ...message, type: 20 })],
    ["CertificateRequest", (message) => ({ ...message, type: 13 })],
    ["EncryptedExtensions in the clear", (message) => ({ ...message, epoch: 0 })],
  ];
  for (const [name, swap] of swaps) {
    const change: Change = (from, _index, message) =>
      from === "server" && message.type === 8 ? swap(message) : message;
    const { client, clientFailure } = handshake("dtls", { change });
    assert.equal(clientFailure?.alert, ALERT.unexpectedMessage, name);
    assert.equal(client.result, undefined);
  }
});

Deno.test("ClientHandshake refuses what may not stand in EncryptedExtensions", () => {
  const bodies: readonly [number, Uint8Array][] = [
    [ALERT.illegalParameter, emitExtensions([emitOneU16(EXTENSION.preSharedKey, 0)])],
    [ALERT.unsupportedExtension, emitExtensions([{ type: 16, body: new Uint8Array(0) }])],
    [ALERT.decodeError, concat(emitExtensions([]), Uint8Array.of(0))],
  ];
  for (const [alert, body] of bodies) {
    const change: Change = (from, _index, message) =>
      from === "server" && message.type === 8 ? { ...message, body } : message;
    assert.equal(handshake("dtls", { change }).clientFailure?.alert, alert);
  }
});

Deno.test("ClientHandshake.receive() wipes the keys that it was given", () => {
  const offers = pskOffers(KEY, "dtls", [0x1301], testEntropy(9));
  handshake("dtls", { client: { offers, suites: [0x1301] } });
  assert.ok(offers.every(({ psk }) => psk.every((byte) => byte === 0)));
  assert.ok(KEY.key.every((byte) => byte === 7));
});

Deno.test("pskOffers() makes another identity for each handshake, and one for each hash", () => {
  const entropy = testEntropy(4);
  const [first, second] = [
    pskOffers(KEY, "dtls", [0x1301, 0x1302], entropy),
    pskOffers(KEY, "dtls", [0x1301], entropy),
  ];
  assert.deepEqual(first.map(({ hash }) => hash), ["sha256", "sha384"]);
  assert.deepEqual(first.map(({ psk }) => psk.length), [32, 48]);
  assert.notDeepEqual(first[0].identity, second[0].identity);
});
