/* Configurations of protocol version 0. */

import assert from "node:assert/strict";
import {
  loadClientConfig,
  loadServerConfig,
  type Overrides,
  resolveDirection,
} from "../../../src/config/mod.ts";
import { type Folder, inFolder, problemOf } from "./fixture.ts";

const STRONG = "correct-horse-battery-staple-anvil-quartz-lemon-yodel";
const CLIENT = `[tunnel]\npeer = "192.0.2.1"\nprotocol = "v0"\n`;
const PASSWORD = `password_file = "p"\n`;
const TUN = `[tun]\naddresses = ["10.140.5.2/24"]\n`;

function client(folder: Folder, text: string, password = STRONG, overrides?: Overrides) {
  folder.write("p", password, 0o600);
  folder.key("a.key", 1);
  return loadClientConfig(folder.write("c.toml", text), overrides);
}

Deno.test(
  "loadClientConfig() of version 0 has its password as it is, one suite, its groups and its jitter",
  inFolder((folder) => {
    const config = client(folder, CLIENT + PASSWORD + TUN, `${STRONG}\n`);
    assert.equal(config.protocol, "v0");
    assert.deepEqual(config.key.bytes(), new TextEncoder().encode(STRONG));
    assert.deepEqual(config.suites, ["TLS_AES_128_GCM_SHA256"]);
    assert.equal(config.monitorPackets, undefined);
    const watched = client(folder, CLIENT + PASSWORD + `monitor_packets = "out.csv"\n` + TUN);
    assert.equal(watched.monitorPackets, folder.path("out.csv"));
    assert.deepEqual(config.groups, ["secp256r1", "x25519"]);
    for (const direction of [config.up, config.down]) {
      const { intervalNs, jitterLaw, jitterSdNs } = resolveDirection("up", direction, 1500);
      assert.equal(jitterLaw, "classic");
      assert.ok(Math.abs(jitterSdNs / intervalNs - 0.0603) < 0.0001, "25 % to either side of an interval");
    }
    assert.deepEqual(config.warnings, []);
  }),
);

Deno.test(
  "loadClientConfig() takes the example of version 0 as it is",
  inFolder((folder) => {
    folder.write("laptop.password", STRONG, 0o600);
    const example = new URL("../../../examples/client-v0.toml", import.meta.url);
    const config = loadClientConfig(folder.write("c.toml", Deno.readTextFileSync(example)));
    assert.equal(config.up.speedBitsPerS, 800e3);
    assert.deepEqual(config.warnings, []);
  }),
);

Deno.test(
  "loadClientConfig() of version 0 takes a weak password of 1 to 64 bytes only when that is accepted",
  inFolder((folder) => {
    const text = CLIENT + PASSWORD + `i_accept_guessing = true\n` + TUN;
    for (const password of ["x", "hunter2", "ä".repeat(32), "y".repeat(64)]) {
      const bytes = client(folder, text, password).key.bytes();
      assert.deepEqual(bytes, new TextEncoder().encode(password));
    }
    const tooLong = problemOf(() => client(folder, text, "y".repeat(65)));
    assert.match(
      tooLong,
      /^c.toml:4: tunnel.password_file = "p": a password of version 0 has 1 to 64 bytes, this one 65$/,
    );
    const weak = problemOf(() => client(folder, CLIENT + PASSWORD + TUN, "hunter2"));
    assert.match(
      weak,
      /password_file = "p": the pass phrase can be guessed: .* i_accept_guessing = true takes it/,
    );
    assert.ok(!weak.includes("hunter2"));
  }),
);

Deno.test(
  "loadClientConfig() of version 0 warns of a password on the command line and does not show it",
  inFolder((folder) => {
    const flag: Overrides = new Map([["tunnel.password", { texts: [STRONG], flag: "--tunnel-password" }]]);
    const { warnings } = client(folder, CLIENT + TUN, STRONG, flag);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /^--tunnel-password: a pass phrase on the command line can be seen/);
    assert.ok(!warnings[0].includes(STRONG));
  }),
);

