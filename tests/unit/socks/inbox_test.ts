/** The bytes between a stream and its socket, against a plain list. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { BufferPool } from "../../../src/mux/byte_ring.ts";
import { Inbox } from "../../../src/socks/inbox.ts";

Deno.test("Inbox gives what was put in, once and in order, and holds nothing in the end", () => {
  const step = fc.option(fc.oneof(fc.nat(50), fc.nat(150_000)));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const pool = new BufferPool(1 << 20);
      const inbox = new Inbox(pool);
      const source = Uint8Array.from({ length: 150_003 }, (_, i) => i * 7 + (i >> 8));
      let [putLen, gotLen] = [0, 0];
      const expected: number[] = [];
      const take = () => {
        const bytes = inbox.take();
        if (bytes === undefined) return false;
        ok(bytes.length > 0 && bytes.length <= 65_536);
        equal([...bytes], expected.slice(gotLen, gotLen + bytes.length));
        gotLen += bytes.length;
        return true;
      };
      for (const len of steps) {
        if (len === null) take();
        else {
          inbox.put(source, 3, len);
          for (const byte of source.subarray(3, 3 + len)) expected.push(byte);
          putLen += len;
        }
      }
      while (take());
      equal(gotLen, putLen);
      equal(pool.used, 0);
    }),
    { numRuns: 20 },
  );
});

Deno.test("Inbox leaves what it gave as it was until the next call, also when all else is dropped", () => {
  const pool = new BufferPool(1 << 20);
  const inbox = new Inbox(pool);
  inbox.put(Uint8Array.of(1, 2, 3), 0, 3);
  const given = inbox.take()!;
  inbox.put(new Uint8Array(100_000).fill(9), 0, 100_000);
  inbox.clear();
  const others = [2048, 4096, 65_536].map((len) => pool.take(len).fill(7));
  equal([...given], [1, 2, 3]);
  ok(others.every(({ buffer }) => buffer !== given.buffer));
  equal(inbox.take(), undefined);
});
