import assert from "node:assert/strict";
import { PresharedKey } from "../../../src/config/mod.ts";
import { checkClientHello } from "../../../src/handshake/client_hello_checks.ts";
import { buildClientHello } from "../../../src/handshake/client_hello_builder.ts";
import { PskDirectory, pskOffers } from "../../../src/handshake/psk_directory.ts";
import { hasAesInstructions, longTermKeyOf, policyOf } from "../../../src/tunnel/policy.ts";
import { KEY, testEntropy } from "../flight/pipe.ts";

const GROUPS = ["x25519"] as const;

Deno.test("policyOf() puts first what the CPU does fast, and keeps an order that was given", () => {
  assert.deepEqual(policyOf({ suites: undefined, groups: GROUPS }, true).suites, [0x1301, 0x1302, 0x1303]);
  assert.deepEqual(policyOf({ suites: undefined, groups: GROUPS }, false).suites, [0x1303, 0x1301, 0x1302]);
  const given = ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] as const;
  for (const hasAes of [false, true]) {
    assert.deepEqual(policyOf({ suites: given, groups: GROUPS }, hasAes), {
      suites: [0x1302, 0x1303],
      groups: [0x1d],
      yieldsToChaCha: false,
    });
  }
});

Deno.test("hasAesInstructions() reads the flags of x86 and the features of ARM", () => {
  const x86 = (flags: string) =>
    `processor\t: 0\nmodel name\t: A CPU with aes\nflags\t\t: fpu ${flags} sse\n`;
  const arm = (features: string) =>
    `processor\t: 0\nFeatures\t: fp asimd ${features} crc32\nCPU part\t: 0xd03\n`;
  assert.ok(hasAesInstructions(x86("aes pclmulqdq")));
  assert.ok(!hasAesInstructions(x86("vaes2")));
  assert.ok(!hasAesInstructions(x86("aes")));
  assert.ok(hasAesInstructions(arm("aes pmull sha1")));
  assert.ok(!hasAesInstructions(arm("")));
  assert.ok(hasAesInstructions(undefined));
  assert.ok(hasAesInstructions("processor : 0\n"));
});

Deno.test("a server without an order of its own takes ChaCha20 if one side puts it first", () => {
  const chosen = (server: boolean, client: boolean) => {
    const policy = { protocol: "dtls", ...policyOf({ suites: undefined, groups: GROUPS }, server) } as const;
    const offered = { protocol: "dtls", ...policyOf({ suites: undefined, groups: GROUPS }, client) } as const;
    const offers = pskOffers({ key: KEY }, "dtls", offered.suites, testEntropy(1));
    const parts = {
      policy: offered,
      random: new Uint8Array(32),
      shares: [],
      cookie: undefined,
      offers,
      unit: 0,
    };
    const checked = checkClientHello(policy, buildClientHello(parts, undefined));
    assert.ok("suite" in checked);
    return checked.suite;
  };
  assert.deepEqual(
    [chosen(true, true), chosen(true, false), chosen(false, true), chosen(false, false)],
    [0x1301, 0x1303, 0x1303, 0x1303],
  );
});

Deno.test("longTermKeyOf() hides the name, unless the configuration wants it plain; version 0 has none", () => {
  const key = new PresharedKey(KEY);
  const entry = { name: "laptop", key, protocol: "v1", identity: "hidden" } as const;
  const name = new TextEncoder().encode("laptop");
  assert.deepEqual(longTermKeyOf(entry), { key: KEY });
  assert.equal(longTermKeyOf(entry).key, key.view(), "not a copy");
  assert.deepEqual(longTermKeyOf({ ...entry, identity: "plain" }), { key: KEY, plainIdentity: name });
  assert.deepEqual(longTermKeyOf({ ...entry, protocol: "v0" }), {
    key: KEY,
    plainIdentity: new Uint8Array(0),
  });
});

Deno.test("a key with a plain identity goes as it is under ext binder, and names its owner in clear", () => {
  const entry = { name: "laptop", key: new PresharedKey(KEY), protocol: "v1", identity: "plain" } as const;
  const [offer] = pskOffers(longTermKeyOf(entry), "dtls", [0x1301, 0x1302], testEntropy(1));
  assert.deepEqual([new TextDecoder().decode(offer.identity), offer.binder], ["laptop", "external"]);
  assert.deepEqual(offer.psk, KEY);
  const directory = new PskDirectory("dtls", [{ key: new Uint8Array(32) }, longTermKeyOf(entry)]);
  assert.equal(directory.lookup(offer.identity, "sha256").at(-1)?.clientIndex, 1);
  assert.deepEqual(directory.lookup(offer.identity, "sha384"), []);
});
