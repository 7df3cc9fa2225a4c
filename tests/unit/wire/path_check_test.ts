import assert from "node:assert/strict";
import { emitPathMessage, parsePathMessage, PATH_MESSAGE } from "../../../src/wire/path_check.ts";

const COOKIE = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

Deno.test("parsePathMessage() inverts emitPathMessage()", () => {
  for (const type of Object.values(PATH_MESSAGE)) {
    const bytes = emitPathMessage(type, COOKIE);
    assert.deepEqual(bytes, Uint8Array.of(type, ...COOKIE));
    assert.deepEqual(parsePathMessage(bytes), { type, cookie: COOKIE });
  }
});

Deno.test("parsePathMessage() refuses other lengths, and passes over types of the future", () => {
  const bytes = emitPathMessage(PATH_MESSAGE.challenge, COOKIE);
  for (let len = 0; len < bytes.length; len++) {
    assert.equal(parsePathMessage(bytes.subarray(0, len)), undefined);
  }
  assert.equal(parsePathMessage(Uint8Array.of(...bytes, 0)), undefined);
  for (const type of [3, 100, 255]) assert.equal(parsePathMessage(Uint8Array.of(type, 1, 2)), "unknown");
});
