/** What operators write and what other programs leave behind: configurations, keys, quantities, traces, the status
 * document. Each ends as a value or as the error that is documented for it. */

import { deepStrictEqual as equal, ok } from "node:assert/strict";
import { toHex } from "../../../src/base/mod.ts";
import { parseLen, parseShare, parseSpeed, parseTime } from "../../../src/base/units.ts";
import { statusText } from "../../../src/cli/status_text.ts";
import { clientConfig } from "../../../src/config/client_config.ts";
import { contextOf } from "../../../src/config/common.ts";
import { ConfigError, formatKey, parseKey } from "../../../src/config/mod.ts";
import type { Override } from "../../../src/config/reading.ts";
import { estimateBits, parsePassword, SALT_LEN } from "../../../src/config/password.ts";
import { parseUsers } from "../../../src/config/users.ts";
import { serverConfig } from "../../../src/config/server_config.ts";
import { CLIENT_SETTINGS, SERVER_CLIENT_SETTINGS, SERVER_SETTINGS } from "../../../src/config/settings.ts";
import { parseToml, type TomlSource } from "../../../src/config/toml_source.ts";
import { parseOuterPacket } from "../../../src/demo/outer_packet.ts";
import {
  emitSeenEntry,
  emitSeenHeader,
  parseSeenFile,
  SEEN_ENTRY_LEN,
  SEEN_HEADER_LEN,
} from "../../../src/demo/seen_file.ts";
import { parseTraceFile } from "../../../src/demo/trace_file.ts";
import { SEEN } from "../../../src/ports/mod.ts";
import type { FuzzTarget } from "../harness.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const bytesOf = (texts: readonly string[]) => texts.map((text) => encoder.encode(text));

/** `undefined` for an error of this class, which says something; any other error is a finding. */
function unless<T>(kind: new (...args: never[]) => Error, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof kind)) throw error;
    ok(error.message !== "");
    return undefined;
  }
}

const KEY = formatKey(new Uint8Array(32).fill(5));

/** An example with a key in place of the name of a file with one. */
function example(name: string): string {
  return Deno.readTextFileSync(new URL(`../../../examples/${name}.toml`, import.meta.url))
    .replaceAll(/key_file = "[^"]*"/g, `key = "${KEY}"`);
}

const KEYS = new Set(Object.keys({ ...CLIENT_SETTINGS, ...SERVER_SETTINGS, ...SERVER_CLIENT_SETTINGS }));
const TOML_PIECES = bytesOf([
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
  ],
  ...["__proto__", "[constructor]", 'toString = "x"', "-1", "1e400", "9".repeat(30), '"1 Mbit/s"', '"10 ms"'],
  ...["[".repeat(500), "é", "true", "[up]\n", "[tun]\n", "interval", "0.0.0.0/0", "[::]:0", "auto", "none"],
  ...[...KEYS].map((key) => key.replace(/.*\./, "")),
]);

type ReadConfig = (source: TomlSource, overrides: Map<string, Override>) => unknown;

const readClient: ReadConfig = (source, overrides) =>
  clientConfig(source, overrides, contextOf(undefined, undefined));
const readServer: ReadConfig = (source, overrides) =>
  serverConfig(source, overrides, contextOf(undefined, undefined));

/** "ok", or the key of the first problem, if it is one that there is. */
function outcome(read: () => unknown): string {
  try {
    read();
    return "ok";
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    ok(error.problems.length > 0 && error.message !== "");
    ok(!error.message.includes(KEY), "an error shows no key");
    const { key } = error.problems[0];
    return key === undefined || KEYS.has(key) ? `${key}` : "another";
  }
}

