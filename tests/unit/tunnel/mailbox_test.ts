import assert from "node:assert/strict";
import fc from "fast-check";
import { Mailbox } from "../../../src/tunnel/mailbox.ts";

interface Note {
  readonly n: number;
}

Deno.test("Mailbox.take() returns what post() was given, in order, as copies", () => {
  const mailbox = Mailbox.create<Note>(4096);
  const reader = new Mailbox<Note>(mailbox.buffer);
  const secret = new Uint8Array([1, 2, 3]);
  assert.equal(mailbox.post({ n: 1 }, secret, new Uint8Array(0)), true);
  assert.equal(mailbox.post({ n: 2 }), true);
  secret.fill(9);
  assert.deepEqual(reader.take(), { head: { n: 1 }, bytes: [new Uint8Array([1, 2, 3]), new Uint8Array(0)] });
  assert.deepEqual(reader.take(), { head: { n: 2 }, bytes: [] });
  assert.equal(reader.take(), undefined);
});

Deno.test("Mailbox.post() refuses what does not fit and leaves the rest alone", () => {
  const mailbox = Mailbox.create<Note>(256);
  assert.equal(mailbox.post({ n: 1 }, new Uint8Array(300)), false);
  let posted = 0;
  while (mailbox.post({ n: posted }, new Uint8Array(10))) posted++;
  assert.ok(posted >= 2 && posted < 20);
  for (let n = 0; n < posted; n++) assert.equal(mailbox.take()?.head.n, n);
  assert.equal(mailbox.take(), undefined);
});

Deno.test("Mailbox.take() wipes what was read", () => {
  const mailbox = Mailbox.create<Note>(1024);
  mailbox.post({ n: 7 }, new Uint8Array(64).fill(0xee));
  mailbox.take();
  assert.ok(new Uint8Array(mailbox.buffer, 8).every((byte) => byte === 0));
});

Deno.test("Mailbox carries any sequence of messages around its end", () => {
  fc.assert(fc.property(
    fc.array(
      fc.record({ parts: fc.array(fc.uint8Array({ maxLength: 90 }), { maxLength: 3 }), take: fc.boolean() }),
    ),
    (steps) => {
      const mailbox = Mailbox.create<Note>(512);
      const model: Uint8Array[][] = [];
      steps.forEach(({ parts, take }, n) => {
        if (mailbox.post({ n }, ...parts)) model.push(parts);
        if (take) {
          assert.deepEqual(mailbox.take()?.bytes.map((part) => [...part]), model.shift()?.map((p) => [...p]));
        }
      });
      while (model.length > 0) {
        assert.deepEqual(mailbox.take()?.bytes.map((p) => [...p]), model.shift()!.map((p) => [...p]));
      }
      assert.equal(mailbox.take(), undefined);
    },
  ));
});
