import assert from "node:assert/strict";
import { loadClientConfig, type Overrides, resolveDirection } from "../../../src/config/mod.ts";
import { type Folder, inFolder, problemOf } from "./fixture.ts";

const EXAMPLE = new URL("../../../examples/client.toml", import.meta.url);
const TCP_EXAMPLE = new URL("../../../examples/tcp_client.toml", import.meta.url);
const MINIMAL = `[tunnel]\npeer = "192.0.2.1"\nkey_file = "a.key"\n`;

const TCP = MINIMAL + `mode = "tcp"\n`;

const flags = (given: Record<string, string | string[]>): Overrides =>
  new Map(Object.entries(given).map(([key, text]) => [key, { texts: [text].flat(), flag: `--set ${key}` }]));

/** Loads `text` beside a good key file a.key. */
function load(folder: Folder, text: string, overrides?: Overrides) {
  folder.key("a.key", 7);
  return loadClientConfig(folder.write("c.toml", text), overrides);
}

Deno.test(
  "loadClientConfig() takes the example of TCP mode as it is",
  inFolder((folder) => {
    folder.key("laptop.key", 1);
    const config = loadClientConfig(folder.write("client.toml", Deno.readTextFileSync(TCP_EXAMPLE)));
    assert.equal(config.mode, "tcp");
    assert.deepEqual(config.socks.listen.map(({ text }) => text), ["127.0.0.1:1080"]);
  }),
);

Deno.test(
  "loadClientConfig() refuses several records in a slot over TCP",
  inFolder((folder) => {
    const problem = problemOf(() => load(folder, TCP + `[down]\nburst = 2\n`));
    assert.match(String(problem), /down\.burst.*one record in each slot/);
  }),
);

Deno.test(
  "loadClientConfig() takes the example as it is",
  inFolder((folder) => {
    folder.key("laptop.key", 1);
    const config = loadClientConfig(folder.write("client.toml", Deno.readTextFileSync(EXAMPLE)));
    assert.deepEqual(config.peer, { host: "192.0.2.1", port: 1405 });
    assert.equal(config.name, "laptop");
    assert.deepEqual([...config.key.bytes()], Array(32).fill(1));
    assert.deepEqual(config.up, {
      speedBitsPerS: 1e6,
      intervalNs: undefined,
      packetLength: 1400,
      jitter: undefined,
      burst: undefined,
    });
    assert.equal(config.down.speedBitsPerS, 2e6);
    assert.deepEqual(config.tun, {
      name: "i405",
      addresses: [],
      mtu: undefined,
      clampMss: true,
      defaultRoute: false,
      lockdown: false,
    });
    assert.deepEqual(config.pacing, {
      pollMode: "hybrid",
      schedFifo: true,
      cpu: "auto",
      moveInterrupts: true,
    });
    assert.deepEqual(config.warnings, []);
  }),
);

Deno.test(
  "loadClientConfig() needs no more than peer and key",
  inFolder((folder) => {
    const config = load(folder, MINIMAL);
    assert.deepEqual(config.peer, { host: "192.0.2.1", port: 1405 });
    assert.equal(config.up.speedBitsPerS, undefined);
    assert.equal(config.up.packetLength, undefined);
    assert.deepEqual(config.status, {
      socket: undefined,
      slotTrace: undefined,
      deviationEveryNs: undefined,
      transmitStamps: false,
    });
    assert.deepEqual(config.log, { level: "info", format: "plain" });
    assert.equal(config.suites, undefined);
    assert.ok(Object.isFrozen(config) && Object.isFrozen(config.tun) && Object.isFrozen(config.up));
  }),
);

