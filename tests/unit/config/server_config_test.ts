import assert from "node:assert/strict";
import { loadServerConfig, type Overrides } from "../../../src/config/mod.ts";
import { formatPrefix } from "../../../src/wire/ip_address.ts";
import { type Folder, inFolder, problemOf } from "./fixture.ts";

const EXAMPLE = new URL("../../../examples/server.toml", import.meta.url);
const CLIENT_A = `[[client]]\nname = "a"\nkey_file = "a.key"\naddresses = ["10.140.5.2"]\n`;
const CLIENT_B = `[[client]]\nname = "b"\nkey_file = "b.key"\naddresses = ["10.140.5.3"]\n`;
const TUN = `[tun]\naddresses = ["10.140.5.1/24"]\n`;

function load(folder: Folder, text: string, overrides?: Overrides) {
  folder.key("a.key", 1);
  folder.key("b.key", 2);
  return loadServerConfig(folder.write("s.toml", text), overrides);
}

Deno.test(
  "loadServerConfig() takes the example as it is",
  inFolder((folder) => {
    folder.key("laptop.key", 1);
    const config = loadServerConfig(folder.write("server.toml", Deno.readTextFileSync(EXAMPLE)));
    assert.deepEqual(config.listen.map(({ text }) => text), ["0.0.0.0:1405"]);
    assert.deepEqual(config.modes, ["tun", "udp", "tcp"]);
    assert.deepEqual(config.warnings, []);
    assert.deepEqual(config.tun.addresses.map(formatPrefix), ["10.140.5.1/24"]);
    assert.equal(config.clients.length, 1);
    const [client] = config.clients;
    assert.equal(client.name, "laptop");
    assert.equal(client.maxSpeedBitsPerS, 100e6);
    assert.deepEqual(client.addresses.map(formatPrefix), ["10.140.5.2/32"]);
    assert.deepEqual(client.given.map(formatPrefix), ["10.140.5.2/24"]);
    assert.equal(config.nat.masquerade, false);
  }),
);

Deno.test(
  'loadServerConfig() needs no inner address where mode "tun" is not served',
  inFolder((folder) => {
    const config = load(
      folder,
      `[server]\nmodes = ["tcp", "tcp"]\n[[client]]\nname = "a"\nkey_file = "a.key"\n`,
    );
    assert.deepEqual(config.modes, ["tcp"]);
    assert.deepEqual(config.clients[0].addresses, []);
    assert.deepEqual(config.clients[0].dial, {
      allow: [],
      deny: [],
      listen: [],
      streamsMax: 10_000,
      dialsPerS: 200,
      idleNs: 4 * 3600e9,
    });
  }),
);

Deno.test(
  "loadServerConfig() reads where a client may connect to",
  inFolder((folder) => {
    const rules: [text: string, prefix: string, ports: number[][]][] = [
      ["10.1.2.3/8:80,8000-8100", "10.0.0.0/8", [[80, 80], [8000, 8100]]],
      ["192.0.2.7", "192.0.2.7/32", []],
      ["192.0.2.7:22", "192.0.2.7/32", [[22, 22]]],
      ["[fd00::1/8]:22", "fd00::/8", [[22, 22]]],
      ["[::1]", "::1/128", []],
      ["fd00::/8", "fd00::/8", []],
      ["::/0", "::/0", []],
    ];
    const list = JSON.stringify(rules.map(([text]) => text));
    const config = load(folder, TUN + CLIENT_A + `allow = ${list}\ndial_rate = 5\nidle_time = "2 min"\n`);
    const { allow, dialsPerS, idleNs } = config.clients[0].dial;
    assert.deepEqual(
      allow.map(({ prefix, ports }) => [formatPrefix(prefix), ports]),
      rules.map((r) => r.slice(1)),
    );
    assert.deepEqual([dialsPerS, idleNs], [5, 120e9]);
    for (
      const text of [
        "",
        "10.0.0.0/8:",
        "10.0.0.0/8:9-8",
        "10.0.0.0/8:65536",
        "a.example",
        "[10.0.0.1]:1",
        "::1:x",
      ]
    ) {
      const message = problemOf(() => load(folder, TUN + CLIENT_A + `deny = ${JSON.stringify([text])}\n`));
      assert.match(message, /client\.deny .*: expected a prefix and ports/, text);
    }
  }),
);

