/** Mode "udp": streams through the proxy over UDP, without a TUN device on either side. Topology: lab.ts; the client's
 * proxy is at 127.0.0.1:1080 of its place, the web server beside the tunnel's server. */
import assert from "node:assert/strict";
import { Ends, type EndsOptions, noise, PACKET_LEN, PROXY } from "./ends.ts";
import { CLIENT, i405Path, isRoot, Lab, ROUTER, SERVER, SERVER_V6, tool } from "./lab.ts";
import { assertPacketsAreSlots, assertUniform, sentBy } from "./observer.ts";
import { readPcap } from "./pcap.ts";
import { sleep } from "./process.ts";
import { BY_HTTP, BY_SOCKS, download, serve, WEB } from "./tcp_lab.ts";

const ignore = !isRoot;
const FAST: EndsOptions = {
  mode: "udp",
  client: { down: { interval: "0.25 ms" }, up: { interval: "0.5 ms" } },
};

async function startRelay(lab: Lab, ...options: string[]): Promise<void> {
  const command = [await tool("relay"), ROUTER, "1405", SERVER, "1405", "seed=7", ...options];
  await lab.start("router", command).waitFor(/^ready$/);
}

for (const [family, peer] of [["IPv4", undefined], ["IPv6", `[${SERVER_V6}]:1405`]] as const) {
  Deno.test(
    { name: `over UDP a download by SOCKS5 and by HTTP CONNECT equals what was served: ${family}`, ignore },
    async () => {
      await using lab = await Lab.create();
      await Ends.start(lab, { mode: "udp", peer });
      await serve(lab, 1_500_003);
      await download(lab, BY_SOCKS);
      await download(lab, BY_HTTP);
    },
  );
}

Deno.test(
  { name: "over UDP 200 downloads side by side are each equal to what was served", ignore },
  async () => {
    await using lab = await Lab.create();
    await Ends.start(lab, FAST);
    await serve(lab, 60_007);
    const targets = Array.from({ length: 200 }, (_, i) => ["-o", `got${i}`, WEB]).flat();
    const curl = ["curl", "-sS", "-Z", "--parallel-max", "200", "--parallel-immediate", ...BY_SOCKS];
    const { code, stderr } = await lab.run("client", [...curl, ...targets], { timeoutMs: 120_000 });
    assert.equal(code, 0, stderr);
    const served = noise(60_007);
    for (let i = 0; i < 200; i++) {
      const got = await Deno.readFile(`${lab.dir}/got${i}`);
      assert.ok(
        got.length === served.length && got.every((byte, at) => byte === served[at]),
        `download ${i}`,
      );
    }
  },
);

for (
  const [name, ...impairment] of [
    ["2 % loss", "loss=0.02"],
    ["10 % loss", "loss=0.1"],
    ["disorder", "delay=2", "jitter=8"],
    ["copies and damage", "dup=0.2", "corrupt=0.02"],
  ]
) {
  Deno.test({ name: `over UDP with ${name} a download is whole`, ignore }, async () => {
    await using lab = await Lab.create();
    await startRelay(lab, ...impairment);
    await Ends.start(lab, { ...FAST, peer: `${ROUTER}:1405` });
    await serve(lab, 1_000_003);
    await download(lab);
  });
}

Deno.test(
  {
    name: "over UDP a download goes on when the path was away for so long that a session is taken for lost",
    ignore,
  },
  async () => {
    await using lab = await Lab.create();
    const ends = await Ends.start(lab, { mode: "udp" });
    await serve(lab, 3_000_003);
    const going = download(lab);
    await sleep(500);
    const from = { client: ends.client.lines.length };
    await lab.must("router", [
      "nft",
      "add table inet away; add chain inet away f { type filter hook forward priority 0; policy drop; }",
    ]);
    await ends.client.waitFor(/lost|silent|nothing/, { from: from.client });
    await lab.must("router", ["nft", "delete table inet away"]);
    await going;
    // Either a new session, or the old one that is heard again before there is a new one.
    await ends.client.waitFor(/handshake done|the session goes on/, { from: from.client });
  },
);

Deno.test({ name: "over UDP idle and busy, each slot is one packet of one length", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab, { mode: "udp" });
  const finish = await lab.capture("c", "udp port 1405");
  await ends.startServer();
  ends.startClient();
  await ends.up();
  await sleep(1000);
  await serve(lab, 1_000_003);
  await download(lab);
  await ends.client.stopCleanly();
  const seen = sentBy(readPcap(await finish()), CLIENT);
  assertUniform(seen, PACKET_LEN);
  assertPacketsAreSlots(seen, await ends.trace("client"));
});

Deno.test({ name: "over UDP datagrams of a SOCKS5 association are echoed whole", ignore }, async () => {
  await using lab = await Lab.create();
  await Ends.start(lab, FAST);
  const echo = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("${SERVER}", 4000))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(65535)
    s.sendto(data, peer)
`;
  await lab.start("server", ["python3", "-c", echo]).waitFor(/ready/);
  const script = new URL("tools/socks_udp.py", import.meta.url).pathname;
  const [host, port] = PROXY.split(":");
  for (const [count, len] of [[100, 300], [20, 20_000]]) {
    const command = ["python3", script, host, port, SERVER, "4000", String(count), String(len)];
    assert.equal(await lab.must("client", command), `whole ${count}\nended\n`);
  }
});

Deno.test({ name: "one server serves a TUN device and streams over one UDP port", ignore }, async () => {
  await using lab = await Lab.create();
  const ends = await Ends.configure(lab, {
    mode: "udp",
    server: {
      server: { modes: ["tun", "udp"] },
      tun: { name: "i405s", addresses: ["10.140.5.1/24"] },
      client: { addresses: ["10.140.5.2"] },
    },
  });
  await ends.startServer();
  ends.startClient();
  await ends.up();
  await serve(lab, 300_001);
  await download(lab);
  await ends.client.stopCleanly();
  const text = await Deno.readTextFile(`${lab.dir}/client.toml`);
  await lab.file("tun.toml", text.replace('mode = "udp"', 'mode = "tun"').replace(/\[socks\]\n.*\n/, ""));
  await lab.start("client", [i405Path(), "client", "tun.toml"]).waitFor(/tunnel up/);
  const ping = await lab.run("client", ["ping", "-c", "3", "-W", "2", "10.140.5.1"]);
  assert.equal(ping.code, 0, ping.stdout);
});