Deno.test(
  "loadClientConfig() gives modes tcp and udp a proxy at 127.0.0.1:1080, or what the file says",
  inFolder((folder) => {
    const plain = load(folder, TCP);
    assert.equal(plain.mode, "tcp");
    assert.deepEqual(plain.socks.listen.map(({ text }) => text), ["127.0.0.1:1080"]);
    assert.deepEqual([plain.socks.users, plain.socks.connectionsMax], [undefined, 10_000]);
    assert.deepEqual(plain.forwards, []);
    assert.deepEqual(load(folder, TCP + "[socks]\nlisten = []\n").socks.listen, []);
    const udp = load(folder, TCP.replace('"tcp"', '"udp"') + "[socks]\nconnections_max = 3\n");
    assert.deepEqual([udp.mode, udp.socks.connectionsMax], ["udp", 3]);
    folder.write("users", "# who\n\nalice:secret:with colon\nbob:x\n", 0o600);
    const full = load(
      folder,
      TCP + `[socks]\nlisten = ["[::]:1080", "/run/i405.sock", "unix:/s"]\npassword_file = "users"\n` +
        `connections_max = 7\n[[forward]]\nlisten = "127.0.0.1:8080"\nto = "[2001:db8::1]:80"\n` +
        `[[forward]]\nlisten = "0.0.0.0:8080"\nto = "unix:/x"\ndirection = "remote"\n`,
    );
    assert.deepEqual(full.warnings, []);
    const open = load(folder, TCP + `[[forward]]\nlisten = "0.0.0.0:8080"\nto = "a.example:80"\n`);
    assert.deepEqual(open.warnings, ["forward at 0.0.0.0:8080: others can reach it, too"]);
    assert.deepEqual(full.socks.listen.map(({ text }) => text), [
      "[::]:1080",
      "unix:/run/i405.sock",
      "unix:/s",
    ]);
    const bytes = (text: string) => new TextEncoder().encode(text);
    for (
      const [user, password, good] of [["alice", "secret:with colon", true], ["bob", "", false]] as const
    ) {
      assert.equal(full.socks.users?.accepts(bytes(user), bytes(password)), good);
    }
    assert.ok(!Deno.inspect(full).includes("secret") && !JSON.stringify(full.socks).includes("secret"));
    assert.deepEqual(full.forwards.map(({ direction, listen, to }) => [direction, listen.text, to]), [
      ["local", "127.0.0.1:8080", { kind: "host", host: "2001:db8::1", port: 80 }],
      ["remote", "0.0.0.0:8080", { kind: "unix", path: "/x" }],
    ]);
  }),
);

Deno.test(
  "loadClientConfig() refuses a file of passwords that others can read, or that is none",
  inFolder((folder) => {
    const text = TCP + `[socks]\npassword_file = "users"\n`;
    const refused: [string, number, RegExp][] = [
      ["a:b\n", 0o644, /can be read by others/],
      ["", 0o600, /there is no user in it/],
      ["a:b\nsecret\n", 0o600, /line 2 of it is not user:password/],
      [`a:${"x".repeat(256)}\n`, 0o600, /line 1 of it is not user:password/],
      [":b\n", 0o600, /line 1 of it/],
    ];
    for (const [users, mode, expected] of refused) {
      folder.write("users", users, mode);
      const message = problemOf(() => load(folder, text));
      assert.match(message, expected);
      assert.ok(!message.includes("secret"));
    }
  }),
);

Deno.test(
  "loadClientConfig() reads peers in every form",
  inFolder((folder) => {
    const peers: [string, string, number][] = [
      ["192.0.2.1:7", "192.0.2.1", 7],
      ["[2001:db8::1]:7", "2001:db8::1", 7],
      ["[2001:db8::1]", "2001:db8::1", 1405],
      ["2001:db8::1", "2001:db8::1", 1405],
      ["[fe80::1%eth0]:7", "fe80::1%eth0", 7],
      ["vpn.example.org:65535", "vpn.example.org", 65535],
      ["localhost", "localhost", 1405],
    ];
    for (const [text, host, port] of peers) {
      const config = load(folder, MINIMAL, flags({ "tunnel.peer": text }));
      assert.deepEqual(config.peer, { host, port }, text);
    }
    for (
      const text of [
        "",
        ":7",
        "a:0",
        "a:65536",
        "a:x",
        "1.2.3.4.5",
        "256.1.1.1",
        "[a]:7",
        "-a",
        "a b",
        "1.2.3.4%x",
      ]
    ) {
      const message = problemOf(() => load(folder, MINIMAL, flags({ "tunnel.peer": text })));
      assert.equal(message, `--set tunnel.peer ${text}: expected "host:port", for IPv6 "[address]:port"`);
    }
  }),
);