Deno.test(
  "loadClientConfig() refuses what version 0 does not have",
  inFolder((folder) => {
    const wrong: [text: string, message: string][] = [
      [CLIENT + TUN, "tunnel.password_file: version 0 needs its password"],
      [CLIENT + `key_file = "a.key"\n` + TUN, "tunnel.key_file: version 0 has a password and nothing else"],
      [
        CLIENT + PASSWORD + `salt = "AAAAAAAAAAAAAAAAAAAAAA"\n` + TUN,
        "tunnel.salt: version 0 has a password",
      ],
      [CLIENT + PASSWORD + `password = "x"\n` + TUN, "there are both password and password_file"],
      [CLIENT + PASSWORD, "tun.addresses: a server of version 0 gives no addresses"],
      [CLIENT + PASSWORD + `mode = "tcp"\n`, `tunnel.mode = "tcp": version 0 is served in mode "tun"`],
      [CLIENT + PASSWORD + TUN + `[up]\nburst = 2\n`, "up.burst = 2: version 0 has one packet in each slot"],
      [
        CLIENT + PASSWORD + TUN + `[down]\njitter = "12%"\n`,
        `down.jitter = "gaussian": the jitter of a server`,
      ],
      [CLIENT + PASSWORD + `groups = ["x25519mlkem768"]\n` + TUN, "tunnel.groups"],
      [CLIENT + PASSWORD + `suites = ["TLS_CHACHA20_POLY1305_SHA256"]\n` + TUN, "tunnel.suites"],
    ];
    for (const [text, message] of wrong) {
      const problem = problemOf(() => client(folder, text));
      assert.ok(problem.includes(message), `${text}\n${problem}`);
    }
    assert.equal(
      client(folder, CLIENT + PASSWORD + TUN + `[up]\njitter = "12%"\n`).up.jitter?.law,
      "gaussian",
    );
    const withSalt = `${STRONG}\nsalt = "AAAAAAAAAAAAAAAAAAAAAA"\n`;
    assert.match(problemOf(() => client(folder, CLIENT + PASSWORD + TUN, withSalt)), /version 0 has no salt/);
  }),
);

const SERVER = `[tun]\naddresses = ["10.140.5.1/24"]\n`;

function clients(count: number, more = ""): string {
  return Array.from(
    { length: count },
    (_, index) =>
      `[[client]]\nname = "c${index}"\nprotocol = "v0"\npassword = "${STRONG}-${index}"\n` +
      `addresses = ["10.140.5.${index + 2}"]\n${more}`,
  ).join("");
}

Deno.test(
  "loadServerConfig() takes clients of both versions, up to 16 of version 0, each with a password of its own",
  inFolder((folder) => {
    folder.key("a.key", 1);
    const load = (text: string) => loadServerConfig(folder.write("s.toml", text, 0o600));
    const v1 = `[[client]]\nname = "a"\nkey_file = "a.key"\naddresses = ["10.140.5.99"]\n`;
    const config = load(SERVER + clients(16) + v1);
    assert.deepEqual(config.clients.map(({ protocol }) => protocol), [...Array(16).fill("v0"), "v1"]);
    assert.match(problemOf(() => load(SERVER + clients(17))), /at most 16 clients of version 0, here are 17/);
    const same = SERVER + clients(2).replace(`${STRONG}-1`, `${STRONG}-0`);
    assert.match(problemOf(() => load(same)), /password: client "c0" has the same key/);
    const suite = `[server]\nsuites = ["TLS_CHACHA20_POLY1305_SHA256"]\n` + SERVER + clients(1);
    assert.match(problemOf(() => load(suite)), /server.suites = .* needs TLS_AES_128_GCM_SHA256/);
    const group = `[server]\ngroups = ["x25519mlkem768"]\n` + SERVER + clients(1);
    assert.match(problemOf(() => load(group)), /server.groups = .* needs secp256r1 or x25519/);
    assert.match(problemOf(() => load(SERVER + v1 + `i_accept_guessing = true\n`)), /belongs to version 0/);
  }),
);
