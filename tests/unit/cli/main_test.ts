import assert from "node:assert/strict";
import { Command } from "commander";
import { addSettingFlags, overridesOf } from "../../../src/cli/config_flags.ts";
import { statusText } from "../../../src/cli/status_text.ts";
import { CLIENT_COUNTS, SERVER_COUNTS } from "../../../src/socks/counts.ts";
import { COUNTER_NAMES } from "../../../src/tunnel/counters.ts";
import {
  CLIENT_SETTINGS,
  flagOf,
  FORWARD_SETTINGS,
  parseKey,
  parsePassword,
  SERVER_CLIENT_SETTINGS,
  SERVER_SETTINGS,
} from "../../../src/config/mod.ts";
import { createLog } from "../../../src/status/log.ts";
import { StatusServer } from "../../../src/status/status_server.ts";
import { cli, inFolder } from "./run.ts";

const VERSION = JSON.parse(Deno.readTextFileSync(new URL("../../../deno.json", import.meta.url))).version;
const COMMANDS = [
  "client",
  "server",
  "demo",
  "keygen",
  "tun",
  "status",
  "version",
  "audit",
  "doctor",
  "report",
];

Deno.test("main() helps with every command, with examples", async () => {
  const { code, out } = await cli("--help");
  assert.equal(code, 0);
  for (const command of COMMANDS) {
    assert.ok(out.includes(`\n  ${command}`), command);
    const help = await cli(command, "--help");
    assert.equal(help.code, 0);
    assert.equal(help.err, "");
    if (command !== "version") assert.match(help.out, /\nExamples:\n {2}(?:sudo )?i405 /, command);
  }
  assert.ok(!out.includes("demo-child"));
  for (const action of ["add", "remove"]) {
    assert.match((await cli("tun", action, "--help")).out, /--name <name>/);
  }
});

Deno.test("main() mentions every setting in the help of its command", async () => {
  for (const [command, settings] of [["client", CLIENT_SETTINGS], ["server", SERVER_SETTINGS]] as const) {
    const { out } = await cli(command, "--help");
    const words = new Set(out.split(/\s+/));
    for (const [key, setting] of Object.entries(settings)) {
      assert.ok(words.has(`--${flagOf(key)}`), key);
      if ("alias" in setting && setting.alias !== undefined) {
        assert.ok(words.has(`--${setting.alias}`), setting.alias);
      }
    }
  }
  const client = await cli("client", "--help");
  for (const key of Object.keys(FORWARD_SETTINGS)) assert.ok(client.out.includes(`\n  ${key} `), key);
  const { out } = await cli("server", "--help");
  for (const key of Object.keys(SERVER_CLIENT_SETTINGS)) assert.ok(out.includes(`\n  ${key} `), key);
});

Deno.test("main() prints the version and nothing else", async () => {
  for (const args of [["version"], ["--version"], ["-V"]]) {
    assert.deepEqual(await cli(...args), { code: 0, out: `${VERSION}\n`, err: "" });
  }
});

Deno.test("main() answers no command, an unknown one and unknown flags with code 2 and a hint", async () => {
  const none = await cli();
  assert.equal(none.code, 2);
  assert.match(none.err, /Usage: i405/);
  const mistakes: [string[], RegExp][] = [
    [["clinet"], /unknown command 'clinet'[^]*Did you mean client\?/],
    [["client", "--up-sped", "1"], /unknown option '--up-sped'[^]*Did you mean --up-speed\?/],
    [["client", "a.toml", "b.toml"], /too many arguments/],
    [["server"], /missing required argument 'file'/],
    [["client", "--set", "up.speed"], /Write it as key=value/],
    [["tun", "add"], /required option '--user <user>'/],
    [["tun", "add", "--user", "x", "--address", "10.0.0.1"], /Expected an address with its prefix length/],
    [["tun", "add", "--user", "x", "--mtu", "9"], /Expected a number from 576 to 1900/],
    [["tun", "add", "--user", "x", "--name", "-x"], /Expected 1 to 15 letters/],
    [["tun", "add", "--user", "-h -rf"], /Expected the name or the number of a user/],
    [["demo", "--seconds", "1"], /Expected whole seconds, 8 or more/],
    [["status"], /required option '--socket <path>'/],
  ];
  for (const [args, expected] of mistakes) {
    const { code, out, err } = await cli(...args);
    assert.equal(code, 2, args.join(" "));
    assert.equal(out, "");
    assert.match(err, expected);
  }
});

