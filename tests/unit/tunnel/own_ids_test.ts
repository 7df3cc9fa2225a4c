/** Ids that a session's peer may use, and the table that they stand in. */

import assert from "node:assert/strict";
import { toHex } from "../../../src/base/mod.ts";
import type { PacketIo } from "../../../src/ports/mod.ts";
import { CONNECTION_ID_LEN, IDS_MAX, newConnectionId, OwnIds } from "../../../src/tunnel/own_ids.ts";
import { testEntropy } from "../flight/pipe.ts";

function table() {
  const entries = new Map<string, number>();
  const io = {
    setPeerOfId: (id: Uint8Array, peer: number) =>
      void (peer < 0 ? entries.delete(toHex(id)) : entries.set(toHex(id), peer)),
  };
  return { entries, io: io as unknown as PacketIo };
}

function issueAll(ids: OwnIds): Uint8Array[] {
  const issued: Uint8Array[] = [];
  for (let id = ids.issue(); id !== undefined; id = ids.issue()) issued.push(id);
  return issued;
}

Deno.test("OwnIds.issue() makes a new id each time, all of them lead to the session, and no more than IDS_MAX", () => {
  const { entries, io } = table();
  const first = newConnectionId(testEntropy(1));
  const ids = new OwnIds(io, testEntropy(2), 42, first);
  const all = [first, ...issueAll(ids)];
  assert.equal(new Set(all.map(toHex)).size, IDS_MAX);
  assert.ok(all.every((id) => id.length === CONNECTION_ID_LEN && entries.get(toHex(id)) === 42));
  assert.equal(entries.size, IDS_MAX);
  ids.close();
  assert.equal(entries.size, 0);
});

Deno.test("OwnIds.issue() lets those go that are older than the one in use, the oldest first, and no other", () => {
  const { entries, io } = table();
  const first = newConnectionId(testEntropy(1));
  const ids = new OwnIds(io, testEntropy(2), 42, first);
  const [second, third] = issueAll(ids);
  ids.used(third);
  ids.used(second); // a record that comes late
  ids.used(newConnectionId(testEntropy(3))); // of another session
  const isThere = () => [first, second, third].map((id) => entries.has(toHex(id)));
  assert.deepEqual(isThere(), [true, true, true], "nobody needs their places");
  assert.notEqual(ids.issue(), undefined);
  assert.deepEqual(isThere(), [false, true, true]);
  assert.equal(issueAll(ids).length, 1);
  assert.deepEqual(isThere(), [false, false, true]);
  assert.deepEqual([entries.size, ids.count], [IDS_MAX, IDS_MAX]);
  ids.close();
  assert.equal(entries.size, 0);
});