/** "-" would read standard input, and a path another file. */
function harmless(text: string): string {
  return text.replaceAll(/["']-["']/g, '"+"').replaceAll("key_file", "key_fil");
}

const toml = (name: string, text: string, read: ReadConfig): FuzzTarget => ({
  name: `${name}-configuration`,
  samples: () => bytesOf([text]),
  dictionary: TOML_PIECES,
  read: (input) => outcome(() => read(parseToml(harmless(decoder.decode(input)), "c.toml"), new Map())),
});

/** An input is lines of `key text`, each a flag on top of a good file. */
const flags = (name: string, text: string, read: ReadConfig, keys: readonly string[]): FuzzTarget => ({
  name: `${name}-flags`,
  samples: () => bytesOf(keys.map((key) => `${key} 1 Mbit/s`)),
  dictionary: bytesOf([...keys, "true", "1", "1 s", "12%", "a,b", "\n", " "]),
  lenMax: 200,
  read(input) {
    const given = new Map<string, Override>();
    for (const line of harmless(decoder.decode(input)).split("\n")) {
      const [key, ...rest] = line.split(" ");
      const texts = [rest.join(" ")].filter((value) => value !== "-");
      given.set(key, { texts, flag: `--set ${key}` });
    }
    return outcome(() => read(parseToml(text, "c.toml"), given));
  },
});

const key: FuzzTarget = {
  name: "key",
  samples: () => bytesOf([KEY, `  ${KEY}\n`]),
  lenMax: 128,
  read(input) {
    const read = unless(RangeError, () => parseKey(input));
    if (read !== undefined) equal(formatKey(read.bytes()), decoder.decode(input).trim());
    return String(read !== undefined);
  },
};

/** The file of a pass phrase with its salt; no error shows anything of it. */
const passPhrase: FuzzTarget = {
  name: "pass-phrase",
  samples: () =>
    bytesOf([`tree-horse-19-battery\nsalt = "${"A".repeat(22)}"\n`, "correct horse battery staple"]),
  dictionary: bytesOf(["salt", '"', "\n", "\r\n", "abcdef", "123456", "é", "A".repeat(22)]),
  lenMax: 256,
  read(input) {
    const read = unless(RangeError, () => parsePassword(input));
    if (read === undefined) return "refused";
    const bits = estimateBits(read.password);
    ok(read.password.length > 0 && bits >= 0 && bits <= 8 * read.password.length, `${bits} bits`);
    ok(read.salt === undefined || read.salt.length === SALT_LEN);
    return `${Math.floor(bits / 20)} ${read.salt !== undefined}`;
  },
};

const users: FuzzTarget = {
  name: "users",
  samples: () => bytesOf(["# who may use the proxy\nann:secret\n\nbob:x:y\r\n"]),
  dictionary: bytesOf([":", "\n", "#", "\r"]),
  lenMax: 256,
  read: (input) => String(unless(RangeError, () => parseUsers(input)) !== undefined),
};

const quantity: FuzzTarget = {
  name: "quantity",
  samples: () => bytesOf(["1 Mbit/s", "100 kB/s", "10 ms", "0.5 µs", "1400 B", "1.4 kB", "12%", "100%"]),
  dictionary: bytesOf(["e9", "Infinity", "0x1", "999999999999999", ".", "h", "Gbit/s", "KiB"]),
  lenMax: 40,
  read(input) {
    const text = decoder.decode(input);
    return [parseSpeed, parseTime, parseLen, parseShare].map((parse) => {
      const value = unless(RangeError, () => parse(text));
      ok(value === undefined || Number.isFinite(value) && value >= 0);
      return value === undefined ? "-" : "+";
    }).join("");
  },
};

const slotTrace: FuzzTarget = {
  name: "slot-trace",
  samples: () => bytesOf(["# i405 slot trace 1: wall_base_ns=1.7e18\n0 1000 1010 1 0\n1 2000 0 0 1\n"]),
  read(input) {
    const trace = unless(RangeError, () => parseTraceFile(decoder.decode(input)));
    return trace === undefined ? "refused" : `${Math.min(trace.slots.length, 9)} ${trace.wallBaseNs > 0}`;
  },
};

const seenFile: FuzzTarget = {
  name: "observer-file",
  samples() {
    const file = new Uint8Array(SEEN_HEADER_LEN + 2 * SEEN_ENTRY_LEN);
    emitSeenHeader(1e18, file);
    for (const at of [SEEN_HEADER_LEN, SEEN_HEADER_LEN + SEEN_ENTRY_LEN]) {
      emitSeenEntry(3, new Uint8Array(SEEN.size).fill(1), file.subarray(at));
    }
    return [file];
  },
  read(input) {
    const seen = unless(RangeError, () => parseSeenFile(input));
    if (seen === undefined) return "refused";
    ok(seen.frames.length <= input.length / SEEN_ENTRY_LEN);
    for (const { head } of seen.frames) ok(head.length <= SEEN.headLen);
    return Math.min(seen.frames.length, 20);
  },
};

const outerPacket: FuzzTarget = {
  name: "outer-packet",
  samples() {
    const head = new Uint8Array(64);
    head.set([0x45, 0, 0, 64, 0, 0, 0x40, 0, 64, 17]);
    head.set([0x2f, 1, 2, 0, 31], 28);
    return [head];
  },
  lenMax: 128,
  read(input) {
    const packet = parseOuterPacket(input, input.length);
    return packet === undefined
      ? "refused"
      : `${packet.recordLen !== undefined} ${packet.fields.split(", ").length}`;
  },
};

const STATUS = JSON.stringify({
  role: "client",
  version: "0.1.0",
  uptime_s: 3723.5,
  counters: { datagrams_in: 5, records_failed: 0 },
  peers: [{
    name: "a",
    state: "up",
    address: "x",
    slots: { slots: 5 },
    deviation: { p50_ns: 10, max_ns: 1e5 },
  }],
});

/** Control characters but the line's end, and those that turn the direction of writing. */
// deno-lint-ignore no-control-regex
const STEERING = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

/** Another program may listen there. */
const statusDocument: FuzzTarget = {
  name: "status-document",
  samples: () => bytesOf([STATUS]),
  dictionary: bytesOf(["null", "[]", "{}", '"', "1e999", "\\u001b[31m", "\\u202e", "true", "-1", ","]),
  read(input) {
    let document: unknown;
    try {
      document = JSON.parse(decoder.decode(input));
    } catch {
      return "not JSON"; // readStatus() says so
    }
    const text = statusText(document);
    ok(!STEERING.test(text), toHex(input));
    return Math.min(text.split("\n").length, 20);
  },
};

const CLIENT = `${example("client")}
[[forward]]
listen = "127.0.0.1:80"
to = "a.example:80"
direction = "local"
`;
const SERVER = example("server");
const SERVER_KEYS = [
  ...Object.keys(SERVER_SETTINGS),
  ...Object.keys(SERVER_CLIENT_SETTINGS).map((name) => `client.laptop.${name}`),
];

export const FILE_TARGETS: readonly FuzzTarget[] = [
  toml("client", CLIENT, readClient),
  toml("server", SERVER, readServer),
  flags("client", CLIENT, readClient, Object.keys(CLIENT_SETTINGS)),
  flags("server", SERVER, readServer, SERVER_KEYS),
  key,
  passPhrase,
  users,
  quantity,
  slotTrace,
  seenFile,
  outerPacket,
  statusDocument,
];