// The native library is loaded before the first key is read, so that the process cannot be dumped, and stays loaded.
const staysLoaded = { sanitizeResources: false };

Deno.test(
  "main() tells a configuration's problems one line each, with code 2",
  staysLoaded,
  () =>
    inFolder(async (folder) => {
      const file = `${folder}/c.toml`;
      await Deno.writeTextFile(file, `[tunnel]\npeer = 5\nkey_file = "k"\n`);
      for (const command of ["client", "server"]) {
        const missing = await cli(command, `${folder}/none.toml`);
        assert.equal(missing.code, 2);
        assert.match(missing.err, /^i405: there is no file \S+none\.toml; /);
      }
      const { code, out, err } = await cli("client", file, "--up-burst", "0");
      assert.equal(code, 2);
      assert.equal(out, "");
      assert.deepEqual(err.replaceAll(`${folder}/`, "").split("\n"), [
        `i405: c.toml:2: tunnel.peer = 5: expected "host:port", for IPv6 "[address]:port"`,
        `i405: --up-burst 0: expected a whole number from 1 to 64`,
        `i405: c.toml:3: tunnel.key_file = "k": there is no file k; check the path (relative ones start at the configuration's folder)`,
        "",
      ]);
    }),
);

Deno.test("keygen prints one line, a key, each time another", async () => {
  const [first, second] = [await cli("keygen"), await cli("keygen")];
  for (const { code, out, err } of [first, second]) {
    assert.equal(code, 0);
    assert.equal(err, "");
    assert.match(out, /^i405-key-1:[A-Za-z0-9_-]{43}\.[0-9a-f]{4}\n$/);
    assert.equal(parseKey(new TextEncoder().encode(out)).bytes().length, 32);
  }
  assert.notEqual(first.out, second.out);
});

Deno.test("keygen -o writes for its owner only, and never over a file", () =>
  inFolder(async (folder) => {
    const path = `${folder}/a.key`;
    assert.deepEqual(await cli("keygen", "-o", path), { code: 0, out: "", err: "" });
    assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    const text = await Deno.readTextFile(path);
    parseKey(new TextEncoder().encode(text));
    const again = await cli("keygen", "-o", path);
    assert.equal(again.code, 2);
    assert.match(again.err, /^i405: There is a file \S+a\.key already; remove it first/);
    assert.equal(await Deno.readTextFile(path), text);
    assert.match((await cli("keygen", "-o", `${folder}/none/a.key`)).err, /^i405: Cannot write /);
  }));

Deno.test(
  "keygen --password makes a phrase with its salt, or the salt for one that is strong",
  staysLoaded,
  () =>
    inFolder(async (folder) => {
      const made = await cli("keygen", "--password");
      assert.equal(made.code, 0);
      const parsed = parsePassword(new TextEncoder().encode(made.out));
      assert.equal(parsed.salt?.length, 16);
      assert.equal(parsed.password.length, 29);
      const write = (text: string) => Deno.writeTextFile(`${folder}/p`, text, { mode: 0o600 });
      await write(made.out);
      const salt = await cli("keygen", "--password", `${folder}/p`);
      assert.match(salt.out, /^salt = "[A-Za-z0-9_-]{22}"\n$/);
      assert.ok(!made.out.includes(salt.out));
      await write("hunter2");
      const weak = await cli("keygen", "--password", `${folder}/p`);
      assert.equal(weak.code, 2);
      assert.match(weak.err, /^i405: Cannot take it: the pass phrase can be guessed: about \d+ bits/);
      assert.ok(!weak.err.includes("hunter2"));
    }),
);

