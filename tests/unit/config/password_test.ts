import assert from "node:assert/strict";
import { scryptSync } from "node:crypto";
import fc from "fast-check";
import { estimateBits, loadClientConfig, loadServerConfig, makePassword } from "../../../src/config/mod.ts";
import { makeSalt, parsePassword, parseSalt } from "../../../src/config/password.ts";
import { inFolder, problemOf } from "./fixture.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const bitsOf = (text: string) => estimateBits(encode(text));

const PHRASE = "vapor-lurk-plaza-omit-drizzle-cobweb-hunk";
const SALT = "AAECAwQFBgcICQoLDA0ODw";

Deno.test("estimateBits() calls what people choose weak", () => {
  const weak = [
    ...["hunter2", "correct horse battery staple", "Tr0ub4dor&3", "qwertyuiopasdfghjklzxcvbnm1234567890"],
    ...["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"],
    ...["password password password password password password", "2024-01-01 2024-01-02 2024-01-03"],
    ...["MySecretPassword2024!", "one two three four five"],
    ...["donaudampfschifffahrtsgesellschaft", "ünglaublich"],
  ];
  for (const text of weak) assert.ok(bitsOf(text) < 80, `${text}: ${bitsOf(text)}`);
});

Deno.test("estimateBits() calls what dice, generators and long phrases give strong", () => {
  const strong = [
    ...[PHRASE, "k3jf9-x82nq-p4vzt-7wmrd", "Zq8!fT#2vLp9@wXk", "9f86d081884c7d659a2feaa0c55ad015"],
    ...["xkqzjvwpfhtbnmdgrlcs", "vapor lurk plaza omit drizzle cobweb hunk"],
  ];
  for (const text of strong) assert.ok(bitsOf(text) >= 80, `${text}: ${bitsOf(text)}`);
});

Deno.test("estimateBits() never falls by another random part, and is never above a byte's worth each", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), fc.string({ minLength: 1 }), (any, more) => {
    const bits = estimateBits(any);
    assert.ok(bits >= 0 && bits <= 8 * any.length);
    const longer = estimateBits(Uint8Array.from([...any, 0x20, ...encode(more)]));
    assert.ok(longer >= bits);
  }));
});

Deno.test("makePassword() is strong enough each time", () => {
  for (let i = 0; i < 2000; i++) {
    const text = makePassword();
    assert.match(text, /^([2-9a-km-z]{4}-){5}[2-9a-km-z]{4}$/);
    assert.ok(bitsOf(text) >= 80, `${text}: ${bitsOf(text)}`);
  }
});

Deno.test("parsePassword() takes one line, and a salt behind it", () => {
  const parse = (text: string) => {
    const { password, salt } = parsePassword(encode(text));
    return [new TextDecoder().decode(password), salt === undefined ? undefined : [...salt]];
  };
  const salt = Array.from({ length: 16 }, (_, i) => i);
  assert.deepEqual(parse("a b "), ["a b ", undefined]);
  assert.deepEqual(parse("a b\r\n"), ["a b", undefined]);
  assert.deepEqual(parse(`a b\nsalt = "${SALT}"\n`), ["a b", salt]);
  assert.deepEqual(parse(`a b\r\n salt="${SALT}"\r\n\r\n`), ["a b", salt]);
  for (const text of ["", "\n", `\nsalt = "${SALT}"`]) {
    assert.throws(() => parse(text), /there is no pass phrase/);
  }
  for (const rest of ["x", `salt = "${SALT}`, `salt = "${SALT}A"`, `salt = "${SALT}"\nx`, `salt = "short"`]) {
    assert.throws(() => parse(`secret\n${rest}`), /behind the pass phrase there may be one line/);
  }
});

Deno.test("parseSalt() takes what makeSalt() gives and nothing that is written in another way", () => {
  assert.equal(parseSalt(makeSalt())?.length, 16);
  for (const text of ["", SALT.slice(1), `${SALT}A`, SALT.replace("Dw", "Dx"), `${SALT}==`, ` ${SALT}`]) {
    assert.equal(parseSalt(text), undefined, text);
  }
});

Deno.test(
  "a pass phrase in a file, with its salt there or in the configuration, is the key that scrypt makes of it",
  inFolder((folder) => {
    const expected = scryptSync(PHRASE, Uint8Array.from({ length: 16 }, (_, i) => i), 32, {
      N: 131_072,
      r: 8,
      p: 1,
      maxmem: 2 ** 28,
    });
    folder.write("both", `${PHRASE}\nsalt = "${SALT}"\n`, 0o600);
    folder.write("alone", PHRASE, 0o600);
    const client = folder.write("c.toml", `[tunnel]\npeer = "a"\npassword_file = "both"\n`);
    assert.deepEqual(loadClientConfig(client).key.bytes(), new Uint8Array(expected));
    const server = folder.write(
      "s.toml",
      `[tun]\naddresses = ["10.1.0.1/24"]\n[[client]]\nname = "a"\naddresses = ["10.1.0.2"]\n` +
        `password_file = "alone"\nsalt = "${SALT}"\n`,
    );
    assert.deepEqual(loadServerConfig(server).clients[0].key.bytes(), new Uint8Array(expected));
  }),
);

Deno.test(
  "loadClientConfig() refuses pass phrases that are weak, without salt, or readable by others, and shows none",
  inFolder((folder) => {
    const load = (phrase: string, mode = 0o600) => {
      folder.write("p", phrase, mode);
      return problemOf(() =>
        loadClientConfig(folder.write("c.toml", `[tunnel]\npeer = "a"\npassword_file = "p"\n`))
      );
    };
    const where = `c.toml:3: tunnel.password_file = "p": `;
    const weak = load("hunter2");
    assert.match(weak.slice(where.length), /^the pass phrase can be guessed: about \d+ bits instead of 80; /);
    assert.ok(!weak.includes("hunter2"));
    assert.equal(
      load(PHRASE),
      `${where}a pass phrase needs the salt that both sides share; \`i405 keygen --password\` makes both`,
    );
    assert.match(load(PHRASE, 0o604), /p can be read by others \(mode 0604\)/);
  }),
);