Deno.test(
  "loadServerConfig() reads several clients, their routes, and overrides of one by its name",
  inFolder((folder) => {
    const text = TUN.replace('24"', `24", "fd00::1/64"`) + CLIENT_A.replace('5.2"', `5.2", "fd00::2"`) +
      `routes = ["192.168.7.9/24"]\n` + CLIENT_B;
    const speed = { texts: ["5 Mbit/s"], flag: "--set client.b.max_speed" };
    const config = load(folder, text, new Map([["client.b.max_speed", speed]]));
    assert.deepEqual(config.clients[0].given.map(formatPrefix), ["10.140.5.2/24", "fd00::2/64"]);
    assert.deepEqual(config.clients[0].routes.map(formatPrefix), ["192.168.7.0/24"]);
    assert.deepEqual(config.clients.map(({ maxSpeedBitsPerS }) => maxSpeedBitsPerS), [100e6, 5e6]);
  }),
);

/** Text of the file, and what is said about it. */
const WRONG: readonly (readonly [string, string])[] = [
  [
    TUN,
    "s.toml: client: there are no clients; write one [[client]] with name, key_file and addresses for each client",
  ],
  [
    CLIENT_A,
    `s.toml: tun.addresses: there is no inner address; write addresses = ["10.140.5.1/24"] in [tun]`,
  ],
  [
    TUN + `[client]\nname = "a"\n`,
    "s.toml:3: client: expected tables; write one [[client]] with name, key_file and addresses for each client",
  ],
  [
    TUN + `[[client]]\nkey_file = "a.key"\n`,
    [
      `s.toml:3: client.name: there is no name; write name = "laptop"`,
      `s.toml:3: client.addresses: there is no addresses; write addresses = ["10.140.5.2"]`,
    ].join("\n"),
  ],
  [
    TUN + CLIENT_A + CLIENT_B.replace(`"b"`, `"a"`),
    `s.toml:8: client.name = "a": another [[client]] has this name; choose one that is free`,
  ],
  [
    TUN + CLIENT_A + CLIENT_B.replace("b.key", "a.key"),
    `s.toml:9: client.key_file: client "a" has the same key; make each its own with \`i405 keygen\``,
  ],
  [
    TUN + CLIENT_A + CLIENT_B.replace("5.3", "5.2"),
    `s.toml:10: client.addresses: 10.140.5.2 belongs to client "a" already; choose one that is free`,
  ],
  [
    TUN + CLIENT_A.replace("5.2", "5.1"),
    `s.toml:6: client.addresses: 10.140.5.1 belongs to the server already; choose one that is free`,
  ],
  [
    TUN + CLIENT_A + CLIENT_B + `routes = ["10.140.0.0/16"]\n`,
    `s.toml:11: client.routes: 10.140.0.0/16 belongs to client "a" already; choose one that is free`,
  ],
  [
    TUN + CLIENT_A.replace("5.2", "5.2/24"),
    `s.toml:6: client.addresses = ["10.140.5.2/24"]: expected an address alone, such as "10.140.5.2" (its network is the server's)`,
  ],
  [
    TUN + CLIENT_A + `max_sped = "1 Mbit/s"\n`,
    `s.toml:7: client.max_sped: there is no such key; did you mean max_speed?`,
  ],
  [
    TUN + CLIENT_A + `password = "x"\n`,
    "s.toml:5: client.key_file: there are both key_file and password; leave one out",
  ],
  [
    TUN + CLIENT_A + `[server]\nlisten = ["example.org:1"]\n`,
    `s.toml:8: server.listen = ["example.org:1"]: expected "address:port", such as "0.0.0.0:1405" or "[::]:1405"`,
  ],
  [
    TUN + CLIENT_A + `[server]\nlisten = []\n`,
    `s.toml:8: server.listen = []: expected one address at least, such as "0.0.0.0:1405"`,
  ],
  [
    TUN + CLIENT_A + `[server]\nmodes = []\n`,
    `s.toml:8: server.modes = []: expected one at least of "tun", "tcp", "udp"`,
  ],
  [
    TUN + CLIENT_A + `allow = ["10.0.0.0/33"]\n`,
    `s.toml:7: client.allow = ["10.0.0.0/33"]: expected a prefix and ports, such as "10.0.0.0/8:80,443", "[fd00::/8]:22" or "192.0.2.7"`,
  ],
  [
    TUN + CLIENT_A + `[pool]\nsize = 1\n`,
    `s.toml:7: pool: an address pool is not served by this version; leave it out and give each [[client]] its addresses`,
  ],
];

Deno.test(
  "loadServerConfig() names file, line, key, value and remedy of each problem",
  inFolder((folder) => {
    for (const [text, message] of WRONG) assert.equal(problemOf(() => load(folder, text)), message, text);
  }),
);

Deno.test(
  "loadServerConfig() names an override for a client that is not there",
  inFolder((folder) => {
    const override = { texts: ["1 Mbit/s"], flag: "--set client.c.max_speed" };
    assert.equal(
      problemOf(() => load(folder, TUN + CLIENT_A, new Map([["client.c.max_speed", override]]))),
      `--set client.c.max_speed: there is no [[client]] with name = "c"; add one or correct the name`,
    );
  }),
);
