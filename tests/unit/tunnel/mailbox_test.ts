import assert from "node:assert/strict";
import fc from "fast-check";
import { Mailbox, MAILBOX_HEADER_LEN } from "../../../src/tunnel/mailbox.ts";

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

Deno.test("Mailbox lives in a part of any memory and touches nothing beside it", () => {
  const buffer = new ArrayBuffer(64 + MAILBOX_HEADER_LEN + 128 + 64);
  const all = new Uint8Array(buffer).fill(0xa5);
  all.fill(0, 64, all.length - 64);
  const [writer, reader] = [1, 2].map(() => new Mailbox<Note>(buffer, 64, MAILBOX_HEADER_LEN + 128));
  for (let n = 0; n < 50; n++) {
    assert.ok(writer.post({ n }, new Uint8Array(40).fill(n)));
    assert.deepEqual(reader.take(), { head: { n }, bytes: [new Uint8Array(40).fill(n)] });
  }
  assert.ok(all.subarray(0, 64).every((byte) => byte === 0xa5));
  assert.ok(all.subarray(-64).every((byte) => byte === 0xa5));
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
