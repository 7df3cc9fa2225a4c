/** What starting and ending leaves in the system, and what bad settings say. Topology: lab.ts. */
import assert from "node:assert/strict";
import { Ends, hostState, INNER_SERVER } from "./ends.ts";
import { i405Path, isRoot, Lab } from "./lab.ts";
import { must, run } from "./process.ts";

const ignore = !isRoot;
/** Behind the server: an address of the router, which knows no way to inner addresses. */
const BEYOND = "10.77.0.1";
const AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
/** /dev/net/tun open to every user, as distributions have it and minimal systems have not. `ip netns exec` gives each
 * command mounts of its own, so this is for that command alone. */
const OPEN_TUN = "mount -t tmpfs -o mode=755 tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200";
const withOpenTun = (...command: string[]) => ["sh", "-ec", `${OPEN_TUN}; exec "$@"`, "sh", ...command];

/** Gives the lab's directory and the client's files to the user nobody, with a copy of the executable, since the
 * project's directory may be closed to other users. Returns the copy. */
async function forNobody(lab: Lab): Promise<string> {
  const binary = `${lab.dir}/i405`;
  await Deno.copyFile(i405Path(), binary);
  await Deno.chmod(binary, 0o755);
  for (const path of [lab.dir, `${lab.dir}/client.toml`, `${lab.dir}/client.key`]) {
    await Deno.chown(path, 65534, 65534);
  }
  return binary;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({
    name: `${signal} ends both with code 0 and leaves devices, routes, rules and filters as before`,
    ignore,
  }, async () => {
    await using lab = await Lab.create();
    const before = { client: await hostState(lab, "client"), server: await hostState(lab, "server") };
    const ends = await Ends.start(lab, {
      client: { tun: { default_route: true } },
      server: { nat: { masquerade: true } },
    });
    await ends.answers(INNER_SERVER);
    assert.notEqual(await hostState(lab, "client"), before.client);
    for (const program of [ends.client, ends.server]) await program.stopCleanly(signal);
    assert.equal(await hostState(lab, "client"), before.client);
    assert.equal(await hostState(lab, "server"), before.server);
  });
}

Deno.test({
  name: "default_route and masquerade take all traffic through the tunnel and nothing beside it",
  ignore,
}, async () => {
  await using lab = await Lab.create();
  await lab.must("router", ["ip", "address", "add", `${BEYOND}/32`, "dev", "lo"]);
  const ends = await Ends.start(lab, {
    client: { tun: { default_route: true } },
    server: { nat: { masquerade: true } },
  });
  const finishBeside = await lab.capture("c", "icmp or tcp");
  const finishBehind = await lab.capture("s", "icmp");
  await ends.answers(BEYOND);
  assert.equal((await finishBeside()).length, 24, "only the file's header: nothing beside the tunnel");
  assert.ok((await finishBehind()).length > 24, "it came out of the server");
});

Deno.test({ name: "a client on a device of `tun add` runs without root", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab, {
    client: { tun: { name: "i405u" }, pacing: { sched_fifo: false } },
  });
  const binary = await forNobody(lab);
  await lab.must("client", [
    binary,
    "tun",
    "add",
    "--user",
    "nobody",
    "--name",
    "i405u",
    "--address",
    "10.140.5.2/24",
  ]);
  await ends.startServer();
  ends.client = lab.start("client", withOpenTun(...AS_NOBODY, binary, "client", "client.toml"));
  await ends.up();
  await ends.answers(INNER_SERVER);
  await ends.client.stopCleanly();
  await lab.must("client", [binary, "tun", "remove", "--name", "i405u"]);
});

Deno.test({ name: "a port in use is one clear error and leaves nothing behind", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab);
  await ends.startServer();
  const before = await hostState(lab, "server");
  const config = (await Deno.readTextFile(`${lab.dir}/server.toml`)).replace('"i405s"', '"other"');
  await lab.file("second.toml", config);
  const second = await lab.run("server", [i405Path(), "server", "second.toml"]);
  assert.notEqual(second.code, 0);
  assert.match(second.stderr, /1405/);
  assert.match(second.stderr, /another program/);
  assert.equal(await hostState(lab, "server"), before);
});