Deno.test(
  "loadClientConfig() lets flags win over the file, also an interval over a speed",
  inFolder((folder) => {
    const text = MINIMAL +
      `[up]\nspeed = "1 Mbit/s"\n[tun]\ndefault_route = true\naddresses = ["10.0.0.2/24"]\n`;
    const config = load(
      folder,
      text,
      flags({
        "up.interval": "10 ms",
        "up.packet_length": "1400",
        "tun.default_route": "false",
        "tun.addresses": ["10.0.0.3/24,fd00::3/64", "10.0.1.3/24"],
        "tun.mtu": "1300",
        "pacing.cpu": "2",
      }),
    );
    assert.equal(config.up.intervalNs, 10e6);
    assert.equal(config.up.speedBitsPerS, undefined);
    assert.equal(config.up.packetLength, 1400);
    assert.equal(config.tun.defaultRoute, false);
    assert.equal(config.tun.addresses.length, 3);
    assert.equal(config.tun.mtu, 1300);
    assert.equal(config.pacing.cpu, 2);
  }),
);

Deno.test(
  "loadClientConfig() takes paths of the file from its folder, those of flags as they are",
  inFolder((folder) => {
    const config = load(folder, MINIMAL + `[status]\nsocket = "s"\n`, flags({ "status.slot_trace": "t" }));
    assert.equal(config.status.socket, folder.path("s"));
    assert.equal(config.status.slotTrace, "t");
  }),
);