Deno.test("overridesOf() gives each flag to its key: aliases, opposites, lists and --set", () => {
  const parse = (...args: string[]) => {
    const command = new Command().exitOverride().configureOutput({ writeErr: () => {} });
    addSettingFlags(command, CLIENT_SETTINGS);
    command.parse(args, { from: "user" });
    return Object.fromEntries(overridesOf(command, CLIENT_SETTINGS));
  };
  assert.deepEqual(parse(), {});
  assert.deepEqual(
    parse(
      ...["--up-speed", "2 Mbit/s", "--no-sched-fifo", "--poll-mode", "sleepy", "--tun-default-route"],
      ...["--tun-addresses", "10.0.0.2/24", "--tun-addresses", "fd00::2/64", "--set", "up.jitter = none"],
      ...["--set", "up.speed=1 Mbit/s"],
    ),
    {
      "up.speed": { texts: ["2 Mbit/s"], flag: "--up-speed" },
      "up.jitter": { texts: ["none"], flag: "--set up.jitter" },
      "pacing.poll_mode": { texts: ["sleepy"], flag: "--poll-mode" },
      "pacing.sched_fifo": { texts: ["false"], flag: "--no-sched-fifo" },
      "tun.default_route": { texts: ["true"], flag: "--tun-default-route" },
      "tun.addresses": { texts: ["10.0.0.2/24", "fd00::2/64"], flag: "--tun-addresses" },
    },
  );
  assert.deepEqual(parse("--poll-mode", "sleepy", "--pacing-poll-mode", "spinny"), {
    "pacing.poll_mode": { texts: ["spinny"], flag: "--pacing-poll-mode" },
  });
});

Deno.test("status asks the socket and tells it in words or as JSON", () =>
  inFolder(async (folder) => {
    const document = {
      role: "client",
      version: "9.8.7",
      uptime_s: 7300,
      peers: [{
        name: "lap\u001b[31m",
        state: "connected",
        slots: { slots: 10, skipped: 1 },
        deviation: { p50_ns: 21 },
      }],
      counters: { records_in: 5, records_failed: 0 },
    };
    const log = createLog({ level: "error", format: "plain", write: () => {}, nowMs: () => 0 });
    const server = await StatusServer.open(`${folder}/s`, () => document, log);
    const words = await cli("status", "--socket", `${folder}/s`);
    assert.deepEqual(words.out.split("\n"), [
      "i405 client 9.8.7, up 2 h",
      "lap?[31m: connected",
      "  slots: slots 10, skipped 1",
      "  deviation from plan: p50 0.021 µs",
      "counters (those above 0):",
      "  records_in                   5",
      "",
    ]);
    const json = await cli("status", "--socket", `${folder}/s`, "--json");
    assert.deepEqual(JSON.parse(json.out), document);
    await server.close();
    const gone = await cli("status", "--socket", `${folder}/s`);
    assert.equal(gone.code, 1);
    assert.match(gone.err, /^i405: Cannot ask the status socket /);
  }));

Deno.test("statusText() shows what is counted of handshakes, proxy and data, and leaves zeros out", () => {
  const text = statusText({ handshakes: { dials: 3, dials_failed: 0 }, counters: { records_in: 7 } });
  assert.match(text, /^ {2}dials +3$/m);
  assert.match(text, /^ {2}records_in +7$/m);
  assert.ok(!text.includes("dials_failed"));
});

Deno.test("statusText() makes something of every document", () => {
  for (
    const strange of [null, 5, "x", [], { peers: 5 }, { peers: [null, 5, {}], counters: [1] }, {
      uptime_s: "x",
    }]
  ) {
    assert.match(statusText(strange), /^i405 tunnel /);
  }
});

Deno.test("no two kinds of counters that a status shows together have the same name", () => {
  for (const counts of [CLIENT_COUNTS, SERVER_COUNTS]) {
    assert.deepEqual(counts.filter((name) => (COUNTER_NAMES as readonly string[]).includes(name)), []);
  }
});
