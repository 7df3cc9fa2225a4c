/** connection_id (RFC 9146 §3, RFC 9147 §9) and rrc (RFC 9853 §3) in the hellos. */

import assert from "node:assert/strict";
import { concat } from "../../../src/base/mod.ts";
import { ALERT, alertName } from "../../../src/wire/alert.ts";
import { emitClientHello, parseClientHello } from "../../../src/wire/client_hello.ts";
import {
  emitConnectionId,
  emitReturnRoutabilityCheck,
  EXTENSION,
  type Extension,
} from "../../../src/wire/extensions.ts";
import { emitServerHello, isRetryRandom, parseServerHello } from "../../../src/wire/server_hello.ts";
import { type Change, handshake } from "./machines.ts";

const ID = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const NONE = new Uint8Array(0);
const offering = { connectionIds: { own: NONE } };
const giving = { newConnectionId: () => ID };

type Edit = (extensions: readonly Extension[]) => readonly Extension[];

/** Changes the extensions of the server's hello, or of its HelloRetryRequest. */
function serverEdit(edit: Edit, isRetry = false): Change {
  return (from, _index, message) => {
    const hello = from === "server" && message.type === 2 ? parseServerHello(message.body) : undefined;
    if (hello === undefined || isRetryRandom(hello.random) !== isRetry) return message;
    return { ...message, body: emitServerHello({ ...hello, extensions: edit(hello.extensions) }) };
  };
}

/** Changes extensions of both of the client's hellos, in front of the PSK. */
function clientEdit(edit: Edit): Change {
  return (from, _index, message) => {
    const hello = from === "client" && message.type === 1
      ? parseClientHello("dtls", message.body)
      : undefined;
    if (hello === undefined) return message;
    return { ...message, body: emitClientHello("dtls", { ...hello, extensions: edit(hello.extensions) }) };
  };
}

Deno.test("ClientHandshake and ServerHandshake agree on connection ids, each of its own length, and on rrc", () => {
  for (const own of [NONE, Uint8Array.of(9, 9, 9), new Uint8Array(255).fill(7)]) {
    const { client, server } = handshake("dtls", { client: { connectionIds: { own } }, server: giving });
    assert.deepEqual(client.result!.connectionIds, { own, peer: ID, rrc: true });
    assert.deepEqual(server.result!.connectionIds, { own: ID, peer: own, rrc: true });
  }
});

Deno.test("without an offer, or a server that gives ids, there are none", () => {
  for (const options of [{ server: giving }, { client: offering }, {}]) {
    const { client, server } = handshake("dtls", options);
    assert.equal(client.result!.connectionIds, undefined);
    assert.equal(server.result!.connectionIds, undefined);
  }
});

Deno.test("ClientHandshake refuses a server that gives no connection id of the length it needs", () => {
  for (const newConnectionId of [undefined, () => NONE, () => ID.subarray(1)]) {
    const { client, clientFailure } = handshake("dtls", {
      client: { connectionIds: { own: NONE, peerLen: 8 } },
      server: { newConnectionId },
    });
    assert.equal(clientFailure?.alert, ALERT.handshakeFailure, clientFailure?.reason);
    assert.equal(client.result, undefined);
  }
});

const without = (type: number): Edit => (list) => list.filter((extension) => extension.type !== type);
const replaced = (type: number, body: Uint8Array): Edit => (list) =>
  list.map((extension) => extension.type === type ? { type, body } : extension);

const SERVER_FAULTS: readonly [string, number, Edit, boolean?][] = [
  ["rrc without connection_id", ALERT.illegalParameter, without(EXTENSION.connectionId)],
  ["a connection_id cut short", ALERT.decodeError, replaced(EXTENSION.connectionId, Uint8Array.of(4, 1))],
  ["rrc with a body", ALERT.decodeError, replaced(EXTENSION.returnRoutabilityCheck, ID)],
  ["connection_id in a HelloRetryRequest", ALERT.illegalParameter, (e) => [...e, emitConnectionId(ID)], true],
];

for (const [name, alert, edit, isRetry] of SERVER_FAULTS) {
  Deno.test(`ClientHandshake refuses a server's hello with ${name}: ${alertName(alert)}`, () => {
    const change = serverEdit(edit, isRetry);
    const { client, clientFailure } = handshake("dtls", { client: offering, server: giving, change });
    assert.equal(clientFailure?.alert, alert, clientFailure?.reason);
    assert.equal(client.result, undefined);
  });
}

Deno.test("ClientHandshake that offers no connection ids refuses both extensions: unsupported_extension", () => {
  for (const extension of [emitConnectionId(ID), emitReturnRoutabilityCheck()]) {
    const { clientFailure } = handshake("dtls", { change: serverEdit((list) => [...list, extension]) });
    assert.equal(clientFailure?.alert, ALERT.unsupportedExtension);
  }
});

Deno.test("ServerHandshake refuses malformed connection_id and rrc, with decode_error", () => {
  for (
    const edit of [
      replaced(EXTENSION.connectionId, Uint8Array.of(4, 1)),
      replaced(EXTENSION.connectionId, concat(Uint8Array.of(0), ID)),
      replaced(EXTENSION.returnRoutabilityCheck, ID),
    ]
  ) {
    const { server } = handshake("dtls", { client: offering, server: giving, change: clientEdit(edit) });
    assert.equal(server.failure?.alert, ALERT.decodeError);
  }
});
