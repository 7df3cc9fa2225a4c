/** Mutated configurations: what comes of them is a configuration or a ConfigError, nothing else. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { contextOf } from "../../src/config/common.ts";
import { clientConfig } from "../../src/config/client_config.ts";
import { ConfigError, estimateBits, formatKey, parseKey, parsePassword } from "../../src/config/mod.ts";
import type { Override } from "../../src/config/reading.ts";
import { serverConfig } from "../../src/config/server_config.ts";
import { CLIENT_SETTINGS, SERVER_CLIENT_SETTINGS, SERVER_SETTINGS } from "../../src/config/settings.ts";
import { parseToml } from "../../src/config/toml_source.ts";

const FUZZ_RUNS = Number(Deno.env.get("FUZZ_RUNS") ?? 3000);
const CLIENT = Deno.readTextFileSync(new URL("../../examples/client.toml", import.meta.url));
const SERVER = Deno.readTextFileSync(new URL("../../examples/server.toml", import.meta.url));
const PIECES = [
  ...Object.keys(CLIENT_SETTINGS),
  ...Object.keys(SERVER_SETTINGS),
  ...[
    "[",
    "]",
    "[[client]]",
    '"""',
    "'''",
    "=",
    "\n",
    "{",
    "}",
    "inf",
    "nan",
    "1979-05-27",
    "0x7f",
    "\\u0000",
    "__proto__",
  ],
  ...[
    "[constructor]",
    'toString = "x"',
    "-1",
    "1e400",
    "9".repeat(30),
    '"1 Mbit/s"',
    "[".repeat(5000),
    "é",
    "\ud800",
  ],
];

/** `text` with pieces put in, cut out and characters exchanged. */
function mutated(text: string): fc.Arbitrary<string> {
  const edit = fc.record({
    at: fc.nat(text.length),
    cut: fc.nat(12),
    put: fc.oneof(fc.constantFrom(...PIECES), fc.string({ unit: "binary", maxLength: 8 })),
  });
  return fc.array(edit, { maxLength: 8 }).map((edits) =>
    edits.reduce((now, { at, cut, put }) => now.slice(0, at) + put + now.slice(at + cut), text)
      .replaceAll(/["']-["']/g, '"+"') // "-" would read standard input
  );
}

function overrides(keys: readonly string[]): fc.Arbitrary<Map<string, Override>> {
  const texts = fc.array(fc.oneof(fc.string(), fc.constantFrom("true", "1", "1 s", "12%", "a,b")), {
    maxLength: 3,
  });
  return fc.array(fc.tuple(fc.oneof(fc.constantFrom(...keys), fc.string()), texts), { maxLength: 4 })
    .map((pairs) =>
      new Map(pairs.map(([key, texts]) => {
        return [key, { texts: texts.filter((text) => text !== "-"), flag: `--set ${key}` }];
      }))
    );
}

function onlyConfigErrors(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    assert.ok(error.problems.length > 0 && error.message !== "");
  }
}

const FORWARD = `[[forward]]\nlisten = "127.0.0.1:80"\nto = "a.example:80"\ndirection = "local"\n`;

Deno.test("clientConfig() answers every text and every flag with a configuration or a ConfigError", () => {
  const keys = Object.keys(CLIENT_SETTINGS);
  fc.assert(
    fc.property(mutated(CLIENT + FORWARD), overrides(keys), (text, flags) => {
      onlyConfigErrors(() => clientConfig(parseToml(text, "c.toml"), flags, contextOf(undefined, undefined)));
    }),
    { numRuns: 3000 },
  );
});

Deno.test("serverConfig() answers every text and every flag with a configuration or a ConfigError", () => {
  const keys = [
    ...Object.keys(SERVER_SETTINGS),
    ...Object.keys(SERVER_CLIENT_SETTINGS).map((key) => `client.laptop.${key}`),
  ];
  fc.assert(
    fc.property(mutated(SERVER), overrides(keys), (text, flags) => {
      onlyConfigErrors(() => serverConfig(parseToml(text, "s.toml"), flags, contextOf(undefined, undefined)));
    }),
    { numRuns: 3000 },
  );
});

/** Bytes of a file, by chance or near to a good one. */
function bytesNear(good: string): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.string().map((text) => new TextEncoder().encode(good.slice(0, 11) + text)),
    fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 }).map((changes) => {
      const bytes = new TextEncoder().encode(good);
      for (const [at, byte] of changes) bytes[at] = byte;
      return bytes;
    }),
  );
}

/** Nothing but a RangeError comes of `read`, and its message shows none of `secret`. */
function onlyRangeErrors(read: () => unknown, secret: string): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    assert.ok(!error.message.includes(secret), error.message);
  }
}

Deno.test("parseKey() answers every file with a key or a RangeError", () => {
  const good = formatKey(new Uint8Array(32).map((_, i) => 7 * i));
  const runs = fc.property(bytesNear(good), (bytes) => {
    onlyRangeErrors(
      () => assert.equal(formatKey(parseKey(bytes).bytes()).length, good.length),
      good.slice(20, 30),
    );
  });
  fc.assert(runs, { numRuns: FUZZ_RUNS });
});

Deno.test("parsePassword() and estimateBits() answer every file with a phrase or a RangeError", () => {
  const good = `tree-horse-19-battery\nsalt = "${"A".repeat(22)}"\n`;
  const runs = fc.property(bytesNear(good), (bytes) => {
    onlyRangeErrors(() => {
      const { password, salt } = parsePassword(bytes);
      const bits = estimateBits(password);
      assert.ok(password.length > 0 && bits >= 0 && bits <= 8 * password.length, `${bits}`);
      assert.ok(salt === undefined || salt.length === 16);
    }, "horse");
  });
  fc.assert(runs, { numRuns: FUZZ_RUNS });
});
