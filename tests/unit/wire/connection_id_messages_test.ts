import assert from "node:assert/strict";
import {
  CONNECTION_ID_USAGE,
  emitNewConnectionId,
  emitRequestConnectionId,
  parseNewConnectionId,
  parseRequestConnectionId,
} from "../../../src/wire/connection_id_messages.ts";

Deno.test("parseNewConnectionId() inverts emitNewConnectionId(), whatever the number and lengths of ids", () => {
  for (const lens of [[], [0], [8, 8, 8], [255, 1]]) {
    for (const usage of Object.values(CONNECTION_ID_USAGE)) {
      const message = { ids: lens.map((len, n) => new Uint8Array(len).fill(n + 1)), usage };
      assert.deepEqual(parseNewConnectionId(emitNewConnectionId(message)), message);
    }
  }
});

Deno.test("parseNewConnectionId() takes RFC 9147's layout, and nothing shorter, longer or of another usage", () => {
  const bytes = Uint8Array.of(0, 5, 1, 0xaa, 2, 0xbb, 0xcc, 1);
  const message = { ids: [Uint8Array.of(0xaa), Uint8Array.of(0xbb, 0xcc)], usage: 1 };
  assert.deepEqual(parseNewConnectionId(bytes), message);
  for (let len = 0; len < bytes.length; len++) {
    assert.equal(parseNewConnectionId(bytes.subarray(0, len)), undefined);
  }
  assert.equal(parseNewConnectionId(Uint8Array.of(...bytes, 0)), undefined);
  assert.equal(parseNewConnectionId(bytes.with(7, 2)), undefined);
  assert.equal(parseNewConnectionId(bytes.with(4, 3)), undefined, "an id beyond the list");
});

Deno.test("parseRequestConnectionId() takes exactly one byte", () => {
  for (const count of [1, 4, 255]) {
    assert.equal(parseRequestConnectionId(emitRequestConnectionId(count)), count);
  }
  for (const body of [[], [1, 1]]) assert.equal(parseRequestConnectionId(Uint8Array.from(body)), undefined);
});
