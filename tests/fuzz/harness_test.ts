/** The fuzzer finds what it is there to find. */

import assert from "node:assert/strict";
import { fuzz, FuzzFailure, type FuzzTarget } from "./harness.ts";
import { Mutator } from "./mutator.ts";
import { TARGETS } from "./targets/mod.ts";

const SAMPLE = new TextEncoder().encode("length 04 abcd");
const broken = (read: FuzzTarget["read"]): FuzzTarget => ({ name: "broken", samples: () => [SAMPLE], read });

Deno.test("fuzz() finds a reader that throws, and shortens what makes it throw", () => {
  const target = broken((input) => {
    if (input.length > 3 && input[2] === 0xff) throw new RangeError("out of bounds");
    return 0;
  });
  assert.throws(() => fuzz(target, 20_000, 1, []), (error) => {
    assert.ok(error instanceof FuzzFailure && error.message.includes("FUZZ_SEED=1"));
    assert.equal(error.input.length, 4);
    return true;
  });
});

Deno.test("fuzz() finds a reader that changes its input", () => {
  assert.throws(() => fuzz(broken((input) => input.fill(0).length), 10, 1, []), /changed byte 0/);
});

Deno.test("fuzz() reads the corpus first", () => {
  const target = broken((input) => {
    if (input.length === 200) throw new Error("seen before");
    return 0;
  });
  assert.throws(() => fuzz(target, 0, 1, [new Uint8Array(200)]), /seen before/);
});

Deno.test("fuzz() goes deeper by inputs that gave a new answer", () => {
  const magic = [0x51, 0x7e, 0xab, 0x33];
  const matching = (input: Uint8Array) => magic.findIndex((byte, index) => input[index] !== byte);
  const { answers, found } = fuzz(broken(matching), 300_000, 1, []);
  assert.equal(answers, 5, "four bytes were found one after the other");
  assert.equal(found.length, 4);
});

Deno.test("Mutator.next() keeps to its length, and gives the same for the same seed", () => {
  const [a, b] = [new Mutator(3, 20, [SAMPLE]), new Mutator(3, 20, [SAMPLE])];
  const lens = new Set<number>();
  for (let i = 0; i < 5000; i++) {
    const input = a.next(SAMPLE, SAMPLE);
    assert.ok(input.length <= 20);
    assert.deepEqual(b.next(SAMPLE, SAMPLE), input);
    lens.add(input.length);
  }
  assert.equal(lens.size, 21);
});

Deno.test("names of targets are different, and each corpus belongs to one", () => {
  const names = new Set(TARGETS.map(({ name }) => name));
  assert.equal(names.size, TARGETS.length);
  for (const { name } of Deno.readDirSync(new URL("corpus/", import.meta.url))) {
    assert.ok(names.has(name.replace(/\.hex$/, "")), `${name} belongs to a target`);
  }
});
