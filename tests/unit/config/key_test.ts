import assert from "node:assert/strict";
import type { SecretMemory } from "../../../src/base/mod.ts";
import {
  formatKey,
  loadClientConfig,
  parseKey as parseKeyBytes,
  PresharedKey,
} from "../../../src/config/mod.ts";
import { inFolder, problemOf } from "./fixture.ts";

const KEY = Uint8Array.from({ length: 32 }, (_, i) => 3 * i + 200);
const TEXT = formatKey(KEY);
const parseKey = (text: string) => parseKeyBytes(new TextEncoder().encode(text));

Deno.test("parseKey() reads what formatKey() writes, white space around it or not", () => {
  assert.deepEqual(parseKey(TEXT).bytes(), KEY);
  assert.deepEqual(parseKey(`  ${TEXT}\r\n`).bytes(), KEY);
  // Computed with: printf %s i405-key-1:AAAA… | sha256sum
  assert.equal(formatKey(new Uint8Array(32)), `i405-key-1:${"A".repeat(43)}.6c6d`);
});

Deno.test("parseKey() refuses each change of a character, and shows nothing of the text", () => {
  for (let i = 0; i < TEXT.length; i++) {
    for (const char of ["A", "b", "0", "-", " "]) {
      if (TEXT[i] === char) continue;
      const wrong = TEXT.slice(0, i) + char + TEXT.slice(i + 1);
      assert.throws(() => parseKey(wrong), (error: unknown) => {
        return error instanceof RangeError && !error.message.includes(TEXT.slice(15, 25));
      }, wrong);
    }
  }
});

Deno.test("parseKey() says what is wrong: nothing, no key, cut, of another length", () => {
  assert.throws(() => parseKey(" \n"), /there is no key in it; make one with `i405 keygen`/);
  assert.throws(() => parseKey("hunter2"), /a key starts with "i405-key-1:"/);
  assert.throws(() => parseKey(TEXT.slice(0, -1)), /43 characters, a dot and 4 digits; copy it whole/);
  assert.throws(() => parseKey("i405-key-1:AAAA.0000"), /the key has 3 bytes instead of 32/);
  // Found by fuzzing: no base64 has 4 n + 1 characters, and decoding one threw a TypeError.
  assert.throws(() => parseKey("i405-key-1:AAAAA.0000"), RangeError);
});

Deno.test("PresharedKey shows itself nowhere, gives copies and can be wiped", () => {
  const key = new PresharedKey(KEY);
  assert.equal(
    `${key} ${JSON.stringify({ key })} ${Deno.inspect({ key })}`,
    `[key] {"key":"[key]"} { key: [key] }`,
  );
  key.bytes().fill(0);
  assert.deepEqual(key.bytes(), KEY);
  assert.ok(key.equals(new PresharedKey(KEY)));
  key.wipe();
  assert.deepEqual(key.bytes(), new Uint8Array(32));
  assert.ok(!key.equals(new PresharedKey(KEY)));
});

Deno.test(
  "loadClientConfig() refuses key files that are missing, exposed, somebody else's or no key",
  inFolder((folder) => {
    const load = () => loadClientConfig(folder.write("c.toml", `[tunnel]\npeer = "a"\nkey_file = "a.key"\n`));
    const where = `c.toml:3: tunnel.key_file = "a.key": `;
    assert.equal(
      problemOf(load),
      `${where}there is no file a.key; check the path (relative ones start at the configuration's folder)`,
    );
    folder.write("a.key", TEXT, 0o640);
    assert.equal(
      problemOf(load),
      `${where}a.key can be read by others (mode 0640); make it private with: chmod 600 a.key`,
    );
    folder.write("a.key", "i405-key-1:AAAA.0000", 0o600);
    assert.equal(
      problemOf(load),
      `${where}the key has 3 bytes instead of 32; copy it whole or make one with \`i405 keygen\``,
    );
    folder.write("a.key", TEXT, 0o600);
    assert.deepEqual(load().key.bytes(), KEY);
    Deno.symlinkSync(folder.path("a.key"), folder.path("link"));
    folder.write("l.toml", `[tunnel]\npeer = "a"\nkey_file = "link"\n`);
    assert.equal(
      problemOf(() => loadClientConfig(folder.path("l.toml"))),
      'l.toml:3: tunnel.key_file = "link": link is a symbolic link; name the file itself',
    );
    folder.write("l.toml", `[tunnel]\npeer = "a"\nkey_file = "/dev/null"\n`);
    assert.match(problemOf(() => loadClientConfig(folder.path("l.toml"))), /\/dev\/null is not a file/);
    if (Deno.uid() !== 0) return;
    Deno.chownSync(folder.path("a.key"), 4321, 4321);
    assert.equal(
      problemOf(load),
      `${where}a.key belongs to another user (uid 4321); make it yours with: chown 0 a.key`,
    );
    Deno.env.set("SUDO_UID", "4321");
    try {
      assert.deepEqual(load().key.bytes(), KEY);
    } finally {
      Deno.env.delete("SUDO_UID");
    }
  }),
);