/** Text of the file, and what is said about it. */
const WRONG: readonly (readonly [string, string])[] = [
  [
    `[tunnel]\npeer = \n`,
    `c.toml:2: not TOML at column 8: invalid value. Write tables as [name] and keys as name = "text", number, true or ["a", "b"]`,
  ],
  [MINIMAL + `peeer = 1\n`, `c.toml:4: tunnel.peeer: there is no such key; did you mean tunnel.peer?`],
  [MINIMAL + `[dwon]\nspeed = "1 Mbit/s"\n`, `c.toml:4: dwon: there is no such key; did you mean down?`],
  [
    MINIMAL + `[up]\npoll_mode = "sleepy"\n`,
    `c.toml:5: up.poll_mode: there is no such key; did you mean pacing.poll_mode?`,
  ],
  [
    MINIMAL + `[up]\nspeed = 1000\n`,
    `c.toml:5: up.speed = 1000: expected a speed such as "1 Mbit/s", in quotes`,
  ],
  [
    MINIMAL + `[up]\nspeed = "fast"\n`,
    `c.toml:5: up.speed = "fast": Cannot read "fast" as a speed: write a number and a unit, such as 1 Mbit/s or 100 kB/s`,
  ],
  [
    MINIMAL + `[up]\nspeed = "1 Mbit/s"\ninterval = "10 ms"\n`,
    `c.toml:6: up.interval: there are both speed and interval; leave one out`,
  ],
  [
    MINIMAL + `[up]\npacket_length = 1400\nspeed = "10 Gbit/s"\n`,
    `c.toml:6: up.speed: up.speed means one slot of 44 × 1400 bytes every 49.28 µs, but a slot of this size takes at least 111 µs (4440 Mbit/s); lower the speed`,
  ],
  [
    MINIMAL + `[up]\nburst = 1\npacket_length = 1400\nspeed = "1 Gbit/s"\n`,
    `c.toml:7: up.speed: up.speed means one slot of 1 × 1400 bytes every 11.2 µs, but a slot of this size takes at least 20 µs (560 Mbit/s); lower the speed or raise up.burst`,
  ],
  [
    MINIMAL + `[up]\nspeed = "0 bit/s"\n`,
    `c.toml:5: up.speed = "0 bit/s": expected a speed such as "1 Mbit/s", more than 0`,
  ],
  [
    MINIMAL + `[up]\nspeed = "100 bit/s"\n`,
    `c.toml:5: up.speed: up.speed means one slot of 1 × 1500 bytes every 120000000 µs, but the longest interval is 10 s; raise the speed`,
  ],
  [
    MINIMAL + `[up]\njitter = "13%"\n`,
    `c.toml:5: up.jitter: up.jitter is so large that slots could cross (gaussian: up to 4.0 times it to either side); use 12.4% or less`,
  ],
  [
    MINIMAL + `[up]\npacket_length = 300\n`,
    `c.toml:5: up.packet_length = 300: expected a length from 576 to 2000 bytes`,
  ],
  [
    MINIMAL + `[up]\nburst = 64\n`,
    `c.toml:5: up.burst: up.burst = 64 packets of 1500 bytes are too many for one call; use 43 or fewer`,
  ],
  [
    MINIMAL + `[tun]\nname = "a name"\n`,
    `c.toml:5: tun.name = "a name": expected an interface's name of 1 to 15 letters, digits and . _ -, starting with a letter`,
  ],
  [
    MINIMAL + `[tun]\ndefault_route = "yes"\n`,
    `c.toml:5: tun.default_route = "yes": expected true or false, without quotes`,
  ],
  [
    MINIMAL + `[tun]\nlockdown = true\n`,
    `c.toml:5: tun.lockdown = true: lockdown goes with default_route = true; add that or leave lockdown out`,
  ],
  [
    MINIMAL + `[tun]\naddresses = ["10.0.0.1"]\n`,
    `c.toml:5: tun.addresses = ["10.0.0.1"]: expected an address with its prefix length, such as "10.140.5.1/24"`,
  ],
  [
    MINIMAL + `mode = "tcp"\n[tun]\nname = "x"\n`,
    `c.toml:6: tun.name: it belongs to mode = "tun"; write that in [tunnel], or leave it out`,
  ],
  [
    MINIMAL + `[[forward]]\nlisten = "[::1]:80"\nto = "a.example:80"\n`,
    `c.toml:4: forward: it belongs to mode = "tcp" or "udp"; write that in [tunnel], or leave it out`,
  ],
  [
    TCP + `[socks]\nlisten = ["127.0.0.2:1080", "[::]:1080"]\n`,
    "c.toml:6: socks.listen: others can reach [::]:1080; add a password_file, or listen at 127.0.0.1 or [::1]",
  ],
  [
    TCP + `[socks]\nlisten = "127.0.0.1"\n`,
    `c.toml:6: socks.listen = "127.0.0.1": expected "address:port", such as "127.0.0.1:1080" or "[::1]:1080", or "unix:/path"`,
  ],
  [
    TCP + `[socks]\nlisten = "unix:relative"\n`,
    `c.toml:6: socks.listen = "unix:relative": expected "address:port", such as "127.0.0.1:1080" or "[::1]:1080", or "unix:/path"`,
  ],
  [
    TCP + `[[forward]]\nlisten = "127.0.0.1:80"\n[[forward]]\nto = "a:1"\nlisten = "x"\nvia = 1\n`,
    [
      `c.toml:5: forward.to: there is no to; write to = "host:port"`,
      `c.toml:9: forward.listen = "x": expected "address:port", such as "127.0.0.1:1080" or "[::1]:1080", or "unix:/path"`,
      `c.toml:10: forward.via: there is no such key; \`--help\` lists all`,
    ].join("\n"),
  ],
  [
    TCP + `[[forward]]\nlisten = "127.0.0.1:80"\nto = "unix:/a"\n`,
    "c.toml:7: forward.to: the server does not connect to sockets in its file system; write host:port",
  ],
  [
    TCP + `[[forward]]\nlisten = "unix:/a"\nto = "intra.example:80"\ndirection = "remote"\n`,
    [
      "c.toml:6: forward.listen: the server does not listen in its file system; write address:port",
      "c.toml:7: forward.to: names are not looked up on this side, beside the tunnel; write an address",
    ].join("\n"),
  ],
  [
    `forward = 5\n` + TCP,
    "c.toml:1: forward: expected tables; write one [[forward]] with listen and to for each",
  ],
  [
    MINIMAL + `i_accept_guessing = true\n`,
    `c.toml:4: tunnel.i_accept_guessing: it belongs to version 0; leave it out`,
  ],
  [
    MINIMAL + `suites = []\n`,
    `c.toml:4: tunnel.suites = []: expected one name at least; leave the key out for all`,
  ],
  [
    MINIMAL + `[pacing]\npoll_mode = "lazy"\n`,
    `c.toml:5: pacing.poll_mode = "lazy": expected "sleepy" or "hybrid" or "spinny"`,
  ],
  [
    `[tunnel]\nkey_file = "a.key"\n`,
    `c.toml:1: tunnel.peer: there is no server; write peer = "host:port" in [tunnel]`,
  ],
  [
    `[tunnel]\npeer = "a"\n`,
    'c.toml:1: tunnel.key_file: there is no key; make one with `i405 keygen -o FILE` and write key_file = "FILE"',
  ],
  [
    `[tunnel]\npeer = "a"\npassword = "hunter2"\nsalt = "x"\n`,
    [
      'c.toml:4: tunnel.salt = "x": expected 22 letters, digits and - _, as `i405 keygen --password` makes them',
      "c.toml:3: tunnel.password: the file holds a pass phrase, but c.toml can be read by others (mode 0644); make it private with: chmod 600 c.toml",
    ].join("\n"),
  ],
  [
    MINIMAL + `salt = "AAAAAAAAAAAAAAAAAAAAAA"\n`,
    "c.toml:4: tunnel.salt: a salt goes with a pass phrase, not with a key; leave it out",
  ],
  [
    MINIMAL + `[up]\nspeed = "fast"\nburst = 0\n`,
    [
      `c.toml:5: up.speed = "fast": Cannot read "fast" as a speed: write a number and a unit, such as 1 Mbit/s or 100 kB/s`,
      `c.toml:6: up.burst = 0: expected a whole number from 1 to 64`,
    ].join("\n"),
  ],
  [
    `tunnel = 5\n`,
    [
      `c.toml:1: tunnel = 5: expected a table; write [tunnel] on a line of its own`,
      `c.toml:1: tunnel.peer: there is no server; write peer = "host:port" in [tunnel]`,
      'c.toml:1: tunnel.key_file: there is no key; make one with `i405 keygen -o FILE` and write key_file = "FILE"',
    ].join("\n"),
  ],
];

