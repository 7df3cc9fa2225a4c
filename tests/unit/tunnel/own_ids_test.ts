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

Deno.test("OwnIds.issue() makes a new id each time, all of them lead to the session", () => {
  const { entries, io } = table();
  const first = newConnectionId(testEntropy(1));
  const ids = new OwnIds(io, testEntropy(2), 42, first);
  const all = [first, ...Array.from({ length: IDS_MAX - 1 }, () => ids.issue())];
  assert.equal(new Set(all.map(toHex)).size, IDS_MAX);
  assert.ok(all.every((id) => id.length === CONNECTION_ID_LEN && entries.get(toHex(id)) === 42));
});

Deno.test("OwnIds.issue() lets the oldest go when there are IDS_MAX, OwnIds.close() all", () => {
  const { entries, io } = table();
  const first = newConnectionId(testEntropy(1));
  const ids = new OwnIds(io, testEntropy(2), 42, first);
  const second = ids.issue();
  for (let i = 0; i < IDS_MAX - 1; i++) ids.issue();
  assert.equal(entries.size, IDS_MAX);
  assert.equal(ids.count, IDS_MAX);
  assert.equal(entries.has(toHex(first)), false);
  assert.equal(entries.has(toHex(second)), true);
  ids.close();
  assert.equal(entries.size, 0);
});
