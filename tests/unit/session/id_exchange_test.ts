/** Spare connection ids: handed out, used, asked for, and what a peer may not do. */

import assert from "node:assert/strict";
import { IdExchange, SPARE_IDS } from "../../../src/session/id_exchange.ts";
import { CONNECTION_ID_USAGE, emitNewConnectionId } from "../../../src/wire/connection_id_messages.ts";
import { HANDSHAKE_TYPE } from "../../../src/wire/handshake_header.ts";

const LEN = 8;
const idOf = (n: number) => new Uint8Array(LEN).fill(n);

function source(most = Infinity) {
  let count = 0;
  const used: Uint8Array[] = [];
  return {
    issue: () => count < most ? idOf(++count) : undefined,
    used: (id: Uint8Array) => void used.push(id),
    close: () => count = -1,
    count: () => count,
  };
}

/** Sends all that `from` has to say to `to`, and has it acknowledged. */
function deliver(from: IdExchange, to: IdExchange): number[] {
  const types: number[] = [];
  for (let { message } = from; message !== undefined; message = from.message) {
    types.push(message.type);
    assert.ok(to.receive(message.type, message.body));
    from.sent();
  }
  return types;
}

const newIds = (usage: number, ...ids: Uint8Array[]) => emitNewConnectionId({ ids, usage });

Deno.test("IdExchange hands ids out, each is used once, and each that is used is asked for again", () => {
  const ids = source();
  const [giver, taker] = [new IdExchange(ids, 0), new IdExchange(undefined, LEN)];
  giver.offer(SPARE_IDS);
  assert.deepEqual(deliver(giver, taker), [HANDSHAKE_TYPE.newConnectionId]);
  const used: Uint8Array[] = [];
  for (let round = 0; round < 6; round++) {
    assert.equal(taker.spareCount, SPARE_IDS);
    used.push(taker.takeSpare()!);
    assert.deepEqual(deliver(taker, giver), [HANDSHAKE_TYPE.requestConnectionId]);
    assert.deepEqual(deliver(giver, taker), [HANDSHAKE_TYPE.newConnectionId]);
  }
  assert.deepEqual(used, [1, 2, 3, 4, 5, 6].map(idOf));
  assert.equal(ids.count(), SPARE_IDS + 6);
});

Deno.test("IdExchange.takeSpare() never asks a second time before the first request is fulfilled", () => {
  const taker = new IdExchange(undefined, LEN);
  taker.receive(HANDSHAKE_TYPE.newConnectionId, newIds(CONNECTION_ID_USAGE.spare, idOf(1), idOf(2)));
  assert.deepEqual([taker.takeSpare(), taker.takeSpare(), taker.takeSpare()], [idOf(1), idOf(2), undefined]);
  assert.deepEqual(taker.message, { type: HANDSHAKE_TYPE.requestConnectionId, body: Uint8Array.of(3) });
  taker.sent();
  assert.equal(taker.takeSpare(), undefined);
  assert.equal(taker.message, undefined);
  taker.receive(HANDSHAKE_TYPE.newConnectionId, newIds(CONNECTION_ID_USAGE.spare, idOf(3)));
  assert.deepEqual(taker.takeSpare(), idOf(3));
  assert.notEqual(taker.message, undefined);
});

Deno.test("IdExchange.receive() of an id for immediate use forgets those before, and says so", () => {
  const taker = new IdExchange(undefined, LEN);
  taker.receive(HANDSHAKE_TYPE.newConnectionId, newIds(CONNECTION_ID_USAGE.spare, idOf(1), idOf(2)));
  assert.equal(taker.mustChange, false);
  taker.receive(HANDSHAKE_TYPE.newConnectionId, newIds(CONNECTION_ID_USAGE.immediate, idOf(3)));
  assert.equal(taker.mustChange, true);
  assert.deepEqual(taker.takeSpare(), idOf(3));
});

Deno.test("IdExchange.receive() keeps few ids, and none of another length", () => {
  const taker = new IdExchange(undefined, LEN);
  const other = newIds(
    CONNECTION_ID_USAGE.immediate,
    new Uint8Array(7),
    new Uint8Array(0),
    new Uint8Array(9),
  );
  assert.ok(taker.receive(HANDSHAKE_TYPE.newConnectionId, other));
  assert.deepEqual([taker.spareCount, taker.mustChange], [0, false]);
  const many = newIds(CONNECTION_ID_USAGE.spare, ...Array.from({ length: 100 }, (_, n) => idOf(n)));
  taker.receive(HANDSHAKE_TYPE.newConnectionId, many);
  assert.equal(taker.spareCount, SPARE_IDS);
});

Deno.test("IdExchange.receive() gives at most SPARE_IDS to a request, and keeps few answers waiting", () => {
  const ids = source();
  const giver = new IdExchange(ids, 0);
  for (let n = 0; n < 100; n++) {
    assert.ok(giver.receive(HANDSHAKE_TYPE.requestConnectionId, Uint8Array.of(255)));
  }
  assert.ok(ids.count() <= 4 * SPARE_IDS, `${ids.count()} ids made`);
});

Deno.test("IdExchange answers a request by what its source gives, by an empty list if that is nothing", () => {
  const [giver, taker] = [new IdExchange(source(SPARE_IDS + 1), 0), new IdExchange(undefined, LEN)];
  giver.offer(SPARE_IDS);
  deliver(giver, taker);
  for (const spares of [SPARE_IDS, SPARE_IDS - 1, SPARE_IDS - 2]) {
    assert.notEqual(taker.takeSpare(), undefined);
    assert.deepEqual(deliver(taker, giver), [HANDSHAKE_TYPE.requestConnectionId]);
    assert.deepEqual(deliver(giver, taker), [HANDSHAKE_TYPE.newConnectionId]);
    assert.equal(taker.spareCount, spares);
  }
});

Deno.test("IdExchange.receive() takes nothing that was not agreed on, nothing malformed, no other message", () => {
  const none = new IdExchange(undefined, 0);
  const spare = newIds(CONNECTION_ID_USAGE.spare, idOf(1));
  assert.equal(none.receive(HANDSHAKE_TYPE.newConnectionId, spare), false);
  assert.equal(none.receive(HANDSHAKE_TYPE.requestConnectionId, Uint8Array.of(1)), false);
  const both = new IdExchange(source(), LEN);
  assert.equal(both.receive(HANDSHAKE_TYPE.newConnectionId, spare.subarray(1)), false);
  assert.equal(both.receive(HANDSHAKE_TYPE.requestConnectionId, new Uint8Array(2)), false);
  assert.equal(both.receive(HANDSHAKE_TYPE.keyUpdate, Uint8Array.of(0)), false);
});
