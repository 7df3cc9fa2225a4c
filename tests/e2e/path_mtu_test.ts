/** Paths that drop long datagrams and say nothing. */
import assert from "node:assert/strict";
import { downloadEquals, Ends, INNER_CLIENT, INNER_SERVER, noise } from "./ends.ts";
import { CLIENT, isRoot, Lab, SERVER } from "./lab.ts";
import { readPcap } from "./pcap.ts";
import { until } from "./process.ts";

const ignore = !isRoot;
const DIRECTION = { interval: "2 ms", packet_length: undefined };

/** Outer packets of more than `len` bytes do not pass the router, in either direction, and nobody is told. */
async function narrow(lab: Lab, len: number): Promise<void> {
  await lab.shell(
    "router",
    `nft delete table ip narrow 2>/dev/null || true
     nft add table ip narrow
     nft add chain ip narrow forward '{ type filter hook forward priority 0; }'
     nft add rule ip narrow forward ip length '>' ${len} drop`,
  );
}

const mtuOf = async (lab: Lab) =>
  Number(/mtu (\d+)/.exec(await lab.must("client", ["ip", "link", "show", "i405"]))?.[1]);

Deno.test(
  {
    name: "the length that a path carries is found before the first slot, and again in a black hole",
    ignore,
  },
  async () => {
    await using lab = await Lab.create();
    await narrow(lab, 1430);
    // What ICMP has taught the kernel, or seems to have, is not asked for.
    await lab.must("client", ["ip", "route", "change", "default", "via", "10.61.1.1", "mtu", "700"]);
    const ends = await Ends.configure(lab, { client: { up: DIRECTION, down: DIRECTION } });
    const captured = await lab.capture("c", "udp port 1405");
    await ends.startServer();
    ends.startClient();
    await ends.up();
    await ends.answers(INNER_SERVER);
    await downloadEquals(lab, noise(300_000), INNER_SERVER);
    assert.match(ends.client.lines.join("\n"), /packet_length=1420/);
    assert.equal(await mtuOf(lab), 1420 - 28 - 13 - 16 - 1 - 3);

    await toldOfLongPackets(lab);

    await narrow(lab, 1320);
    const from = ends.client.lines.length;
    await ends.client.waitFor(/looking for the path's length again/, { from, timeoutMs: 60_000 });
    await ends.client.waitFor(/tunnel up/, { from, timeoutMs: 60_000 });
    await ends.answers(INNER_SERVER);
    assert.match(ends.client.lines.slice(from).join("\n"), /packet_length=1320/);
    await until(
      async () => await mtuOf(lab) === 1280 || undefined, // what fills a packet would be less
      () => "the device has another MTU",
    );
    await ends.client.stop();
    checkLengths(readPcap(await captured()));
  },
);

/** Who sends an inner packet of 1,500 bytes through the server that must not be cut is told by its kernel, since the
 * device has the tunnel's MTU; and a SYN from elsewhere reaches the client with an MSS that fits. */
async function toldOfLongPackets(lab: Lab): Promise<void> {
  await lab.shell("server", "echo 1 > /proc/sys/net/ipv4/ip_forward");
  await lab.must("router", ["ip", "route", "add", "10.140.5.0/24", "via", SERVER]);
  await lab.must("client", ["ip", "route", "add", "10.61.2.1", "dev", "i405"]);
  const pinged = await lab.run("router", [
    "ping",
    "-M",
    "do",
    "-s",
    "1472",
    "-c",
    "3",
    "-W",
    "2",
    INNER_CLIENT,
  ]);
  assert.match(pinged.stdout + pinged.stderr, /[Ff]rag needed|message too long/);
  const tcpdump = lab.start("client", [
    "tcpdump",
    "-i",
    "i405",
    "-n",
    "-v",
    "-c",
    "1",
    "tcp[tcpflags] & tcp-syn != 0",
  ]);
  await tcpdump.waitFor(/listening on/);
  await lab.run("router", ["curl", "-s", "--max-time", "3", `http://${INNER_CLIENT}:9/`]);
  const line = await tcpdump.waitFor(/mss \d+/);
  const mss = Number(/mss (\d+)/.exec(String(line))?.[1]);
  assert.ok(mss > 0 && mss <= 1372 - 40, `an MSS of ${mss}`);
}

/** From the client: some probes of different lengths, then one length only, probes, and again one length. */
function checkLengths(packets: ReturnType<typeof readPcap>): void {
  const lengths = packets.filter(({ from }) => from === CLIENT).map(({ ipLen }) => ipLen);
  const runs: { len: number; count: number }[] = [];
  for (const len of lengths) {
    if (runs.at(-1)?.len === len) runs.at(-1)!.count++;
    else runs.push({ len, count: 1 });
  }
  const trains = runs.filter(({ count }) => count > 10);
  assert.deepEqual(trains.map(({ len }) => len), [1420, 1320], JSON.stringify(runs));
  const probes = runs.slice(0, runs.indexOf(trains[0]));
  assert.ok(probes.length > 5 && probes.every(({ count }) => count <= 3), JSON.stringify(probes));
}
