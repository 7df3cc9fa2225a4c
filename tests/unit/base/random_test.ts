import { deepEqual, equal, notDeepEqual, ok } from "node:assert/strict";
import { fromHex, toHex } from "../../../src/base/mod.ts";
import { chachaBlock, chachaState, SeededRandom, seedOf } from "../../../src/base/random.ts";

const words = (random: SeededRandom, count: number) => Array.from({ length: count }, () => random.u32());

Deno.test("chachaBlock() gives the block of RFC 8439 §2.3.2", () => {
  const state = chachaState(Uint8Array.from({ length: 32 }, (_, i) => i));
  state.set([1, 0x09000000, 0x4a000000, 0], 12);
  const block = new Uint32Array(16).fill(0xa5a5a5a5);
  chachaBlock(state, block);
  const bytes = new Uint8Array(64);
  block.forEach((word, i) => new DataView(bytes.buffer).setUint32(4 * i, word, true));
  equal(
    toHex(bytes),
    "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e" +
      "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
  );
});

Deno.test("SeededRandom.u32() gives the keystream of a zero key and nonce, RFC 8439 §A.1", () => {
  const random = new SeededRandom(new Uint8Array(32));
  const first = new Uint8Array(Uint32Array.from(words(random, 4)).buffer);
  equal(toHex(first), toHex(fromHex("76b8e0ada0f13d90405d6ae55386bd28")));
  random.seek(16);
  const second = new Uint8Array(Uint32Array.from(words(random, 4)).buffer);
  equal(toHex(second), toHex(fromHex("9f07e7be5551387a98ba977c732d080d")));
});

Deno.test("SeededRandom.seek() reaches any word that reading on reaches", () => {
  const reader = new SeededRandom(seedOf(1));
  const all = words(reader, 200);
  const seeker = new SeededRandom(seedOf(1));
  for (const index of [199, 0, 16, 15, 100, 31, 32, 17]) {
    seeker.seek(index);
    equal(seeker.u32(), all[index]);
  }
  seeker.seek(2 ** 40 + 15);
  const far = words(seeker, 2);
  seeker.seek(2 ** 40 + 16);
  equal(seeker.u32(), far[1]);
});

Deno.test("SeededRandom gives the same for the same seed, else something else", () => {
  deepEqual(words(new SeededRandom(seedOf(7)), 50), words(new SeededRandom(seedOf(7)), 50));
  notDeepEqual(words(new SeededRandom(seedOf(7)), 50), words(new SeededRandom(seedOf(8)), 50));
});

Deno.test("SeededRandom.unit() spreads evenly over [0, 1), below() over its count", () => {
  const random = new SeededRandom(seedOf(3));
  const bins = new Array(10).fill(0);
  let sum = 0;
  for (let i = 0; i < 100_000; i++) {
    const unit = random.unit();
    ok(unit >= 0 && unit < 1);
    sum += unit;
    bins[Math.floor(unit * 10)]++;
  }
  ok(Math.abs(sum / 100_000 - 0.5) < 0.005);
  for (const count of bins) ok(Math.abs(count - 10_000) < 500, `${bins}`); // 5 sd
  const seen = new Set(Array.from({ length: 1000 }, () => random.below(7)));
  deepEqual([...seen].sort(), [0, 1, 2, 3, 4, 5, 6]);
});