Deno.test(
  "loadClientConfig() takes a key in a private file, and from the command line with a warning",
  inFolder((folder) => {
    const text = `[tunnel]\npeer = "a"\nkey = "${TEXT}"\n`;
    assert.deepEqual(loadClientConfig(folder.write("c.toml", text, 0o600)).key.bytes(), KEY);
    assert.equal(
      problemOf(() => loadClientConfig(folder.write("c.toml", text, 0o644))),
      "c.toml:3: tunnel.key: the file holds a key, but c.toml can be read by others (mode 0644); make it private with: chmod 600 c.toml",
    );
    const flag = { texts: [TEXT], flag: "--tunnel-key" };
    const config = loadClientConfig(
      folder.write("d.toml", `[tunnel]\npeer = "a"\n`),
      new Map([["tunnel.key", flag]]),
    );
    assert.deepEqual(config.key.bytes(), KEY);
    assert.deepEqual(config.warnings, [
      "--tunnel-key: a key on the command line can be seen by every user of this machine; use key_file",
    ]);
    for (const wrong of [TEXT.slice(0, 30), `${TEXT}x`]) {
      const message = problemOf(() =>
        loadClientConfig(folder.path("d.toml"), new Map([["tunnel.key", { ...flag, texts: [wrong] }]]))
      );
      assert.ok(!message.includes(TEXT.slice(15, 25)), message);
    }
    assert.equal(
      problemOf(() => loadClientConfig(folder.write("c.toml", `${text}key_file = "a"\n`, 0o600))),
      "c.toml:3: tunnel.key: there are both key and key_file; leave one out",
    );
  }),
);

Deno.test(
  "loadClientConfig() puts the key where it is told to, and leaves no other block of it",
  inFolder((folder) => {
    folder.write("a.key", TEXT, 0o600);
    const taken: Uint8Array[] = [];
    const secrets: SecretMemory = {
      take: (len) => taken[taken.push(new Uint8Array(len)) - 1],
      give: (block) => void block.fill(0),
    };
    const path = folder.write("c.toml", `[tunnel]\npeer = "a"\nkey_file = "a.key"\n`);
    const { key } = loadClientConfig(path, new Map(), secrets);
    const holding = taken.filter((block) => block.some((byte) => byte !== 0));
    assert.equal(holding.length, 1);
    assert.equal(holding[0], key.view());
    key.wipe();
    assert.ok(taken.every((block) => block.every((byte) => byte === 0)));
  }),
);

Deno.test(
  "loadClientConfig() shows no key in a message, wherever one was written",
  inFolder((folder) => {
    for (const line of [`name = "${TEXT}"`, `"${TEXT}" = 1`, `peer = "${TEXT}"`, `["${TEXT}"]`]) {
      const message = problemOf(() => loadClientConfig(folder.write("c.toml", `[tunnel]\n${line}\n`)));
      assert.ok(!message.includes(TEXT.slice(15, 25)), message);
    }
    const pasted = problemOf(() => loadClientConfig(folder.write("c.toml", `[tunnel]\npeer = "${TEXT}"\n`)));
    assert.match(pasted, /tunnel\.peer = "i405-key-1:\[hidden\]/);
  }),
);