Deno.test(
  "loadClientConfig() names file, line, key, value and remedy of each problem",
  inFolder((folder) => {
    for (const [text, message] of WRONG) assert.equal(problemOf(() => load(folder, text)), message, text);
  }),
);

Deno.test(
  "loadClientConfig() names a missing file, a folder and a file that is no text",
  inFolder((folder) => {
    assert.equal(
      problemOf(() => loadClientConfig(folder.path("none.toml"))),
      "there is no file none.toml; check the path (relative ones start at the configuration's folder)",
    );
    Deno.mkdirSync(folder.path("folder"));
    assert.equal(
      problemOf(() => loadClientConfig(folder.path("folder"))),
      "folder is not a file; name a plain file",
    );
    Deno.writeFileSync(folder.path("binary"), Uint8Array.of(0xff, 0xfe, 0x80));
    assert.equal(
      problemOf(() => loadClientConfig(folder.path("binary"))),
      "binary is not UTF-8 text; is it the right file?",
    );
    Deno.writeFileSync(folder.path("long"), new Uint8Array((1 << 20) + 1).fill(0x20));
    assert.match(
      problemOf(() => loadClientConfig(folder.path("long"))),
      /^long is longer than 1048576 bytes/,
    );
  }),
);

Deno.test(
  "loadClientConfig() names flags as they were written, and unknown keys of --set",
  inFolder((folder) => {
    assert.equal(
      problemOf(() => load(folder, MINIMAL, flags({ "up.speeed": "1 Mbit/s" }))),
      `--set up.speeed: there is no such key; did you mean up.speed?`,
    );
    assert.equal(
      problemOf(() => load(folder, MINIMAL, flags({ "up.burst": "many" }))),
      `--set up.burst many: expected a whole number from 1 to 64`,
    );
  }),
);