Deno.test(
  { name: "without the right to make a TUN device the client says so and ends", ignore },
  async () => {
    await using lab = await Lab.create();
    await Ends.configure(lab);
    const binary = await forNobody(lab);
    const before = await hostState(lab, "client");
    const client = await lab.run("client", [...AS_NOBODY, binary, "client", "client.toml"], {
      timeoutMs: 20_000,
    });
    assert.notEqual(client.code, 0);
    assert.notEqual(client.code, 124, "it ended by itself");
    assert.match(client.stderr, /tun add --user/);
    assert.equal(await hostState(lab, "client"), before);
  },
);

/** Files that are wrong in one way each, and what the one message must name. */
const CLIENT = `[tunnel]\npeer = "192.0.2.1:1405"\nmode = "tun"\nname = "laptop"\nkey_file = "laptop.key"\n`;
const MISTAKES: readonly (readonly [name: string, text: string, expected: readonly RegExp[]])[] = [
  ["syntax error", "[tunnel\npeer = 1\n", [/client\.toml/, /\b1\b/]],
  ["unknown key", CLIENT + 'peeer = "x"\n', [/client\.toml/, /peeer/, /\bpeer\b/]],
  ["impossible rate", CLIENT + '[up]\nspeed = "1000 Gbit/s"\npacket_length = 1400\n', [
    /client\.toml/,
    /speed/,
  ]],
  ["impossible length", CLIENT + "[up]\npacket_length = 70000\n", [/client\.toml/, /packet_length/]],
  ["key of the wrong length", CLIENT.replace("laptop.key", "short.key"), [/short\.key/, /keygen/]],
  ["key file readable by others", CLIENT.replace("laptop.key", "open.key"), [/open\.key/, /chmod 600/]],
  ["key file behind a symbolic link", CLIENT.replace("laptop.key", "link.key"), [
    /link\.key is a symbolic link/,
  ]],
  ["missing key file", CLIENT.replace("laptop.key", "none.key"), [/none\.key/]],
];

async function mistakeDir(): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "i405-e2e-" });
  for (const name of ["laptop.key", "open.key"]) await must([i405Path(), "keygen", "-o", `${dir}/${name}`]);
  await Deno.chmod(`${dir}/open.key`, 0o644);
  await Deno.symlink(`${dir}/laptop.key`, `${dir}/link.key`);
  await Deno.writeTextFile(
    `${dir}/short.key`,
    (await Deno.readTextFile(`${dir}/laptop.key`)).trim().slice(0, -8),
    { mode: 0o600 },
  );
  return dir;
}

for (const [name, text, expected] of MISTAKES) {
  Deno.test(`a client file with ${name} gets one clear message and a code that is not 0`, async () => {
    const dir = await mistakeDir();
    await Deno.writeTextFile(`${dir}/client.toml`, text);
    const { code, stdout, stderr } = await run([i405Path(), "client", "client.toml"], {
      cwd: dir,
      timeoutMs: 20_000,
    });
    await Deno.remove(dir, { recursive: true });
    assert.ok(code !== 0 && code !== 124, `ended with ${code}: ${stderr}`);
    assert.equal(stdout, "");
    for (const pattern of expected) assert.match(stderr, pattern);
    assert.doesNotMatch(stderr, /\bat .*\.ts:\d+|Uncaught/, "no stack trace");
  });
}

Deno.test("a missing configuration file is named", async () => {
  const { code, stderr } = await run([i405Path(), "client", "no-such-file.toml"], { timeoutMs: 20_000 });
  assert.ok(code !== 0 && code !== 124);
  assert.match(stderr, /no-such-file\.toml/);
});
