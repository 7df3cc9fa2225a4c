/** The server's look-up costs the same whoever asks: counted in compressions of SHA-256 and SHA-384, not in time. */

import assert from "node:assert/strict";
import { sha256, sha384 } from "@noble/hashes/sha2.js";
import { heapSecrets } from "../../../src/base/mod.ts";
import type { HashName } from "../../../src/crypto/suites.ts";
import { type LongTermKey, PskDirectory, pskOffers } from "../../../src/handshake/psk_directory.ts";
import { testEntropy } from "../flight/pipe.ts";
import { handshake } from "./machines.ts";

const keyOf = (fill: number): LongTermKey => ({ key: new Uint8Array(32).fill(fill) });
const CLIENTS = [1, 2, 3, 4, 5].map(keyOf);

/** How often the hashes' compression functions run in `work`. */
function compressions(work: () => void): number {
  let count = 0;
  const undo = [sha256, sha384].map((hash) => {
    let owner = Object.getPrototypeOf(hash.create());
    while (!Object.hasOwn(owner, "process")) owner = Object.getPrototypeOf(owner);
    const process = owner.process;
    owner.process = function (...args: unknown[]) {
      count++;
      return process.apply(this, args);
    };
    return () => void (owner.process = process);
  });
  try {
    work();
  } finally {
    undo.reverse().forEach((restore) => restore());
  }
  assert.ok(count > 0, "something was counted");
  return count;
}

function offerOf(key: LongTermKey, hash: HashName) {
  return pskOffers(key, "dtls", [hash === "sha256" ? 0x1301 : 0x1302], testEntropy(3))[0].identity;
}

for (const hash of ["sha256", "sha384"] as const) {
  Deno.test(`PskDirectory.lookup() does the same work for each client and for nobody, ${hash}`, () => {
    const directory = new PskDirectory("dtls", CLIENTS);
    const counts = [...CLIENTS, keyOf(9)].map((key, index) => {
      const identity = offerOf(key, hash);
      return compressions(() => {
        const [found] = directory.lookup(identity, hash);
        assert.equal(found?.clientIndex, index < CLIENTS.length ? index : undefined);
      });
    });
    assert.equal(new Set(counts).size, 1, counts.join());
  });
}

Deno.test("a server does the same work for an unknown name as for a wrong key, and is silent to both", () => {
  const server = CLIENTS.map(({ key }) => key);
  const counts = [
    // A known name with a wrong key: the identity of client 2 with the key of somebody else.
    { offers: pskOffers(keyOf(3), "dtls", [0x1301], testEntropy(1)), spoil: true },
    { offers: pskOffers(keyOf(99), "dtls", [0x1301], testEntropy(1)), spoil: false },
  ].map(({ offers, spoil }) => {
    if (spoil) offers[0].psk[0] ^= 1;
    let silent: boolean | undefined;
    const directory = new PskDirectory("dtls", server.map((key) => ({ key })));
    const count = compressions(() => {
      const result = handshake("dtls", {
        client: { offers, suites: [0x1301] },
        server: { lookup: (identity, hash) => directory.lookup(identity, hash) },
      });
      silent = result.server.failure?.silent;
    });
    assert.equal(silent, true);
    return count;
  });
  assert.equal(counts[0], counts[1]);
});

Deno.test("PskDirectory keeps what it needs in the given memory, and wipe() leaves zeros there", () => {
  const blocks: Uint8Array[] = [];
  const taken = new Set<Uint8Array>();
  const secrets = {
    take(len: number) {
      const block = heapSecrets.take(len);
      blocks.push(block);
      taken.add(block);
      return block;
    },
    give(block: Uint8Array) {
      assert.ok(taken.delete(block), "each block is given back once");
      heapSecrets.give(block);
    },
  };
  const directory = new PskDirectory(
    "dtls",
    [...CLIENTS, { ...keyOf(8), plainIdentity: new Uint8Array(3) }],
    secrets,
  );
  assert.equal(blocks.length, 12);
  assert.ok(blocks.every((block) => block.some((byte) => byte !== 0)));
  directory.wipe();
  assert.equal(taken.size, 0);
  assert.ok(blocks.every((block) => block.every((byte) => byte === 0)));
});