Deno.test(
  "loadClientConfig() works without a file",
  inFolder((folder) => {
    const config = loadClientConfig(
      undefined,
      flags({ "tunnel.peer": "a", "tunnel.key_file": folder.key("a.key", 3) }),
    );
    assert.equal(config.file, undefined);
    assert.equal(config.peer.host, "a");
    assert.equal(
      problemOf(() => loadClientConfig(undefined, flags({ "tunnel.peer": "a" }))),
      'tunnel.key_file: there is no key; make one with `i405 keygen -o FILE` and write key_file = "FILE"',
    );
  }),
);

Deno.test(
  "loadClientConfig() hides the identity unless it is to be plain",
  inFolder((folder) => {
    folder.key("a.key", 1);
    const load = (more: string) => loadClientConfig(folder.write("c.toml", MINIMAL + more));
    assert.equal(load("").identity, "hidden");
    assert.equal(load(`identity = "plain"\n`).identity, "plain");
    assert.match(problemOf(() => load(`identity = "none"\n`)), /expected "hidden" or "plain"$/);
  }),
);

Deno.test(
  "loadClientConfig() takes jitter as a share of the interval, as a time, and with a law",
  inFolder((folder) => {
    const sdNs = (jitter: string) => {
      const config = load(folder, MINIMAL + `[up]\ninterval = "1 ms"\njitter = "${jitter}"\n`);
      return resolveDirection("up", config.up, 1500).jitterSdNs;
    };
    assert.equal(sdNs("10%"), 100e3);
    assert.equal(sdNs("50 us"), 50e3);
    assert.equal(sdNs("cosine 0.02 ms"), 20e3);
    assert.equal(sdNs("none"), 0);
    assert.ok(Math.abs(sdNs("classic 250 us") - sdNs("classic 25%")) < 1e-6);
  }),
);

Deno.test(
  "loadClientConfig() reads how the path's length is found",
  inFolder((folder) => {
    const pathMtu = (value: string, more = MINIMAL) => load(folder, `${more}path_mtu = ${value}\n`).pathMtu;
    assert.equal(load(folder, MINIMAL).pathMtu, "search");
    assert.equal(pathMtu('"interface"'), "interface");
    assert.equal(pathMtu("1400"), 1400);
    assert.equal(pathMtu('"1400 B"'), 1400);
    const expected = /expected "search", "interface" or a length from 576 to 2000 bytes/;
    for (const wrong of ["100", '"icmp"', "true"]) assert.match(problemOf(() => pathMtu(wrong)), expected);
    assert.match(problemOf(() => pathMtu('"search"', TCP)), /TCP finds its segments' length itself/);
  }),
);

Deno.test(
  "loadClientConfig() reads how often another port is taken: never, or after a minute at least",
  inFolder((folder) => {
    const rotate = (text: string, more = MINIMAL) => load(folder, `${more}rotate = "${text}"\n`);
    assert.equal(load(folder, MINIMAL).rotateNs, undefined);
    assert.equal(rotate("never").rotateNs, undefined);
    assert.equal(rotate("1 h").rotateNs, 3600e9);
    assert.match(problemOf(() => rotate("10 s")), /expected "never" or a time of at least a minute/);
    assert.match(problemOf(() => rotate("1 h", TCP)), /a TCP connection stays where it is/);
  }),
);
